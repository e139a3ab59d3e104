/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_scavenge.c – downloads from a server that is not ours, and gives way by the law. */
/* LINKS: net shaper wire base */

/* usage: bench_scavenge HOST PORT PATH SECONDS
 *
 *   Plain HTTP/2 (prior knowledge): one connection that is asked for PATH without end, and one for
 *   PINGs.  The other side knows nothing of probes, stamps or policies: its credit is all there is.
 *   Prints the law's word whenever its state changes; tests/lab plays it as the bulk "foreign". */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/units.h"
#include "shaper/wan.h"
#include "support/words.h"

enum { IN_FLIGHT = 2, WORDS = 5, TEXT_SIZE = 128 };
#define BODY_MOST (UINT64_C(1) << 40)

struct scavenger {
    struct loop *loop;
    struct wan *wan;
    struct http_session *data, *control;
    struct probe *probe;
    struct timer end, look;
    const char *path;
    enum law_state said;
};

static void ask(struct scavenger *v);

/* ---- calls ----------------------------------------------------------------------------------- */

static void on_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct scavenger *v = arg;

    (void)c;
    if (alb_failed(st))
        give_up(v->path, st);
    ask(v);
}

static void ask(struct scavenger *v)
{
    static const struct http_call_ops ops = {.end = on_end};
    const struct http_call_options options = {
        .method = "GET", .path = v->path, .expect_bytes = BODY_MOST};

    http_call_start(v->data, &options, &ops, v);
}

/* ---- PINGs ----------------------------------------------------------------------------------- */

static void on_sample(void *arg, const struct probe_sample *s)
{
    wan_probe_ops.sample(((struct scavenger *)arg)->wan, s);
}

static void on_lost(void *arg, uint64_t sent_ns)
{
    wan_probe_ops.lost(((struct scavenger *)arg)->wan, sent_ns);
}

static void on_forget(void *arg)
{
    wan_probe_ops.forget(((struct scavenger *)arg)->wan);
}

static void on_mode(void *arg, enum probe_mode mode)
{
    wan_probe_ops.mode(((struct scavenger *)arg)->wan, mode);
}

static void on_pong(void *arg, uint64_t rtt_ns)
{
    probe_take_ping(((struct scavenger *)arg)->probe, rtt_ns);
}

static void send_ping(void *arg)
{
    struct scavenger *v = arg;

    (void)http_session_ping(v->control, on_pong, v); /* unsent: it will be called lost */
}

static void set_pace(void *arg, enum probe_pace pace)
{
    const struct scavenger *v = arg;

    if (v->probe != NULL)
        probe_set_pace(v->probe, pace);
}

static void measure(struct scavenger *v)
{
    static const struct probe_ops ops = {.sample = on_sample,
                                         .lost = on_lost,
                                         .forget = on_forget,
                                         .mode = on_mode,
                                         .ping = send_ping};

    v->probe = probe_new(&(struct probe_options){.loop = v->loop, .ops = &ops, .arg = v});
    probe_set_pace(v->probe, PROBE_ACTIVE);
}

/* ---- sessions -------------------------------------------------------------------------------- */

static void on_opened(void *arg, struct http_session *s)
{
    struct scavenger *v = arg;

    if (s == v->control)
        measure(v);
    for (unsigned i = 0; s == v->data && i < IN_FLIGHT; i++)
        ask(v);
}

static void on_closed(void *arg, struct http_session *s, struct alb_status st)
{
    (void)arg;
    (void)s;
    give_up("the connection", st);
}

static struct http_session *connect_to(struct scavenger *v, const struct dial_options *to,
                                       enum wan_traffic traffic)
{
    static const struct http_client_ops ops = {.opened = on_opened, .closed = on_closed};
    const struct http_session_options options = {.is_paced = traffic == WAN_BULK};
    struct stream *stream = loop_dial(v->loop, to);
    struct http_session *session = http_connect(stream, &options, &ops, v);

    wan_attach(v->wan, session, traffic);
    return session;
}

static void on_look(void *arg)
{
    struct scavenger *v = arg;
    struct wan_figures f;
    char text[TEXT_SIZE];

    wan_figures(v->wan, WAN_DOWN, &f);
    if (f.verdict.state != v->said)
        printf("%" PRIu64 " %s\n", loop_now_ns(v->loop) / NS_PER_MS,
               law_reason_text(&f.verdict, text, sizeof text));
    v->said = f.verdict.state;
    fflush(stdout);
    timer_set_in(&v->look, 50 * NS_PER_MS);
}

static void on_over(void *arg)
{
    (void)arg;
    exit(0); /* the kernel takes back the rest: what is measured is over */
}

int main(int argc, char **argv)
{
    static struct scavenger v;

    if (argc < WORDS) {
        fprintf(stderr, "usage: bench_scavenge HOST PORT PATH SECONDS\n");
        return 2;
    }
    v.path = argv[3];
    v.loop = loop_new(&(struct loop_options){.workers = 1});
    v.wan = wan_new(&(struct wan_options){
        .loop = v.loop, .is_shaped = true, .name = argv[1], .pace = set_pace, .arg = &v});
    const struct dial_options to = {
        .host = argv[1], .port = (uint16_t)number_of(argv[2]), .timeout_ns = 10 * NS_PER_S};
    v.control = connect_to(&v, &to, WAN_CONTROL);
    v.data = connect_to(&v, &to, WAN_BULK);
    timer_init(&v.end, v.loop, on_over, &v);
    timer_set_in(&v.end, number_of(argv[4]) * NS_PER_S);
    timer_init(&v.look, v.loop, on_look, &v);
    timer_set_in(&v.look, 0);
    loop_run(v.loop);
    return 0;
}
