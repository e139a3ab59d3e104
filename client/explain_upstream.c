/* SPDX-License-Identifier: Apache-2.0 */
/* client/explain_upstream.c – `albedo explain upstream`: who could serve us, who does, and why.
 *
 *     an agent runs ──> what it wrote down          else ──> place, list and scouts of our own
 *     --what-if     ──> the list of that other place, asked for; nobody in it is
 *
 * All three are one document: "place", "nearby" (the hub's list), "choice" (the decision).
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/alloc.h"
#include "base/units.h"
#include "client/agent_seen.h"
#include "client/endpoint.h"
#include "client/explain.h"
#include "client/table.h"

enum { TEXT_MOST = 1 << 20, PATH_MOST = 96, ELSEWHERE_DEPTH = 100 /* chooser_gather.c */ };
#define LOOK_NS (100 * NS_PER_MS)
#define SETTLE_NS (2 * NS_PER_S) /* scouts are back by then */
#define WAIT_NS (10 * NS_PER_S)

/* ---- told ------------------------------------------------------------------------------------ */

struct told { /* a candidate */
    const struct json_doc *doc;
    size_t index;
};

static const char *path_of(const struct told *t, const char *member, char out[PATH_MOST])
{
    snprintf(out, PATH_MOST, "choice.candidates.%zu.%s", t->index, member);
    return out;
}

static const char *text_of(const struct told *t, const char *member)
{
    char path[PATH_MOST];

    return json_doc_text(t->doc, path_of(t, member, path));
}

static uint64_t number_of(const struct told *t, const char *member)
{
    char path[PATH_MOST];

    return json_doc_number(t->doc, path_of(t, member, path));
}

static const char *tier_text(const struct told *t, char out[48])
{
    const char *tier = text_of(t, "tier");
    const uint64_t depth = number_of(t, "depth");

    if (strcmp(tier, "elsewhere") == 0 || depth >= ELSEWHERE_DEPTH)
        snprintf(out, 48, "another site's");
    else if (strcmp(tier, "parent") == 0)
        snprintf(out, 48, "%" PRIu64 " site%s above", depth, depth == 1 ? "" : "s");
    else if (strcmp(tier, "hub") == 0)
        snprintf(out, 48, "the hub");
    else
        snprintf(out, 48, "same %s", tier);
    return out;
}

static void tell_candidate(const struct told *t, struct output *o)
{
    const uint64_t latency_us = number_of(t, "latency_us"), again_s = number_of(t, "asked_again_s");
    const char *device = text_of(t, "device"), *words = text_of(t, "words");
    char tier[48], latency[32] = "not measured", again[48] = "";

    if (latency_us > 0)
        snprintf(latency, sizeof latency, "%.1f ms", (double)latency_us / 1000);
    if (again_s > 0)
        snprintf(again, sizeof again, "; asked again in %" PRIu64 " s", again_s);
    output_say(o, "  %-9s %-20s %s: %s, %s, load %" PRIu64 " %%, %s, from the %s",
               text_of(t, "reason"), device[0] != '\0' ? device : "(not asked yet)",
               text_of(t, "place"), tier_text(t, tier), latency, number_of(t, "load_percent"),
               text_of(t, "state"), text_of(t, "from"));
    output_say(o, "            %s%s%s%s", text_of(t, "because"), words[0] != '\0' ? ": " : "",
               words, again);
}

static void tell_terms(const struct json_doc *d, struct output *o)
{
    const uint64_t latency_ms = json_doc_number(d, "choice.terms.latency_ms");
    const uint64_t load = json_doc_number(d, "choice.terms.load_percent");
    char text[96] = "";
    int used = 0;

    if (latency_ms > 0)
        used = snprintf(text, sizeof text, ", at most %" PRIu64 " ms away", latency_ms);
    if (load > 0)
        snprintf(text + used, sizeof text - (size_t)used, ", load at most %" PRIu64 " %%", load);
    output_say(o, "terms       use %s%s", json_doc_text(d, "choice.terms.use"), text);
}

/* The texts of an array, with commas between. */
static const char *joined(const struct json_doc *d, const char *array, char *out, size_t size)
{
    const size_t count = json_doc_count(d, array);
    char path[PATH_MOST];
    size_t used = 0;

    snprintf(out, size, "none known");
    for (size_t i = 0; i < count && used + 1 < size; i++) {
        snprintf(path, sizeof path, "%s.%zu", array, i);
        used += (size_t)snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "",
                                 json_doc_text(d, path));
    }
    return out;
}

/* "DATE, good until DATE", or why it is only a hint. */
static const char *list_age(const struct json_doc *d, char out[128])
{
    const int64_t expires_s = (int64_t)json_doc_number(d, "nearby.expires");
    char issued[UNITS_TEXT_SIZE], expires[UNITS_TEXT_SIZE], cell[CELL_SIZE_MAX];
    const bool is_stale = strcmp(table_cell(d, "nearby.stale", CELL_VALUE, cell), "yes") == 0;

    format_time((int64_t)json_doc_number(d, "nearby.issued"), issued);
    format_time(expires_s, expires);
    if (expires_s <= (int64_t)time(NULL))
        snprintf(out, 128, "%s, over since %s: a hint, certificates decide", issued, expires);
    else
        snprintf(out, 128, "%s, good until %s%s", issued, expires,
                 is_stale ? "; nobody could be asked since" : "");
    return out;
}

static void tell_place(const struct json_doc *d, struct output *o)
{
    const char *site = json_doc_text(d, "nearby.at"), *by = json_doc_text(d, "nearby.by");
    const char *what = json_doc_text(d, "nearby.what");
    const uint64_t list = json_doc_number(d, "choice.list");
    char list_text[128], text[512];

    if (site[0] == '\0')
        output_say(o, "site        none that the hub knows");
    else
        output_say(o, "site        %s, by %s%s%s", site, by, what[0] != '\0' ? " " : "", what);
    output_say(o, "addresses   %s", joined(d, "place.addresses", text, sizeof text));
    output_say(o, "gateways    %s", joined(d, "place.gateways", text, sizeof text));
    if (list > 0)
        output_say(o, "list        number %" PRIu64 " of %s", list, list_age(d, list_text));
    else
        output_say(o, "list        none: known are configuration, beacons and who served last");
}

static void tell(const struct json_doc *d, struct output *o)
{
    const size_t count = json_doc_count(d, "choice.candidates");
    const char *device = json_doc_text(d, "choice.device");

    tell_place(d, o);
    tell_terms(d, o);
    output_say(o, "upstream    %s", device[0] != '\0' ? device : "nobody now");
    for (size_t i = 0; i < count; i++)
        tell_candidate(&(struct told){d, i}, o);
}

static enum exit_code show(struct output *o, const struct json_doc *d)
{
    if (!o->json) {
        tell(d, o);
        return EXIT_DONE;
    }
    struct json_writer *w = json_writer_new();
    json_object_begin(w, NULL);
    json_relay(w, "place", d, "place");
    json_relay(w, "nearby", d, "nearby");
    json_relay(w, "choice", d, "choice");
    json_end(w);
    output_json(o, w);
    return EXIT_DONE;
}

static enum exit_code show_text(struct output *o, struct json_writer *w)
{
    struct json_doc *d = NULL;
    struct buf text;

    buf_init(&text, TEXT_MOST);
    json_end(w);
    struct alb_status st = json_writer_finish(w, &text);
    if (!alb_failed(st))
        st = json_doc_parse(buf_peek(&text), buf_size(&text), &d);
    enum exit_code code =
        alb_failed(st) ? output_fail_status(o, st, "explain upstream") : show(o, d);
    json_doc_free(d);
    buf_release(&text);
    return code;
}

/* ---- of this machine ------------------------------------------------------------------------- */

struct look {
    struct output *output;
    struct loop *loop;
    struct tls_context *tls;
    struct endpoint *endpoint;
    struct timer timer;
    uint64_t begun_ns, up_ns;
    bool interrupted;
};

static void on_look(void *arg)
{
    struct look *l = arg;
    const uint64_t now_ns = loop_now_ns(l->loop);

    if (upstream_is_up(endpoint_upstream(l->endpoint)) && l->up_ns == 0)
        l->up_ns = now_ns;
    if ((l->up_ns != 0 && now_ns - l->up_ns > SETTLE_NS) || now_ns - l->begun_ns > WAIT_NS)
        loop_stop(l->loop);
    else
        timer_set_in(&l->timer, LOOK_NS);
}

static void on_terminate(void *arg)
{
    struct look *l = arg;

    l->interrupted = true;
    loop_stop(l->loop);
}

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

static void look_close(struct look *l)
{
    timer_stop(&l->timer);
    l->endpoint = endpoint_free(l->endpoint);
    timer_init(&l->timer, l->loop, stop_loop, l->loop);
    timer_set_in(&l->timer, 0);
    loop_run(l->loop);
    l->loop = loop_free(l->loop);
}

static enum exit_code look_and_show(struct look *l, const struct endpoint_options *options,
                                    const char *dir)
{
    struct alb_status st = endpoint_start(options, &l->endpoint);

    if (alb_failed(st))
        return output_fail_status(l->output, st, "state %s: its trust files", dir);
    l->begun_ns = loop_now_ns(l->loop);
    timer_set_in(&l->timer, LOOK_NS);
    loop_run(l->loop);
    if (l->interrupted)
        return output_interrupted(l->output, "explain upstream: interrupted");
    struct json_writer *w = json_writer_new();
    json_object_begin(w, NULL);
    endpoint_show_way(l->endpoint, w);
    return show_text(l->output, w);
}

/* As a pull would: the same parts, but nothing is pulled. */
static enum exit_code look_around(struct output *o, struct state *s)
{
    const struct state_identity *who = &s->who;
    const bool is_hub = who->upstream.host[0] == '\0';
    struct look look = {.output = o};
    struct alb_status st = link_tls_open(s, &look.tls);

    if (alb_failed(st))
        return output_fail_status(o, st, "state %s: its key or certificates cannot be used",
                                  s->dir);
    look.loop = loop_new(&(struct loop_options){.workers = 0});
    loop_on_terminate(look.loop, on_terminate, &look);
    timer_init(&look.timer, look.loop, on_look, &look);
    const struct endpoint_options options = {.loop = look.loop,
                                             .catalogue = s->catalogue,
                                             .parents = {is_hub ? who->hub : who->upstream},
                                             .parent_count = 1,
                                             .dial_tls = look.tls,
                                             .device = who->device,
                                             .site = who->site,
                                             .trust_pin =
                                                 who->has_trust_pin ? &who->trust_pin : NULL,
                                             .hub = who->hub,
                                             .looks_around = true};
    o->holds_warnings = true;
    enum exit_code code = look_and_show(&look, &options, s->dir);
    look_close(&look);
    tls_context_free(look.tls);
    return code;
}

static enum exit_code ask_agent_or_look(struct output *o, struct state *s)
{
    struct agent_seen seen;
    enum exit_code code;

    agent_seen_read(s, &seen);
    if (seen.is_running && seen.doc != NULL) {
        const int64_t written_s = (int64_t)json_doc_number(seen.doc, "written_wall_s");
        output_note(o, "as the agent (process %ld) has it; it wrote that %" PRId64 " s ago",
                    seen.pid, (int64_t)time(NULL) - written_s);
        code = show(o, seen.doc);
    } else {
        code = look_around(o, s);
    }
    agent_seen_release(&seen);
    return code;
}

/* ---- of another place ------------------------------------------------------------------------ */

struct what_if {
    struct link link;
    struct nearby_book *book;
    struct nearby_listener listener;
    struct chooser *chooser;
    struct net_place place;
    struct timer timer;
    bool is_known;
};

static void list_came(struct nearby_listener *l)
{
    struct what_if *w = ALB_CONTAINER(l, struct what_if, listener);

    w->is_known = !nearby_book_is_stale(w->book);
    if (w->is_known)
        loop_stop(w->link.loop);
}

static void waited(void *arg)
{
    loop_stop(((struct what_if *)arg)->link.loop);
}

static enum exit_code take_address(const struct cli *cli, const char *text, struct net_place *out)
{
    if (out->address_count == NET_PLACE_ADDRESSES ||
        alb_failed(site_address_parse(text, out->addresses[out->address_count])))
        return cli_usage(cli, "--address %s: it is no IPv4 or IPv6 address, or one too many", text);
    out->address_count++;
    return EXIT_DONE;
}

static enum exit_code take_gateway(const struct cli *cli, const char *text, struct net_place *out)
{
    struct site_mac mac;

    if (out->gateway_count == NET_PLACE_GATEWAYS || alb_failed(site_mac_parse(text, &mac)))
        return cli_usage(cli,
                         "--gateway %s: it is no MAC address such as 52:54:00:ab:cd:ef, or one "
                         "too many",
                         text);
    memcpy(out->gateways[out->gateway_count++], mac.bytes, NET_MAC_SIZE);
    return EXIT_DONE;
}

static enum exit_code take_place(const struct cli *cli, struct net_place *out)
{
    enum exit_code code = EXIT_DONE;

    *out = (struct net_place){.link = 1};
    for (size_t i = 0; i < cli_count(cli, "address") && code == EXIT_DONE; i++)
        code = take_address(cli, cli_text_at(cli, "address", i), out);
    for (size_t i = 0; i < cli_count(cli, "gateway") && code == EXIT_DONE; i++)
        code = take_gateway(cli, cli_text_at(cli, "gateway", i), out);
    return code;
}

static enum exit_code show_what_if(struct what_if *w)
{
    struct json_writer *json = json_writer_new();

    w->chooser = chooser_new(&(struct chooser_options){
        .loop = w->link.loop, .device = w->link.state->who.device, .places = {w->link.place}});
    chooser_set_list(w->chooser, nearby_book_peek(w->book));
    json_object_begin(json, NULL);
    whereabouts_put_place(&w->place, json);
    nearby_book_show(w->book, json);
    chooser_what_if(w->chooser, &w->place, json);
    w->chooser = chooser_free(w->chooser);
    return show_text(w->link.output, json);
}

static enum exit_code ask_list(struct what_if *w)
{
    struct link *l = &w->link;

    w->book = nearby_book_open(
        &(struct nearby_book_options){.loop = l->loop, .authority = l->authority, .site = ""});
    w->listener.changed = list_came;
    nearby_book_listen(w->book, &w->listener);
    nearby_book_where(w->book, &w->place);
    nearby_book_follow(w->book, l->upstream);
    timer_init(&w->timer, l->loop, waited, w);
    timer_set_in(&w->timer, WAIT_NS);
    while (!w->is_known && !l->interrupted && timer_is_set(&w->timer))
        loop_run(l->loop);
    timer_stop(&w->timer);
    enum exit_code code = EXIT_DONE;
    if (w->is_known) {
        code = show_what_if(w);
    } else {
        struct link_answer none = {.st = alb_fail(ALB_TIMEOUT, "it gave no list in time")};
        code = link_fail(l, &none, "explain upstream --what-if");
    }
    nearby_book_unlisten(w->book, &w->listener);
    w->book = nearby_book_close(w->book);
    return code;
}

static enum exit_code explain_what_if(struct cli *cli)
{
    struct what_if *w = xalloc(sizeof *w);
    enum exit_code code = take_place(cli, &w->place);

    if (code == EXIT_DONE)
        code = link_begin(cli, &(struct link_options){.follows_trust = true}, &w->link);
    if (code == EXIT_DONE) {
        code = ask_list(w);
        link_end(&w->link);
    }
    free(w);
    return code;
}

/* ---- which of them --------------------------------------------------------------------------- */

enum exit_code explain_upstream(struct cli *cli)
{
    const bool has_place = cli_count(cli, "address") + cli_count(cli, "gateway") > 0;
    const bool is_what_if = cli_flag(cli, "what-if");
    struct state state;

    if (is_what_if && !has_place)
        return cli_usage(cli, "--what-if: it needs --address A, --gateway MAC, or both");
    if (has_place && !is_what_if)
        return cli_usage(cli, "--address and --gateway go with --what-if: for another place");
    if (is_what_if)
        return explain_what_if(cli);
    enum exit_code code = state_begin(cli, &state);
    if (code != EXIT_DONE)
        return code;
    if (state.who.role == ROLE_ENDPOINT)
        code = ask_agent_or_look(cli->output, &state);
    else
        code = output_fail(cli->output, ALB_REFUSED,
                           "explain upstream: state %s is of %s %s, who asks the hub; for a place, "
                           "say --what-if --address A",
                           state.dir, role_name(state.who.role), state.who.device);
    state_close(&state);
    return code;
}
