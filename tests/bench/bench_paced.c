/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_paced.c – asks any HTTP/2 server for bodies at a given rate, by credit alone. */
/* LINKS: net shaper base */

/* usage: bench_paced HOST PORT PATH RATE_BPS SECONDS [MOST_BYTES]
 *
 *   Plain HTTP/2 (prior knowledge), IN_FLIGHT calls for PATH at a time on one paced session, whose
 *   credit passes a limit of RATE_BPS on the wire.  Half of the time in, credit is taken back and
 *   nothing is granted for a second.  Prints one line of JSON: what came, in bytes of IP, in each
 *   tenth of a second, when each ended, and what was sent in all. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/units.h"
#include "net/http_pace.h"
#include "shaper/shaper.h"
#include "shaper/shaper_wire.h"
#include "support/words.h"

enum { IN_FLIGHT = 4, WORDS = 6, EVERY_MS = 100, TICKS_MOST = 6000, OFF_TICKS = 10 };
#define BODY_MOST (UINT64_C(1) << 30)

struct paced {
    struct loop *loop;
    struct shaper *shaper;
    struct shaper_leaf leaf;
    struct http_session *session;
    struct timer clock;
    const char *path;
    uint64_t rate_bps, body_most;
    unsigned ticks, tick, failures, answers;
    uint64_t came[TICKS_MOST + 1], at_ns[TICKS_MOST + 1];
};

static void ask(struct paced *p);

/* ---- calls ----------------------------------------------------------------------------------- */

static void on_head(void *arg, struct http_call *c, unsigned status)
{
    (void)arg;
    (void)c;
    if (status != 200) {
        fprintf(stderr, "bench_paced: answered %u\n", status);
        exit(1);
    }
}

static void on_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct paced *p = arg;

    (void)c;
    p->failures += alb_failed(st);
    p->answers += !alb_failed(st);
    if (http_session_is_open(p->session))
        ask(p);
}

static void ask(struct paced *p)
{
    static const struct http_call_ops ops = {.head = on_head, .end = on_end};
    const struct http_call_options options = {
        .method = "GET", .path = p->path, .expect_bytes = p->body_most};

    http_call_start(p->session, &options, &ops, p);
}

/* ---- the rate -------------------------------------------------------------------------------- */

static void set_rate(struct paced *p, uint64_t rate_bps)
{
    uint64_t quantum = http_credit_quantum(rate_bps, rate_bps);

    shaper_node_set_terms(p->shaper, shaper_link(p->shaper),
                          &(struct node_terms){.ceiling_bps = rate_bps});
    if (rate_bps == 0) {
        http_session_revoke_credit(p->session);
        return;
    }
    /* 20 ms at that rate, and what a grant takes */
    http_session_set_window(p->session, rate_bps / 8 / 50 + 2 * quantum);
    http_session_set_quantum(p->session, quantum);
}

static void report(const struct paced *p)
{
    struct path_figures f;

    stream_figures(http_session_stream(p->session), &f);
    printf("{\"rate_bps\": %" PRIu64 ", \"answers\": %u, \"failures\": %u, \"off_at\": %u, "
           "\"off_ticks\": %d, \"tick_ms\": %d, \"sent\": %" PRIu64 ", \"came\": [",
           p->rate_bps, p->answers, p->failures, p->ticks / 2, OFF_TICKS, EVERY_MS,
           wire_sent(&f, "127.0.0.1", 0));
    for (unsigned i = 0; i < p->ticks; i++)
        printf("%s%" PRIu64, i == 0 ? "" : ", ", p->came[i + 1] - p->came[i]);
    printf("], \"at_ms\": [");
    for (unsigned i = 0; i <= p->ticks; i++)
        printf("%s%" PRIu64, i == 0 ? "" : ", ", (p->at_ns[i] - p->at_ns[0]) / NS_PER_MS);
    printf("]}\n");
}

static void on_clock(void *arg)
{
    struct paced *p = arg;
    struct path_figures f;

    stream_figures(http_session_stream(p->session), &f);
    p->at_ns[p->tick] = loop_now_ns(p->loop);
    p->came[p->tick] = wire_received(&f, "127.0.0.1", 0);
    http_session_stamp(p->session, &p->tick, sizeof(p->tick)); /* a stranger must bear it */
    if (p->tick == p->ticks / 2)
        set_rate(p, 0);
    if (p->tick == p->ticks / 2 + OFF_TICKS)
        set_rate(p, p->rate_bps);
    if (p->tick++ == p->ticks) {
        report(p);
        exit(0); /* the kernel takes back the rest: what is measured is over */
    }
    timer_set(&p->clock, p->clock.at_ns + EVERY_MS * NS_PER_MS);
}

static void on_opened(void *arg, struct http_session *s)
{
    struct paced *p = arg;

    shaper_leaf_watch_received(&p->leaf, s);
    set_rate(p, p->rate_bps);
    for (unsigned i = 0; i < IN_FLIGHT; i++)
        ask(p);
    timer_set_in(&p->clock, 0);
}

static void on_closed(void *arg, struct http_session *s, struct alb_status st)
{
    (void)arg;
    (void)s;
    give_up("the connection", st);
}

int main(int argc, char **argv)
{
    static const struct http_client_ops ops = {.opened = on_opened, .closed = on_closed};
    static struct paced p;

    if (argc < WORDS) {
        fprintf(stderr, "usage: bench_paced HOST PORT PATH RATE_BPS SECONDS [MOST_BYTES]\n");
        return 2;
    }
    p.path = argv[3];
    p.rate_bps = number_of(argv[4]);
    p.ticks = (unsigned)number_of(argv[5]) * (1000 / EVERY_MS);
    p.body_most = argc > WORDS ? number_of(argv[WORDS]) : BODY_MOST;
    alb_assert(p.ticks <= TICKS_MOST);
    p.loop = loop_new(&(struct loop_options){.workers = 1});
    p.shaper = shaper_new(p.loop, &(struct shaper_options){.link = {.ceiling_bps = p.rate_bps}});
    shaper_leaf_start(&p.leaf, p.shaper, NULL, &(struct node_terms){.ceiling_bps = TREE_UNLIMITED});
    timer_init(&p.clock, p.loop, on_clock, &p);
    const struct dial_options to = {
        .host = argv[1], .port = (uint16_t)number_of(argv[2]), .timeout_ns = 10 * NS_PER_S};
    const struct http_session_options session = {.is_paced = true};
    p.session = http_connect(loop_dial(p.loop, &to), &session, &ops, &p);
    http_session_use_credit_gate(p.session, &p.leaf.gate);
    loop_run(p.loop);
    return 0;
}
