/* SPDX-License-Identifier: Apache-2.0 */
/* unit/image/test_journal.c – a journal is read back as it was written, or not at all. */

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "image/journal.h"

static void must(struct alb_status st)
{
    assert_string_equal(st.what, "");
    assert_int_equal(st.code, ALB_OK);
}

static struct journal sample(void)
{
    struct journal j = {.counts = {.made = 3, .kept = 300, .xattrs_not_set = 1}};

    j.version = xstrdup("base/test@1");
    memset(j.root.bytes, 0xa5, DIGEST_SIZE);
    j.places = xcalloc(2, sizeof(*j.places));
    j.places[0] = xstrdup("");
    j.places[1] = xstrdup("srv/data");
    j.place_count = 2;
    j.notes = xcalloc(1, sizeof(*j.notes));
    j.notes[0] = xstrdup("data: is a mount point");
    j.note_count = 1;
    j.manifest_bytes = (const uint8_t *)"manifest";
    j.manifest_size = 8;
    journal_add(&j, (struct journal_op){JOURNAL_UNLINK, 0, xstrdup("a/b"), 4711});
    journal_add(&j, (struct journal_op){JOURNAL_KEEP, 0, xstrdup("c"), UINT64_MAX});
    journal_add(&j, (struct journal_op){JOURNAL_MAKE_DIR, 7, NULL, 0});
    journal_add(&j, (struct journal_op){JOURNAL_RENAME_IN, 300, NULL, 99});
    journal_add(&j, (struct journal_op){JOURNAL_SET_META, 0, NULL, 0});
    return j;
}

static struct buf encoded(void)
{
    struct journal j = sample();
    struct buf bytes;

    buf_init(&bytes, 1 << 20);
    must(journal_encode(&j, &bytes));
    journal_release(&j);
    return bytes;
}

static void what_was_written_is_read_back(void **state)
{
    struct buf bytes = encoded();
    struct journal want = sample();
    struct journal j;

    (void)state;
    must(journal_decode(buf_peek(&bytes), buf_size(&bytes), &j));
    assert_string_equal(j.version, want.version);
    assert_true(digest_equal(&j.root, &want.root));
    assert_memory_equal(&j.counts, &want.counts, sizeof(j.counts));
    assert_int_equal(j.place_count, 2);
    assert_string_equal(j.places[1], "srv/data");
    assert_int_equal(j.note_count, 1);
    assert_string_equal(j.notes[0], "data: is a mount point");
    assert_int_equal(j.manifest_size, 8);
    assert_memory_equal(j.manifest_bytes, "manifest", 8);
    assert_int_equal(j.op_count, want.op_count);
    for (size_t i = 0; i < j.op_count; i++) {
        assert_int_equal(j.ops[i].kind, want.ops[i].kind);
        assert_int_equal(j.ops[i].entry, want.ops[i].entry);
        assert_int_equal(j.ops[i].ino, want.ops[i].ino);
        assert_string_equal(j.ops[i].path == NULL ? "" : j.ops[i].path,
                            want.ops[i].path == NULL ? "" : want.ops[i].path);
    }
    journal_release(&want);
    journal_release(&j);
    buf_release(&bytes);
}

static void every_beginning_of_a_journal_is_refused(void **state)
{
    struct buf bytes = encoded();
    struct journal j;

    (void)state;
    for (size_t size = 0; size < buf_size(&bytes); size++)
        assert_int_equal(journal_decode(buf_peek(&bytes), size, &j).code, ALB_CORRUPT);
    must(buf_append(&bytes, "x", 1)); /* and so is more than a journal */
    assert_int_equal(journal_decode(buf_peek(&bytes), buf_size(&bytes), &j).code, ALB_CORRUPT);
    buf_release(&bytes);
}

static void every_flipped_bit_is_refused(void **state)
{
    struct buf bytes = encoded();
    struct journal j;

    (void)state;
    for (size_t bit = 0; bit < 8 * buf_size(&bytes); bit++) {
        bytes.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(journal_decode(buf_peek(&bytes), buf_size(&bytes), &j).code, ALB_CORRUPT);
        bytes.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    must(journal_decode(buf_peek(&bytes), buf_size(&bytes), &j));
    journal_release(&j);
    buf_release(&bytes);
}

static void an_unknown_format_version_is_refused_by_name(void **state)
{
    struct buf bytes = encoded();
    struct journal j;
    struct alb_status st;

    (void)state;
    bytes.bytes[8] = 2;
    st = journal_decode(buf_peek(&bytes), buf_size(&bytes), &j);
    assert_int_equal(st.code, ALB_CORRUPT);
    assert_non_null(strstr(st.what, "unknown format version"));
    buf_release(&bytes);
}

/* The example of image/FORMAT.md. */
static void the_bytes_are_those_of_the_format_document(void **state)
{
    static const char want[] =
        "414c424a524e4c0a01000000"
        "32000000b5805557"
        "01036240310000000000000000000000000000000000000000000000000000000000000000"
        "01000000ac0200000000010000"
        "020000008d98ca08026d"
        "08000000ab4ff9f8030103612f62ac02"
        "05000000d2150ac9030601ad02"
        "02000000f966d05e0402";
    struct journal j = {.counts = {.made = 1, .unchanged = 300}, .place_count = 1};
    struct buf bytes;
    char hex[1024];

    (void)state;
    j.version = xstrdup("b@1");
    j.places = xcalloc(1, sizeof(*j.places));
    j.places[0] = xstrdup("");
    j.manifest_bytes = (const uint8_t *)"m";
    j.manifest_size = 1;
    journal_add(&j, (struct journal_op){JOURNAL_UNLINK, 0, xstrdup("a/b"), 300});
    journal_add(&j, (struct journal_op){JOURNAL_RENAME_IN, 1, NULL, 301});
    buf_init(&bytes, 1 << 10);
    must(journal_encode(&j, &bytes));
    bytes_hex(buf_peek(&bytes), buf_size(&bytes), hex);
    buf_release(&bytes);
    journal_release(&j);
    assert_string_equal(hex, want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(every_beginning_of_a_journal_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(an_unknown_format_version_is_refused_by_name),
        cmocka_unit_test(the_bytes_are_those_of_the_format_document),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
