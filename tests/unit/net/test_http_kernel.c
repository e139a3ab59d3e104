/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_http_kernel.c – the same sessions over real sockets and TLS on the kernel's
 * loop. */
#include "net/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/units.h"
#include "net/tls.h"
#include "support/tls_pair.h"

enum { LARGE = 32 << 20, SMALL = 20000, CALLS = 300, SESSIONS = 3 };

struct rig {
    struct loop *loop;
    struct tls_context *server_tls, *client_tls;
    struct listener *listener;
    struct timer watchdog;
    struct http_session *sessions[SESSIONS];
    struct http_session *accepted; /* the last */
    unsigned live_sessions, live_calls, ended_well, order[SESSIONS], finished;
    uint64_t got;
    bool is_damaged, stops_at_data;
};

/* One call, and where its answer stands. */
struct task {
    struct rig *rig;
    size_t session;
    uint64_t at;
};

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)((at * 13) ^ (at >> 7));
}

/* ---- the server: as many bytes as the query says --------------------------------------------- */

struct flow {
    uint64_t at, size;
};

static size_t flow_pull(void *arg, uint8_t *out, size_t size, bool *ended)
{
    struct flow *f = arg;
    uint64_t n = f->size - f->at < size ? f->size - f->at : size;

    for (uint64_t i = 0; i < n; i++)
        out[i] = pattern(f->at + i);
    f->at += n;
    *ended = f->at == f->size;
    return n;
}

static uint64_t on_head(void *arg, struct http_exchange *x)
{
    (void)arg;
    (void)x;
    return 0;
}

static void on_request(void *arg, struct http_exchange *x)
{
    struct flow *f = xalloc(sizeof(*f));
    const struct http_source source = {flow_pull, f};

    (void)arg;
    f->size = strtoull(http_exchange_query(x), NULL, 10);
    http_exchange_set_user(x, f);
    http_answer_stream(x, 200, "application/octet-stream", &source);
}

static void on_exchange_closed(void *arg, struct http_exchange *x)
{
    (void)arg;
    free(http_exchange_user(x));
}

static void leave_when_all_are_gone(struct rig *r)
{
    if (--r->live_sessions == 0)
        loop_stop(r->loop);
}

static void on_server_closed(void *arg, struct http_session *s, struct alb_status st)
{
    struct rig *r = arg;

    (void)st;
    if (r->accepted == s)
        r->accepted = NULL;
    leave_when_all_are_gone(r);
}

static const struct http_server_ops server_ops = {on_head, on_request, on_exchange_closed,
                                                  on_server_closed};

static void on_accepted(void *arg, struct stream *stream)
{
    struct rig *r = arg;

    r->live_sessions++;
    r->accepted = http_serve(stream, NULL, &server_ops, r);
}

/* ---- the client ------------------------------------------------------------------------------ */

static void on_answer(void *arg, struct http_call *c, unsigned status)
{
    (void)arg;
    (void)c;
    assert_int_equal(status, 200);
}

static void on_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct task *t = arg;

    (void)c;
    for (size_t i = 0; i < size; i++)
        t->rig->is_damaged |= bytes[i] != pattern(t->at + i);
    t->at += size;
    t->rig->got += size;
    if (t->rig->stops_at_data)
        loop_stop(t->rig->loop);
}

static void on_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct task *t = arg;
    struct rig *r = t->rig;

    (void)c;
    r->ended_well += !alb_failed(st);
    if (r->finished < SESSIONS)
        r->order[r->finished++] = (unsigned)t->session;
    free(t);
    if (--r->live_calls == 0)
        for (size_t i = 0; i < SESSIONS; i++)
            if (r->sessions[i] != NULL)
                http_session_drain(r->sessions[i]);
}

static const struct http_call_ops call_ops = {on_answer, on_data, on_end};

static void on_client_closed(void *arg, struct http_session *s, struct alb_status st)
{
    struct rig *r = arg;

    (void)st;
    for (size_t i = 0; i < SESSIONS; i++)
        if (r->sessions[i] == s)
            r->sessions[i] = NULL;
    leave_when_all_are_gone(r);
}

static const struct http_client_ops client_ops = {.closed = on_client_closed};

static void connect_one(struct rig *r, size_t i)
{
    const struct dial_options dial = {.host = "127.0.0.1",
                                      .port = listener_port(r->listener),
                                      .tls = r->client_tls,
                                      .timeout_ns = 10 * NS_PER_S};

    r->live_sessions++;
    r->sessions[i] = http_connect(loop_dial(r->loop, &dial), NULL, &client_ops, r);
}

static void ask(struct rig *r, size_t session, uint64_t size)
{
    struct task *t = xalloc(sizeof(*t));
    char path[64];

    *t = (struct task){r, session, 0};
    (void)snprintf(path, sizeof(path), "/flow?%llu", (unsigned long long)size);
    const struct http_call_options options = {.method = "GET", .path = path, .expect_bytes = size};
    r->live_calls++;
    (void)http_call_start(r->sessions[session], &options, &call_ops, t);
}

/* ---- the stage ------------------------------------------------------------------------------- */

static void on_late(void *arg)
{
    (void)arg;
    fail_msg("not over after 60 s");
}

static int make_rig(void **state)
{
    struct rig *r = xalloc(sizeof(*r));

    r->loop = loop_new(&(struct loop_options){.workers = 1});
    tls_pair_make(&r->server_tls, &r->client_tls);
    const struct listen_options listen = {.address = "127.0.0.1", .tls = r->server_tls};
    assert_false(alb_failed(loop_listen(r->loop, &listen, on_accepted, r, &r->listener)));
    timer_init(&r->watchdog, r->loop, on_late, NULL);
    timer_set_in(&r->watchdog, 60 * NS_PER_S);
    *state = r;
    return 0;
}

static int drop_rig(void **state)
{
    struct rig *r = *state;

    timer_stop(&r->watchdog);
    listener_free(r->listener);
    loop_free(r->loop);
    tls_context_free(r->server_tls);
    tls_context_free(r->client_tls);
    free(r);
    return 0;
}

static void a_large_answer_comes_whole(void **state)
{
    struct rig *r = *state;

    connect_one(r, 0);
    ask(r, 0, LARGE);
    loop_run(r->loop);
    assert_int_equal(r->ended_well, 1);
    assert_int_equal(r->got, LARGE);
    assert_false(r->is_damaged);
}

static void many_small_answers_come_whole(void **state)
{
    struct rig *r = *state;

    connect_one(r, 0);
    for (size_t i = 0; i < CALLS; i++)
        ask(r, 0, SMALL);
    loop_run(r->loop);
    assert_int_equal(r->ended_well, CALLS);
    assert_int_equal(r->got, CALLS * SMALL);
    assert_false(r->is_damaged);
}

static void a_busy_session_does_not_hold_up_the_others(void **state)
{
    struct rig *r = *state;

    for (size_t i = 0; i < SESSIONS; i++)
        connect_one(r, i);
    ask(r, 0, LARGE);
    ask(r, 1, SMALL);
    ask(r, 2, SMALL);
    loop_run(r->loop);
    assert_int_equal(r->ended_well, 3);
    assert_int_equal(r->order[SESSIONS - 1], 0);
    assert_false(r->is_damaged);
}

/* The loop ends without another turn of its own: what is left is the leak checker's to find. */
static void what_was_closed_just_before_the_loop_ends_is_gone(void **state)
{
    struct rig *r = *state;

    connect_one(r, 0);
    ask(r, 0, LARGE);
    r->stops_at_data = true;
    loop_run(r->loop);
    assert_int_equal(r->live_calls, 1);
    http_session_close(r->sessions[0]);
    if (r->accepted != NULL)
        http_session_close(r->accepted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_large_answer_comes_whole, make_rig, drop_rig),
        cmocka_unit_test_setup_teardown(many_small_answers_come_whole, make_rig, drop_rig),
        cmocka_unit_test_setup_teardown(what_was_closed_just_before_the_loop_ends_is_gone, make_rig,
                                        drop_rig),
        cmocka_unit_test_setup_teardown(a_busy_session_does_not_hold_up_the_others, make_rig,
                                        drop_rig),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
