/* SPDX-License-Identifier: Apache-2.0 */
/* unit/store/test_ram_chunk_store.c – the chunk store's twin in memory keeps the door's
 * contract. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "store/ram.h"

static struct chunk *numbered(uint8_t n)
{
    struct chunk_key key = {.kind = KEY_PLAIN, .digest = {{n}}};
    uint8_t bytes[10] = {n};
    return chunk_copy(&key, bytes, sizeof(bytes));
}

static enum alb_code put(struct chunk_store *s, uint8_t n, enum put_outcome *outcome)
{
    struct chunk *c = numbered(n);
    enum alb_code code = chunk_store_put_many(s, &c, 1, outcome).code;
    chunk_unref(c);
    return code;
}

static bool has(struct chunk_store *s, uint8_t n)
{
    struct chunk_key key = {.kind = KEY_PLAIN, .digest = {{n}}};
    bool answer = false;
    assert_int_equal(chunk_store_exists_many(s, &key, 1, &answer).code, ALB_OK);
    return answer;
}

static void a_chunk_is_kept_once_and_shared(void **state)
{
    (void)state;
    struct chunk_store *s = ram_chunk_store_new(&(struct ram_options){0});
    enum put_outcome outcome;
    assert_int_equal(put(s, 1, &outcome), ALB_OK);
    assert_int_equal(outcome, PUT_CREATED);
    assert_int_equal(put(s, 1, &outcome), ALB_OK);
    assert_int_equal(outcome, PUT_EXISTS);
    assert_int_equal(put(s, 2, NULL), ALB_OK);

    struct chunk_key key = {.kind = KEY_PLAIN, .digest = {{1}}};
    struct chunk *found;
    assert_int_equal(chunk_store_get(s, &key, &found).code, ALB_OK);
    assert_int_equal(found->bytes[0], 1);
    struct chunk_store_stats stats;
    assert_int_equal(chunk_store_stats(s, &stats).code, ALB_OK);
    assert_int_equal(stats.chunks, 2);
    assert_int_equal(stats.stored_bytes, 20);
    chunk_store_close(s);
    assert_int_equal(found->size, 10); /* outlives the store */
    chunk_unref(found);
    chunk_store_close(NULL);
}

static void another_kind_is_another_chunk(void **state)
{
    (void)state;
    struct chunk_store *s = ram_chunk_store_new(&(struct ram_options){0});
    assert_int_equal(put(s, 1, NULL), ALB_OK);
    struct chunk_key sealed = {.kind = KEY_SEALED, .digest = {{1}}};
    struct chunk *found;
    assert_int_equal(chunk_store_get(s, &sealed, &found).code, ALB_NOT_FOUND);
    chunk_store_close(s);
}

static void removing_is_idempotent_and_frees_room(void **state)
{
    (void)state;
    struct chunk_store *s = ram_chunk_store_new(&(struct ram_options){.quota_bytes = 25});
    assert_int_equal(put(s, 1, NULL), ALB_OK);
    assert_int_equal(put(s, 2, NULL), ALB_OK);
    assert_int_equal(put(s, 3, NULL), ALB_FULL);
    assert_false(has(s, 3));
    assert_int_equal(put(s, 2, NULL), ALB_OK); /* already there: no room needed */
    struct chunk_key key = {.kind = KEY_PLAIN, .digest = {{1}}};
    for (int i = 0; i < 2; i++)
        assert_int_equal(chunk_store_remove(s, &key).code, ALB_OK);
    assert_false(has(s, 1));
    assert_int_equal(put(s, 3, NULL), ALB_OK);
    chunk_store_close(s);
}

static void nothing_of_a_group_that_does_not_fit_is_kept(void **state)
{
    (void)state;
    struct chunk_store *s = ram_chunk_store_new(&(struct ram_options){.quota_bytes = 25});
    struct chunk *group[3] = {numbered(1), numbered(2), numbered(3)};
    assert_int_equal(chunk_store_put_many(s, group, 3, NULL).code, ALB_FULL);
    for (uint8_t n = 1; n <= 3; n++) {
        assert_false(has(s, n));
        chunk_unref(group[n - 1]);
    }
    chunk_store_close(s);
}

static void damage_is_told_once_and_the_chunk_is_gone(void **state)
{
    (void)state;
    struct chunk_store *s = ram_chunk_store_new(&(struct ram_options){0});
    struct chunk_key key = {.kind = KEY_PLAIN, .digest = {{5}}};
    struct chunk *found;
    assert_int_equal(ram_chunk_store_damage(s, &key).code, ALB_NOT_FOUND);
    assert_int_equal(put(s, 5, NULL), ALB_OK);
    assert_int_equal(ram_chunk_store_damage(s, &key).code, ALB_OK);
    assert_int_equal(chunk_store_get(s, &key, &found).code, ALB_CORRUPT);
    assert_int_equal(chunk_store_get(s, &key, &found).code, ALB_NOT_FOUND);
    chunk_store_close(s);
}

static void listing_pages_through_every_key_in_order(void **state)
{
    (void)state;
    struct chunk_store *s = ram_chunk_store_new(&(struct ram_options){0});
    for (unsigned n = 0; n < 100; n++)
        assert_int_equal(put(s, (uint8_t)(n * 37 % 100), NULL), ALB_OK);
    for (size_t page = 1; page < 120; page += 13) {
        struct chunk_key keys[120];
        const struct chunk_key *after = NULL;
        size_t seen = 0;
        size_t count = 0;
        do {
            assert_int_equal(chunk_store_list(s, after, page, keys, &count).code, ALB_OK);
            for (size_t i = 0; i < count; i++)
                assert_int_equal(keys[i].digest.bytes[0], seen++);
            after = &keys[count > 0 ? count - 1 : 0];
        } while (count == page);
        assert_int_equal(seen, 100);
    }
    chunk_store_close(s);
}

static void unknown_is_answered_by_seed_and_half_took_effect(void **state)
{
    (void)state;
    struct ram_options options = {.seed = 3, .unknown_per_mille = 500};
    struct chunk_store *s = ram_chunk_store_new(&options);
    unsigned unknown = 0;
    unsigned effective = 0;
    for (unsigned n = 0; n < 200; n++) {
        enum put_outcome outcome;
        enum alb_code code = put(s, (uint8_t)n, &outcome);
        assert_int_equal(code, outcome == PUT_UNKNOWN ? ALB_UNKNOWN : ALB_OK);
        if (outcome == PUT_UNKNOWN) {
            unknown++;
            effective += has(s, (uint8_t)n);
        } else {
            assert_true(has(s, (uint8_t)n));
        }
    }
    assert_in_range(unknown, 70, 130);
    assert_in_range(effective, unknown / 4, unknown * 3 / 4);
    struct chunk_key key = {.kind = KEY_PLAIN, .digest = {{1}}};
    unsigned tries = 0;
    while (chunk_store_remove(s, &key).code == ALB_UNKNOWN)
        assert_true(++tries < 50);
    assert_false(has(s, 1));
    chunk_store_close(s);
}

static void a_wiped_store_is_empty(void **state)
{
    (void)state;
    struct chunk_store *s = ram_chunk_store_new(&(struct ram_options){0});
    struct chunk_store_stats stats;
    for (unsigned n = 0; n < 20; n++)
        assert_int_equal(put(s, (uint8_t)n, NULL), ALB_OK);
    assert_int_equal(chunk_store_wipe(s).code, ALB_OK);
    assert_false(has(s, 3));
    assert_int_equal(chunk_store_stats(s, &stats).code, ALB_OK);
    assert_int_equal(stats.chunks + stats.stored_bytes, 0);
    assert_int_equal(put(s, 3, NULL), ALB_OK);
    assert_true(has(s, 3));
    chunk_store_close(s);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_is_kept_once_and_shared),
        cmocka_unit_test(another_kind_is_another_chunk),
        cmocka_unit_test(removing_is_idempotent_and_frees_room),
        cmocka_unit_test(nothing_of_a_group_that_does_not_fit_is_kept),
        cmocka_unit_test(damage_is_told_once_and_the_chunk_is_gone),
        cmocka_unit_test(listing_pages_through_every_key_in_order),
        cmocka_unit_test(a_wiped_store_is_empty),
        cmocka_unit_test(unknown_is_answered_by_seed_and_half_took_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
