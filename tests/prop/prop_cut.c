/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_cut.c – laws of the cut points: bounds, independence of feeding, and locality. */
/* LINKS: chunk base */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "chunk/cut.h"
#include "support/gen.h"

enum { STREAM_MAX = 300 << 10, CUTS_MAX = 8192, ROUNDS = 400 };

static struct gen gen;

static struct cut_params random_params(void)
{
    struct cut_params p;
    p.average = 1U << gen_range(&gen, 7, 13);
    p.min = (uint32_t)gen_range(&gen, 64, p.average - 1);
    p.max = (uint32_t)gen_range(&gen, p.average + 1, 8 * p.average);
    return p;
}

static size_t random_stream(uint8_t *bytes)
{
    size_t size = gen_skewed(&gen, STREAM_MAX);
    size_t done = 0;
    while (done < size) {
        size_t some = gen_range(&gen, 1, size - done);
        switch (gen_below(&gen, 3)) {
        case 0: gen_bytes(&gen, bytes + done, some); break;
        case 1: gen_text(&gen, bytes + done, some); break;
        default: memset(bytes + done, (int)gen_below(&gen, 256), some); break;
        }
        done += some;
    }
    return size;
}

/* The offsets where chunks end. */
static size_t cut_all(const struct cutter *c, const uint8_t *bytes, size_t size, size_t *ends)
{
    size_t count = 0;
    for (size_t at = 0; at < size; count++) {
        assert_true(count < CUTS_MAX);
        at += cutter_next(c, bytes + at, size - at);
        ends[count] = at;
    }
    return count;
}

static void every_length_lies_between_the_bounds(void **state)
{
    (void)state;
    AUTO_FREE uint8_t *bytes = xalloc(STREAM_MAX);
    AUTO_FREE size_t *ends = xcalloc(CUTS_MAX, sizeof(size_t));
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cut_params p = random_params();
        struct cutter c;
        cutter_init(&c, &p);
        size_t size = random_stream(bytes);
        size_t count = cut_all(&c, bytes, size, ends);
        size_t start = 0;
        for (size_t i = 0; i < count; i++) {
            size_t length = ends[i] - start;
            assert_true(length <= p.max);
            assert_true(length > p.min || i + 1 == count);
            start = ends[i];
        }
        assert_int_equal(start, size);
    }
}

static void how_the_stream_is_fed_changes_nothing(void **state)
{
    (void)state;
    AUTO_FREE uint8_t *bytes = xalloc(STREAM_MAX);
    AUTO_FREE size_t *ends = xcalloc(CUTS_MAX, sizeof(size_t));
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cut_params p = random_params();
        struct cutter c;
        cutter_init(&c, &p);
        size_t size = random_stream(bytes);
        size_t count = cut_all(&c, bytes, size, ends);
        size_t at = 0;
        for (size_t i = 0; i < count; i++) {
            size_t left = size - at;
            size_t shown = left <= p.max ? left : gen_range(&gen, p.max, left);
            at += cutter_next(&c, bytes + at, shown);
            assert_int_equal(at, ends[i]);
        }
    }
}

/* Bytes put in at one place disturb the chunks around it; the rest keeps its ends. */
static void an_insertion_disturbs_only_its_neighbourhood(void **state)
{
    (void)state;
    enum { SIZE = 256 << 10, INSERTED_MAX = 200 };
    AUTO_FREE uint8_t *bytes = xalloc(SIZE + INSERTED_MAX);
    AUTO_FREE size_t *before = xcalloc(CUTS_MAX, sizeof(size_t));
    AUTO_FREE size_t *after = xcalloc(CUTS_MAX, sizeof(size_t));
    struct cutter c;
    cutter_init(&c, &(struct cut_params){256, 1024, 4096});
    for (unsigned round = 0; round < 20; round++) {
        gen_bytes(&gen, bytes, SIZE);
        size_t count = cut_all(&c, bytes, SIZE, before);
        size_t place = gen_below(&gen, SIZE / 2);
        size_t inserted = gen_range(&gen, 1, INSERTED_MAX);
        memmove(bytes + place + inserted, bytes + place, SIZE - place);
        gen_bytes(&gen, bytes + place, inserted);
        size_t count_after = cut_all(&c, bytes, SIZE + inserted, after);
        size_t i = 0;
        while (i < count && before[i] <= place) {
            assert_int_equal(before[i], after[i]);
            i++;
        }
        size_t same = 0;
        while (same < count && same < count_after &&
               before[count - 1 - same] + inserted == after[count_after - 1 - same])
            same++;
        /* On random bytes two cuts meet again within a few chunks; 40 are generous. */
        assert_true(before[count - 1 - same] < place + 40 * 1024);
    }
}

static int seed(void **state)
{
    (void)state;
    (void)gen_init_from_env(&gen);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_lies_between_the_bounds),
        cmocka_unit_test(how_the_stream_is_fed_changes_nothing),
        cmocka_unit_test(an_insertion_disturbs_only_its_neighbourhood),
    };
    return cmocka_run_group_tests(tests, seed, NULL);
}
