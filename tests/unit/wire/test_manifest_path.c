/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_manifest_path.c – which paths there are, and in what order. */
#include "support/wire_fixture.h"

#include "wire/manifest.h"

static void paths_come_by_directory_then_by_name(void **state)
{
    /* Ascending; '-' (0x2d) and '.' (0x2e) sort before '/' (0x2f) as bytes, and must not here. */
    static const char *const ORDER[] = {"",      "a",     "a-b",    "a.b",       "b",
                                        "a/x",   "a/y",   "a/x/1",  "a/x-/0",    "a/y/0",
                                        "a-b/0", "a.b/c", "b/\x7f", "b/\xc3\xa9"};

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(ORDER); i++)
        for (size_t j = 0; j < ALB_COUNT(ORDER); j++) {
            int order = path_compare(ORDER[i], ORDER[j]);

            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
}

static void each_wrong_path_hears_its_rule(void **state)
{
    static const struct {
        const char *path;
        const char *says;
    } cases[] = {
        {"", "a path is empty"},
        {"/etc", "a path begins with a slash"},
        {"a//b", "a path has an empty component"},
        {"a/", "a path has an empty component"},
        {"a/./b", "a path has the component \".\""},
        {".", "a path has the component \".\""},
        {"..", "a path has the component \"..\""},
        {"a/../b", "a path has the component \"..\""},
        {".albedo", "a path has the reserved component \".albedo\""},
        {"a/.albedo/b", "a path has the reserved component \".albedo\""},
    };
    AUTO_FREE char *path = xalloc(5000);

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(cases); i++)
        assert_says(path_check(cases[i].path), ALB_INVALID, cases[i].says);
    memset(path, 'x', 256);
    assert_says(path_check(path), ALB_INVALID, "a path has a component longer than 255 bytes");
    for (size_t i = 0; i < 4096; i++)
        path[i] = i % 10 == 9 ? '/' : 'x';
    assert_says(path_check(path), ALB_INVALID, "a path is longer than 4095 bytes");
    path[4095] = '\0';
    assert_ok(path_check(path));
}

static void odd_but_possible_paths_are_paths(void **state)
{
    (void)state;
    assert_ok(path_check("..."));
    assert_ok(path_check(".albedo2/albedo"));
    assert_ok(path_check(".Albedo"));
    assert_ok(path_check("a b/\n\xff"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_come_by_directory_then_by_name),
        cmocka_unit_test(each_wrong_path_hears_its_rule),
        cmocka_unit_test(odd_but_possible_paths_are_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
