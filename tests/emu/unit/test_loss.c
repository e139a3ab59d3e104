/* SPDX-License-Identifier: Apache-2.0 */
/* emu/unit/test_loss.c – random loss has the share and the bursts that it is asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "emu/dice.h"
#include "emu/loss.h"

#define PACKETS 1000000u

struct seen {
    unsigned lost;
    unsigned bursts; /* runs of lost packets */
};

static struct seen run(const struct loss_params *params, uint64_t seed)
{
    struct loss loss = {.dice = {seed}};
    struct seen seen = {0};
    bool before = false;
    for (unsigned i = 0; i < PACKETS; i++) {
        bool lost = loss_hits(&loss, params);
        seen.lost += lost;
        seen.bursts += lost && !before;
        before = lost;
    }
    return seen;
}

static void independent_losses_come_alone(void **state)
{
    (void)state;
    struct seen seen = run(&(struct loss_params){.good = 0.02}, 3);
    assert_in_range(seen.lost, 19400, 20600);   /* 4 sigma are 560 */
    assert_in_range(seen.bursts, 19000, 20200); /* 1 of 50 follows another */
}

static void bursts_have_their_share_and_length(void **state)
{
    (void)state;
    const struct loss_params params = {.bad = 1, .to_bad = 0.002, .to_good = 0.2};
    struct seen seen = run(&params, 3);
    assert_in_range(seen.bursts, 1800, 2150); /* 0.002 of the good packets, 4 sigma */
    assert_in_range(seen.lost / seen.bursts * 100 + seen.lost % seen.bursts * 100 / seen.bursts,
                    450, 550); /* hundredths of packets: 5 in a burst */
}

static void a_bad_state_need_not_lose_all_nor_a_good_one_nothing(void **state)
{
    (void)state;
    const struct loss_params params = {.good = 0.01, .bad = 0.5, .to_bad = 0.01, .to_good = 0.09};
    struct seen seen = run(&params, 3);
    assert_in_range(seen.lost, 57000, 61000); /* 0.9 × 0.01 + 0.1 × 0.5 */
}

static void turning_bursts_off_ends_the_bad_state(void **state)
{
    (void)state;
    struct loss loss = {.dice = {1}, .is_bad = true};
    const struct loss_params none = {.bad = 1};
    assert_false(loss_hits(&loss, &none));
    assert_false(loss.is_bad);
}

static void dice_have_the_moments_of_their_kind(void **state)
{
    (void)state;
    struct dice dice = {11};
    double unit = 0, exponential = 0, normal = 0, square = 0;
    for (unsigned i = 0; i < PACKETS; i++) {
        double z = dice_normal(&dice);
        unit += dice_unit(&dice) / PACKETS;
        exponential += dice_exponential(&dice) / PACKETS;
        normal += z / PACKETS;
        square += z * z / PACKETS;
    }
    assert_in_range(unit * 10000, 4980, 5020);
    assert_in_range(exponential * 10000, 9940, 10060);
    assert_in_range(normal * 10000 + 100, 50, 150);
    assert_in_range(square * 10000, 9920, 10080);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(independent_losses_come_alone),
        cmocka_unit_test(bursts_have_their_share_and_length),
        cmocka_unit_test(a_bad_state_need_not_lose_all_nor_a_good_one_nothing),
        cmocka_unit_test(turning_bursts_off_ends_the_bad_state),
        cmocka_unit_test(dice_have_the_moments_of_their_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
