/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_stream_socket.c – what a stream says to its socket, and what the socket knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/units.h"
#include "net/stream_event.h"

enum { LOWER_EFFORT = 0x04 /* TOS byte of DSCP 000001 */ };

struct pair {
    struct loop *loop;
    struct listener *listener;
    struct stream *dialled, *accepted;
};

static int class_of(const struct stream *s)
{
    int class = -1;
    socklen_t size = sizeof(class);

    assert_int_equal(
        getsockopt(((const struct event_stream *)s)->fd, IPPROTO_IP, IP_TOS, &class, &size), 0);
    return class;
}

static void stop_when_both_are_there(void *arg)
{
    struct pair *p = arg;

    if (p->accepted != NULL && stream_is_open(p->dialled))
        loop_stop(p->loop);
}

static void on_accepted(void *arg, struct stream *stream)
{
    struct pair *p = arg;

    p->accepted = stream;
    stop_when_both_are_there(p);
}

static struct pair *connected(bool bulk)
{
    const struct listen_options at = {.address = "127.0.0.1"};
    struct dial_options to = {.host = "127.0.0.1", .timeout_ns = 10 * NS_PER_S, .bulk = bulk};
    static struct pair p;

    p = (struct pair){.loop = loop_new(&(struct loop_options){.workers = 1})};
    assert_int_equal(loop_listen(p.loop, &at, on_accepted, &p, &p.listener).code, ALB_OK);
    to.port = listener_port(p.listener);
    p.dialled = loop_dial(p.loop, &to);
    stream_on_ready(p.dialled, stop_when_both_are_there, &p);
    loop_run(p.loop);
    return &p;
}

static void drop(struct pair *p)
{
    stream_free(p->dialled);
    stream_free(p->accepted);
    listener_free(p->listener);
    loop_free(p->loop);
}

static void a_dialler_marks_what_it_dials_for_bulk(void **state)
{
    struct pair *p = connected(true);

    (void)state;
    assert_int_equal(class_of(p->dialled), LOWER_EFFORT);
    assert_int_equal(class_of(p->accepted), 0);
    drop(p);
}

static void an_accepted_stream_is_marked_once_it_carries_bulk(void **state)
{
    struct pair *p = connected(false);

    (void)state;
    assert_int_equal(class_of(p->accepted), 0);
    stream_mark_bulk(p->accepted);
    stream_mark_bulk(p->accepted);
    assert_int_equal(class_of(p->accepted), LOWER_EFFORT);
    assert_int_equal(class_of(p->dialled), 0);
    drop(p);
}

/* ---- pacing ---------------------------------------------------------------------------------- */

static uint64_t option_of(const struct stream *s, int level, int option)
{
    uint64_t value = 0; /* little of it is filled in by an option of 32 bits */
    socklen_t size = sizeof(value);

    assert_int_equal(getsockopt(((const struct event_stream *)s)->fd, level, option, &value, &size),
                     0);
    return value;
}

static void a_paced_stream_leaves_little_in_the_kernel(void **state)
{
    struct pair *p = connected(false);

    (void)state;
    assert_int_equal(option_of(p->dialled, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 128 << 10);
    stream_set_pacing(p->dialled, 8000000);
    assert_int_equal(option_of(p->dialled, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 16 << 10);
    assert_int_equal(option_of(p->dialled, SOL_SOCKET, SO_MAX_PACING_RATE), 1250000);
    stream_set_pacing(p->dialled, 1000000);
    assert_int_equal(option_of(p->dialled, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 4 << 10);
    stream_set_pacing(p->dialled, 0);
    assert_int_equal(option_of(p->dialled, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 128 << 10);
    assert_true(option_of(p->dialled, SOL_SOCKET, SO_MAX_PACING_RATE) == UINT64_MAX);
    drop(p);
}

static void pacing_said_before_the_connection_is_there_holds_for_it(void **state)
{
    struct pair *p = connected(false);
    const struct dial_options to = {
        .host = "127.0.0.1", .port = listener_port(p->listener), .timeout_ns = NS_PER_S};

    (void)state;
    stream_free(p->accepted);
    stream_free(p->dialled);
    p->accepted = NULL;
    p->dialled = loop_dial(p->loop, &to);
    stream_on_ready(p->dialled, stop_when_both_are_there, p);
    stream_set_pacing(p->dialled, 8000000);
    loop_run(p->loop);
    assert_int_equal(option_of(p->dialled, SOL_SOCKET, SO_MAX_PACING_RATE), 1250000);
    drop(p);
}

/* ---- figures --------------------------------------------------------------------------------- */

enum { SENT_SIZE = 50000 };

static void stop_when_all_has_come(void *arg)
{
    static uint8_t bytes[4096];
    struct pair *p = arg;
    struct path_figures f;
    size_t moved;

    while (stream_read(p->accepted, bytes, sizeof(bytes), &moved) == STREAM_MOVED) {
    }
    stream_figures(p->accepted, &f);
    if (f.wire_received_bytes == SENT_SIZE)
        loop_stop(p->loop);
}

static void the_kernel_says_what_the_path_is_like(void **state)
{
    static const uint8_t zeros[SENT_SIZE];
    struct pair *p = connected(false);
    struct path_figures f;
    size_t moved = 0;

    (void)state;
    assert_int_equal(stream_write(p->dialled, zeros, sizeof(zeros), &moved), STREAM_MOVED);
    assert_int_equal(moved, sizeof(zeros));
    stream_on_ready(p->accepted, stop_when_all_has_come, p);
    stop_when_all_has_come(p);
    loop_run(p->loop);
    stream_figures(p->dialled, &f);
    assert_int_equal(f.wire_sent_bytes, SENT_SIZE);
    assert_in_range(f.path_sent_bytes, SENT_SIZE, SENT_SIZE + f.retransmitted_bytes);
    assert_in_range(f.rtt_ns, 1000, NS_PER_S);
    assert_in_range(f.min_rtt_ns, 1000, NS_PER_S);
    assert_true(f.segments_sent >= 1);
    assert_true(f.segments_received >= 1);
    drop(p);
}

static const char *congestion_of(const struct stream *s, char out[16])
{
    socklen_t size = 16;

    memset(out, 0, 16);
    assert_int_equal(
        getsockopt(((const struct event_stream *)s)->fd, IPPROTO_TCP, TCP_CONGESTION, out, &size),
        0);
    return out;
}

static bool kernel_has_cubic(void)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool has = setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) == 0;

    close(fd);
    return has;
}

static void a_machine_that_takes_bbr_by_default_does_not_hold_credit_back_every_ten_seconds(
    void **state)
{
    struct pair *p = connected(true);
    char name[16];

    (void)state;
    if (!kernel_has_cubic()) {
        drop(p);
        skip();
    }
    assert_string_equal(congestion_of(p->dialled, name), "cubic");
    assert_string_equal(congestion_of(p->accepted, name), "cubic");
    drop(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dialler_marks_what_it_dials_for_bulk),
        cmocka_unit_test(an_accepted_stream_is_marked_once_it_carries_bulk),
        cmocka_unit_test(a_paced_stream_leaves_little_in_the_kernel),
        cmocka_unit_test(pacing_said_before_the_connection_is_there_holds_for_it),
        cmocka_unit_test(the_kernel_says_what_the_path_is_like),
        cmocka_unit_test(
            a_machine_that_takes_bbr_by_default_does_not_hold_credit_back_every_ten_seconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
