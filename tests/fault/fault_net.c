/* SPDX-License-Identifier: Apache-2.0 */
/* fault/fault_net.c – every socket call of an exchange fails, is cut or interrupted once. */
/* LINKS: sysfault net base */
#include "net/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/units.h"
#include "net/tls.h"
#include "support/sysfault.h"
#include "support/tls_pair.h"

#ifdef ALB_FAULT

enum { BODY = 40000, CALLS = 3, SERVED_MAX = 64 };

struct rig {
    struct loop *loop;
    struct tls_context *server_tls, *client_tls;
    struct listener *listener;
    struct timer watchdog;
    struct http_session *client, *served[SERVED_MAX];
    struct alb_status closed; /* of the client's session */
    size_t got[CALLS];
    unsigned live_calls, ended_well, exchanges;
    bool with_tls;
    uint8_t body[BODY];
    enum sysfault kind;
};

/* ---- a server that gives back what it was sent ----------------------------------------------- */

static uint64_t on_head(void *arg, struct http_exchange *x)
{
    struct rig *r = arg;

    (void)x;
    r->exchanges++;
    return BODY;
}

static void on_request(void *arg, struct http_exchange *x)
{
    struct buf *body = http_exchange_body(x);

    (void)arg;
    http_answer(x, 200, "application/octet-stream", buf_peek(body), buf_size(body));
}

static void on_exchange_closed(void *arg, struct http_exchange *x)
{
    struct rig *r = arg;

    (void)x;
    r->exchanges--;
}

static void on_served(void *arg, struct http_session *s, struct alb_status st)
{
    struct rig *r = arg;

    (void)st;
    for (size_t i = 0; i < SERVED_MAX; i++)
        if (r->served[i] == s)
            r->served[i] = NULL;
}

static void on_accepted(void *arg, struct stream *stream)
{
    static const struct http_server_ops ops = {on_head, on_request, on_exchange_closed, on_served};
    struct rig *r = arg;

    for (size_t i = 0; i < SERVED_MAX; i++)
        if (r->served[i] == NULL) {
            r->served[i] = http_serve(stream, NULL, &ops, r);
            return;
        }
    fail_msg("sessions are left over");
}

/* ---- a client -------------------------------------------------------------------------------- */

static void on_answer(void *arg, struct http_call *c, unsigned status)
{
    (void)arg;
    (void)c;
    assert_int_equal(status, 200);
}

static struct rig *the_rig; /* of the test that runs: a call's arg is where it counts */

static void on_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    size_t *got = arg;

    (void)c;
    assert_true(size <= BODY - *got);
    assert_memory_equal(bytes, the_rig->body + *got, size);
    *got += size;
}

static void on_end(void *arg, struct http_call *c, struct alb_status st)
{
    const size_t *got = arg;

    (void)c;
    assert_true(alb_failed(st) || *got == BODY);
    assert_true(!alb_failed(st) || st.what[0] != '\0');
    the_rig->ended_well += !alb_failed(st);
    if (--the_rig->live_calls == 0 && the_rig->client != NULL)
        http_session_drain(the_rig->client);
}

static void on_client_closed(void *arg, struct http_session *s, struct alb_status st)
{
    struct rig *r = arg;

    (void)s;
    r->client = NULL;
    r->closed = st;
    loop_stop(r->loop);
}

/* A session, all its calls, and its end. */
static void converse(struct rig *r)
{
    static const struct http_client_ops ops = {.closed = on_client_closed};
    static const struct http_call_ops call_ops = {on_answer, on_data, on_end};
    const struct dial_options dial = {.host = "127.0.0.1",
                                      .port = listener_port(r->listener),
                                      .tls = r->with_tls ? r->client_tls : NULL,
                                      .timeout_ns = 20 * NS_PER_S};
    const struct http_call_options call = {
        .method = "POST", .path = "/", .body = r->body, .body_size = BODY, .expect_bytes = BODY};

    r->client = http_connect(loop_dial(r->loop, &dial), NULL, &ops, r);
    r->ended_well = 0;
    r->live_calls = CALLS;
    for (size_t i = 0; i < CALLS; i++) {
        r->got[i] = 0;
        (void)http_call_start(r->client, &call, &call_ops, &r->got[i]);
    }
    loop_run(r->loop);
    assert_int_equal(r->live_calls, 0);
    assert_null(r->client);
}

/* What failed is told, once; the listener takes the next one. */
static void converse_with_fault(void *arg)
{
    struct rig *r = arg;

    timer_set_in(&r->watchdog, 60 * NS_PER_S);
    sysfault_begin();
    converse(r);
    if (!sysfault_disarm() || sysfault_is_harmless(r->kind))
        assert_int_equal(r->ended_well, CALLS);
    else
        assert_true(r->ended_well == CALLS || r->closed.what[0] != '\0');
    converse(r);
    assert_int_equal(r->ended_well, CALLS);
}

/* ---- the stage ------------------------------------------------------------------------------- */

static struct alb_status listen_now(struct rig *r)
{
    const struct listen_options where = {.address = "127.0.0.1",
                                         .tls = r->with_tls ? r->server_tls : NULL};

    return loop_listen(r->loop, &where, on_accepted, r, &r->listener);
}

static void on_late(void *arg)
{
    (void)arg;
    fail_msg("not over after 60 s");
}

static int make_rig(void **state)
{
    struct rig *r = xalloc(sizeof(*r));

    log_install(NULL, NULL, LOG_ERROR);
    r->loop = loop_new(&(struct loop_options){.workers = 1});
    tls_pair_make(&r->server_tls, &r->client_tls);
    for (size_t i = 0; i < BODY; i++)
        r->body[i] = (uint8_t)((i * 13) ^ (i >> 7));
    timer_init(&r->watchdog, r->loop, on_late, NULL);
    the_rig = r;
    *state = r;
    return 0;
}

static int drop_rig(void **state)
{
    struct rig *r = *state;

    timer_stop(&r->watchdog);
    for (size_t i = 0; i < SERVED_MAX; i++)
        if (r->served[i] != NULL)
            http_session_close(r->served[i]);
    listener_free(r->listener);
    loop_free(r->loop);
    tls_context_free(r->server_tls);
    tls_context_free(r->client_tls);
    assert_int_equal(r->exchanges, 0);
    free(r);
    return 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static const struct {
    enum sysfault kind;
    unsigned least;
} ROWS[] = {{SYSFAULT_SOCKET, 2},     {SYSFAULT_CONNECT, 1}, {SYSFAULT_RECV, 10},
            {SYSFAULT_RECV_SHORT, 8}, {SYSFAULT_SEND, 5},    {SYSFAULT_SEND_SHORT, 5},
            {SYSFAULT_EINTR, 15}};

static void fail_everywhere(struct rig *r)
{
    assert_false(alb_failed(listen_now(r)));
    for (size_t i = 0; i < ALB_COUNT(ROWS); i++) {
        r->kind = ROWS[i].kind;
        sysfault_loop(r->kind, ROWS[i].least, converse_with_fault, r);
    }
}

static void an_exchange_over_tls_ends_whatever_socket_call_fails(void **state)
{
    struct rig *r = *state;

    r->with_tls = true;
    fail_everywhere(r);
}

static void an_exchange_in_the_clear_ends_whatever_socket_call_fails(void **state)
{
    fail_everywhere(*state);
}

static void listen_with_fault(void *arg)
{
    struct rig *r = arg;

    sysfault_begin();
    struct alb_status st = listen_now(r);
    if (sysfault_disarm()) {
        assert_int_equal(st.code, ALB_IO);
        assert_int_not_equal(st.sys, 0);
        st = listen_now(r);
    }
    assert_int_equal(st.code, ALB_OK);
    r->listener = listener_free(r->listener);
}

static void a_listener_that_failed_can_be_made_again(void **state)
{
    sysfault_loop(SYSFAULT_BIND, 2, listen_with_fault, *state);
    sysfault_loop(SYSFAULT_SOCKET, 1, listen_with_fault, *state);
    assert_false(alb_failed(listen_now(*state)));
}

#define WITH_A_RIG(test) cmocka_unit_test_setup_teardown(test, make_rig, drop_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_A_RIG(a_listener_that_failed_can_be_made_again),
        WITH_A_RIG(an_exchange_over_tls_ends_whatever_socket_call_fails),
        WITH_A_RIG(an_exchange_in_the_clear_ends_whatever_socket_call_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    print_message("built without ALB_FAULT: nothing can be made to fail\n");
    return 77; /* skipped, to ctest */
}

#endif
