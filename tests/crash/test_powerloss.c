/* SPDX-License-Identifier: Apache-2.0 */
/* crash/test_powerloss.c – the disk of powerloss.h forgets what it may, and nothing else.
 * LINKS: store chunk base
 *
 * A life does a few things to an empty directory and dies at an event, as the driver's lives do.
 * What is there afterwards, over many seeds, must be all that a disk may have kept, and each of it
 * must occur.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "crash/powerloss.h"
#include "crash/rebuild.h"
#include "support/tmpdir.h"

enum { SEEDS = 30, BLOCK = 4096 };

struct disk {
    struct tmpdir *tmp;
    char *dir, *shadow;
};

static struct disk disk_make(void)
{
    struct disk d = {.tmp = tmpdir_open()};

    d.dir = tmpdir_path(d.tmp, "dir");
    d.shadow = tmpdir_path(d.tmp, "shadow");
    tmpdir_mkdir(d.tmp, "dir");
    return d;
}

static void disk_drop(struct disk *d)
{
    free(d->dir);
    free(d->shadow);
    tmpdir_close(d->tmp);
}

/* Runs `play` in a watched process, which is then killed, and has the disk forget. */
static void lose_power(const struct disk *d, const char *play, uint64_t seed, bool is_ordered)
{
    struct powerloss *p = powerloss_begin(d->dir, d->shadow);
    struct powerloss_losses losses = {0};
    struct gen g;
    int how;

    gen_init(&g, seed);
    pid_t child = fork();
    if (child == 0) {
        setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
        setenv("LD_PRELOAD", ALB_POWERLOSS_SO, 1);
        setenv(POWERLOSS_DIR, d->dir, 1);
        setenv(POWERLOSS_SHADOW, d->shadow, 1);
        execl("/proc/self/exe", "play", play, d->dir, (char *)NULL);
        _exit(98);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
    powerloss_rebuild(p, &(struct powerloss_options){.is_ordered = is_ordered, .gen = &g}, &losses);
    powerloss_end(p);
}

/* ---- what lives do --------------------------------------------------------------------------- */

static void must(bool good)
{
    if (!good)
        _exit(97);
}

static int make(const char *name)
{
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    must(fd >= 0);
    return fd;
}

static void fill(int fd, char with, size_t size)
{
    char bytes[8 * BLOCK];

    memset(bytes, with, size);
    must(write(fd, bytes, size) == (ssize_t)size);
}

static void sync_here(void)
{
    int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    must(fsync(fd) == 0);
    close(fd);
}

static void play_synced(void)
{
    int fd = make("file");

    fill(fd, 'a', 5 * BLOCK);
    must(fdatasync(fd) == 0);
    sync_here();
}

static void play_no_dir_sync(void)
{
    int fd = make("file");

    fill(fd, 'a', 10);
    must(fsync(fd) == 0);
}

static void play_no_sync(void)
{
    int fd = make("file");

    fill(fd, 'a', 5 * BLOCK);
    sync_here();
}

static void play_append(void)
{
    int fd = make("file");

    fill(fd, 'a', BLOCK + 100);
    must(fsync(fd) == 0);
    sync_here();
    fill(fd, 'b', 3 * BLOCK);
}

static void play_replace(void)
{
    play_synced();
    int fd = make("new");
    fill(fd, 'b', 10);
    must(fsync(fd) == 0 && rename("new", "file") == 0);
}

static void play_remove(void)
{
    must(mkdir("sub", 0700) == 0);
    play_synced();
    must(unlink("file") == 0 && rmdir("sub") == 0);
}

static void play_syncfs(void)
{
    int fd = make("file");

    fill(fd, 'a', 10);
    must(mkdir("sub", 0700) == 0 && link("file", "sub/link") == 0 && syncfs(fd) == 0);
}

static const struct {
    const char *name;
    void (*fn)(void);
} plays[] = {
    {"synced", play_synced}, {"no dir sync", play_no_dir_sync}, {"no sync", play_no_sync},
    {"append", play_append}, {"replace", play_replace},         {"remove", play_remove},
    {"syncfs", play_syncfs},
};

static int play(const char *name, const char *dir)
{
    must(chdir(dir) == 0);
    for (size_t i = 0; i < ALB_COUNT(plays); i++) {
        if (strcmp(plays[i].name, name) != 0)
            continue;
        plays[i].fn();
        kill(getpid(), SIGKILL);
    }
    return 96;
}

/* ---- what is found --------------------------------------------------------------------------- */

static bool is_there(const struct disk *d, const char *name)
{
    AUTO_FREE char *path = path_join(d->dir, name);
    struct stat about;

    return lstat(path, &about) == 0;
}

/* How many bytes of the file, from its beginning, are `with`; *size is all of it. */
static size_t run_of(const struct disk *d, char with, size_t from, size_t *size)
{
    AUTO_FREE char *bytes = tmpdir_read(d->tmp, "dir/file", size);
    size_t n = from;

    while (n < *size && bytes[n] == with)
        n++;
    return n - from;
}

static void what_was_synced_is_there(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk d = disk_make();
        size_t size;

        lose_power(&d, "synced", seed, seed % 2 == 0);
        assert_int_equal(run_of(&d, 'a', 0, &size), 5 * BLOCK);
        assert_int_equal(size, 5 * BLOCK);
        disk_drop(&d);
    }
}

static void a_name_lasts_only_when_its_directory_is_synced(void **state)
{
    unsigned there = 0;

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk d = disk_make();
        size_t size;

        lose_power(&d, "no dir sync", seed, seed % 2 == 0);
        if (is_there(&d, "file")) {
            there++;
            assert_int_equal(run_of(&d, 'a', 0, &size), 10);
        }
        disk_drop(&d);
    }
    assert_in_range(there, 1, SEEDS - 1);
}

static void unsynced_bytes_may_be_lost_in_part(void **state)
{
    unsigned whole = 0, empty = 0;

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk d = disk_make();
        size_t size;

        lose_power(&d, "no sync", seed, seed % 2 == 0);
        assert_true(is_there(&d, "file"));
        size_t n = run_of(&d, 'a', 0, &size);
        whole += n == 5 * BLOCK;
        empty += size == 0;
        disk_drop(&d);
    }
    assert_in_range(whole, 1, SEEDS - 1);
    assert_in_range(empty, 1, SEEDS - 1);
}

static void an_append_leaves_what_was_synced_before(void **state)
{
    unsigned grown = 0, whole = 0;

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk d = disk_make();
        size_t size;

        lose_power(&d, "append", seed, seed % 2 == 0);
        assert_true(run_of(&d, 'a', 0, &size) >= BLOCK + 100);
        grown += size > BLOCK + 100;
        whole += run_of(&d, 'b', BLOCK + 100, &size) == 3 * BLOCK;
        disk_drop(&d);
    }
    assert_in_range(grown, 1, SEEDS - 1);
    assert_in_range(whole, 1, grown - 1);
}

static void a_rename_is_done_or_not(void **state)
{
    unsigned old = 0;

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk d = disk_make();
        size_t size;

        lose_power(&d, "replace", seed, seed % 2 == 0);
        bool is_old = run_of(&d, 'a', 0, &size) == 5 * BLOCK;
        assert_true(is_old || (run_of(&d, 'b', 0, &size) == 10 && size == 10));
        assert_true(is_old || !is_there(&d, "new"));
        old += is_old;
        disk_drop(&d);
    }
    assert_in_range(old, 1, SEEDS - 1);
}

static void what_was_removed_may_come_back_whole(void **state)
{
    unsigned files = 0, dirs = 0;

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk d = disk_make();
        size_t size;

        lose_power(&d, "remove", seed, seed % 2 == 0);
        if (is_there(&d, "file"))
            assert_int_equal(run_of(&d, 'a', 0, &size), 5 * BLOCK);
        files += is_there(&d, "file");
        dirs += is_there(&d, "sub");
        disk_drop(&d);
    }
    assert_in_range(files, 1, SEEDS - 1);
    assert_in_range(dirs, files, SEEDS - 1); /* it went later */
}

static void syncfs_promises_everything(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct disk d = disk_make();
        AUTO_FREE char *a = path_join(d.dir, "file");
        AUTO_FREE char *b = path_join(d.dir, "sub/link");
        struct stat first, second;
        size_t size;

        lose_power(&d, "syncfs", seed, seed % 2 == 0);
        assert_int_equal(run_of(&d, 'a', 0, &size), 10);
        assert_true(stat(a, &first) == 0 && stat(b, &second) == 0);
        assert_int_equal(first.st_ino, second.st_ino);
        disk_drop(&d);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_synced_is_there),
        cmocka_unit_test(a_name_lasts_only_when_its_directory_is_synced),
        cmocka_unit_test(unsynced_bytes_may_be_lost_in_part),
        cmocka_unit_test(an_append_leaves_what_was_synced_before),
        cmocka_unit_test(a_rename_is_done_or_not),
        cmocka_unit_test(what_was_removed_may_come_back_whole),
        cmocka_unit_test(syncfs_promises_everything),
    };

    if (argc == 3)
        return play(argv[1], argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
