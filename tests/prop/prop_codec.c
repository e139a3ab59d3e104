/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_codec.c – laws of the codec: what goes in comes out, and a spoilt frame is never
 * believed. */
/* LINKS: chunk base */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "chunk/codec.h"
#include "support/gen.h"

enum { RAW_MAX = 200 << 10, ROUNDS = 150 };

static struct gen gen;

struct sample {
    uint8_t *raw;
    size_t size;
    struct chunk_key key;
    struct buf stored;
};

static void sample_init(struct sample *s, struct codec *codec)
{
    s->size = gen_skewed(&gen, RAW_MAX);
    s->raw = xalloc(s->size + 1);
    size_t text = gen_below(&gen, s->size + 1);
    gen_text(&gen, s->raw, text);
    gen_bytes(&gen, s->raw + text, s->size - text);
    s->key.kind = KEY_PLAIN;
    sha256(s->raw, s->size, &s->key.digest);
    buf_init(&s->stored, CHUNK_STORED_MAX);
    assert_int_equal(codec_compress(codec, s->raw, s->size, &s->stored).code, ALB_OK);
}

static void sample_release(struct sample *s)
{
    free(s->raw);
    buf_release(&s->stored);
}

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    struct codec *codec = codec_new();
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct sample s;
        struct buf out;
        sample_init(&s, codec);
        buf_init(&out, s.size);
        const uint8_t *frame = buf_peek(&s.stored);
        size_t size = buf_size(&s.stored);
        size_t declared;
        assert_int_equal(codec_raw_size(frame, size, s.size, &declared).code, ALB_OK);
        assert_int_equal(declared, s.size);
        assert_int_equal(codec_expand(codec, frame, size, s.size, &out).code, ALB_OK);
        assert_int_equal(buf_size(&out), s.size);
        assert_memory_equal(buf_peek(&out), s.raw, s.size);
        assert_int_equal(codec_verify(codec, &s.key, frame, size, NULL).code, ALB_OK);
        if (s.size > 0)
            assert_int_equal(codec_expand(codec, frame, size, s.size - 1, &out).code, ALB_CORRUPT);
        buf_release(&out);
        sample_release(&s);
    }
    codec_free(codec);
}

static void a_spoilt_frame_never_passes_for_its_chunk(void **state)
{
    (void)state;
    struct codec *codec = codec_new();
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct sample s;
        sample_init(&s, codec);
        AUTO_FREE uint8_t *frame = xalloc(buf_size(&s.stored));
        size_t size = buf_size(&s.stored);
        memcpy(frame, buf_peek(&s.stored), size);
        for (unsigned i = 0; i < 20; i++) {
            size_t at = gen_chance(&gen, 1, 2) ? gen_below(&gen, size)
                                               : gen_below(&gen, size < 12 ? size : 12);
            uint8_t flip = (uint8_t)gen_range(&gen, 1, 255);
            struct buf raw;
            buf_init(&raw, CHUNK_RAW_MAX);
            frame[at] ^= flip;
            /* A bit that no decoder reads may be flipped;
             * then the bytes are still the right ones. */
            if (!alb_failed(codec_verify(codec, &s.key, frame, size, &raw)))
                assert_memory_equal(buf_peek(&raw), s.raw, s.size);
            frame[at] ^= flip;
            buf_release(&raw);
        }
        size_t cut = gen_below(&gen, size);
        assert_int_equal(codec_verify(codec, &s.key, frame, cut, NULL).code, ALB_CORRUPT);
        sample_release(&s);
    }
    codec_free(codec);
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
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(a_spoilt_frame_never_passes_for_its_chunk),
    };
    return cmocka_run_group_tests(tests, seed, NULL);
}
