/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fault/fault_file.c – every step of reading and replacing a file fails once. LINKS: base */
#include <dirent.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/file.h"
#include "support/tmpdir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#ifdef ALB_FAULT

static unsigned entries_in(const char *path)
{
    DIR *dir = opendir(path);
    unsigned n = 0;

    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(dir);
    return n;
}

/* Fail the 1st, 2nd, 3rd … fallible call until none is left to fail.  Whatever happens, the file
 * is whole: old, or new once the rename was done. */
static void a_replacement_that_fails_anywhere_leaves_a_whole_file(void **state)
{
    struct tmpdir *place = tmpdir_open();
    AUTO_FREE char *path = tmpdir_path(place, "conf");
    unsigned nth = 0;
    bool fired = true;

    (void)state;
    for (; fired; nth++) {
        struct alb_status st;

        tmpdir_write(place, "conf", "old", 3);
        fault_arm(NULL, nth);
        st = file_replace(path, "newer", 5, 0600);
        fault_disarm();
        fired = fault_fired();
        assert_int_equal(alb_failed(st), fired);
        AUTO_FREE char *read = tmpdir_read(place, "conf", NULL);

        if (!fired)
            assert_string_equal(read, "newer");
        else
            assert_true(strcmp(read, "old") == 0 || strcmp(read, "newer") == 0);
        assert_int_equal(entries_in(place->path), 1);
    }
    assert_true(nth > 5); /* create, write, sync, rename, sync of the directory */
    tmpdir_close(place);
}

static void until_the_rename_the_old_bytes_stay(void **state)
{
    static const char *const sites[] = {"file.create", "file.write", "file.sync", "file.rename"};
    struct tmpdir *place = tmpdir_open();
    AUTO_FREE char *path = tmpdir_path(place, "conf");

    (void)state;
    tmpdir_write(place, "conf", "old", 3);
    for (size_t i = 0; i < ALB_COUNT(sites); i++) {
        fault_arm(sites[i], 0);
        assert_int_equal(file_replace(path, "newer", 5, 0600).code, ALB_IO);
        assert_true(fault_fired());
        AUTO_FREE char *read = tmpdir_read(place, "conf", NULL);

        assert_string_equal(read, "old");
    }
    fault_disarm();
    tmpdir_close(place);
}

static void a_read_that_fails_anywhere_appends_nothing(void **state)
{
    struct tmpdir *place = tmpdir_open();
    AUTO_FREE char *path = tmpdir_path(place, "data");
    unsigned nth = 0;
    bool fired = true;

    (void)state;
    tmpdir_write(place, "data", "0123456789", 10);
    for (; fired; nth++) {
        struct alb_status st;
        struct buf b;

        buf_init(&b, 1000);
        assert_false(alb_failed(buf_append(&b, "x", 1)));
        fault_arm(NULL, nth);
        st = file_read(path, &b);
        fault_disarm();
        fired = fault_fired();
        assert_int_equal(alb_failed(st), fired);
        assert_string_equal(buf_text(&b), fired ? "x" : "x0123456789");
        buf_release(&b);
    }
    assert_true(nth > 3); /* open, two reads, memory */
    tmpdir_close(place);
}

static void a_buffer_that_cannot_grow_keeps_its_bytes(void **state)
{
    static const char more[500];
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_false(alb_failed(buf_append(&b, "kept", 4)));
    fault_arm("alloc", 0);
    assert_int_equal(buf_append(&b, more, sizeof more).code, ALB_FULL);
    assert_string_equal(buf_text(&b), "kept");
    assert_false(alb_failed(buf_append(&b, more, sizeof more)));
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replacement_that_fails_anywhere_leaves_a_whole_file),
        cmocka_unit_test(until_the_rename_the_old_bytes_stay),
        cmocka_unit_test(a_read_that_fails_anywhere_appends_nothing),
        cmocka_unit_test(a_buffer_that_cannot_grow_keeps_its_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    print_message("built without ALB_FAULT: nothing can be made to fail\n");
    return 77; /* skipped, to ctest */
}

#endif
