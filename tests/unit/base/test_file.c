/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/base/test_file.c – small files read and replaced whole. */
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "support/tmpdir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static int make_place(void **state)
{
    *state = tmpdir_open();
    return 0;
}

static int clear_place(void **state)
{
    tmpdir_close(*state);
    return 0;
}

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

static void a_replaced_file_has_the_new_bytes_and_mode_and_leaves_nothing(void **state)
{
    struct tmpdir *place = *state;
    AUTO_FREE char *path = tmpdir_path(place, "conf");
    AUTO_FREE char *read = NULL;
    struct stat info;

    tmpdir_write(place, "conf", "old and longer", 14);
    assert_false(alb_failed(file_replace(path, "new", 3, 0600)));
    read = tmpdir_read(place, "conf", NULL);
    assert_string_equal(read, "new");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(entries_in(place->path), 1);
}

static void a_file_beside_us_is_replaced_without_a_directory_in_its_name(void **state)
{
    struct tmpdir *place = *state;
    int back = open(".", O_RDONLY | O_DIRECTORY);

    assert_int_equal(chdir(place->path), 0);
    assert_false(alb_failed(file_replace("bare", "x", 1, 0644)));
    assert_true(file_exists("bare"));
    assert_int_equal(fchdir(back), 0);
    close(back);
}

static void a_failed_replacement_leaves_the_old_and_no_rest(void **state)
{
    struct tmpdir *place = *state;
    AUTO_FREE char *dir = tmpdir_path(place, "dir");
    AUTO_FREE char *lost = tmpdir_path(place, "missing/conf");

    tmpdir_mkdir(place, "dir");
    assert_int_equal(file_replace(dir, "x", 1, 0600).code, ALB_IO);
    assert_int_equal(file_replace(lost, "x", 1, 0600).code, ALB_NOT_FOUND);
    assert_int_equal(entries_in(place->path), 1);
    assert_int_equal(entries_in(dir), 0);
}

static void a_name_of_full_length_can_be_replaced(void **state)
{
    struct tmpdir *place = *state;
    char name[256];
    AUTO_FREE char *path = NULL;

    memset(name, 'n', 255);
    name[255] = '\0';
    path = tmpdir_path(place, name);
    assert_false(alb_failed(file_replace(path, "x", 1, 0600)));
    assert_true(file_exists(path));
}

static void a_file_is_appended_whole_or_not_at_all(void **state)
{
    struct tmpdir *place = *state;
    AUTO_FREE char *path = tmpdir_path(place, "data");
    AUTO_FREE char *missing = tmpdir_path(place, "missing");
    struct buf b;

    tmpdir_write(place, "data", "12345", 5);
    buf_init(&b, 7);
    assert_false(alb_failed(buf_append(&b, "ab", 2)));
    assert_false(alb_failed(file_read(path, &b)));
    assert_string_equal(buf_text(&b), "ab12345");
    assert_int_equal(file_read(path, &b).code, ALB_FULL);
    assert_string_equal(buf_text(&b), "ab12345");
    buf_consume(&b, 3);
    assert_int_equal(file_read(path, &b).code, ALB_FULL);
    assert_string_equal(buf_text(&b), "2345");
    assert_int_equal(file_read(missing, &b).code, ALB_NOT_FOUND);
    assert_int_equal(file_read(place->path, &b).code, ALB_IO);
    buf_release(&b);
}

static void a_large_file_is_read_in_steps(void **state)
{
    struct tmpdir *place = *state;
    AUTO_FREE char *path = tmpdir_path(place, "large");
    AUTO_FREE uint8_t *bytes = xalloc(300000);
    struct buf b;

    for (size_t i = 0; i < 300000; i++)
        bytes[i] = (uint8_t)(i * 7);
    assert_false(alb_failed(file_replace(path, bytes, 300000, 0600)));
    buf_init(&b, 300000);
    assert_false(alb_failed(file_read(path, &b)));
    assert_int_equal(buf_size(&b), 300000);
    assert_memory_equal(buf_peek(&b), bytes, 300000);
    buf_release(&b);
}

static void reading_at_an_offset_wants_every_byte(void **state)
{
    struct tmpdir *place = *state;
    AUTO_FREE char *path = tmpdir_path(place, "data");
    char out[4] = "";
    int fd;

    tmpdir_write(place, "data", "012345", 6);
    fd = open(path, O_RDONLY);
    assert_false(alb_failed(file_pread_all(fd, out, 3, 2)));
    assert_string_equal(out, "234");
    assert_int_equal(file_pread_all(fd, out, 3, 4).code, ALB_CORRUPT);
    assert_int_equal(file_write_all(fd, "x", 1).code, ALB_IO);
    close(fd);
    assert_int_equal(file_pread_all(-1, out, 1, 0).code, ALB_IO);
}

static void directories_are_made_down_to_the_last(void **state)
{
    struct tmpdir *place = *state;
    AUTO_FREE char *deep = tmpdir_path(place, "a/b//c/");
    AUTO_FREE char *file = tmpdir_path(place, "file");
    AUTO_FREE char *under = tmpdir_path(place, "file/x");
    struct stat info;

    assert_false(alb_failed(file_make_dir(deep, 0700)));
    assert_false(alb_failed(file_make_dir(deep, 0700)));
    assert_false(alb_failed(file_make_dir("/", 0700)));
    assert_int_equal(stat(deep, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_false(alb_failed(file_sync_dir(deep)));
    tmpdir_write(place, "file", "", 0);
    assert_int_equal(file_make_dir(file, 0700).code, ALB_IO);
    assert_int_equal(file_make_dir(under, 0700).code, ALB_IO);
    assert_int_equal(file_sync_dir(file).code, ALB_IO);
    assert_int_equal(file_sync_dir(under).code, ALB_IO);
}

static void all_of_a_directory_is_removed_and_nothing_that_a_link_names(void **state)
{
    struct tmpdir *place = *state;
    AUTO_FREE char *top = tmpdir_path(place, "top");
    AUTO_FREE char *deep = tmpdir_path(place, "top/a/b");
    AUTO_FREE char *link_path = tmpdir_path(place, "top/a/link");
    AUTO_FREE char *kept = tmpdir_path(place, "kept");
    AUTO_FREE char *under_file = tmpdir_path(place, "kept/x");

    assert_false(alb_failed(file_make_dir(deep, 0700)));
    tmpdir_write(place, "top/a/file", "x", 1);
    tmpdir_write(place, "kept", "x", 1);
    assert_int_equal(symlink(kept, link_path), 0);
    assert_false(alb_failed(file_remove_all(top)));
    assert_false(file_exists(top));
    assert_true(file_exists(kept));
    assert_false(alb_failed(file_remove_all(top)));
    assert_int_equal(file_remove_all(under_file).code, ALB_IO);
    assert_false(alb_failed(file_remove_all(kept)));
    assert_false(file_exists(kept));
}

static void paths_are_joined_with_one_slash(void **state)
{
    AUTO_FREE char *plain = path_join("a", "b");
    AUTO_FREE char *slashed = path_join("a/", "b");
    AUTO_FREE char *root = path_join("/", "b");
    AUTO_FREE char *here = path_join("", "b");

    (void)state;
    assert_string_equal(plain, "a/b");
    assert_string_equal(slashed, "a/b");
    assert_string_equal(root, "/b");
    assert_string_equal(here, "b");
}

#define placed_test(f) cmocka_unit_test_setup_teardown(f, make_place, clear_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        placed_test(a_replaced_file_has_the_new_bytes_and_mode_and_leaves_nothing),
        placed_test(a_file_beside_us_is_replaced_without_a_directory_in_its_name),
        placed_test(a_failed_replacement_leaves_the_old_and_no_rest),
        placed_test(a_name_of_full_length_can_be_replaced),
        placed_test(a_file_is_appended_whole_or_not_at_all),
        placed_test(a_large_file_is_read_in_steps),
        placed_test(reading_at_an_offset_wants_every_byte),
        placed_test(directories_are_made_down_to_the_last),
        placed_test(all_of_a_directory_is_removed_and_nothing_that_a_link_names),
        cmocka_unit_test(paths_are_joined_with_one_slash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
