/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/net/test_stream.c – bytes through real sockets, plain and TLS;
 * what goes wrong there. */
#include "net/stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/units.h"
#include "net/tls.h"
#include "support/gen.h"
#include "support/tls_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { TOTAL = 3 << 20, PART = 64 << 10 };

/* ---- a loop, a listener and TLS for both ends ------------------------------------------------ */

struct rig {
    struct loop *loop;
    struct tls_context *server_tls, *dialler_tls;
    struct listener *listener;
    struct timer watchdog;
    struct gen gen;
    struct stream *dialled, *accepted;
    uint8_t *sent, *got;
    size_t sent_size, got_size, echo_head, echo_tail;
    uint8_t echo[PART];
    bool tiny; /* reads and writes of a few bytes */
    bool ended;
    unsigned failures;
};

static void on_late(void *arg)
{
    (void)arg;
    fail_msg("nothing happened for 60 s");
}

static int make_rig(void **state)
{
    struct rig *r = xalloc(sizeof(*r));

    r->loop = loop_new(&(struct loop_options){.workers = 1});
    tls_pair_make(&r->server_tls, &r->dialler_tls);
    gen_init_from_env(&r->gen);
    r->sent = xalloc(TOTAL);
    r->got = xalloc(TOTAL);
    gen_bytes(&r->gen, r->sent, TOTAL);
    timer_init(&r->watchdog, r->loop, on_late, NULL);
    timer_set_in(&r->watchdog, 60 * NS_PER_S);
    *state = r;
    return 0;
}

static int drop_rig(void **state)
{
    struct rig *r = *state;

    timer_stop(&r->watchdog);
    stream_free(r->dialled);
    stream_free(r->accepted);
    listener_free(r->listener);
    loop_free(r->loop);
    tls_context_free(r->server_tls);
    tls_context_free(r->dialler_tls);
    free(r->sent);
    free(r->got);
    free(r);
    return 0;
}

static void listen_with(struct rig *r, struct tls_context *tls, accept_fn accepted)
{
    const struct listen_options where = {.address = "127.0.0.1", .tls = tls};

    assert_false(alb_failed(loop_listen(r->loop, &where, accepted, r, &r->listener)));
}

static void dial(struct rig *r, const char *host, uint16_t port, struct tls_context *tls,
                 loop_fn ready)
{
    const struct dial_options to = {
        .host = host, .port = port, .tls = tls, .timeout_ns = 20 * NS_PER_S, .bulk = true};

    r->dialled = loop_dial(r->loop, &to);
    stream_on_ready(r->dialled, ready, r);
}

/* ---- the echo -------------------------------------------------------------------------------- */

static size_t portion(struct rig *r, size_t most)
{
    size_t size = r->tiny ? 1 + gen_below(&r->gen, 700) : PART;

    return size < most ? size : most;
}

static void on_echo(void *arg)
{
    struct rig *r = arg;
    size_t moved = 0;
    enum stream_result result = STREAM_MOVED;

    while (result == STREAM_MOVED) {
        if (r->echo_head < r->echo_tail) {
            result = stream_write(r->accepted, r->echo + r->echo_head,
                                  portion(r, r->echo_tail - r->echo_head), &moved);
            if (result == STREAM_MOVED)
                r->echo_head += moved;
            continue;
        }
        r->echo_head = 0;
        r->echo_tail = 0;
        result = stream_read(r->accepted, r->echo, portion(r, PART), &moved);
        if (result == STREAM_MOVED)
            r->echo_tail = moved;
    }
    if (result == STREAM_FAILED)
        r->failures++;
}

static void on_echo_accepted(void *arg, struct stream *stream)
{
    struct rig *r = arg;

    r->accepted = stream;
    stream_on_ready(stream, on_echo, r);
    on_echo(r);
}

static void send_some(struct rig *r)
{
    size_t moved = 0;

    while (r->sent_size < TOTAL &&
           stream_write(r->dialled, r->sent + r->sent_size, portion(r, TOTAL - r->sent_size),
                        &moved) == STREAM_MOVED)
        r->sent_size += moved;
}

static void on_dialler(void *arg)
{
    struct rig *r = arg;
    size_t moved = 0;

    send_some(r);
    while (r->got_size < TOTAL &&
           stream_read(r->dialled, r->got + r->got_size, portion(r, TOTAL - r->got_size), &moved) ==
               STREAM_MOVED)
        r->got_size += moved;
    if (r->got_size == TOTAL || alb_failed(stream_status(r->dialled)))
        loop_stop(r->loop);
}

static void echo_through(struct rig *r, bool with_tls, bool tiny)
{
    r->tiny = tiny;
    listen_with(r, with_tls ? r->server_tls : NULL, on_echo_accepted);
    dial(r, "127.0.0.1", listener_port(r->listener), with_tls ? r->dialler_tls : NULL, on_dialler);
    loop_run(r->loop);
    assert_int_equal(r->got_size, TOTAL);
    assert_memory_equal(r->sent, r->got, TOTAL);
    assert_int_equal(r->failures, 0);
}

static void bytes_come_back_the_same_over_tcp(void **state)
{
    echo_through(*state, false, false);
}

static void bytes_come_back_the_same_over_tls(void **state)
{
    echo_through(*state, true, false);
}

static void bytes_come_back_the_same_over_tls_in_tiny_portions(void **state)
{
    echo_through(*state, true, true);
}

static void figures_count_what_tls_adds_to_the_wire(void **state)
{
    struct rig *r = *state;
    struct path_figures figures;

    echo_through(r, true, false);
    stream_figures(r->dialled, &figures);
    assert_true(figures.wire_sent_bytes > TOTAL);
    assert_true(figures.wire_sent_bytes < TOTAL + TOTAL / 50);
    assert_true(figures.wire_received_bytes > TOTAL);
    assert_true(figures.rtt_ns > 0);
    assert_int_equal(strncmp(r->dialled->address, "127.0.0.1:", 10), 0);
    assert_int_equal(r->dialled->gate->passed_bytes, TOTAL);
}

static void on_opened(void *arg)
{
    struct rig *r = arg;

    loop_stop(r->loop);
}

/* Where the name stands for ::1 first, nothing listens there and the next address is tried. */
static void a_name_is_looked_up_and_its_addresses_are_tried(void **state)
{
    struct rig *r = *state;

    listen_with(r, r->server_tls, on_echo_accepted);
    dial(r, "localhost", listener_port(r->listener), r->dialler_tls, on_opened);
    loop_run(r->loop);
    assert_true(stream_is_open(r->dialled));
    assert_int_equal(stream_peer(r->dialled)->role, ROLE_HUB);
}

/* ---- a writer that leaves -------------------------------------------------------------------- */

/* Writes until the socket is full, so that a record is half sent, and frees itself at once. */
static void on_leaver_accepted(void *arg, struct stream *stream)
{
    struct rig *r = arg;
    size_t moved = 0;

    while (r->sent_size < TOTAL && stream_write(stream, r->sent + r->sent_size,
                                                TOTAL - r->sent_size, &moved) == STREAM_MOVED)
        r->sent_size += moved;
    stream_free(stream);
}

static void on_collector(void *arg)
{
    struct rig *r = arg;
    size_t moved = 0;
    enum stream_result result = STREAM_MOVED;

    while (result == STREAM_MOVED && r->got_size < TOTAL) {
        result = stream_read(r->dialled, r->got + r->got_size, TOTAL - r->got_size, &moved);
        if (result == STREAM_MOVED)
            r->got_size += moved;
    }
    r->ended = result == STREAM_ENDED;
    if (result != STREAM_BLOCKED)
        loop_stop(r->loop);
}

static void what_was_written_arrives_though_the_writer_is_freed(void **state)
{
    struct rig *r = *state;

    listen_with(r, r->server_tls, on_leaver_accepted);
    dial(r, "127.0.0.1", listener_port(r->listener), r->dialler_tls, on_collector);
    loop_run(r->loop);
    assert_true(r->sent_size < TOTAL); /* or nothing was stuck */
    assert_int_equal(r->got_size, r->sent_size);
    assert_memory_equal(r->sent, r->got, r->got_size);
}

/* ---- freeing where it hurts ------------------------------------------------------------------ */

static void on_free_at_once(void *arg)
{
    struct rig *r = arg;

    r->dialled = stream_free(r->dialled);
    loop_stop(r->loop);
}

static void a_stream_may_be_freed_from_its_own_ready(void **state)
{
    struct rig *r = *state;

    listen_with(r, r->server_tls, on_echo_accepted);
    dial(r, "127.0.0.1", listener_port(r->listener), r->dialler_tls, on_free_at_once);
    loop_run(r->loop);
    assert_null(r->dialled);
}

static void a_stream_may_be_freed_before_anything_happened(void **state)
{
    struct rig *r = *state;

    listen_with(r, r->server_tls, on_echo_accepted);
    dial(r, "localhost", listener_port(r->listener), r->dialler_tls, on_free_at_once);
    r->dialled = stream_free(r->dialled);
}

/* ---- dialling that fails --------------------------------------------------------------------- */

static void on_dial_over(void *arg)
{
    struct rig *r = arg;

    loop_stop(r->loop);
}

static struct alb_status dial_status(struct rig *r, const char *host, uint16_t port)
{
    dial(r, host, port, r->dialler_tls, on_dial_over);
    loop_run(r->loop);
    assert_false(stream_is_open(r->dialled));
    return stream_status(r->dialled);
}

/* A port that is bound but not listened on: nobody else can take it meanwhile. */
static int bind_somewhere(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void a_closed_port_says_that_nothing_listens(void **state)
{
    uint16_t port = 0;
    int fd = bind_somewhere(&port);
    struct alb_status st = dial_status(*state, "127.0.0.1", port);

    close(fd);
    assert_int_equal(st.sys, ECONNREFUSED);
    assert_non_null(strstr(st.what, "nothing listens there"));
}

static void a_name_that_does_not_exist_is_told_as_such(void **state)
{
    struct alb_status st = dial_status(*state, "no-such-host.invalid", 443);

    assert_non_null(strstr(st.what, "host name"));
}

static void a_server_that_never_answers_the_handshake_times_out(void **state)
{
    struct rig *r = *state;
    struct dial_options to = {
        .host = "127.0.0.1", .tls = r->dialler_tls, .timeout_ns = 30 * NS_PER_MS};
    int fd = bind_somewhere(&to.port);

    assert_int_equal(listen(fd, 1), 0); /* the kernel connects, nobody accepts */
    r->dialled = loop_dial(r->loop, &to);
    stream_on_ready(r->dialled, on_dial_over, r);
    loop_run(r->loop);
    close(fd);
    assert_int_equal(stream_status(r->dialled).code, ALB_TIMEOUT);
    assert_non_null(strstr(stream_status(r->dialled).what, "handshake"));
}

static void on_rude_accepted(void *arg, struct stream *stream)
{
    struct rig *r = arg;
    size_t moved = 0;

    r->accepted = stream;
    assert_int_equal(stream_write(stream, "SSH-2.0-hello\r\n", 15, &moved), STREAM_MOVED);
}

static void a_port_that_speaks_no_tls_is_recognised(void **state)
{
    struct rig *r = *state;

    listen_with(r, NULL, on_rude_accepted);
    struct alb_status st = dial_status(r, "127.0.0.1", listener_port(r->listener));
    assert_int_equal(st.code, ALB_REFUSED);
    assert_non_null(strstr(st.what, "does not speak TLS"));
}

/* ---- listening that fails -------------------------------------------------------------------- */

static void listening_where_one_cannot_is_an_error(void **state)
{
    struct rig *r = *state;
    struct listener *l = NULL;
    struct listen_options where = {.address = "example.org"};

    assert_int_equal(loop_listen(r->loop, &where, on_rude_accepted, r, &l).code, ALB_INVALID);
    int fd = bind_somewhere(&where.port);
    assert_int_equal(listen(fd, 1), 0);
    where.address = "127.0.0.1";
    assert_int_equal(loop_listen(r->loop, &where, on_rude_accepted, r, &l).sys, EADDRINUSE);
    close(fd);
    assert_null(l);
}

/* ---- no descriptors left --------------------------------------------------------------------- */

struct shortage {
    struct rig *rig;
    struct rlimit before;
    struct timer again;
    unsigned pauses, turns;
};

static void catch_pause(void *arg, enum log_level level, const char *line)
{
    struct shortage *s = arg;

    (void)level;
    if (strstr(line, "event=accept.paused") == NULL)
        return;
    s->pauses++;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &s->before), 0);
}

static void on_accepted_after_all(void *arg, struct stream *stream)
{
    struct rig *r = arg;

    r->accepted = stream;
    loop_stop(r->loop);
}

static void at_the_descriptor_limit_the_listener_pauses_says_so_and_goes_on(void **state)
{
    struct rig *r = *state;
    struct shortage s = {.rig = r};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    listen_with(r, NULL, on_accepted_after_all);
    at.sin_port = htons(listener_port(r->listener));
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &s.before), 0);
    const struct rlimit none = {.rlim_cur = 3, .rlim_max = s.before.rlim_max};
    log_install(catch_pause, &s, LOG_DEBUG);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    uint64_t start_ns = loop_now_ns(r->loop);
    loop_run(r->loop);
    log_install(NULL, NULL, LOG_DEBUG);
    close(fd);
    assert_int_equal(s.pauses, 1);
    assert_true(loop_now_ns(r->loop) - start_ns >= 2 * NS_PER_S);
}

/* ---- a crowd of one address ------------------------------------------------------------------ */

enum { CROWD = 300 /* more than fit */ };

static void on_nothing(void *arg)
{
    (void)arg;
}

static void an_address_full_of_silent_handshakes_makes_room_for_one_that_speaks(void **state)
{
    struct rig *r = *state;
    static int silent[CROWD];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    listen_with(r, r->server_tls, on_accepted_after_all);
    at.sin_port = htons(listener_port(r->listener));
    for (size_t i = 0; i < CROWD; i++) {
        silent[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(silent[i], (struct sockaddr *)&at, sizeof(at)), 0);
    }
    uint64_t start_ns = loop_now_ns(r->loop);
    dial(r, "127.0.0.1", listener_port(r->listener), r->dialler_tls, on_nothing);
    loop_run(r->loop);
    assert_non_null(r->accepted);
    assert_true(loop_now_ns(r->loop) - start_ns < 8 * NS_PER_S); /* not their full ten seconds */
    for (size_t i = 0; i < CROWD; i++)
        close(silent[i]);
}

#define WITH_A_RIG(test) cmocka_unit_test_setup_teardown(test, make_rig, drop_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_A_RIG(bytes_come_back_the_same_over_tcp),
        WITH_A_RIG(bytes_come_back_the_same_over_tls),
        WITH_A_RIG(bytes_come_back_the_same_over_tls_in_tiny_portions),
        WITH_A_RIG(figures_count_what_tls_adds_to_the_wire),
        WITH_A_RIG(a_name_is_looked_up_and_its_addresses_are_tried),
        WITH_A_RIG(what_was_written_arrives_though_the_writer_is_freed),
        WITH_A_RIG(a_stream_may_be_freed_from_its_own_ready),
        WITH_A_RIG(a_stream_may_be_freed_before_anything_happened),
        WITH_A_RIG(a_closed_port_says_that_nothing_listens),
        WITH_A_RIG(a_name_that_does_not_exist_is_told_as_such),
        WITH_A_RIG(a_server_that_never_answers_the_handshake_times_out),
        WITH_A_RIG(a_port_that_speaks_no_tls_is_recognised),
        WITH_A_RIG(listening_where_one_cannot_is_an_error),
        WITH_A_RIG(at_the_descriptor_limit_the_listener_pauses_says_so_and_goes_on),
        WITH_A_RIG(an_address_full_of_silent_handshakes_makes_room_for_one_that_speaks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
