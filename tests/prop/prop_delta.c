/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_delta.c – laws of deltas: any edit comes back, and a spoilt blob does no harm. */
/* LINKS: chunk base */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "chunk/delta.h"
#include "support/gen.h"

enum { SIZE_MOST = 200 << 10, ROUNDS = 60, PIECES = 6, SPOILT = 40 };

static struct gen gen;

struct sample {
    uint8_t *old[PIECES], *new[PIECES];
    size_t old_size[PIECES], new_size[PIECES];
    struct buf blob;
    size_t kept[PIECES], count;
};

static void put(uint8_t *to, size_t *at, const uint8_t *from, size_t size)
{
    size_t room = SIZE_MOST - *at;
    memcpy(to + *at, from, size < room ? size : room);
    *at += size < room ? size : room;
}

/* The old content with runs left out, moved, brought in, and bytes changed here and there. */
static size_t edit(const uint8_t *old, size_t size, uint8_t *to)
{
    size_t at = 0, from = 0;
    uint8_t fresh[256];

    while (from < size && at < SIZE_MOST) {
        size_t n = gen_skewed(&gen, size - from), begin = at;
        put(to, &at, old + from, n);
        from += n;
        for (size_t i = gen_below(&gen, 16); i > 0 && at > begin; i--)
            to[begin + gen_below(&gen, at - begin)] += (uint8_t)gen_below(&gen, 9);
        gen_bytes(&gen, fresh, sizeof fresh);
        if (gen_chance(&gen, 1, 3))
            put(to, &at, fresh, gen_below(&gen, sizeof fresh));
        if (gen_chance(&gen, 1, 4))
            from = gen_below(&gen, size + 1);
        if (n == 0)
            from++;
    }
    if (at == 0)
        to[at++] = 1;
    return at;
}

static void sample_init(struct sample *s, struct delta_maker *maker)
{
    memset(s, 0, sizeof *s);
    buf_init(&s->blob, DELTA_SIZE_MAX);
    for (size_t i = 0; i < PIECES; i++) {
        struct delta_made made;
        s->old_size[i] = 1 + gen_skewed(&gen, SIZE_MOST - 1);
        s->old[i] = xalloc(s->old_size[i]);
        s->new[i] = xalloc(SIZE_MOST);
        (gen_chance(&gen, 1, 2) ? gen_text : gen_bytes)(&gen, s->old[i], s->old_size[i]);
        s->new_size[i] = edit(s->old[i], s->old_size[i], s->new[i]);
        struct delta_piece piece = {.target = s->new[i],
                                    .target_size = s->new_size[i],
                                    .reference = s->old[i],
                                    .reference_size = s->old_size[i]};
        assert_int_equal(delta_maker_add(maker, &piece, 2 * s->new_size[i], &made).code, ALB_OK);
        if (made.is_kept)
            s->kept[s->count++] = i;
    }
    assert_int_equal(delta_maker_pieces(maker), s->count);
    assert_int_equal(delta_maker_finish(maker, &s->blob).code, s->count > 0 ? ALB_OK : ALB_INVALID);
}

static void sample_release(struct sample *s)
{
    for (size_t i = 0; i < PIECES; i++) {
        free(s->old[i]);
        free(s->new[i]);
    }
    buf_release(&s->blob);
}

static struct alb_status append(void *arg, const void *bytes, size_t size)
{
    return buf_append(arg, bytes, size);
}

static struct alb_status fetch(void *arg, uint64_t offset, void *out, size_t size)
{
    memcpy(out, (const uint8_t *)arg + offset, size);
    return ALB_STATUS_OK;
}

/* Every second piece's reference is fetched, not in memory. */
static struct alb_status rebuild(struct delta *d, const struct sample *s, size_t i, struct buf *out)
{
    size_t file = s->kept[i];
    struct delta_reference r = {.size = s->old_size[file], .read = fetch, .arg = s->old[file]};
    struct delta_sink sink = {append, out};

    if (i % 2 == 0)
        r.bytes = s->old[file];
    return delta_rebuild(d, i, &r, &sink);
}

static void any_edit_comes_back(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct delta_terms terms = delta_terms_default;
        struct sample s;
        struct delta *d;

        terms.level = 3;
        terms.prefix_level = gen_chance(&gen, 1, 2) ? 3 : 0;
        terms.aligned = terms.prefix_level == 0 || gen_chance(&gen, 1, 2);
        struct delta_maker *maker = delta_maker_new(&terms);
        sample_init(&s, maker);
        delta_maker_free(maker);
        if (s.count > 0) {
            assert_int_equal(
                delta_open(buf_peek(&s.blob), buf_size(&s.blob), &delta_limits_default, &d).code,
                ALB_OK);
            assert_int_equal(delta_pieces(d), s.count);
            for (size_t i = s.count; i-- > 0;) {
                struct buf out;
                buf_init(&out, SIZE_MOST);
                assert_int_equal(rebuild(d, &s, i, &out).code, ALB_OK);
                assert_int_equal(buf_size(&out), s.new_size[s.kept[i]]);
                assert_memory_equal(buf_peek(&out), s.new[s.kept[i]], buf_size(&out));
                buf_release(&out);
            }
            delta_close(d);
        }
        sample_release(&s);
    }
}

static void spoil_and_apply(const struct sample *s, uint8_t *blob, size_t size)
{
    struct delta *d;

    if (alb_failed(delta_open(blob, size, &delta_limits_default, &d)))
        return;
    for (size_t i = 0; i < delta_pieces(d) && i < s->count; i++) {
        struct buf out;
        buf_init(&out, delta_piece_info(d, i).target_size);
        if (!alb_failed(rebuild(d, s, i, &out)))
            assert_int_equal(buf_size(&out), delta_piece_info(d, i).target_size);
        buf_release(&out);
    }
    delta_close(d);
}

static void a_spoilt_blob_is_refused_or_wrong_but_does_no_harm(void **state)
{
    struct delta_terms terms = delta_terms_default;

    (void)state;
    terms.level = 3;
    struct delta_maker *maker = delta_maker_new(&terms);
    for (unsigned round = 0; round < ROUNDS / 4; round++) {
        struct sample s;
        sample_init(&s, maker);
        size_t size = buf_size(&s.blob);
        AUTO_FREE uint8_t *blob = xalloc(size + 1);
        memcpy(blob, buf_peek(&s.blob), size);
        for (unsigned i = 0; i < SPOILT && size > 0; i++) {
            size_t at = gen_chance(&gen, 1, 2) ? gen_below(&gen, size) : gen_skewed(&gen, size - 1);
            uint8_t flip = (uint8_t)gen_range(&gen, 1, 255);
            blob[at] ^= flip;
            spoil_and_apply(&s, blob, size);
            blob[at] ^= flip;
        }
        if (size > 0)
            spoil_and_apply(&s, blob, gen_below(&gen, size));
        sample_release(&s);
    }
    delta_maker_free(maker);
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
        cmocka_unit_test(any_edit_comes_back),
        cmocka_unit_test(a_spoilt_blob_is_refused_or_wrong_but_does_no_harm),
    };
    return cmocka_run_group_tests(tests, seed, NULL);
}
