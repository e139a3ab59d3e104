/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_root.c – the root object: sums that must hold, words that must be known. */
#include "support/wire_fixture.h"

#include "wire/root.h"

static struct root sample(struct root_chunk *chunks)
{
    chunks[0] = (struct root_chunk){{KEY_PLAIN, {{1}}}, 4000, 900};
    chunks[1] = (struct root_chunk){{KEY_PLAIN, {{2}}}, 1000, 300};
    return (struct root){.entries = 12,
                         .content_bytes = 70000,
                         .content_chunks = 3,
                         .content_raw_bytes = 60000,
                         .manifest_bytes = 5000,
                         .chunks = chunks,
                         .chunk_count = 2};
}

static void a_root_reads_as_it_was_written(void **state)
{
    struct root_chunk chunks[2];
    struct root in = sample(chunks), out;
    struct buf b;

    (void)state;
    buf_init(&b, ROOT_OBJECT_MAX);
    assert_ok(root_encode(&in, &b));
    assert_ok(root_decode(buf_peek(&b), buf_size(&b), &out));
    assert_int_equal(out.entries, 12);
    assert_int_equal(out.content_raw_bytes, 60000);
    assert_int_equal(out.chunk_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(chunk_key_equal(&out.chunks[i].key, &chunks[i].key));
        assert_true(out.chunks[i].raw_bytes == chunks[i].raw_bytes &&
                    out.chunks[i].stored_bytes == chunks[i].stored_bytes);
    }
    root_release(&out);
    for (size_t i = 0; i < buf_size(&b); i++)
        assert_int_equal(root_decode(buf_peek(&b), i, &out).code, ALB_CORRUPT);
    buf_release(&b);
}

static void break_rule(struct root *r, int rule)
{
    switch (rule) {
    case 0: r->chunk_count = 0; break;
    case 1: r->chunk_count = ROOT_CHUNKS_MAX + 1; break;
    case 2: r->chunks[1].raw_bytes = 0; break;
    case 3: r->chunks[1].raw_bytes = (4 << 20) + 1; break;
    case 4: r->chunks[0].stored_bytes = 0; break;
    case 5: r->chunks[0].stored_bytes = 5 << 20; break;
    case 6: r->manifest_bytes++; break;
    case 7: r->entries = 0; break;
    case 8: r->entries = 5001; break;
    case 9: r->content_chunks = 60001; break;
    case 10: r->content_raw_bytes = UINT64_MAX; break;
    case 11: r->content_chunks = 0; break;
    default: r->content_bytes = 0; break;
    }
}

static void roots_that_do_not_add_up_are_not_made(void **state)
{
    static const char *const SAYS[] = {
        "a root object names no manifest chunk",
        "a root object names more than 110000 manifest chunks",
        "a root object's chunk is empty or larger than a chunk may be",
        "a root object's chunk is empty or larger than a chunk may be",
        "a root object's stored chunk is empty or larger than one may be",
        "a root object's stored chunk is empty or larger than one may be",
        "a root object's manifest chunks do not add up to its manifest's size",
        "a root object's number of entries does not fit its manifest's size",
        "a root object's number of entries does not fit its manifest's size",
        "a root object's number of chunks does not fit their size",
        "a root object's number of chunks does not fit their size",
        "a root object has content without chunks, or chunks without content",
        "a root object has content without chunks, or chunks without content",
    };

    (void)state;
    for (int rule = 0; rule < (int)ALB_COUNT(SAYS); rule++) {
        struct root_chunk chunks[2];
        struct root r = sample(chunks);
        struct buf b;

        break_rule(&r, rule);
        buf_init(&b, ROOT_OBJECT_MAX);
        assert_says(root_encode(&r, &b), ALB_INVALID, SAYS[rule]);
        assert_int_equal(buf_size(&b), 0);
        buf_release(&b);
    }
}

static void damage_and_unknown_words_are_refused_by_name(void **state)
{
    struct root_chunk chunks[2];
    struct root in = sample(chunks), out;
    struct buf b;

    (void)state;
    buf_init(&b, ROOT_OBJECT_MAX);
    assert_ok(root_encode(&in, &b));
    b.bytes[8] = 13 + 0x80; /* entries: spelled into the next number */
    assert_int_equal(root_decode(buf_peek(&b), buf_size(&b), &out).code, ALB_CORRUPT);
    b.bytes[8] = 0;
    assert_says(root_decode(buf_peek(&b), buf_size(&b), &out), ALB_CORRUPT,
                "a root object's number of entries does not fit its manifest's size");
    b.bytes[8] = 12;
    assert_ok(buf_append(&b, "\x07\x00", 2));
    assert_ok(root_decode(buf_peek(&b), buf_size(&b), &out)); /* not critical */
    root_release(&out);
    assert_ok(buf_append(&b, "\x97\x00", 2));
    assert_says(root_decode(buf_peek(&b), buf_size(&b), &out), ALB_CORRUPT,
                "root object has a field 23 that this program does not know");
    b.bytes[7] = 2;
    assert_says(root_decode(buf_peek(&b), buf_size(&b), &out), ALB_CORRUPT,
                "root object format is not known to this program");
    b.bytes[0] = 'a';
    assert_says(root_decode(buf_peek(&b), buf_size(&b), &out), ALB_CORRUPT,
                "these bytes are not a root object");
    assert_says(root_decode(buf_peek(&b), ROOT_OBJECT_MAX + 1, &out), ALB_CORRUPT,
                "a root object is larger than 4 MiB");
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_root_reads_as_it_was_written),
        cmocka_unit_test(roots_that_do_not_add_up_are_not_made),
        cmocka_unit_test(damage_and_unknown_words_are_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
