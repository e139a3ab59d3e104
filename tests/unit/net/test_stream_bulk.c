/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_stream_bulk.c – which packets say that they may wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <netinet/in.h>

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

static struct pair connected(bool bulk)
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
    return p;
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
    struct pair p = connected(true);

    (void)state;
    assert_int_equal(class_of(p.dialled), LOWER_EFFORT);
    assert_int_equal(class_of(p.accepted), 0);
    drop(&p);
}

static void an_accepted_stream_is_marked_once_it_carries_bulk(void **state)
{
    struct pair p = connected(false);

    (void)state;
    assert_int_equal(class_of(p.accepted), 0);
    stream_mark_bulk(p.accepted);
    stream_mark_bulk(p.accepted);
    assert_int_equal(class_of(p.accepted), LOWER_EFFORT);
    assert_int_equal(class_of(p.dialled), 0);
    drop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dialler_marks_what_it_dials_for_bulk),
        cmocka_unit_test(an_accepted_stream_is_marked_once_it_carries_bulk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
