/* SPDX-License-Identifier: Apache-2.0 */
/* unit/store/test_evict.c – the table of counts and ghosts, and what each policy does with them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/evict.h"

enum { LIMIT = 1 << 20, SIZE = 1 << 10 };

static uint64_t hash_of(unsigned n)
{
    return (n + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
}

static void set_up(struct evictor *e, const char *name)
{
    assert_non_null(evict_policy_find(name));
    evictor_init(e, evict_policy_find(name), LIMIT);
}

/* ---- heat ---- */

static void counts_are_kept_up_to_their_most_and_given_up_at_zero(void **state)
{
    struct heat h;
    (void)state;
    heat_init(&h, 1000);
    assert_int_equal(heat_get(&h, hash_of(1)), 0);
    heat_set(&h, hash_of(1), 7);
    heat_set(&h, hash_of(2), 99);
    assert_int_equal(heat_get(&h, hash_of(1)), 7);
    assert_int_equal(heat_get(&h, hash_of(2)), HEAT_MOST);
    heat_set(&h, hash_of(1), 0);
    assert_int_equal(heat_get(&h, hash_of(1)), 0);
    heat_cool(&h);
    assert_int_equal(heat_get(&h, hash_of(2)), HEAT_MOST / 2);
    heat_release(&h);
}

static void a_full_bucket_forgets_ghosts_first_and_then_the_coldest(void **state)
{
    struct heat h;
    (void)state;
    heat_init(&h, 1); /* one bucket */
    assert_int_equal(heat_bytes(&h), HEAT_BUCKET * 4);
    for (unsigned n = 0; n < HEAT_BUCKET; n++)
        heat_set(&h, hash_of(n), n + 2);
    heat_make_ghost(&h, hash_of(5));
    heat_set(&h, hash_of(100), 1);
    assert_false(heat_is_ghost(&h, hash_of(5)));
    assert_int_equal(heat_get(&h, hash_of(100)), 1);
    heat_set(&h, hash_of(101), 9);
    assert_int_equal(heat_get(&h, hash_of(100)), 0);
    for (unsigned n = 0; n < HEAT_BUCKET; n++)
        assert_int_equal(heat_get(&h, hash_of(n)), n == 5 ? 0 : n + 2);
    heat_release(&h);
}

static void a_ghost_is_remembered_for_one_to_two_generations(void **state)
{
    struct heat h;
    (void)state;
    heat_init(&h, 1000);
    heat_set(&h, hash_of(1), 3);
    for (unsigned round = 0; round < 7; round++) {
        heat_make_ghost(&h, hash_of(2));
        assert_int_equal(heat_get(&h, hash_of(2)), 0);
        heat_turn(&h);
        assert_true(heat_is_ghost(&h, hash_of(2)));
        heat_turn(&h);
        assert_true(heat_is_ghost(&h, hash_of(2)));
        heat_turn(&h);
        assert_false(heat_is_ghost(&h, hash_of(2)));
        assert_int_equal(heat_get(&h, hash_of(1)), 3);
    }
    heat_release(&h);
}

/* ---- policies ---- */

static void fifo_keeps_nobody(void **state)
{
    struct evictor e;
    (void)state;
    set_up(&e, "fifo");
    assert_int_equal(evictor_admit(&e, hash_of(1)), QUEUE_MAIN);
    evictor_touch(&e, hash_of(1));
    assert_false(evictor_stays(&e, hash_of(1), SIZE, QUEUE_MAIN));
    evictor_release(&e);
}

static void lru_keeps_for_another_round_who_was_asked_for_in_this_one(void **state)
{
    struct evictor e;
    (void)state;
    set_up(&e, "lru");
    assert_int_equal(evictor_admit(&e, hash_of(1)), QUEUE_MAIN);
    assert_int_equal(evictor_admit(&e, hash_of(2)), QUEUE_MAIN);
    evictor_touch(&e, hash_of(1));
    assert_true(evictor_stays(&e, hash_of(1), SIZE, QUEUE_MAIN));
    assert_false(evictor_stays(&e, hash_of(2), SIZE, QUEUE_MAIN));
    assert_false(evictor_stays(&e, hash_of(1), SIZE, QUEUE_MAIN));
    evictor_release(&e);
}

static void s3_fifo_drops_new_ones_that_nobody_asked_for_again(void **state)
{
    struct evictor e;
    (void)state;
    set_up(&e, "s3-fifo");
    assert_int_equal(evictor_admit(&e, hash_of(1)), QUEUE_NEW);
    assert_int_equal(evictor_admit(&e, hash_of(2)), QUEUE_NEW);
    evictor_touch(&e, hash_of(2));
    assert_false(evictor_stays(&e, hash_of(1), SIZE, QUEUE_NEW));
    assert_true(evictor_stays(&e, hash_of(2), SIZE, QUEUE_NEW));
    assert_false(evictor_stays(&e, hash_of(2), SIZE, QUEUE_MAIN)); /* it counts anew there */
    evictor_release(&e);
}

static void s3_fifo_takes_a_ghost_that_returns_into_main_at_once(void **state)
{
    struct evictor e;
    (void)state;
    set_up(&e, "s3-fifo");
    assert_false(evictor_stays(&e, hash_of(1), SIZE, QUEUE_NEW));
    evictor_touch(&e, hash_of(1)); /* asked for, and not here */
    assert_int_equal(evictor_admit(&e, hash_of(1)), QUEUE_MAIN);
    assert_false(evictor_stays(&e, hash_of(1), SIZE, QUEUE_MAIN)); /* and is no ghost any more */
    assert_int_equal(evictor_admit(&e, hash_of(1)), QUEUE_NEW);
    evictor_release(&e);
}

static void s3_fifo_gives_up_to_three_more_rounds_in_main(void **state)
{
    struct evictor e;
    (void)state;
    set_up(&e, "s3-fifo");
    for (unsigned n = 0; n < 10; n++)
        evictor_touch(&e, hash_of(1));
    for (unsigned n = 0; n < 3; n++)
        assert_true(evictor_stays(&e, hash_of(1), SIZE, QUEUE_MAIN));
    assert_false(evictor_stays(&e, hash_of(1), SIZE, QUEUE_MAIN));
    evictor_release(&e);
}

static void tiny_lfu_prefers_who_is_asked_for_more_often(void **state)
{
    struct evictor e;
    (void)state;
    set_up(&e, "tiny-lfu");
    for (unsigned n = 0; n < 8; n++)
        evictor_touch(&e, hash_of(1));
    for (unsigned n = 0; n < 300; n++) /* those judged lately were asked for three times */
        for (unsigned m = 0; m < 4; m++)
            m < 3 ? evictor_touch(&e, hash_of(10 + n))
                  : (void)evictor_stays(&e, hash_of(10 + n), SIZE / 4, QUEUE_MAIN);
    assert_int_equal(evictor_admit(&e, hash_of(2)), QUEUE_NEW);
    assert_true(evictor_stays(&e, hash_of(1), SIZE, QUEUE_NEW));
    assert_false(evictor_stays(&e, hash_of(2), SIZE, QUEUE_NEW));
    evictor_release(&e);
}

static void the_new_queue_gives_way_beyond_a_tenth_and_empty_ones_never(void **state)
{
    static const struct {
        const char *policy;
        uint64_t bytes[EVICT_QUEUES];
        enum evict_queue victim;
    } cases[] = {
        {"s3-fifo", {11, 89, 0}, QUEUE_NEW},   {"s3-fifo", {9, 91, 500}, QUEUE_MAIN},
        {"s3-fifo", {5, 0, 0}, QUEUE_NEW},     {"s3-fifo", {0, 5, 0}, QUEUE_MAIN},
        {"lru", {5, 100, 0}, QUEUE_NEW},       {"lru", {0, 100, 0}, QUEUE_MAIN},
        {"tiny-lfu", {50, 100, 0}, QUEUE_NEW},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct evictor e;
        set_up(&e, cases[i].policy);
        assert_int_equal(evictor_victim(&e, cases[i].bytes), cases[i].victim);
        evictor_release(&e);
    }
}

static void policies_are_found_by_name(void **state)
{
    size_t n = 0;
    (void)state;
    for (; evict_policy_at(n) != NULL; n++)
        assert_ptr_equal(evict_policy_find(evict_policy_at(n)->name), evict_policy_at(n));
    assert_int_equal(n, 4);
    assert_null(evict_policy_find("arc"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_kept_up_to_their_most_and_given_up_at_zero),
        cmocka_unit_test(a_full_bucket_forgets_ghosts_first_and_then_the_coldest),
        cmocka_unit_test(a_ghost_is_remembered_for_one_to_two_generations),
        cmocka_unit_test(fifo_keeps_nobody),
        cmocka_unit_test(lru_keeps_for_another_round_who_was_asked_for_in_this_one),
        cmocka_unit_test(s3_fifo_drops_new_ones_that_nobody_asked_for_again),
        cmocka_unit_test(s3_fifo_takes_a_ghost_that_returns_into_main_at_once),
        cmocka_unit_test(s3_fifo_gives_up_to_three_more_rounds_in_main),
        cmocka_unit_test(tiny_lfu_prefers_who_is_asked_for_more_often),
        cmocka_unit_test(the_new_queue_gives_way_beyond_a_tenth_and_empty_ones_never),
        cmocka_unit_test(policies_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
