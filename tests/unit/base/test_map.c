/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/base/test_map.c – the hash table against a list that cannot be wrong. */
#include "base/map.h"

#include "support/gen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { KEYS = 600 };

/* Keys that fight for few home slots: the digest's first bytes are the hash. */
static struct chunk_key crowded_key(unsigned i)
{
    struct chunk_key k = {.kind = (uint8_t)(KEY_PLAIN + i % 2)};

    k.digest.bytes[0] = (uint8_t)(i % 5);
    k.digest.bytes[20] = (uint8_t)(i >> 8);
    k.digest.bytes[21] = (uint8_t)i;
    return k;
}

struct tally {
    unsigned pairs;
    unsigned stop_after;
    unsigned *seen;
};

static bool count_pair(void *arg, const struct chunk_key *key, void *value)
{
    struct tally *tally = arg;

    assert_non_null(value);
    assert_int_not_equal(key->kind, 0);
    if (tally->seen != NULL)
        (*(unsigned *)value)++;
    return ++tally->pairs != tally->stop_after;
}

static void an_empty_map_answers_nothing(void **state)
{
    struct chunk_key k = crowded_key(1);
    struct tally tally = {0};
    struct map m;

    (void)state;
    map_init(&m);
    assert_null(map_get(&m, &k));
    assert_null(map_remove(&m, &k));
    map_each(&m, count_pair, &tally);
    assert_int_equal(tally.pairs, 0);
    map_release(&m);
    map_release(&m);
}

static void putting_again_replaces_and_tells_what_was_there(void **state)
{
    struct chunk_key k = crowded_key(1);
    struct map m;
    int a;
    int b;

    (void)state;
    map_init(&m);
    assert_null(map_put(&m, &k, &a));
    assert_ptr_equal(map_put(&m, &k, &b), &a);
    assert_int_equal(m.count, 1);
    assert_ptr_equal(map_get(&m, &k), &b);
    assert_ptr_equal(map_remove(&m, &k), &b);
    assert_null(map_get(&m, &k));
    assert_int_equal(m.count, 0);
    map_release(&m);
}

static void each_pair_is_visited_once_until_told_to_stop(void **state)
{
    unsigned seen[100] = {0};
    struct tally all = {.seen = seen};
    struct tally some = {.stop_after = 7};
    struct map m;

    (void)state;
    map_init(&m);
    for (unsigned i = 0; i < 100; i++) {
        struct chunk_key k = crowded_key(i);

        map_put(&m, &k, &seen[i]);
    }
    map_each(&m, count_pair, &all);
    map_each(&m, count_pair, &some);
    assert_int_equal(all.pairs, 100);
    assert_int_equal(some.pairs, 7);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
    map_release(&m);
}

static void a_random_life_agrees_with_a_plain_list(void **state)
{
    static int things[8];
    void *model[KEYS] = {0};
    size_t count = 0;
    struct gen g;
    struct map m;

    (void)state;
    gen_init_from_env(&g);
    map_init(&m);
    for (unsigned step = 0; step < 60000; step++) {
        unsigned i = (unsigned)gen_below(&g, KEYS);
        struct chunk_key k = crowded_key(i);
        void *thing = &things[gen_below(&g, 8)];

        if (gen_chance(&g, 1, 2)) {
            count += model[i] == NULL;
            assert_ptr_equal(map_put(&m, &k, thing), model[i]);
            model[i] = thing;
        } else {
            count -= model[i] != NULL;
            assert_ptr_equal(map_remove(&m, &k), model[i]);
            model[i] = NULL;
        }
        assert_int_equal(m.count, count);
        i = (unsigned)gen_below(&g, KEYS);
        k = crowded_key(i);
        assert_ptr_equal(map_get(&m, &k), model[i]);
    }
    map_release(&m);
}

static void a_text_stands_for_itself_only(void **state)
{
    struct chunk_key a = map_text_key("site-a");
    struct chunk_key b = map_text_key("site-b");
    struct chunk_key again = map_text_key("site-a");

    (void)state;
    assert_true(chunk_key_equal(&a, &again));
    assert_false(chunk_key_equal(&a, &b));
    assert_int_equal(a.kind, 255);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_answers_nothing),
        cmocka_unit_test(putting_again_replaces_and_tells_what_was_there),
        cmocka_unit_test(each_pair_is_visited_once_until_told_to_stop),
        cmocka_unit_test(a_random_life_agrees_with_a_plain_list),
        cmocka_unit_test(a_text_stands_for_itself_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
