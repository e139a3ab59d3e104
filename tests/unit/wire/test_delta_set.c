/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_delta_set.c – delta sets: what adds up is read, and nothing else. */
#include "support/wire_fixture.h"

#include "base/file.h"
#include "wire/delta_set.h"

static struct digest digest_of(uint8_t fill)
{
    struct digest d;

    memset(&d, fill, sizeof d);
    return d;
}

/* ---- samples: the golden ones, too ---- */

static struct delta_set_root root_sample(struct root_chunk chunks[3])
{
    chunks[0] = (struct root_chunk){{KEY_PLAIN, digest_of(0x44)}, 230, 190};
    chunks[1] = (struct root_chunk){{KEY_PLAIN, digest_of(0x55)}, 70000, 69000};
    chunks[2] = (struct root_chunk){{KEY_PLAIN, digest_of(0x66)}, 1500, 1510};
    return (struct delta_set_root){.from = digest_of(0x0a),
                                   .to = digest_of(0x0b),
                                   .target_bytes = 9000000,
                                   .index_bytes = 230,
                                   .stream_bytes = 71500,
                                   .chunks = chunks,
                                   .index_count = 1,
                                   .stream_count = 2};
}

struct index_sample {
    struct delta_set_blob blobs[2];
    struct delta_set_piece pieces[4];
    struct delta_set_index index;
};

/* Two small files of one reference, then a large one in two windows of which the second is in the
 * next blob. */
static void make_index(struct index_sample *s)
{
    const uint64_t large = 9000000;

    s->pieces[0] = (struct delta_set_piece){digest_of(1), 300, 0, 300, 280, digest_of(9), 0};
    s->pieces[1] = (struct delta_set_piece){digest_of(2), 200, 0, 200, 280, digest_of(9), 0};
    s->pieces[2] =
        (struct delta_set_piece){digest_of(3), large, 0, 8000000, 8900000, digest_of(8), 0};
    s->pieces[3] =
        (struct delta_set_piece){digest_of(3), large, 8000100, 999900, 8900000, digest_of(8), 1};
    s->blobs[0] = (struct delta_set_blob){0, 70000, 1 << 20, 0, 3};
    s->blobs[1] = (struct delta_set_blob){70000, 1500, 2 << 20, 3, 1};
    s->index = (struct delta_set_index){.blobs = s->blobs,
                                        .blob_count = 2,
                                        .pieces = s->pieces,
                                        .piece_count = 4,
                                        .stream_bytes = 71500,
                                        .target_bytes = 9000400};
}

static struct delta_set_record delta_sample(void)
{
    return (struct delta_set_record){.org = "acme",
                                     .layer = "base/debian-12",
                                     .from = digest_of(0x0a),
                                     .to = digest_of(0x0b),
                                     .set = digest_of(0x0c),
                                     .root_bytes = 190,
                                     .bytes = 70890,
                                     .made_wall_s = 1700000100};
}

static void seal(const struct delta_set_record *r, struct buf *out)
{
    struct sign_secret hub = secret_of(HUB);

    buf_init(out, SIGNED_MAX);
    assert_ok(delta_set_record_encode(r, &hub, out));
}

/* ---- the root object ---- */

static void a_root_reads_as_it_was_written(void **state)
{
    struct root_chunk chunks[3];
    struct delta_set_root in = root_sample(chunks), out;
    struct buf b;

    (void)state;
    buf_init(&b, ROOT_OBJECT_MAX);
    assert_ok(delta_set_root_encode(&in, &b));
    assert_true(delta_set_is_root(buf_peek(&b), buf_size(&b)));
    assert_ok(delta_set_root_decode(buf_peek(&b), buf_size(&b), &out));
    assert_true(digest_equal(&out.from, &in.from) && digest_equal(&out.to, &in.to));
    assert_int_equal(out.target_bytes, 9000000);
    assert_int_equal(out.index_count, 1);
    assert_int_equal(out.stream_count, 2);
    for (size_t i = 0; i < 3; i++) {
        assert_true(chunk_key_equal(&out.chunks[i].key, &chunks[i].key));
        assert_int_equal(out.chunks[i].stored_bytes, chunks[i].stored_bytes);
    }
    delta_set_root_release(&out);
    for (size_t i = 0; i < buf_size(&b); i++)
        assert_int_equal(delta_set_root_decode(buf_peek(&b), i, &out).code, ALB_CORRUPT);
    buf_release(&b);
}

static void break_root(struct delta_set_root *r, int rule)
{
    switch (rule) {
    case 0: r->index_count = 0; break;
    case 1: r->stream_count = 0; break;
    case 2: r->stream_count = ROOT_CHUNKS_MAX; break;
    case 3: r->to = r->from; break;
    case 4: r->index_bytes = (16 << 20) + 1; break;
    case 5: r->target_bytes = 0; break;
    case 6: r->target_bytes = UINT64_MAX; break;
    case 7: r->chunks[1].raw_bytes = 0; break;
    case 8: r->chunks[2].raw_bytes = (4 << 20) + 1; break;
    case 9: r->chunks[0].stored_bytes = 5 << 20; break;
    case 10: r->index_bytes++; break;
    default: r->stream_bytes--; break;
    }
}

static void roots_that_do_not_add_up_are_not_made(void **state)
{
    static const char *const SAYS[] = {
        "a delta set has no index or no stream",
        "a delta set has no index or no stream",
        "a delta set names more than 110000 chunks",
        "a delta set leads from a root to itself",
        "a delta set's index is larger than 16 MiB",
        "a delta set rebuilds nothing, or more than its stream can say",
        "a delta set rebuilds nothing, or more than its stream can say",
        "a delta set's chunk is empty or larger than a chunk may be",
        "a delta set's chunk is empty or larger than a chunk may be",
        "a delta set's stored chunk is empty or larger than one may be",
        "a delta set's chunks do not add up to its size",
        "a delta set's chunks do not add up to its size",
    };

    (void)state;
    for (int rule = 0; rule < (int)ALB_COUNT(SAYS); rule++) {
        struct root_chunk chunks[3];
        struct delta_set_root r = root_sample(chunks);
        struct buf b;

        break_root(&r, rule);
        buf_init(&b, ROOT_OBJECT_MAX);
        assert_says(delta_set_root_encode(&r, &b), ALB_INVALID, SAYS[rule]);
        buf_release(&b);
    }
}

static void roots_of_other_kinds_and_versions_are_refused_by_name(void **state)
{
    struct root_chunk chunks[3];
    struct delta_set_root in = root_sample(chunks), out;
    struct buf b;

    (void)state;
    buf_init(&b, ROOT_OBJECT_MAX);
    assert_ok(delta_set_root_encode(&in, &b));
    assert_ok(buf_append(&b, "\x07\x00", 2)); /* a hint of later programs */
    assert_ok(delta_set_root_decode(buf_peek(&b), buf_size(&b), &out));
    delta_set_root_release(&out);
    assert_ok(buf_append(&b, "\x97\x00", 2));
    assert_says(delta_set_root_decode(buf_peek(&b), buf_size(&b), &out), ALB_CORRUPT,
                "delta set has a field 23 that this program does not know");
    b.bytes[8] = 2;
    assert_says(delta_set_root_decode(buf_peek(&b), buf_size(&b), &out), ALB_CORRUPT,
                "delta set format is not known to this program");
    b.bytes[3] = 'R';
    assert_says(delta_set_root_decode(buf_peek(&b), buf_size(&b), &out), ALB_CORRUPT,
                "these bytes are not a delta set");
    assert_says(delta_set_root_decode(buf_peek(&b), ROOT_OBJECT_MAX + 1, &out), ALB_CORRUPT,
                "a delta set's root object is larger than 4 MiB");
    buf_release(&b);
}

/* ---- the index ---- */

static void an_index_reads_as_it_was_written(void **state)
{
    struct delta_set_index out;
    struct index_sample s;
    struct buf b;

    (void)state;
    make_index(&s);
    buf_init(&b, DELTA_SET_INDEX_MAX);
    assert_ok(delta_set_index_encode(&s.index, &b));
    assert_ok(delta_set_index_decode(buf_peek(&b), buf_size(&b), &out));
    assert_int_equal(out.blob_count, 2);
    assert_int_equal(out.piece_count, 4);
    assert_int_equal(out.stream_bytes, 71500);
    assert_int_equal(out.target_bytes, 9000400);
    assert_memory_equal(out.blobs, s.blobs, sizeof s.blobs);
    for (size_t i = 0; i < 4; i++) {
        assert_true(digest_equal(&out.pieces[i].target, &s.pieces[i].target));
        assert_true(digest_equal(&out.pieces[i].reference, &s.pieces[i].reference));
        assert_int_equal(out.pieces[i].at, s.pieces[i].at);
        assert_int_equal(out.pieces[i].length, s.pieces[i].length);
        assert_int_equal(out.pieces[i].target_size, s.pieces[i].target_size);
        assert_int_equal(out.pieces[i].reference_size, s.pieces[i].reference_size);
        assert_int_equal(out.pieces[i].blob, s.pieces[i].blob);
    }
    delta_set_index_release(&out);
    for (size_t i = 0; i < buf_size(&b); i++)
        assert_int_equal(delta_set_index_decode(buf_peek(&b), i, &out).code, ALB_CORRUPT);
    buf_release(&b);
}

static void break_index(struct index_sample *s, int rule)
{
    switch (rule) {
    case 0: s->pieces[0].target_size = 0; break;
    case 1: s->pieces[0].target_size = UINT64_MAX; break;
    case 2: s->pieces[1].reference_size = s->pieces[0].reference_size = 0; break;
    case 3: s->pieces[0].length = 301; break;
    case 4: s->pieces[0].at = UINT64_MAX; break;
    case 5: s->pieces[0].length = 0; break;
    case 6: s->pieces[3].at = 7999999; break;
    case 7: s->pieces[3].target_size++; break;
    case 8: s->pieces[0].reference = s->pieces[0].target; break;
    case 9: s->blobs[0].size = 0; break;
    case 10: s->blobs[0].size = (10 << 20) + 1; break;
    case 11: s->blobs[1].memory = (48 << 20) + 1; break;
    case 12: s->pieces[2].length = 8 << 20; break;
    case 13: s->pieces[0].target = digest_of(3), s->pieces[0].target_size = 9000000; break;
    case 14: s->blobs[1].piece_count = 0; break;
    case 15: s->blobs[1].first_piece = 2; break;
    case 16: s->pieces[1].reference_size++; break;
    default: s->index.piece_count = 0; break;
    }
}

static void indexes_that_do_not_add_up_are_not_made(void **state)
{
    static const char *const SAYS[] = {
        "a delta index has an empty or absurdly large content",
        "a delta index has an empty or absurdly large content",
        "a delta index has an empty or absurdly large content",
        "a delta index has a window that is empty or beyond its content",
        "a delta index has a window that is empty or beyond its content",
        "a delta index has a window that is empty or beyond its content",
        "a delta index has windows of one content that overlap or do not ascend",
        "a delta index has windows of one content that overlap or do not ascend",
        "a delta index makes a content from itself",
        "a delta index has a blob that is empty or larger than 10 MiB",
        "a delta index has a blob that is empty or larger than 10 MiB",
        "a delta index has a blob that would take more than 48 MiB to apply",
        "a delta index has a blob that rebuilds more than 8 MiB",
        "a delta index names a content twice",
        "a delta index has pieces of no blob",
        "a delta index has pieces of no blob",
        "a delta index has two sizes of one reference",
        "a delta index has no piece, or more than a million",
    };

    (void)state;
    for (int rule = 0; rule < (int)ALB_COUNT(SAYS); rule++) {
        struct index_sample s;
        struct buf b;

        make_index(&s);
        break_index(&s, rule);
        buf_init(&b, DELTA_SET_INDEX_MAX);
        assert_says(delta_set_index_encode(&s.index, &b), ALB_INVALID, SAYS[rule]);
        buf_release(&b);
    }
}

static void refuses(const struct buf *b, const char *says)
{
    struct delta_set_index out;

    assert_says(delta_set_index_decode(buf_peek(b), buf_size(b), &out), ALB_CORRUPT, says);
}

static void indexes_of_other_spellings_are_refused_by_name(void **state)
{
    struct index_sample s;
    struct buf b;

    (void)state;
    make_index(&s);
    buf_init(&b, DELTA_SET_INDEX_MAX);
    assert_ok(delta_set_index_encode(&s.index, &b));
    const uint8_t codec = b.bytes[10], form = b.bytes[18];
    assert_int_equal(codec, DELTA_SET_CODEC);
    b.bytes[10] = 2;
    refuses(&b, "a delta index has a blob of a codec that this program does not know");
    b.bytes[10] = codec;
    assert_int_equal(form, 0);
    b.bytes[18] = 1; /* the first piece has none before it */
    refuses(&b, "a delta index spells a content in a way it may not");
    b.bytes[18] = 4;
    refuses(&b, "a delta index has a piece of an unknown form");
    b.bytes[18] = form;
    b.bytes[9] = 5;
    refuses(&b, "a delta index has another number of pieces than it says");
    b.bytes[9] = 0;
    refuses(&b, "a delta index has no piece, or more than it has bytes for");
    b.bytes[7] = 2;
    refuses(&b, "delta index format is not known to this program");
    b.bytes[0] = 'a';
    refuses(&b, "these bytes are not a delta index");
    buf_release(&b);
}

/* ---- records ---- */

static void a_record_is_believed_from_the_hub_alone(void **state)
{
    struct delta_set_record in = delta_sample(), out;
    struct sign_secret stranger = secret_of(STRANGER);
    struct trust_delegation d;
    struct trust t;
    struct buf b;

    (void)state;
    trust_sample(&t, &d);
    seal(&in, &b);
    assert_true(delta_set_is_record(buf_peek(&b), buf_size(&b)));
    assert_ok(delta_set_record_decode(buf_peek(&b), buf_size(&b), &t, &out));
    assert_string_equal(out.layer, in.layer);
    assert_true(digest_equal(&out.set, &in.set));
    assert_int_equal(out.bytes, in.bytes);
    assert_int_equal(delta_set_record_decode(buf_peek(&b), buf_size(&b), NULL, &out).code,
                     ALB_REFUSED);
    t.org[0] = 'b';
    assert_says(delta_set_record_decode(buf_peek(&b), buf_size(&b), &t, &out), ALB_REFUSED,
                "the delta record is another organisation's");
    t.org[0] = 'a';
    buf_clear(&b);
    assert_ok(delta_set_record_encode(&in, &stranger, &b));
    assert_int_equal(delta_set_record_decode(buf_peek(&b), buf_size(&b), &t, &out).code,
                     ALB_CORRUPT);
    buf_release(&b);
    in.to = in.from;
    buf_init(&b, SIGNED_MAX);
    assert_says(delta_set_record_encode(&in, &stranger, &b), ALB_INVALID,
                "a delta record leads from a root to itself");
    buf_release(&b);
}

static void lists_are_of_one_target_with_the_smallest_first(void **state)
{
    struct delta_set_record first = delta_sample(), second = delta_sample();
    struct trust_delegation d;
    struct delta_set_list l;
    struct buf a, b, all;
    struct trust t;

    (void)state;
    trust_sample(&t, &d);
    second.from = digest_of(0x1a);
    second.bytes++;
    seal(&first, &a);
    seal(&second, &b);
    for (int wrong = 0; wrong < 2; wrong++) {
        const struct buf *order[] = {wrong ? &b : &a, wrong ? &a : &b};
        l = (struct delta_set_list){
            2, {buf_peek(order[0]), buf_peek(order[1])}, {buf_size(order[0]), buf_size(order[1])}};
        buf_init(&all, SIGNED_MAX);
        assert_ok(delta_set_list_encode(&l, &all));
        struct alb_status st =
            delta_set_list_judge(buf_peek(&all), buf_size(&all), &t, "base/debian-12", &first.to);
        assert_string_equal(st.what,
                            wrong ? "a list of delta sets has not the smallest first" : "");
        assert_int_equal(
            delta_set_list_judge(buf_peek(&all), buf_size(&all), &t, "base/debian-11", &first.to)
                .code,
            ALB_CORRUPT);
        assert_int_equal(
            delta_set_list_judge(buf_peek(&all), buf_size(&all), &t, "base/debian-12", &first.from)
                .code,
            ALB_CORRUPT);
        assert_int_equal(delta_set_list_decode(buf_peek(&all), buf_size(&all) - 1, &l).code,
                         ALB_CORRUPT);
        all.bytes[0] = 2;
        assert_says(delta_set_list_decode(buf_peek(&all), buf_size(&all), &l), ALB_CORRUPT,
                    "list of delta sets format is not known to this program");
        buf_release(&all);
    }
    buf_release(&a);
    buf_release(&b);
}

/* ---- the golden ones ---- */

static void make_golden(const char *name, struct buf *out)
{
    struct delta_set_record r = delta_sample();
    struct root_chunk chunks[3];
    struct index_sample s;
    struct delta_set_root root = root_sample(chunks);
    struct buf sealed;

    make_index(&s);
    seal(&r, &sealed);
    const struct delta_set_list l = {1, {buf_peek(&sealed)}, {buf_size(&sealed)}};
    if (strcmp(name, "delta_root") == 0) {
        assert_ok(delta_set_root_encode(&root, out));
    } else if (strcmp(name, "delta_index") == 0) {
        assert_ok(delta_set_index_encode(&s.index, out));
    } else {
        assert_ok(delta_set_list_encode(&l, out));
    }
    buf_release(&sealed);
}

static void read_hex(const char *name, struct buf *hex)
{
    static const char HERE[] = __FILE__;
    const char *tests = strstr(HERE, "tests/unit/wire/");
    bool comment = false;
    struct buf text;

    assert_non_null(tests);
    AUTO_FREE char *path =
        xasprintf("%.*stests/golden/wire/%s.hex", (int)(tests - HERE), HERE, name);
    buf_init(&text, 1 << 20);
    assert_ok(file_read(path, &text));
    for (size_t i = 0; i < buf_size(&text); i++) {
        char c = (char)buf_peek(&text)[i];

        comment = c == '#' || (comment && c != '\n');
        if (!comment && strchr(" \n", c) == NULL)
            assert_ok(buf_append(hex, &c, 1));
    }
    buf_release(&text);
}

static void bytes_are_the_golden_ones(void **state)
{
    static const char *const NAMES[] = {"delta_root", "delta_index", "delta_list"};

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(NAMES); i++) {
        struct buf made, golden;

        buf_init(&made, 1 << 20);
        buf_init(&golden, 1 << 20);
        make_golden(NAMES[i], &made);
        AUTO_FREE char *hex = xalloc(2 * buf_size(&made) + 1);
        bytes_hex(buf_peek(&made), buf_size(&made), hex);
        read_hex(NAMES[i], &golden);
        if (strcmp(hex, buf_text(&golden)) != 0)
            print_error("%s is now\n%s\n", NAMES[i], hex);
        assert_string_equal(hex, buf_text(&golden));
        buf_release(&made);
        buf_release(&golden);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_root_reads_as_it_was_written),
        cmocka_unit_test(roots_that_do_not_add_up_are_not_made),
        cmocka_unit_test(roots_of_other_kinds_and_versions_are_refused_by_name),
        cmocka_unit_test(an_index_reads_as_it_was_written),
        cmocka_unit_test(indexes_that_do_not_add_up_are_not_made),
        cmocka_unit_test(indexes_of_other_spellings_are_refused_by_name),
        cmocka_unit_test(a_record_is_believed_from_the_hub_alone),
        cmocka_unit_test(lists_are_of_one_target_with_the_smallest_first),
        cmocka_unit_test(bytes_are_the_golden_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
