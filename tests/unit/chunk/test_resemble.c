/* SPDX-License-Identifier: Apache-2.0 */
/* unit/chunk/test_resemble.c – the likeliest predecessor comes first, by each kind of likeness. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "chunk/resemble.h"
#include "support/gen.h"

static struct resemble_file file(const char *path, uint64_t size, uint8_t content)
{
    struct resemble_file f = {.path = path, .size = size};
    f.digest.bytes[0] = content;
    return f;
}

static size_t find(const struct resemble_file *files, size_t count, struct resemble_file target,
                   struct resemble_answer answers[RESEMBLE_ANSWERS])
{
    struct resemble_index *x;
    assert_int_equal(resemble_index_new(files, count, &x).code, ALB_OK);
    size_t n = resemble_find(x, &target, answers);
    resemble_index_free(x);
    return n;
}

static void likeness_of_path_goes_before_likeness_of_name(void **state)
{
    const struct resemble_file files[] = {
        file("opt/x-2.ko", 100, 1),        file("lib/6.1.0-50/x-1.ko", 100, 2),
        file("srv/x-1.ko", 100, 3),        file("lib/6.1.0-56/x-1.ko", 100, 4),
        file("lib/6.1.0-50/y.ko", 100, 5),
    };
    struct resemble_answer a[RESEMBLE_ANSWERS];

    (void)state;
    assert_int_equal(find(files, 5, file("lib/6.1.0-56/x-1.ko", 110, 9), a), 4);
    assert_int_equal(a[0].file, 3);
    assert_int_equal(a[0].how, RESEMBLE_PATH);
    assert_int_equal(a[1].file, 1);
    assert_int_equal(a[1].how, RESEMBLE_FOLDED_PATH);
    assert_int_equal(a[2].file, 2);
    assert_int_equal(a[2].how, RESEMBLE_NAME);
    assert_int_equal(a[3].file, 0);
    assert_int_equal(a[3].how, RESEMBLE_FOLDED_NAME);
}

static void of_many_namesakes_the_nearest_in_size_comes_first(void **state)
{
    const struct resemble_file files[] = {file("a/__init__.py", 4000, 1),
                                          file("b/__init__.py", 1100, 2),
                                          file("c/__init__.py", 10, 3)};
    struct resemble_answer a[RESEMBLE_ANSWERS];

    (void)state;
    assert_int_equal(find(files, 3, file("d/__init__.py", 1000, 9), a), 2);
    assert_int_equal(a[0].file, 1);
    assert_int_equal(a[1].file, 0);
}

static void the_same_content_an_empty_file_and_a_stranger_are_no_predecessors(void **state)
{
    const struct resemble_file files[] = {file("a", 10, 9), file("b", 0, 1), file("c", 10, 2)};
    struct resemble_answer a[RESEMBLE_ANSWERS];

    (void)state;
    assert_int_equal(find(files, 3, file("a", 10, 9), a), 0);
    assert_int_equal(find(files, 3, file("b", 10, 8), a), 0);
    assert_int_equal(find(files, 3, file("d", 10, 8), a), 0);
    assert_int_equal(find(files, 3, file("c", 0, 8), a), 0);
    assert_int_equal(find(files, 0, file("c", 10, 8), a), 0);
}

static void features_of(const uint8_t *bytes, size_t size, size_t step,
                        struct resemble_features *out)
{
    struct resemble_pass p;
    resemble_begin(&p);
    for (size_t at = 0; at < size; at += step)
        resemble_add(&p, bytes + at, size - at < step ? size - at : step);
    resemble_end(&p, out);
}

static void a_renamed_file_with_an_edit_is_found_by_its_content(void **state)
{
    enum { SIZE = 100000 };
    AUTO_FREE uint8_t *old = xalloc(SIZE);
    AUTO_FREE uint8_t *other = xalloc(SIZE);
    struct resemble_file files[] = {file("x/other", SIZE, 1), file("y/old", SIZE, 2)};
    struct resemble_file target = file("z/new", SIZE, 3);
    struct resemble_answer a[RESEMBLE_ANSWERS];
    struct resemble_features whole;
    struct gen g;

    (void)state;
    gen_init(&g, 7);
    gen_bytes(&g, old, SIZE);
    gen_bytes(&g, other, SIZE);
    features_of(other, SIZE, SIZE, &files[0].features);
    features_of(old, SIZE, SIZE, &files[1].features);
    gen_bytes(&g, old + 40000, 500);
    features_of(old, SIZE, 777, &target.features);
    features_of(old, SIZE, SIZE, &whole);
    assert_memory_equal(&whole, &target.features, sizeof whole); /* however it comes in parts */
    assert_int_equal(find(files, 2, target, a), 1);
    assert_int_equal(a[0].file, 1);
    assert_int_equal(a[0].how, RESEMBLE_CONTENT);
}

static void a_file_too_small_for_features_has_none(void **state)
{
    struct resemble_features f;

    (void)state;
    features_of((const uint8_t *)"abc", 3, 3, &f);
    for (size_t i = 0; i < RESEMBLE_SUPER; i++)
        assert_true(f.super[i] == 0);
}

static void every_likeness_has_a_word(void **state)
{
    (void)state;
    for (unsigned how = RESEMBLE_PATH; how <= RESEMBLE_CONTENT; how++)
        assert_true(strlen(resemble_how_text((enum resemble_how)how)) > 4);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(likeness_of_path_goes_before_likeness_of_name),
        cmocka_unit_test(of_many_namesakes_the_nearest_in_size_comes_first),
        cmocka_unit_test(the_same_content_an_empty_file_and_a_stranger_are_no_predecessors),
        cmocka_unit_test(a_renamed_file_with_an_edit_is_found_by_its_content),
        cmocka_unit_test(a_file_too_small_for_features_has_none),
        cmocka_unit_test(every_likeness_has_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
