/* SPDX-License-Identifier: Apache-2.0 */
/* client/explain_rate.c – `albedo explain rate`: how fast the line to the parents goes, and why.
 *
 * Asked is whoever stands upstream: a reflector tells of its own line.  A hub has none; what it
 * sends, and to how many, is what it tells.  Of an endpoint's own line there is something to say
 * only while it pulls, but for the rules: those are in its copy of the policy.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/units.h"
#include "client/explain.h"
#include "client/policy_copy.h"
#include "net/own_address.h"

enum {
    PATH_MOST = 64,
    FULL_MOST = PATH_MOST + sizeof "line.down.",
    TOLD_NOTES = 8,
    DUE_SIZE = 32 + 2 * UNITS_TEXT_SIZE,
};

static const char *text_at(const struct json_doc *d, const char *way, const char *path)
{
    char full[FULL_MOST];

    snprintf(full, sizeof full, "line.%s.%s", way, path);
    return json_doc_text(d, full);
}

static uint64_t number_at(const struct json_doc *d, const char *way, const char *path)
{
    char full[FULL_MOST];

    snprintf(full, sizeof full, "line.%s.%s", way, path);
    return json_doc_number(d, full);
}

/* "none" for what is not there. */
static const char *rate_at(const struct json_doc *d, const char *way, const char *path, char *out)
{
    const uint64_t bps = number_at(d, way, path);

    return bps == 0 ? "none" : format_rate(bps, out);
}

static const char *no_limit(const char *rate)
{
    return strcmp(rate, "none") == 0 ? "no limit" : rate;
}

static void tell_notes(struct output *o, const struct json_doc *d, const char *way)
{
    char path[PATH_MOST], full[PATH_MOST], ago[UNITS_TEXT_SIZE];

    snprintf(full, sizeof full, "line.%s.history", way);
    const size_t count = json_doc_count(d, full);
    for (size_t i = 0; i < count && i < TOLD_NOTES; i++) {
        snprintf(path, sizeof path, "history.%zu.ago_ms", i);
        const uint64_t ago_ns = number_at(d, way, path) * NS_PER_MS;
        snprintf(path, sizeof path, "history.%zu.text", i);
        output_say(o, "    %8s ago  %s", format_duration(ago_ns, ago), text_at(d, way, path));
    }
}

static void tell_way(struct output *o, const struct json_doc *d, const char *way)
{
    char rate[UNITS_TEXT_SIZE], size[UNITS_TEXT_SIZE];
    const char *law = text_at(d, way, "law.text"), *queue = text_at(d, way, "law.queue_text");
    const char *mode = text_at(d, way, "policy.mode");

    output_say(o, "\n%s", way);
    const char *holds = text_at(d, way, "policy.holds"), *next = text_at(d, way, "policy.next");
    output_say(o, "  policy     %s", holds[0] != '\0' ? holds : text_at(d, way, "policy.text"));
    if (next[0] != '\0')
        output_say(o, "  then       %s", next);
    output_say(o, "  line       at most: %s", no_limit(rate_at(d, way, "line_bps", rate)));
    if (law[0] != '\0')
        output_say(o, "  law        %s", law);
    if (queue[0] != '\0' && strcmp(mode, "scavenge") == 0)
        output_say(o, "  queue      %s", queue);
    output_say(o, "  allowed    %s",
               strcmp(mode, "off") == 0 ? "nothing" : no_limit(rate_at(d, way, "limit_bps", rate)));
    output_say(o, "  last second %s, %s in all, headers included",
               format_rate(number_at(d, way, "recent_bps"), rate),
               format_size(number_at(d, way, "wire_bytes"), size));
    tell_notes(o, d, way);
}

/* ", due at 2026-12-01T06:00:00Z: that takes 1.2 Mbit/s", or "" without a deadline. */
static const char *due_text(const struct json_doc *d, size_t i, char out[DUE_SIZE])
{
    char path[PATH_MOST], time[UNITS_TEXT_SIZE], rate[UNITS_TEXT_SIZE];

    snprintf(path, sizeof path, "line.jobs.%zu.by_wall_s", i);
    const uint64_t by_wall_s = json_doc_number(d, path);
    snprintf(path, sizeof path, "line.jobs.%zu.is_late", i);
    const bool is_late = json_doc_bool(d, path);
    snprintf(path, sizeof path, "line.jobs.%zu.needed_bps", i);
    const uint64_t needed_bps = json_doc_number(d, path);
    out[0] = '\0';
    if (by_wall_s == 0)
        return out;
    snprintf(out, DUE_SIZE, ", due at %s%s%s", format_time((int64_t)by_wall_s, time),
             is_late          ? ", which is past"
             : needed_bps > 0 ? ": that takes "
                              : "",
             needed_bps > 0 ? format_rate(needed_bps, rate) : "");
    return out;
}

static void tell_job(struct output *o, const struct json_doc *d, size_t i)
{
    char path[PATH_MOST], left[UNITS_TEXT_SIZE], due[DUE_SIZE];

    snprintf(path, sizeof path, "line.jobs.%zu.layer", i);
    const char *layer = json_doc_text(d, path);
    snprintf(path, sizeof path, "line.jobs.%zu.state", i);
    const char *state = json_doc_text(d, path);
    snprintf(path, sizeof path, "line.jobs.%zu.left_bytes", i);
    const uint64_t left_bytes = json_doc_number(d, path);
    output_say(o, "  %s: %s, %s left%s", layer, state, format_size(left_bytes, left),
               due_text(d, i, due));
}

static void tell_jobs(struct output *o, const struct json_doc *d)
{
    const size_t count = json_doc_count(d, "line.jobs");

    if (count > 0)
        output_say(o, "\nlayers on their way");
    for (size_t i = 0; i < count; i++)
        tell_job(o, d, i);
}

static void tell_line(struct output *o, const struct json_doc *d)
{
    const bool is_wan = strcmp(json_doc_text(d, "line.kind"), "wan") == 0;

    output_say(o, "%s of %s, line to %s, a %s", json_doc_text(d, "program"),
               json_doc_text(d, "device"), json_doc_text(d, "line.to"),
               is_wan ? "WAN: it takes only what nobody else wants" : "LAN");
    if (json_doc_text(d, "line.probe.by")[0] != '\0')
        output_say(o, "delay is measured by %s, %" PRIu64 " of %" PRIu64 " lost",
                   json_doc_text(d, "line.probe.by"), json_doc_number(d, "line.probe.lost"),
                   json_doc_number(d, "line.probe.sent"));
    tell_way(o, d, "down");
    tell_way(o, d, "up");
    tell_jobs(o, d);
}

static void tell_hub(struct output *o, const struct json_doc *d)
{
    char rate[UNITS_TEXT_SIZE];

    output_say(o, "%s has no line to a parent; it sends %s of bulk to %" PRIu64 " devices now",
               json_doc_text(d, "program"), format_rate(json_doc_number(d, "bulk.bps"), rate),
               json_doc_number(d, "bulk.devices"));
}

/* ---- an endpoint's own line ------------------------------------------------------------------ */

struct own_line {
    const struct policy_copy_of *copy;
    struct own_addresses addresses;
    bool is_lan; /* as a pull takes it to be */
};

static void explain_way(const struct own_line *own, uint8_t direction,
                        struct policy_explanation *out)
{
    const struct state_identity *who = &own->copy->link.state->who;
    const struct policy_place place = {.site = who->site,
                                       .device = who->device,
                                       .direction = direction,
                                       .side = own->is_lan ? POLICY_LAN : POLICY_WAN,
                                       .class = POLICY_SCAVENGER,
                                       .addresses = own->addresses.list,
                                       .address_count = own->addresses.count};

    policy_explain(policy_book_peek(own->copy->book), &place, policy_book_now_s(own->copy->book),
                   out);
}

/* Without any rule a LAN is not shared politely (transfer/line.c). */
static const char *own_text(const struct own_line *own, const struct policy_explanation *e)
{
    return own->is_lan && e->now.source == POLICY_BY_DEFAULT ? "no rule holds: full" : e->now_text;
}

static void tell_own(struct output *o, const struct own_line *own)
{
    struct policy_explanation e;

    output_say(o, "\nthe line of this endpoint itself, a %s", own->is_lan ? "LAN" : "WAN");
    for (uint8_t way = POLICY_DOWN; way <= POLICY_UP; way++) {
        explain_way(own, way, &e);
        output_say(o, "  %-5s now  %s", way == POLICY_DOWN ? "down" : "up", own_text(own, &e));
        if (e.next_s != POLICY_NEVER)
            output_say(o, "        then %s", e.next_text);
    }
}

static void put_own(struct json_writer *w, const struct own_line *own)
{
    const struct policy *p = policy_book_peek(own->copy->book);
    struct policy_explanation e;

    json_object_begin(w, "own");
    json_text(w, "kind", own->is_lan ? "lan" : "wan");
    for (uint8_t way = POLICY_DOWN; way <= POLICY_UP; way++) {
        explain_way(own, way, &e);
        json_object_begin(w, way == POLICY_DOWN ? "down" : "up");
        json_text(w, "by", policy_source_word(e.now.source));
        policy_terms_show(p, &e.now, w);
        json_text(w, "holds", own_text(own, &e));
        json_text(w, "next", e.next_text);
        if (e.next_s != POLICY_NEVER)
            json_signed(w, "next_wall_s", e.next_s);
        json_end(w);
    }
    json_end(w);
}

/* ---- both ------------------------------------------------------------------------------------ */

static void tell_all_json(struct output *o, const struct json_doc *d, const struct own_line *own)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "program", json_doc_text(d, "program"));
    json_relay(w, "line", d, "line");
    json_relay(w, "bulk", d, "bulk");
    json_relay(w, "sites", d, "sites");
    if (own != NULL)
        put_own(w, own);
    json_end(w);
    output_json(o, w);
}

static void tell_all(struct output *o, const struct json_doc *d, const struct own_line *own)
{
    if (json_doc_text(d, "line.to")[0] != '\0')
        tell_line(o, d);
    else
        tell_hub(o, d);
    if (own != NULL)
        tell_own(o, own);
}

enum exit_code explain_rate(struct cli *cli, bool at_hub)
{
    struct link_answer answer;
    struct policy_copy_of copy;
    struct own_line own = {.copy = &copy};
    struct json_doc *doc = NULL;

    enum exit_code code = policy_copy_open(cli, at_hub, &copy);
    if (code != EXIT_DONE)
        return code;
    const bool has_own = copy.link.state->who.role == ROLE_ENDPOINT;
    own.is_lan = !copy.link.is_hub;
    code = link_get_json(&copy.link, "/v1/status", "explain rate", &answer, &doc);
    if (code == EXIT_DONE && has_own) {
        policy_copy_make_current(&copy);
        own_addresses_read(&own.addresses);
    }
    if (code == EXIT_DONE)
        (cli->output->json ? tell_all_json : tell_all)(cli->output, doc, has_own ? &own : NULL);
    json_doc_free(doc);
    link_answer_release(&answer);
    policy_copy_end(&copy);
    return code;
}
