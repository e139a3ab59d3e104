/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_probe.c – who repeats gets no answer, and the asker's figures add up, whatever the path
 * does. */
/* LINKS: shaper net wire base sim_world */
#include "support/probe_rig.h"

#include <stdlib.h>

#include "support/gen.h"

enum { ROUNDS = 20, REQUESTS = 300, SPAN = 400, WINDOW = 64 };

/* Sequence numbers in any order, any of them again: each is answered at most once, and always when
 * it is fresh and at most 63 behind the newest. */
static void a_sequence_number_is_answered_at_most_once(void **state)
{
    struct rig *r = *state;
    struct gen gen;
    uint8_t bytes[PROBE_PACKET_SIZE];
    static bool was[SPAN];

    gen_init_from_env(&gen);
    for (unsigned round = 0; round < ROUNDS; round++) {
        const uint32_t base = (uint32_t)gen_u64(&gen);
        uint32_t newest = 0;

        r->ticket = probe_ticket_free(r->ticket);
        assert_false(alb_failed(probe_ticket_new(r->responder, r->key, &r->ticket)));
        memset(was, 0, sizeof(was));
        for (unsigned i = 0; i < REQUESTS; i++) {
            /* Most near the newest, as a path would deliver them. */
            const uint32_t back = (uint32_t)gen_skewed(&gen, 100);
            const uint32_t at = newest + 2 > back ? newest + 2 - back : 0;
            if (at >= SPAN)
                break;
            const bool is_due = !was[at] && (i == 0 || at > newest || newest - at < WINDOW);
            const unsigned heard = r->heard;
            rig_seal_request(r, base + at, bytes);
            rig_meddle(r, bytes, sizeof(bytes));
            assert_int_equal(r->heard - heard, is_due);
            was[at] |= is_due;
            newest = at > newest ? at : newest;
        }
    }
}

/* Loss, cuts, sleeps and changes of pace at random: no sample is told twice, all that was sent is a
 * sample, lost or out, and the asker is alive at the end. */
static void the_askers_figures_add_up(void **state)
{
    struct rig *r = *state;
    struct gen gen;

    gen_init_from_env(&gen);
    r->ping_rtt_ns = 45 * NS_PER_MS;
    begin(r, PROBE_ACTIVE);
    for (unsigned i = 0; i < 200; i++) {
        switch (gen_below(&gen, 6)) {
        case 0: world_link_set_loss(r->link, (uint32_t)gen_below(&gen, 500000)); break;
        case 1: world_link_set_up(r->link, false); break;
        case 2: world_link_set_up(r->link, true); break;
        case 3: probe_set_pace(r->probe, (enum probe_pace)gen_below(&gen, PROBE_ALERT + 1)); break;
        case 4:
            world_node_sleep(gen_chance(&gen, 1, 2) ? r->hub : r->box, gen_skewed(&gen, NS_PER_S));
            break;
        default: break;
        }
        run_s(r, (double)gen_below(&gen, 1000) / 250);
        const struct probe_figures f = asker(r);
        assert_true(f.answered <= f.sent + f.late && f.late <= f.answered);
        assert_true(f.answered - f.late + f.lost <= f.sent); /* the rest is out */
        assert_int_equal(f.lost, r->lost);
        assert_int_equal(f.forgets, r->forgets);
    }
    world_link_set_up(r->link, true);
    world_link_set_loss(r->link, 0);
    run_s(r, 620); /* UDP is tried again at least every five minutes */
    r->sample_count = 0;
    probe_set_pace(r->probe, PROBE_IDLE);
    probe_set_pace(r->probe, PROBE_ACTIVE);
    run_s(r, 10);
    assert_int_equal(asker(r).mode, PROBE_UDP);
    assert_in_range(r->sample_count, 190, 212);
}

int main(void)
{
#define with_rig(test) cmocka_unit_test_setup_teardown(test, make_rig, drop_rig)
    const struct CMUnitTest tests[] = {
        with_rig(a_sequence_number_is_answered_at_most_once),
        with_rig(the_askers_figures_add_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
