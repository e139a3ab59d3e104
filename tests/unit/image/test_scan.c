/* SPDX-License-Identifier: Apache-2.0 */
/* unit/image/test_scan.c – what a scan finds, in which order, and what it will not do. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "image/scan.h"
#include "image/scan_open.h"
#include "support/no_openat2.h"
#include "support/tmpdir.h"

static void scan_dir(const struct tmpdir *t, const struct scan_options *options, struct scan *out)
{
    struct alb_status st = scan_tree(t->path, options, out);
    assert_string_equal(st.what, "");
    assert_int_equal(st.code, ALB_OK);
}

static void make_link(const struct tmpdir *t, const char *text, const char *name)
{
    AUTO_FREE char *path = tmpdir_path(t, name);
    assert_int_equal(symlink(text, path), 0);
}

static void make_node(const struct tmpdir *t, const char *name, mode_t mode, dev_t dev)
{
    AUTO_FREE char *path = tmpdir_path(t, name);
    assert_int_equal(mknod(path, mode, dev), 0);
}

static void assert_problem(const struct scan *s, const char *path, enum alb_code code)
{
    for (size_t i = 0; i < s->problem_count; i++)
        if (strcmp(s->problems[i].path, path) == 0) {
            assert_int_equal(s->problems[i].st.code, code);
            return;
        }
    fail_msg("no problem is listed for %s", path);
}

static void items_come_in_the_order_of_a_manifest(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    static const char *const directories[] = {"b", "a", "a/x", "a-b", "a/x/deep", "\xc3\xa4"};
    static const char *const files[] = {"z", "a/x/deep/f", "a-b/f", "a/y", "a/x/1", "b/\n", "B"};
    static const char *const expected[] = {
        "",    "B",   "a",     "a-b",      "b",          "z",     "\xc3\xa4",
        "a/x", "a/y", "a/x/1", "a/x/deep", "a/x/deep/f", "a-b/f", "b/\n",
    };
    for (size_t i = 0; i < ALB_COUNT(directories); i++)
        tmpdir_mkdir(t, directories[i]);
    for (size_t i = 0; i < ALB_COUNT(files); i++)
        tmpdir_write(t, files[i], "content", 7);

    struct scan s;
    scan_dir(t, NULL, &s);
    assert_int_equal(s.count, ALB_COUNT(expected));
    for (size_t i = 0; i < s.count; i++) {
        assert_string_equal(s.items[i].path, expected[i]);
        assert_ptr_equal(scan_find(&s, expected[i]), &s.items[i]);
        if (i > 0)
            assert_true(path_compare(s.items[i - 1].path, s.items[i].path) < 0);
    }
    assert_null(scan_find(&s, "a/x/2"));
    assert_int_equal(s.file_bytes, 7 * ALB_COUNT(files));
    assert_int_equal(s.problem_count, 0);
    scan_release(&s);
    tmpdir_close(t);
}

static void types_and_metadata_are_what_lstat_says(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    tmpdir_write(t, "file", "12345", 5);
    tmpdir_mkdir(t, "empty");
    make_link(t, "nowhere/at all", "link");
    make_node(t, "fifo", S_IFIFO | 0600, 0);
    make_node(t, "socket", S_IFSOCK | 0600, 0);
    AUTO_FREE char *file = tmpdir_path(t, "file");
    struct timespec times[2] = {{1, 2}, {-5, 999999999}};
    assert_int_equal(chmod(file, 06751), 0);
    assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);

    struct scan s;
    scan_dir(t, NULL, &s);
    const struct scan_item *i = scan_find(&s, "file");
    struct stat real;
    assert_int_equal(stat(file, &real), 0);
    assert_int_equal(i->type, ENTRY_FILE);
    assert_int_equal(i->mode, 06751);
    assert_int_equal(i->size, 5);
    assert_int_equal(i->mtime_s, -5);
    assert_int_equal(i->mtime_ns, 999999999);
    assert_int_equal(i->ctime_s, real.st_ctim.tv_sec);
    assert_int_equal(i->ino, real.st_ino);
    assert_int_equal(i->dev, real.st_dev);
    assert_int_equal(i->uid, real.st_uid);
    assert_int_equal(scan_find(&s, "empty")->type, ENTRY_DIRECTORY);
    assert_int_equal(scan_find(&s, "fifo")->type, ENTRY_FIFO);
    assert_int_equal(scan_find(&s, "socket")->type, ENTRY_SOCKET);
    assert_int_equal(scan_find(&s, "link")->type, ENTRY_SYMLINK);
    assert_string_equal(scan_find(&s, "link")->target, "nowhere/at all");
    assert_int_equal(s.items[0].type, ENTRY_DIRECTORY);
    assert_int_equal(s.items[0].mode, 0700);
    scan_release(&s);
    tmpdir_close(t);
}

static void symlinks_are_not_followed(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    struct tmpdir *outside = tmpdir_open();
    tmpdir_write(outside, "secret", "x", 1);
    make_link(t, outside->path, "away");
    make_link(t, ".", "round");
    struct scan s;
    scan_dir(t, NULL, &s);
    assert_int_equal(s.count, 3);
    assert_int_equal(scan_find(&s, "away")->type, ENTRY_SYMLINK);
    assert_int_equal(beneath_open(s.top_fd, "away/secret", O_RDONLY), -1);
    assert_int_equal(beneath_open(s.top_fd, "../x", O_RDONLY), -1);
    scan_release(&s);
    tmpdir_close(outside);
    tmpdir_close(t);
}

static void the_first_of_several_names_is_the_file(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    tmpdir_mkdir(t, "a");
    tmpdir_mkdir(t, "b");
    tmpdir_write(t, "b/one", "1", 1);
    tmpdir_write(t, "b/other", "22", 2);
    AUTO_FREE char *one = tmpdir_path(t, "b/one");
    AUTO_FREE char *other = tmpdir_path(t, "b/other");
    AUTO_FREE char *first = tmpdir_path(t, "a/first");
    AUTO_FREE char *last = tmpdir_path(t, "b/z");
    AUTO_FREE char *top = tmpdir_path(t, "zz");
    assert_int_equal(link(one, first), 0);
    assert_int_equal(link(one, last), 0);
    assert_int_equal(link(other, top), 0);

    struct scan s;
    scan_dir(t, NULL, &s);
    assert_int_equal(scan_find(&s, "a/first")->type, ENTRY_FILE);
    assert_null(scan_find(&s, "a/first")->target);
    assert_int_equal(scan_find(&s, "b/one")->type, ENTRY_HARDLINK);
    assert_string_equal(scan_find(&s, "b/one")->target, "a/first");
    assert_string_equal(scan_find(&s, "b/z")->target, "a/first");
    assert_int_equal(scan_find(&s, "zz")->type, ENTRY_FILE);
    assert_string_equal(scan_find(&s, "b/other")->target, "zz");
    assert_int_equal(s.file_bytes, 3);
    scan_release(&s);
    tmpdir_close(t);
}

static void the_reserved_name_and_what_is_excluded_are_skipped(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    static const char *const directories[] = {".albedo", "a", "a/.albedo", "a/b", "ab"};
    static const char *const exclude[] = {"a/b", "only"};
    for (size_t i = 0; i < ALB_COUNT(directories); i++)
        tmpdir_mkdir(t, directories[i]);
    tmpdir_write(t, ".albedo/x", "", 0);
    tmpdir_write(t, "a/b/x", "", 0);
    tmpdir_write(t, "only", "", 0);
    tmpdir_write(t, "a/only", "", 0);
    struct scan s;
    scan_dir(t, &(struct scan_options){.exclude = exclude, .exclude_count = 2}, &s);
    assert_int_equal(s.count, 4);
    assert_non_null(scan_find(&s, "a/only"));
    assert_non_null(scan_find(&s, "ab"));
    assert_int_equal(s.problem_count, 0);
    scan_release(&s);
    tmpdir_close(t);
}

static void extended_attributes_are_read_in_order_of_name(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    tmpdir_write(t, "file", "x", 1);
    tmpdir_mkdir(t, "dir");
    AUTO_FREE char *file = tmpdir_path(t, "file");
    AUTO_FREE char *dir = tmpdir_path(t, "dir");
    if (setxattr(file, "user.zebra", "\0z", 2, 0) != 0) {
        tmpdir_close(t);
        skip(); /* this file system has none */
    }
    assert_int_equal(setxattr(file, "user.ant", "", 0, 0), 0);
    assert_int_equal(setxattr(dir, "user.of dir", "value", 5, 0), 0);
    assert_int_equal(setxattr(t->path, "user.top", "t", 1, 0), 0);
    struct scan s;
    scan_dir(t, NULL, &s);
    const struct scan_item *i = scan_find(&s, "file");
    assert_int_equal(i->xattr_count, 2);
    assert_string_equal(i->xattrs[0].name, "user.ant");
    assert_int_equal(i->xattrs[0].size, 0);
    assert_string_equal(i->xattrs[1].name, "user.zebra");
    assert_int_equal(i->xattrs[1].size, 2);
    assert_memory_equal(i->xattrs[1].value, "\0z", 2);
    assert_int_equal(scan_find(&s, "dir")->xattr_count, 1);
    assert_string_equal(s.items[0].xattrs[0].name, "user.top");
    scan_release(&s);
    tmpdir_close(t);
}

static void devices_are_a_problem_unless_allowed(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    AUTO_FREE char *null = tmpdir_path(t, "null");
    if (mknod(null, S_IFCHR | 0666, makedev(1, 3)) != 0) {
        tmpdir_close(t);
        skip(); /* not privileged */
    }
    struct scan s;
    scan_dir(t, NULL, &s);
    assert_int_equal(s.count, 1);
    assert_problem(&s, "null", ALB_REFUSED);
    scan_release(&s);
    scan_dir(t, &(struct scan_options){.allow_devices = true}, &s);
    assert_int_equal(s.problem_count, 0);
    assert_int_equal(scan_find(&s, "null")->type, ENTRY_CHAR_DEVICE);
    assert_int_equal(scan_find(&s, "null")->dev_major, 1);
    assert_int_equal(scan_find(&s, "null")->dev_minor, 3);
    scan_release(&s);
    tmpdir_close(t);
}

/* Runs `fn` in a child without privileges, where root can be refused something too. */
static void run_unprivileged(void (*fn)(const struct tmpdir *t), const struct tmpdir *t)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(1);
        fn(t);
        _exit(0); /* assertions that fail abort before this */
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void expect_closed_directory(const struct tmpdir *t)
{
    struct scan s;
    struct alb_status st = scan_tree(t->path, NULL, &s);
    if (alb_failed(st) || s.count != 3 || s.problem_count != 1 ||
        strcmp(s.problems[0].path, "closed") != 0 || s.problems[0].st.code != ALB_IO ||
        s.problems[0].st.sys != EACCES)
        _exit(2);
    scan_release(&s);
}

static void a_directory_that_cannot_be_entered_is_listed_and_a_problem(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    AUTO_FREE char *closed = tmpdir_path(t, "closed");
    tmpdir_mkdir(t, "closed");
    tmpdir_write(t, "closed/f", "", 0);
    tmpdir_mkdir(t, "open");
    assert_int_equal(chmod(t->path, 0755), 0);
    assert_int_equal(chmod(closed, 0), 0);
    run_unprivileged(expect_closed_directory, t);
    assert_int_equal(chmod(closed, 0700), 0);
    tmpdir_close(t);
}

static void expect_same_without_openat2(const struct tmpdir *t)
{
    struct scan s;
    if (!openat2_forbid())
        return; /* no such filters here: nothing to try */
    struct alb_status st = scan_tree(t->path, NULL, &s);
    if (alb_failed(st) || s.count != 5 || s.problem_count != 0)
        _exit(2);
    int fd = beneath_open(s.top_fd, "a/b/file", O_RDONLY);
    if (fd < 0 || beneath_open(s.top_fd, "a/link/file", O_RDONLY) >= 0 || errno != ENOTDIR)
        _exit(3);
    close(fd);
    scan_release(&s);
}

static void without_openat2_paths_are_opened_a_step_at_a_time(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    tmpdir_mkdir(t, "a");
    tmpdir_mkdir(t, "a/b");
    tmpdir_write(t, "a/b/file", "", 0);
    make_link(t, "b", "a/link");
    AUTO_FREE char *a = tmpdir_path(t, "a");
    AUTO_FREE char *b = tmpdir_path(t, "a/b");
    AUTO_FREE char *file = tmpdir_path(t, "a/b/file");
    assert_int_equal(chmod(t->path, 0755) | chmod(a, 0755) | chmod(b, 0755) | chmod(file, 0644), 0);
    run_unprivileged(expect_same_without_openat2, t);
    tmpdir_close(t);
}

static void other_file_systems_are_not_entered_unless_told(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    AUTO_FREE char *mounted = tmpdir_path(t, "mounted");
    AUTO_FREE char *bound = tmpdir_path(t, "bound");
    tmpdir_mkdir(t, "mounted");
    tmpdir_mkdir(t, "bound");
    tmpdir_mkdir(t, "source");
    tmpdir_write(t, "source/in", "", 0);
    AUTO_FREE char *source = tmpdir_path(t, "source");
    if (mount("none", mounted, "tmpfs", 0, NULL) != 0) {
        tmpdir_close(t);
        skip(); /* not privileged */
    }
    tmpdir_write(t, "mounted/in", "x", 1);
    assert_int_equal(mount(source, bound, NULL, MS_BIND, NULL), 0);
    struct scan near, far;
    scan_dir(t, NULL, &near);
    scan_dir(t, &(struct scan_options){.cross_mounts = true}, &far);
    umount2(mounted, MNT_DETACH);
    umount2(bound, MNT_DETACH);
    assert_non_null(scan_find(&near, "mounted"));
    assert_null(scan_find(&near, "mounted/in"));
    assert_null(scan_find(&near, "bound/in"));
    assert_non_null(scan_find(&near, "source/in"));
    assert_non_null(scan_find(&far, "mounted/in"));
    assert_non_null(scan_find(&far, "bound/in"));
    scan_release(&near);
    scan_release(&far);
    tmpdir_close(t);
}

/* `depth` directories of that name, one in another; returns the last one's descriptor. */
static int make_nest(int fd, const char *name, int depth)
{
    for (int i = 0; i < depth; i++) {
        assert_int_equal(mkdirat(fd, name, 0700), 0);
        int next = openat(fd, name, O_RDONLY | O_DIRECTORY);
        close(fd);
        fd = next;
    }
    return fd;
}

static void a_tree_deeper_than_there_are_descriptors_is_scanned(void **state)
{
    (void)state;
    enum { DEPTH = 1500 };
    struct tmpdir *t = tmpdir_open();
    close(make_nest(open(t->path, O_RDONLY | O_DIRECTORY), "d", DEPTH));
    struct scan s;
    scan_dir(t, NULL, &s);
    assert_int_equal(s.count, DEPTH + 1);
    assert_int_equal(s.problem_count, 0);
    scan_release(&s);
    tmpdir_close(t);
}

static void a_path_longer_than_a_manifest_allows_is_a_problem(void **state)
{
    (void)state;
    char name[201];
    memset(name, 'n', 200);
    name[200] = '\0';
    struct tmpdir *t = tmpdir_open();
    int half = make_nest(open(t->path, O_RDONLY | O_DIRECTORY), name, 10);
    /* 20 × 201 − 1 bytes are allowed, 21 × 201 − 1 are not. */
    close(make_nest(dup(half), name, 11));
    struct scan s;
    scan_dir(t, NULL, &s);
    assert_int_equal(s.count, 21);
    assert_int_equal(s.problem_count, 1);
    assert_int_equal(s.problems[0].st.code, ALB_INVALID);
    scan_release(&s);
    /* Two trees that rm can name. */
    AUTO_FREE char *rest = tmpdir_path(t, "rest");
    assert_int_equal(renameat(half, name, AT_FDCWD, rest), 0);
    close(half);
    tmpdir_close(t);
}

static void a_top_that_is_missing_or_no_directory_is_refused(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    tmpdir_write(t, "file", "", 0);
    AUTO_FREE char *file = tmpdir_path(t, "file");
    AUTO_FREE char *nothing = tmpdir_path(t, "nothing");
    struct scan s;
    assert_int_equal(scan_tree(file, NULL, &s).code, ALB_INVALID);
    assert_int_equal(scan_tree(nothing, NULL, &s).code, ALB_NOT_FOUND);
    tmpdir_close(t);
}

static void releasing_a_zeroed_or_released_scan_is_harmless(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    struct scan s = {0};
    scan_release(&s);
    assert_int_not_equal(fcntl(0, F_GETFD), -1);
    scan_dir(t, NULL, &s);
    scan_release(&s);
    scan_release(&s);
    tmpdir_close(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_in_the_order_of_a_manifest),
        cmocka_unit_test(types_and_metadata_are_what_lstat_says),
        cmocka_unit_test(symlinks_are_not_followed),
        cmocka_unit_test(the_first_of_several_names_is_the_file),
        cmocka_unit_test(the_reserved_name_and_what_is_excluded_are_skipped),
        cmocka_unit_test(extended_attributes_are_read_in_order_of_name),
        cmocka_unit_test(devices_are_a_problem_unless_allowed),
        cmocka_unit_test(a_directory_that_cannot_be_entered_is_listed_and_a_problem),
        cmocka_unit_test(without_openat2_paths_are_opened_a_step_at_a_time),
        cmocka_unit_test(other_file_systems_are_not_entered_unless_told),
        cmocka_unit_test(a_tree_deeper_than_there_are_descriptors_is_scanned),
        cmocka_unit_test(a_path_longer_than_a_manifest_allows_is_a_problem),
        cmocka_unit_test(a_top_that_is_missing_or_no_directory_is_refused),
        cmocka_unit_test(releasing_a_zeroed_or_released_scan_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
