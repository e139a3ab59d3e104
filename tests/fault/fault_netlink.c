/* SPDX-License-Identifier: Apache-2.0 */
/* fault/fault_netlink.c – a view whose sockets cannot be had says so, keeps nothing, and may be
 * tried again. */
/* LINKS: sysfault net base */
#include "net/netlink.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/units.h"
#include "net/ethtool_netlink.h"
#include "net/raw_frame.h"
#include "support/sysfault.h"

static struct loop *loop;

static void on_changed(void *arg, unsigned parts)
{
    assert_int_equal(parts, NET_ALL);
    assert_null(arg);
    loop_stop(loop);
}

static void on_late(void *arg)
{
    (void)arg;
    fail_msg("no picture for 20 s");
}

/* Loopback is in every name space. */
static void see(struct netlink_view *view)
{
    struct timer watchdog;

    timer_init(&watchdog, loop, on_late, NULL);
    timer_set_in(&watchdog, 20 * NS_PER_S);
    loop_run(loop);
    timer_stop(&watchdog);
    assert_non_null(net_picture_link(netlink_view_peek(view), 1));
}

static void open_once(void *arg)
{
    struct netlink_view *view = NULL;

    (void)arg;
    sysfault_begin();
    struct alb_status st = netlink_view_open(loop, on_changed, NULL, &view);
    assert_true(sysfault_disarm() == alb_failed(st));
    if (alb_failed(st)) {
        assert_true(st.sys != 0 && st.what[0] != '\0' && view == NULL);
        assert_false(alb_failed(netlink_view_open(loop, on_changed, NULL, &view)));
    }
    see(view);
    assert_null(netlink_view_close(view));
}

static void ask_once(void *arg)
{
    struct wake_ability ability;

    (void)arg;
    sysfault_begin();
    struct alb_status st = wake_ability_ask(1, &ability);
    assert_true(sysfault_disarm() == alb_failed(st));
    assert_false(alb_failed(wake_ability_ask(1, &ability)));
}

static void send_once(void *arg)
{
    const struct raw_frame f = {.link = 1, .way = RAW_UDP, .port = 9, .bytes = "x", .size = 1};

    (void)arg;
    sysfault_begin();
    struct alb_status st = raw_frame_send(loop, &f);
    assert_true(sysfault_disarm() == alb_failed(st));
}

static void a_view_without_its_sockets_says_so_and_leaks_nothing(void **state)
{
    (void)state;
    sysfault_loop(SYSFAULT_SOCKET, 3, open_once, NULL);
    sysfault_loop(SYSFAULT_BIND, 3, open_once, NULL);
}

static void questions_and_frames_without_a_socket_fail_and_work_again(void **state)
{
    (void)state;
    sysfault_loop(SYSFAULT_SOCKET, 1, ask_once, NULL);
    sysfault_loop(SYSFAULT_BIND, 1, ask_once, NULL);
    sysfault_loop(SYSFAULT_SOCKET, 1, send_once, NULL);
}

static int make_loop(void **state)
{
    (void)state;
    loop = loop_new(&(struct loop_options){.workers = 1});
    return 0;
}

static int drop_loop(void **state)
{
    (void)state;
    loop = loop_free(loop);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_without_its_sockets_says_so_and_leaks_nothing),
        cmocka_unit_test(questions_and_frames_without_a_socket_fail_and_work_again),
    };
    return cmocka_run_group_tests(tests, make_loop, drop_loop);
}
