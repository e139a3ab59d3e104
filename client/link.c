/* SPDX-License-Identifier: Apache-2.0 */
/* client/link.c – state, loop, TLS, upstream and trust put together; one question at a time. */
#include "client/link.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/units.h"
#include "client/place.h"
#include "net/tls.h"
#include "net/x509.h"

enum { PEM_MOST = 64 << 10, ANSWER_MOST = 16 << 20 };
#define ASK_TIMEOUT_NS (30 * NS_PER_S)
#define REST_NS (250 * NS_PER_MS)

/* ---- opening ---- */

struct alb_status link_tls_open(const struct state *s, struct tls_context **out)
{
    static const char *const names[] = {"ca.pem", "certificate.pem", "key.pem"};
    struct buf texts[ALB_COUNT(names)];
    struct alb_status st = ALB_STATUS_OK;

    for (size_t i = 0; i < ALB_COUNT(names); i++) {
        buf_init(&texts[i], PEM_MOST);
        if (!alb_failed(st))
            st = state_read(s, names[i], &texts[i]);
    }
    if (!alb_failed(st)) {
        const struct tls_options options = {.ca_pem = buf_text(&texts[0]),
                                            .certificate_pem = buf_text(&texts[1]),
                                            .key_pem = buf_text(&texts[2])};
        st = x509_check_signed(options.certificate_pem, options.ca_pem);
        if (!alb_failed(st))
            st = tls_context_new(&options, out);
    }
    for (size_t i = 0; i < ALB_COUNT(names); i++) {
        if (texts[i].bytes != NULL)
            wipe(texts[i].bytes, texts[i].capacity);
        buf_release(&texts[i]);
    }
    return st;
}

/* The hub itself knows what these two may read. */
static bool needs_grant(const struct link *l, const struct link_options *options)
{
    const enum role role = l->state->who.role;

    return options->wants_grant && !(l->is_hub && (role == ROLE_ADMIN || role == ROLE_PUBLISHER));
}

/* ---- the line: as in client/endpoint.c ---- */

static void open_line(struct link *l, const struct link_options *options)
{
    own_addresses_read(&l->addresses);
    l->policy = policy_book_open(&(struct policy_book_options){.loop = l->loop,
                                                               .authority = l->authority,
                                                               .catalogue = l->state->catalogue,
                                                               .without_states = true});
    l->line = line_new(&(struct line_options){.loop = l->loop,
                                              .places = &l->place,
                                              .place_count = 1,
                                              .kind = options->line,
                                              .policy = l->policy,
                                              .site = l->state->who.site,
                                              .device = l->state->who.device,
                                              .addresses = &l->addresses});
}

static void heard(void *arg, const char *line)
{
    struct link *l = ALB_CONTAINER(arg, struct link, grant);

    (void)policy_book_hear(l->policy, line); /* a pause is in force at once */
}

static void close_policy(struct link *l)
{
    line_stop(l->line);
    if (l->policy != NULL)
        l->policy = policy_book_close(l->policy);
}

enum exit_code link_line_typed(const struct cli *cli, enum line_kind *out)
{
    const char *typed = cli_text(cli, "line");

    if (typed != NULL && strcmp(typed, "wan") != 0 && strcmp(typed, "lan") != 0)
        return cli_usage(cli, "--line %s: it is wan or lan", typed);
    *out = typed == NULL ? LINE_IS_AUTO : typed[0] == 'w' ? LINE_IS_WAN : LINE_IS_LAN;
    return EXIT_DONE;
}

static void open_upstream(struct link *l, const struct link_options *options)
{
    struct upstream_options up = {.loop = l->loop,
                                  .places = {l->place},
                                  .place_count = 1,
                                  .tls = l->tls,
                                  .wants_grant = needs_grant(l, options),
                                  .arg = &l->grant,
                                  .granted = own_grant_judge};

    l->grant = (struct own_grant){.loop = l->loop,
                                  .catalogue = l->state->catalogue,
                                  .authority = l->authority,
                                  .org = l->state->who.org,
                                  .device = l->state->who.device};
    if (up.wants_grant) {
        own_grant_init(&l->grant);
        up.grant = buf_peek(&l->grant.bytes);
        up.grant_size = buf_size(&l->grant.bytes);
        up.grant_renew_wall_s = l->grant.renew_wall_s;
    }
    if (options->has_line) {
        open_line(l, options);
        up.wan = line_wan(l->line);
        up.wants_events = true;
        up.event = heard;
    }
    l->upstream = upstream_new(&up);
    if (options->has_line)
        line_use_upstream(l->line, l->upstream);
}

static void on_terminate(void *arg)
{
    struct link *l = arg;

    if (l->interrupted)
        output_quit(l->output);
    l->interrupted = true;
    loop_stop(l->loop);
}

static enum exit_code damaged(struct link *l, struct alb_status st, const char *what)
{
    link_close(l);
    if (st.code == ALB_INVALID) /* nobody typed it */
        st.code = ALB_CORRUPT;
    return output_fail_status(l->output, st, "state %s: %s; join anew with --force", l->state->dir,
                              what);
}

enum exit_code link_open(struct output *o, struct state *s, const struct link_options *options,
                         struct link *out)
{
    struct link *l = out;
    const struct loop_options loop_options = {.workers = 0};

    *l = (struct link){.output = o, .state = s};
    l->wait_ns = options->wait_ns;
    l->is_hub = options->at_hub || s->who.upstream.host[0] == '\0';
    l->place = l->is_hub ? s->who.hub : s->who.upstream;
    o->holds_warnings = !options->shows_warnings;
    struct alb_status st = link_tls_open(s, &l->tls);
    if (alb_failed(st))
        return damaged(l, st, "its key or certificates cannot be used");
    l->loop = loop_new(&loop_options);
    loop_on_terminate(l->loop, on_terminate, l);
    const struct authority_options authority_options = {
        .loop = l->loop,
        .catalogue = s->catalogue,
        .pin = s->who.has_trust_pin ? &s->who.trust_pin : NULL};
    st = authority_open(&authority_options, &l->authority);
    if (alb_failed(st))
        return damaged(l, st, "the trust files kept in it do not verify");
    tls_context_floor(l->tls, authority_floor_s(l->authority));
    open_upstream(l, options);
    if (options->follows_trust)
        authority_follow(l->authority, l->upstream, NULL, NULL);
    return EXIT_DONE;
}

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

/* What was closed is freed by the loop, a turn later. */
static void finish_loop(struct loop *loop)
{
    struct timer last;

    timer_init(&last, loop, stop_loop, loop);
    timer_set_in(&last, 0);
    loop_run(loop);
    timer_stop(&last);
}

void link_close(struct link *l)
{
    close_policy(l);
    l->authority = authority_close(l->authority);
    l->upstream = upstream_free(l->upstream);
    l->line = line_free(l->line);
    own_grant_release(&l->grant);
    if (l->loop != NULL) {
        finish_loop(l->loop);
        l->loop = loop_free(l->loop);
    }
    l->tls = tls_context_free(l->tls);
}

enum exit_code link_begin(struct cli *c, const struct link_options *options, struct link *out)
{
    struct state *s = xalloc(sizeof *s);
    enum exit_code code = state_begin(c, s);

    if (code == EXIT_DONE) {
        code = link_open(c->output, s, options, out);
        out->own_state = s;
    }
    if (code != EXIT_DONE) {
        state_close(s);
        free(s);
    }
    return code;
}

void link_end(struct link *l)
{
    link_close(l);
    if (l->own_state == NULL)
        return;
    state_close(l->own_state);
    free(l->own_state);
    l->own_state = NULL;
}

/* ---- asking ---- */

struct asking {
    struct link *link;
    struct link_answer *out;
    bool done;
};

static void on_answer(void *arg, const struct upstream_answer *answer)
{
    struct asking *a = arg;

    a->out->st = answer->st;
    a->out->status = answer->status;
    snprintf(a->out->message, sizeof a->out->message, "%s", answer->message);
    if (alb_failed(buf_append(&a->out->body, answer->body, answer->size)))
        a->out->st = alb_fail(ALB_FULL, "an answer is larger than this program takes");
    a->done = true;
    loop_stop(a->link->loop);
}

bool link_run(struct link *l, const bool *done)
{
    while (!*done && !l->interrupted)
        loop_run(l->loop);
    return *done;
}

static void ask_once(struct link *l, const struct upstream_ask *ask, struct link_answer *out)
{
    struct asking asking = {.link = l, .out = out};
    struct upstream_ask own = *ask;

    *out = (struct link_answer){.st = ALB_STATUS_OK};
    buf_init(&out->body, ANSWER_MOST);
    if (own.expect_bytes == 0)
        own.expect_bytes = ANSWER_MOST;
    if (own.timeout_ns == 0)
        own.timeout_ns = ASK_TIMEOUT_NS;
    own.fail_when_down = true;
    struct upstream_request *r = upstream_request(l->upstream, &own, on_answer, &asking);
    if (link_run(l, &asking.done))
        return;
    upstream_cancel(r);
    out->st = alb_fail(ALB_TIMEOUT, "interrupted");
}

/* Nobody was reached, and nobody refused us either: it may come back. */
static bool is_out_of_reach(struct link *l, const struct link_answer *a)
{
    struct upstream_figures up;

    upstream_figures(l->upstream, &up);
    return a->status == 0 && a->st.code == ALB_CLOSED && !up.is_up && up.down_code != ALB_REFUSED &&
           !l->interrupted;
}

static void pause_over(void *arg)
{
    struct asking *a = arg;

    a->done = true;
    loop_stop(a->link->loop);
}

static void rest(struct link *l)
{
    struct asking a = {.link = l};
    struct upstream_figures up;
    struct timer timer;
    char wait[UNITS_TEXT_SIZE];

    upstream_figures(l->upstream, &up);
    if (!l->has_said_waiting)
        output_note(l->output, "%s %s: %s; trying for %s", l->is_hub ? "hub" : "reflector",
                    up.place, up.why_down, format_duration(l->wait_ns, wait));
    l->has_said_waiting = true;
    timer_init(&timer, l->loop, pause_over, &a);
    timer_set_in(&timer, REST_NS);
    link_run(l, &a.done);
    timer_stop(&timer);
}

void link_ask(struct link *l, const struct upstream_ask *ask, struct link_answer *out)
{
    const uint64_t until_ns = loop_now_ns(l->loop) + l->wait_ns;

    ask_once(l, ask, out);
    while (is_out_of_reach(l, out) && loop_now_ns(l->loop) < until_ns) {
        link_answer_release(out);
        rest(l);
        ask_once(l, ask, out);
    }
}

void link_answer_release(struct link_answer *a)
{
    buf_release(&a->body);
}

/* ---- what went wrong ---- */

/* What whoever reads it can do; "" when the message says it all. */
static const char *advice(const struct link *l, const struct link_answer *a)
{
    if (a->status == 0 && l->is_hub)
        return "; is albedo-hub running there, and are host and port right?";
    if (a->status == 0)
        return "; is albedo-reflector running there, and are host and port right?";
    if (a->st.code == ALB_CONFLICT && strchr(a->message, ';') == NULL)
        return "; run the command again";
    return "";
}

static enum exit_code fail_refused(struct link *l, const char *where, const char *why)
{
    const struct state_identity *who = &l->state->who;

    return output_fail(l->output, ALB_REFUSED, "%s: %s (asked as %s %s of %s)", where, why,
                       role_name(who->role), who->device, who->org);
}

/* No answer came; the line may have been refused before anything could be asked. */
static enum exit_code fail_down(struct link *l, const struct link_answer *a, const char *where)
{
    struct upstream_figures figures;

    upstream_figures(l->upstream, &figures);
    const char *why = figures.why_down[0] != '\0' ? figures.why_down : a->st.what;
    if (figures.down_code == ALB_REFUSED)
        return fail_refused(l, where, why);
    return output_fail(l->output, a->st.code, "%s: %s%s", where, why, advice(l, a));
}

enum exit_code link_fail(struct link *l, struct link_answer *a, const char *doing)
{
    char url[PLACE_TEXT_SIZE], why[256];

    place_format(&l->place, url);
    AUTO_FREE char *where = xasprintf("%s: %s %s", doing, l->is_hub ? "hub" : "reflector", url);
    if (l->interrupted)
        return output_interrupted(l->output, "%s: interrupted", where);
    if (a->status == 0)
        return fail_down(l, a, where);
    const char *text = a->message[0] != '\0' ? a->message : alb_status_text(a->st, why, sizeof why);
    if (a->st.code == ALB_REFUSED)
        return fail_refused(l, where, text);
    return output_fail(l->output, a->st.code, "%s: %s%s", where, text, advice(l, a));
}

enum exit_code link_get_json(struct link *l, const char *path, const char *doing,
                             struct link_answer *answer, struct json_doc **out)
{
    link_ask(l, &(struct upstream_ask){.method = "GET", .path = path}, answer);
    if (alb_failed(answer->st))
        return link_fail(l, answer, doing);
    struct alb_status st = json_doc_parse(buf_peek(&answer->body), buf_size(&answer->body), out);
    if (!alb_failed(st))
        return EXIT_DONE;
    answer->st = alb_fail(ALB_CORRUPT, "the answer is no JSON; is something else listening there?");
    return link_fail(l, answer, doing);
}

enum exit_code link_show(struct cli *cli, const struct link_options *options, const char *path,
                         const char *doing,
                         enum exit_code (*print)(struct cli *cli, const struct json_doc *d))
{
    struct link_answer answer;
    struct json_doc *d = NULL;
    struct link link;

    enum exit_code code = link_begin(cli, options, &link);
    if (code != EXIT_DONE)
        return code;
    code = link_get_json(&link, path, doing, &answer, &d);
    if (code == EXIT_DONE && cli->output->json)
        output_json_text(cli->output, buf_peek(&answer.body), buf_size(&answer.body));
    else if (code == EXIT_DONE)
        code = print(cli, d);
    json_doc_free(d);
    link_answer_release(&answer);
    link_end(&link);
    return code;
}

/* ---- trust ---- */

enum exit_code link_refresh_trust(struct link *l, const char *doing)
{
    for (;;) {
        const struct trust *held = authority_trust(l->authority);
        struct link_answer answer;
        char path[48];

        snprintf(path, sizeof path, "/v1/trust/%" PRIu64, held == NULL ? 1 : held->version + 1);
        link_ask(l,
                 &(struct upstream_ask){.method = "GET", .path = path, .expect_bytes = SIGNED_MAX},
                 &answer);
        bool is_last = answer.st.code == ALB_NOT_FOUND;
        if (!alb_failed(answer.st)) {
            answer.st =
                authority_add_trust(l->authority, buf_peek(&answer.body), buf_size(&answer.body));
            snprintf(answer.message, sizeof answer.message, "%s", answer.st.what);
        }
        enum exit_code code = exit_code_of(answer.st.code);
        if (alb_failed(answer.st) && !is_last && doing != NULL)
            code = link_fail(l, &answer, doing);
        link_answer_release(&answer);
        if (is_last)
            return EXIT_DONE;
        if (code != EXIT_DONE)
            return code;
    }
}
