/* SPDX-License-Identifier: Apache-2.0 */
/* unit/chunk/test_codec.c – the codec keeps bytes, and refuses each kind of frame it must not
 * trust. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "chunk/codec.h"
#include "support/gen.h"

struct fixture {
    struct codec *codec;
    struct buf stored;
    struct buf raw;
};

static int set_up(void **state)
{
    struct fixture *f = xalloc(sizeof(*f));
    f->codec = codec_new();
    buf_init(&f->stored, CHUNK_STORED_MAX);
    buf_init(&f->raw, CHUNK_RAW_MAX);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    codec_free(f->codec);
    buf_release(&f->stored);
    buf_release(&f->raw);
    free(f);
    return 0;
}

static enum alb_code expand(struct fixture *f, const void *frame, size_t size, size_t max)
{
    return codec_expand(f->codec, frame, size, max, &f->raw).code;
}

static void every_size_comes_back(void **state)
{
    struct fixture *f = *state;
    static const size_t sizes[] = {0,           1,           255,     256,
                                   65536 + 255, 65536 + 256, 1 << 20, CHUNK_RAW_MAX};
    struct gen g;
    gen_init(&g, 1);
    AUTO_FREE uint8_t *bytes = xalloc(CHUNK_RAW_MAX);
    for (size_t i = 0; i < 2 * ALB_COUNT(sizes); i++) {
        size_t size = sizes[i / 2];
        (i % 2 == 0 ? gen_text : gen_bytes)(&g, bytes, size);
        buf_clear(&f->stored);
        buf_clear(&f->raw);
        assert_int_equal(codec_compress(f->codec, bytes, size, &f->stored).code, ALB_OK);
        assert_true(buf_size(&f->stored) <=
                    size + size / 5000 + 32); /* worst case 9 B per 64 KiB */
        size_t declared = SIZE_MAX;
        const uint8_t *frame = buf_peek(&f->stored);
        assert_int_equal(codec_raw_size(frame, buf_size(&f->stored), CHUNK_RAW_MAX, &declared).code,
                         ALB_OK);
        assert_int_equal(declared, size);
        assert_int_equal(expand(f, frame, buf_size(&f->stored), size), ALB_OK);
        assert_int_equal(buf_size(&f->raw), size);
        assert_memory_equal(buf_peek(&f->raw), bytes, size);
    }
}

static void too_large_a_chunk_is_not_made(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE uint8_t *bytes = xalloc(CHUNK_RAW_MAX + 1);
    assert_int_equal(codec_compress(f->codec, bytes, CHUNK_RAW_MAX + 1, &f->stored).code,
                     ALB_INVALID);
    struct buf small;
    buf_init(&small, 10);
    assert_int_equal(codec_compress(f->codec, bytes, 100, &small).code, ALB_FULL);
    buf_release(&small);
}

static void a_bomb_is_refused_before_memory_is_taken(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE uint8_t *zeros = xalloc(CHUNK_RAW_MAX);
    assert_int_equal(codec_compress(f->codec, zeros, CHUNK_RAW_MAX, &f->stored).code, ALB_OK);
    assert_true(buf_size(&f->stored) < 1000);
    assert_int_equal(expand(f, buf_peek(&f->stored), buf_size(&f->stored), CHUNK_RAW_MAX - 1),
                     ALB_CORRUPT);
    assert_null(f->raw.bytes);
    /* Single segment, eight-byte size: declares 2^40 bytes. */
    static const uint8_t huge[] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0};
    assert_int_equal(expand(f, huge, sizeof(huge), SIZE_MAX), ALB_CORRUPT);
    assert_null(f->raw.bytes);
}

static void lying_about_the_size_is_found_out(void **state)
{
    struct fixture *f = *state;
    /* One last run-length block of `n` bytes 'x' behind a header that declares five. */
    uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 5, 0, 0, 0, 'x'};
    for (uint8_t n = 0; n < 9; n++) {
        frame[6] = (uint8_t)(n << 3 | 1 << 1 | 1);
        assert_int_equal(expand(f, frame, sizeof(frame), 100), n == 5 ? ALB_OK : ALB_CORRUPT);
    }
    assert_int_equal(buf_size(&f->raw), 5);
}

static void frames_outside_the_stored_form_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *why;
        uint8_t frame[12];
        uint8_t size;
    } bad[] = {
        {"empty", {0}, 0},
        {"no zstd", {'P', 'K', 3, 4, 5, 6, 7, 8}, 8},
        {"only the magic", {0x28, 0xb5, 0x2f, 0xfd}, 4},
        {"header cut short", {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 5}, 6},
        {"no size", {0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0x29, 0, 0, 'x'}, 10},
        {"dictionary", {0x28, 0xb5, 0x2f, 0xfd, 0x21, 7, 5, 0x2b, 0, 0, 'x'}, 11},
        {"checksum", {0x28, 0xb5, 0x2f, 0xfd, 0x24, 5, 0x2b, 0, 0, 'x'}, 10},
        {"reserved bit", {0x28, 0xb5, 0x2f, 0xfd, 0x28, 5, 0x2b, 0, 0, 'x'}, 10},
        {"window of 4.5 MiB", {0x28, 0xb5, 0x2f, 0xfd, 0x40, 0x61, 5, 0, 0x2b, 0, 0, 'x'}, 12},
        {"skippable", {0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, 8},
        {"trailing byte", {0x28, 0xb5, 0x2f, 0xfd, 0x20, 5, 0x2b, 0, 0, 'x', 0}, 11},
        {"block missing", {0x28, 0xb5, 0x2f, 0xfd, 0x20, 5}, 6},
    };
    for (size_t i = 0; i < ALB_COUNT(bad); i++)
        if (expand(f, bad[i].frame, bad[i].size, 1000) != ALB_CORRUPT)
            fail_msg("a frame was accepted: %s", bad[i].why);
    assert_int_equal(buf_size(&f->raw), 0);
}

static void a_second_frame_and_each_cut_are_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t text[3000];
    struct gen g;
    gen_init(&g, 2);
    gen_text(&g, text, sizeof(text));
    assert_int_equal(codec_compress(f->codec, text, sizeof(text), &f->stored).code, ALB_OK);
    size_t one = buf_size(&f->stored);
    for (size_t cut = 0; cut < one; cut++)
        assert_int_equal(expand(f, buf_peek(&f->stored), cut, sizeof(text)), ALB_CORRUPT);
    assert_int_equal(codec_compress(f->codec, "", 0, &f->stored).code, ALB_OK);
    assert_int_equal(expand(f, buf_peek(&f->stored), buf_size(&f->stored), 1 << 20), ALB_CORRUPT);
    assert_int_equal(expand(f, buf_peek(&f->stored), CHUNK_STORED_MAX + 1, 1 << 20), ALB_CORRUPT);
}

static void no_room_for_the_raw_bytes_is_full(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(codec_compress(f->codec, "0123456789", 10, &f->stored).code, ALB_OK);
    struct buf small;
    buf_init(&small, 9);
    struct alb_status st =
        codec_expand(f->codec, buf_peek(&f->stored), buf_size(&f->stored), 100, &small);
    assert_int_equal(st.code, ALB_FULL);
    buf_release(&small);
}

static void what_is_expanded_into_the_codecs_own_memory_is_the_whole_chunk(void **state)
{
    struct fixture *f = *state;
    const uint8_t *raw = NULL;
    size_t size = 0;

    for (int i = 0; i < 2; i++) { /* the second takes the place of the first */
        const char *text = i == 0 ? "a longer content" : "content";
        buf_clear(&f->stored);
        assert_int_equal(codec_compress(f->codec, text, strlen(text), &f->stored).code, ALB_OK);
        assert_int_equal(
            codec_expand_here(f->codec, buf_peek(&f->stored), buf_size(&f->stored), &raw, &size)
                .code,
            ALB_OK);
        assert_int_equal(size, strlen(text));
        assert_memory_equal(raw, text, size);
    }
    assert_int_equal(
        codec_expand_here(f->codec, buf_peek(&f->stored), buf_size(&f->stored) - 1, &raw, &size)
            .code,
        ALB_CORRUPT);
}

static void bytes_are_verified_against_their_name(void **state)
{
    struct fixture *f = *state;
    struct chunk_key key = {.kind = KEY_PLAIN};
    sha256("content", 7, &key.digest);
    assert_int_equal(codec_compress(f->codec, "content", 7, &f->stored).code, ALB_OK);
    const uint8_t *frame = buf_peek(&f->stored);
    size_t size = buf_size(&f->stored);
    assert_int_equal(codec_verify(f->codec, &key, frame, size, NULL).code, ALB_OK);
    assert_int_equal(buf_append(&f->raw, "old", 3).code, ALB_OK);
    assert_int_equal(codec_verify(f->codec, &key, frame, size, &f->raw).code, ALB_OK);
    assert_int_equal(buf_size(&f->raw), 7);
    assert_memory_equal(buf_peek(&f->raw), "content", 7);

    key.digest.bytes[31] ^= 1;
    assert_int_equal(codec_verify(f->codec, &key, frame, size, &f->raw).code, ALB_CORRUPT);
    assert_int_equal(buf_size(&f->raw), 0);
    for (uint8_t kind = KEY_SEALED; kind <= KEY_CASYNC_SHA512; kind++) {
        key.kind = kind;
        assert_int_equal(codec_verify(f->codec, &key, frame, size, NULL).code, ALB_INVALID);
    }
    assert_null(codec_free(NULL));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_size_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_large_a_chunk_is_not_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bomb_is_refused_before_memory_is_taken, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(lying_about_the_size_is_found_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(frames_outside_the_stored_form_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_second_frame_and_each_cut_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_room_for_the_raw_bytes_is_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            what_is_expanded_into_the_codecs_own_memory_is_the_whole_chunk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_are_verified_against_their_name, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
