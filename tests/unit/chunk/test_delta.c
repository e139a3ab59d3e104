/* SPDX-License-Identifier: Apache-2.0 */
/* unit/chunk/test_delta.c – deltas rebuild what they were made of, and each kind of blob or
 * reference that must not be trusted is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/pack.h"
#include "chunk/codec.h"
#include "chunk/delta.h"
#include "support/gen.h"

enum { SIZE = 60000 };

struct fixture {
    struct delta_maker *maker;
    struct buf blob, out;
    uint8_t *same;      /* as `old`, elsewhere */
    uint8_t *old, *new; /* SIZE bytes each; some bytes in hundred differ, and 100 are new */
};

static int set_up(void **state)
{
    struct fixture *f = xalloc(sizeof *f);
    struct gen g;
    gen_init(&g, 3);
    f->maker = delta_maker_new(&delta_terms_default);
    buf_init(&f->blob, DELTA_SIZE_MAX);
    buf_init(&f->out, DELTA_TARGET_MAX);
    f->old = xalloc(SIZE);
    f->new = xalloc(SIZE);
    f->same = xalloc(SIZE);
    gen_bytes(&g, f->old, SIZE);
    memcpy(f->same, f->old, SIZE);
    memcpy(f->new, f->old + 100, SIZE - 100);
    gen_bytes(&g, f->new + SIZE - 100, 100);
    for (size_t i = 50; i < SIZE - 100; i += 100)
        f->new[i] += 4;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    delta_maker_free(f->maker);
    buf_release(&f->blob);
    buf_release(&f->out);
    free(f->old);
    free(f->new);
    free(f->same);
    free(f);
    return 0;
}

static struct delta_made add(struct fixture *f, const uint8_t *target, size_t size)
{
    struct delta_made made;
    struct delta_piece p = {
        .target = target, .target_size = size, .reference = f->old, .reference_size = SIZE};
    assert_int_equal(delta_maker_add(f->maker, &p, size, &made).code, ALB_OK);
    return made;
}

static void finish(struct fixture *f)
{
    buf_clear(&f->blob);
    assert_int_equal(delta_maker_finish(f->maker, &f->blob).code, ALB_OK);
}

static struct alb_status append(void *arg, const void *bytes, size_t size)
{
    assert_true(size <= 64 << 10);
    return buf_append(arg, bytes, size);
}

static struct alb_status open_it(const struct buf *blob, struct delta **out)
{
    return delta_open(buf_peek(blob), buf_size(blob), &delta_limits_default, out);
}

static struct alb_status rebuild(struct fixture *f, struct delta *d, size_t i)
{
    struct delta_reference r = {.size = SIZE, .bytes = f->old};
    struct delta_sink sink = {append, &f->out};
    buf_clear(&f->out);
    return delta_rebuild(d, i, &r, &sink);
}

static void assert_rebuilt(struct fixture *f, struct delta *d, size_t i, const uint8_t *bytes,
                           size_t size)
{
    assert_int_equal(rebuild(f, d, i).code, ALB_OK);
    assert_int_equal(buf_size(&f->out), size);
    assert_memory_equal(buf_peek(&f->out), bytes, size);
}

static void pieces_told_either_way_come_back_in_any_order(void **state)
{
    struct fixture *f = *state;
    struct delta *d;

    assert_int_equal(add(f, f->new, SIZE).way, DELTA_ALIGNED);
    assert_int_equal(add(f, f->same, SIZE - 1).way, DELTA_PREFIX); /* a trifle */
    finish(f);
    assert_true(buf_size(&f->blob) < 2000); /* 600 bytes that differ and 100 new */
    assert_int_equal(open_it(&f->blob, &d).code, ALB_OK);
    assert_int_equal(delta_pieces(d), 2);
    assert_int_equal(delta_piece_info(d, 0).reference_size, SIZE);
    assert_int_equal(delta_piece_info(d, 1).target_size, SIZE - 1);
    assert_rebuilt(f, d, 1, f->old, SIZE - 1);
    assert_rebuilt(f, d, 0, f->new, SIZE);
    assert_rebuilt(f, d, 1, f->old, SIZE - 1);
    delta_close(d);
}

static void a_delta_that_saves_too_little_is_not_kept(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE uint8_t *noise = xalloc(SIZE);
    struct gen g;

    gen_init(&g, 99);
    gen_bytes(&g, noise, SIZE);
    assert_false(add(f, noise, SIZE).is_kept);
    assert_false(add(f, f->old, 60).is_kept); /* its index entry would cost as much */
    assert_int_equal(delta_maker_pieces(f->maker), 0);
    assert_int_equal(delta_maker_finish(f->maker, &f->blob).code, ALB_INVALID);
}

static void what_has_no_room_or_no_size_is_no_piece(void **state)
{
    struct fixture *f = *state;
    struct delta_made made;
    struct delta_piece p = {.target = f->new, .reference = f->old, .reference_size = SIZE};

    assert_int_equal(delta_maker_add(f->maker, &p, 1, &made).code, ALB_INVALID);
    p.target_size = (size_t)DELTA_TARGET_MAX + 1;
    assert_int_equal(delta_maker_add(f->maker, &p, 1, &made).code, ALB_INVALID);
    p.target_size = SIZE;
    p.reference_size = 0;
    assert_int_equal(delta_maker_add(f->maker, &p, 1, &made).code, ALB_INVALID);
    (void)add(f, f->new, SIZE);
    assert_false(delta_maker_has_room(f->maker, (size_t)DELTA_TARGET_MAX - SIZE + 1));
}

static void a_reference_of_another_size_is_a_conflict(void **state)
{
    struct fixture *f = *state;
    struct delta_reference r = {.size = SIZE - 1, .bytes = f->old};
    struct delta_sink sink = {append, &f->out};
    struct delta *d;

    (void)add(f, f->new, SIZE);
    finish(f);
    assert_int_equal(open_it(&f->blob, &d).code, ALB_OK);
    assert_int_equal(delta_rebuild(d, 0, &r, &sink).code, ALB_CONFLICT);
    delta_close(d);
}

static void an_altered_reference_spoils_its_piece_and_no_other(void **state)
{
    struct fixture *f = *state;
    struct delta *d;

    (void)add(f, f->new, SIZE);
    (void)add(f, f->new, SIZE / 2);
    finish(f);
    assert_int_equal(open_it(&f->blob, &d).code, ALB_OK);
    f->old[1000] ^= 1;
    alb_ignore(rebuild(f, d, 0), "refused, or wrong: the caller's digest tells");
    assert_memory_not_equal(buf_peek(&f->out), f->new, buf_size(&f->out));
    f->old[1000] ^= 1;
    assert_rebuilt(f, d, 1, f->new, SIZE / 2);
    delta_close(d);
}

static struct alb_status failing_write(void *arg, const void *bytes, size_t size)
{
    (void)arg;
    (void)bytes;
    (void)size;
    return alb_fail(ALB_IO, "the disk is gone");
}

static struct alb_status failing_read(void *arg, uint64_t offset, void *out, size_t size)
{
    (void)arg;
    (void)offset;
    memset(out, 0, size);
    return alb_fail(ALB_IO, "the file is gone");
}

static void what_the_reference_or_the_sink_says_ends_the_piece(void **state)
{
    struct fixture *f = *state;
    struct delta_reference whole = {.size = SIZE, .bytes = f->old};
    struct delta_reference gone = {.size = SIZE, .read = failing_read};
    struct delta_sink sink = {append, &f->out}, full = {failing_write, NULL};
    struct delta *d;

    (void)add(f, f->new, SIZE);
    (void)add(f, f->same, SIZE - 1);
    finish(f);
    assert_int_equal(open_it(&f->blob, &d).code, ALB_OK);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(delta_rebuild(d, i, &gone, &sink).code, ALB_IO);
        assert_int_equal(delta_rebuild(d, i, &whole, &full).code, ALB_IO);
    }
    assert_rebuilt(f, d, 1, f->old, SIZE - 1);
    delta_close(d);
}

static void every_shortened_blob_is_refused(void **state)
{
    struct fixture *f = *state;
    struct delta *d;

    (void)add(f, f->new, SIZE);
    (void)add(f, f->same, SIZE - 1);
    finish(f);
    for (size_t size = 0; size < buf_size(&f->blob); size++)
        assert_int_equal(delta_open(buf_peek(&f->blob), size, &delta_limits_default, &d).code,
                         ALB_CORRUPT);
}

static void a_version_or_a_magic_of_another_is_refused_by_name(void **state)
{
    struct fixture *f = *state;
    struct delta *d;

    (void)add(f, f->new, SIZE);
    finish(f);
    f->blob.bytes[f->blob.head + 4] = DELTA_VERSION + 1;
    struct alb_status st = open_it(&f->blob, &d);
    assert_int_equal(st.code, ALB_INVALID);
    assert_non_null(strstr(st.what, "version"));
    f->blob.bytes[f->blob.head] = 'X';
    assert_int_equal(open_it(&f->blob, &d).code, ALB_CORRUPT);
}

static void limits_of_the_caller_hold_before_memory_is_taken(void **state)
{
    struct fixture *f = *state;
    struct delta_limits small = {SIZE - 1, DELTA_MEMORY_MAX}, tight = {DELTA_TARGET_MAX, 64};
    struct delta *d;

    (void)add(f, f->new, SIZE);
    finish(f);
    assert_int_equal(delta_open(buf_peek(&f->blob), buf_size(&f->blob), &small, &d).code, ALB_FULL);
    assert_int_equal(delta_open(buf_peek(&f->blob), buf_size(&f->blob), &tight, &d).code, ALB_FULL);
}

/* ---- blobs written by hand ---- */

/* A blob with one piece whose streams are the texts; `sizes` are those of the head (raw). */
static void write_blob(struct buf *blob, uint64_t target, const struct buf streams[7],
                       const uint64_t raw[7])
{
    struct codec *codec = codec_new();
    struct buf packed;
    struct pack p;

    buf_clear(blob);
    buf_init(&packed, 2 << 20);
    pack_init(&p, blob);
    pack_bytes(&p, "AlbD\1", 5);
    pack_varint(&p, 1);
    pack_varint(&p, target);
    for (size_t i = 0; i < 7; i++) {
        size_t before = buf_size(&packed);
        if (buf_size(&streams[i]) > 0)
            assert_int_equal(
                codec_compress(codec, buf_peek(&streams[i]), buf_size(&streams[i]), &packed).code,
                ALB_OK);
        pack_varint(&p, raw != NULL ? raw[i] : buf_size(&streams[i]));
        pack_varint(&p, buf_size(&packed) - before);
    }
    pack_bytes(&p, buf_peek(&packed), buf_size(&packed));
    assert_int_equal(pack_finish(&p).code, ALB_OK);
    buf_release(&packed);
    codec_free(codec);
}

struct by_hand {
    uint8_t way;
    uint64_t target, reference;
    const char *parts[6]; /* streams 1 … 6, as hexadecimal */
};

/* Make the blob, open it and rebuild its piece from "0123456789". */
static struct alb_status play(struct fixture *f, const struct by_hand *b)
{
    struct delta_reference r = {.size = 10, .bytes = (const uint8_t *)"0123456789"};
    struct delta_sink sink = {append, &f->out};
    struct buf streams[7];
    struct delta *d = NULL;
    struct pack p;

    buf_clear(&f->out);
    for (size_t i = 0; i < 7; i++)
        buf_init(&streams[i], 1 << 16);
    pack_init(&p, &streams[0]);
    pack_u8(&p, b->way);
    pack_varint(&p, b->target);
    pack_varint(&p, b->reference);
    for (size_t i = 0; i < 6; i++) {
        uint8_t bytes[64];
        size_t size = strlen(b->parts[i]) / 2;
        assert_int_equal(bytes_parse_hex(b->parts[i], bytes, size).code, ALB_OK);
        assert_int_equal(buf_append(&streams[i + 1], bytes, size).code, ALB_OK);
        pack_varint(&p, size);
    }
    write_blob(&f->blob, b->target, streams, NULL);
    struct alb_status st = open_it(&f->blob, &d);
    if (!alb_failed(st))
        st = delta_rebuild(d, 0, &r, &sink);
    delta_close(d);
    for (size_t i = 0; i < 7; i++)
        buf_release(&streams[i]);
    return st;
}

/* "ab", then 2345 whose second byte is one more, then (back by one) 56. */
static const struct by_hand GOOD = {2, 8, 10, {"0200", "0402", "0001", "01", "01", "6162"}};

static void a_piece_written_by_hand_is_rebuilt_as_the_format_says(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(play(f, &GOOD).code, ALB_OK);
    assert_int_equal(buf_size(&f->out), 8);
    assert_memory_equal(buf_peek(&f->out), "ab244556", 8);
}

/* What was once made is readable for ever: GOOD's blob, head in the first line, then the directory
 * and the streams 1 … 6, a frame in each line. */
static const char GOLDEN[] = "416c62440101080912020b020b020b010a010a020b"
                             "28b52ffd200949000002080a020202010102"
                             "28b52ffd20021100000200"
                             "28b52ffd20021100000402"
                             "28b52ffd20021100000001"
                             "28b52ffd200109000001"
                             "28b52ffd200109000001"
                             "28b52ffd20021100006162";

static void the_golden_blob_is_read_for_ever(void **state)
{
    struct fixture *f = *state;
    struct delta_reference r = {.size = 10, .bytes = (const uint8_t *)"0123456789"};
    struct delta_sink sink = {append, &f->out};
    uint8_t bytes[sizeof GOLDEN / 2];
    struct delta *d;

    assert_int_equal(bytes_parse_hex(GOLDEN, bytes, sizeof bytes).code, ALB_OK);
    assert_int_equal(delta_open(bytes, sizeof bytes, &delta_limits_default, &d).code, ALB_OK);
    assert_int_equal(delta_rebuild(d, 0, &r, &sink).code, ALB_OK);
    assert_memory_equal(buf_peek(&f->out), "ab244556", 8);
    delta_close(d);
}

static void a_piece_that_contradicts_itself_is_refused(void **state)
{
    struct fixture *f = *state;
    static const struct by_hand BAD[] = {
        {2, 8, 10, {"0200", "0403", "0001", "01", "01", "6162"}},     /* longer than declared   */
        {2, 8, 10, {"0200", "0402", "0001", "01", "01", "61"}},       /* new bytes missing      */
        {2, 8, 10, {"0200", "0402", "0001", "01", "01", "616263"}},   /* … left over            */
        {2, 8, 10, {"0200", "0402", "0001", "01", "0101", "6162"}},   /* a value left over      */
        {2, 8, 10, {"0200", "0402", "0001", "01", "", "6162"}},       /* a value missing        */
        {2, 8, 10, {"0200", "0402", "0001", "06", "01", "6162"}},     /* a gap beyond the end   */
        {2, 8, 10, {"0200", "0402", "000100", "01", "01", "6162"}},   /* a seek left over       */
        {2, 8, 10, {"0200", "0402", "00", "01", "01", "6162"}},       /* a seek missing         */
        {2, 8, 10, {"0200", "0402", "000a", "01", "01", "6162"}},     /* beyond the reference   */
        {2, 8, 10, {"0200", "0402", "0f01", "01", "01", "6162"}},     /* before it              */
        {2, 8, 10, {"020000", "040002", "0001", "01", "01", "6162"}}, /* a run of nothing       */
        {2, 8, 10, {"82808080808080808001", "06", "00", "01", "01", "6162"}},
    };

    for (size_t i = 0; i < ALB_COUNT(BAD); i++)
        assert_int_equal(play(f, &BAD[i]).code, ALB_CORRUPT);
}

static void a_way_nobody_knows_is_refused_by_name(void **state)
{
    struct fixture *f = *state;
    struct by_hand b = GOOD;

    b.way = 3;
    struct alb_status st = play(f, &b);
    assert_int_equal(st.code, ALB_INVALID);
    assert_non_null(strstr(st.what, "way"));
}

static void a_bomb_is_refused_before_it_expands(void **state)
{
    struct fixture *f = *state;
    struct buf streams[7];
    uint64_t raw[7] = {20};
    struct delta *d;

    for (size_t i = 0; i < 7; i++)
        buf_init(&streams[i], 1 << 20);
    AUTO_FREE uint8_t *zeros = xalloc(1 << 20);
    assert_int_equal(buf_append(&streams[6], zeros, 1 << 20).code, ALB_OK);
    raw[6] = 1 << 20; /* a piece of one byte, and a megabyte for it */
    write_blob(&f->blob, 1, streams, raw);
    assert_int_equal(open_it(&f->blob, &d).code, ALB_CORRUPT);
    raw[6] = UINT64_MAX;
    write_blob(&f->blob, DELTA_TARGET_MAX, streams, raw);
    assert_int_equal(open_it(&f->blob, &d).code, ALB_CORRUPT);
    for (size_t i = 0; i < 7; i++)
        buf_release(&streams[i]);
}

static void windows_of_a_large_file_are_told_against_all_of_its_reference(void **state)
{
    enum { LARGE = 20 << 20, WINDOW = 3 << 20, MOVED = 12 << 20 };
    struct fixture *f = *state;
    AUTO_FREE uint8_t *old = xalloc(LARGE);
    struct delta_made made;
    struct delta *d;
    struct gen g;

    gen_init(&g, 5);
    gen_bytes(&g, old, LARGE);
    AUTO_FREE uint8_t *new = xalloc(WINDOW);
    memcpy(new, old + MOVED, WINDOW); /* far from where it was, and out of zstd's window */
    struct delta_piece p = {new, WINDOW, 0, old, LARGE};
    assert_int_equal(delta_maker_add(f->maker, &p, WINDOW, &made).code, ALB_OK);
    (void)made;
    p.at = MOVED;
    assert_int_equal(delta_maker_add(f->maker, &p, WINDOW, &made).code, ALB_OK);
    assert_true(made.is_kept);
    assert_true(made.cost < 1000);
    size_t last = delta_maker_pieces(f->maker) - 1;
    finish(f);
    assert_int_equal(open_it(&f->blob, &d).code, ALB_OK);
    struct delta_reference r = {.size = LARGE, .bytes = old};
    struct delta_sink sink = {append, &f->out};
    buf_clear(&f->out);
    assert_int_equal(delta_rebuild(d, last, &r, &sink).code, ALB_OK);
    assert_int_equal(buf_size(&f->out), WINDOW);
    assert_memory_equal(buf_peek(&f->out), new, WINDOW);
    delta_close(d);
}

/* The first window needed no look at the reference's index, so it stayed that of the one before. */
static void a_reference_that_lay_where_another_did_was_searched_by_the_others_index(void **state)
{
    struct fixture *f = *state;
    AUTO_FREE uint8_t *noise = xalloc(SIZE);
    struct delta_piece p = {f->new, SIZE, 0, f->old, SIZE};
    struct delta_made made;
    struct gen g;

    gen_init(&g, 11);
    gen_bytes(&g, f->old, SIZE);
    memcpy(noise, f->old + 100, SIZE - 100);
    for (size_t i = 50; i < SIZE - 100; i += 100)
        noise[i] += 4;
    p.target = noise;
    assert_int_equal(delta_maker_add(f->maker, &p, SIZE, &made).code, ALB_OK);
    assert_int_equal(made.way, DELTA_ALIGNED);
    memcpy(f->old, f->same, SIZE); /* the next file, mapped to the same place */
    gen_bytes(&g, noise, SIZE);
    assert_int_equal(delta_maker_add(f->maker, &p, SIZE, &made).code, ALB_OK);
    assert_false(made.is_kept); /* zstd alone tells that it is hopeless */
    p.at = SIZE;
    p.target = f->new;
    assert_int_equal(delta_maker_add(f->maker, &p, SIZE, &made).code, ALB_OK);
    assert_int_equal(made.way, DELTA_ALIGNED);
    assert_true(made.cost < 2000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(pieces_told_either_way_come_back_in_any_order),
        TEST(a_delta_that_saves_too_little_is_not_kept),
        TEST(what_has_no_room_or_no_size_is_no_piece),
        TEST(a_reference_of_another_size_is_a_conflict),
        TEST(an_altered_reference_spoils_its_piece_and_no_other),
        TEST(what_the_reference_or_the_sink_says_ends_the_piece),
        TEST(every_shortened_blob_is_refused),
        TEST(a_version_or_a_magic_of_another_is_refused_by_name),
        TEST(limits_of_the_caller_hold_before_memory_is_taken),
        TEST(a_piece_written_by_hand_is_rebuilt_as_the_format_says),
        TEST(the_golden_blob_is_read_for_ever),
        TEST(a_piece_that_contradicts_itself_is_refused),
        TEST(a_way_nobody_knows_is_refused_by_name),
        TEST(a_bomb_is_refused_before_it_expands),
        TEST(windows_of_a_large_file_are_told_against_all_of_its_reference),
        TEST(a_reference_that_lay_where_another_did_was_searched_by_the_others_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
