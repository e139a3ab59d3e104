/* SPDX-License-Identifier: Apache-2.0 */
/* unit/shaper/test_probe_kernel.c – asker and answerer over the loopback of this machine. */
#include "shaper/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/units.h"

enum { WANTED = 20 };

struct rig {
    struct loop *loop;
    struct probe *probe;
    struct timer watchdog, hog;
    unsigned samples, lost, pings;
    uint64_t least_ns, most_ns;
    bool is_busy;
};

static void on_late(void *arg)
{
    (void)arg;
    fail_msg("not twenty samples in 60 s");
}

/* The loop does something else for 20 ms of each 40. */
static void on_hog(void *arg)
{
    struct rig *r = arg;
    const uint64_t until_ns = loop_now_ns(r->loop) + 20 * NS_PER_MS;

    while (loop_now_ns(r->loop) < until_ns)
        continue;
    timer_set_in(&r->hog, 20 * NS_PER_MS);
}

static void on_sample(void *arg, const struct probe_sample *s)
{
    struct rig *r = arg;

    r->samples++;
    r->least_ns = s->rtt_ns < r->least_ns ? s->rtt_ns : r->least_ns;
    r->most_ns = s->rtt_ns > r->most_ns ? s->rtt_ns : r->most_ns;
    assert_true(s->has_owd && s->owd_up_ns >= -(int64_t)NS_PER_MS &&
                s->owd_down_ns >= -(int64_t)NS_PER_MS);
    if (r->samples == WANTED)
        loop_stop(r->loop);
}

static void on_lost(void *arg, uint64_t sent_ns)
{
    (void)sent_ns;
    ((struct rig *)arg)->lost++;
}

static void on_ping(void *arg)
{
    struct rig *r = arg;

    r->pings++;
    loop_stop(r->loop);
}

static const struct probe_ops ops = {.sample = on_sample, .lost = on_lost, .ping = on_ping};

static void run(struct rig *r)
{
    const struct probe_responder_options options = {.loop = r->loop, .address = "127.0.0.1"};
    struct probe_options asks = {.loop = r->loop, .key = {7}, .ops = &ops, .arg = r};
    struct probe_responder *responder = NULL;
    struct probe_ticket *ticket = NULL;
    struct stream line = {.loop = r->loop, .address = "127.0.0.1:1"};
    struct datagram_peer to;

    assert_false(alb_failed(probe_responder_open(&options, &responder)));
    assert_false(alb_failed(probe_ticket_new(responder, asks.key, &ticket)));
    memcpy(asks.id, probe_ticket_id(ticket), PROBE_ID_SIZE);
    assert_true(datagram_peer_of(&line, probe_responder_port(responder), &to));
    asks.to = &to;
    timer_init(&r->watchdog, r->loop, on_late, NULL);
    timer_set_in(&r->watchdog, 60 * NS_PER_S);
    timer_init(&r->hog, r->loop, on_hog, r);
    if (r->is_busy)
        timer_set_in(&r->hog, 0);
    r->least_ns = UINT64_MAX;
    r->probe = probe_new(&asks);
    probe_set_pace(r->probe, PROBE_ACTIVE);
    loop_run(r->loop);
    timer_stop(&r->hog);
    timer_stop(&r->watchdog);
    r->probe = probe_free(r->probe);
    probe_responder_close(responder);
    probe_ticket_free(ticket);
}

static void a_probe_of_the_own_machine_takes_no_time_worth_speaking_of(void **state)
{
    struct rig r = {.loop = loop_new(&(struct loop_options){.workers = 1})};

    (void)state;
    run(&r);
    loop_free(r.loop);
    assert_true(r.least_ns > 0 && r.least_ns < 2 * NS_PER_MS);
    assert_int_equal(r.lost, 0);
}

static void a_busy_loop_is_not_taken_for_a_queue(void **state)
{
    struct rig r = {.loop = loop_new(&(struct loop_options){.workers = 1}), .is_busy = true};

    (void)state;
    run(&r);
    loop_free(r.loop);
    print_message("rtt %.3f to %.3f ms beside a loop that is busy for 20 ms at a time\n",
                  (double)r.least_ns / 1e6, (double)r.most_ns / 1e6);
    assert_true(r.most_ns < 10 * NS_PER_MS);
}

/* Which also holds for a machine without that family of addresses. */
static void without_a_socket_it_is_as_if_udp_were_blocked(void **state)
{
    struct rig r = {.loop = loop_new(&(struct loop_options){.workers = 1})};
    struct stream line = {.loop = r.loop, .address = "127.0.0.1:1"};
    struct datagram_peer to;
    const struct probe_options asks = {.loop = r.loop, .to = &to, .ops = &ops, .arg = &r};
    struct rlimit before, none;

    (void)state;
    assert_true(datagram_peer_of(&line, 9, &to));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    r.probe = probe_new(&asks);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    timer_init(&r.watchdog, r.loop, on_late, NULL);
    timer_set_in(&r.watchdog, 60 * NS_PER_S);
    loop_run(r.loop);
    assert_int_equal(r.pings, 1);
    struct probe_figures f;
    probe_figures(r.probe, &f);
    assert_int_equal(f.mode, PROBE_PING);
    timer_stop(&r.watchdog);
    probe_free(r.probe);
    loop_free(r.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_probe_of_the_own_machine_takes_no_time_worth_speaking_of),
        cmocka_unit_test(a_busy_loop_is_not_taken_for_a_queue),
        cmocka_unit_test(without_a_socket_it_is_as_if_udp_were_blocked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
