/* SPDX-License-Identifier: Apache-2.0 */
/* unit/image/test_apply.c – what an owner finds after a version was pulled into his directory. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

#include "support/gen.h"
#include "support/no_openat2.h"
#include "support/pull.h"
#include "support/tmpdir.h"
#include "support/tree_diff.h"

/* "a" and "b" are trees to publish, "t" is the target. */
struct place {
    struct tmpdir *dir;
    char *a, *b, *t;
    struct version va, vb;
    struct pull pull;
};

static void must(struct alb_status st)
{
    assert_string_equal(st.what, "");
    assert_int_equal(st.code, ALB_OK);
}

static void put(const struct place *p, const char *path, const char *text)
{
    tmpdir_write(p->dir, path, text, strlen(text));
}

static char *at(const struct place *p, const char *path)
{
    return tmpdir_path(p->dir, path);
}

static bool is_there(const struct place *p, const char *path)
{
    AUTO_FREE char *full = at(p, path);
    struct stat st;

    return lstat(full, &st) == 0;
}

static void assert_text(const struct place *p, const char *path, const char *text)
{
    AUTO_FREE char *found = tmpdir_read(p->dir, path, NULL);

    assert_string_equal(found, text);
}

static void make_link(const struct place *p, const char *target, const char *path)
{
    AUTO_FREE char *full = at(p, path);

    assert_int_equal(symlink(target, full), 0);
}

static void make_hard_link(const struct place *p, const char *first, const char *second)
{
    AUTO_FREE char *from = at(p, first);
    AUTO_FREE char *to = at(p, second);

    assert_int_equal(link(from, to), 0);
}

static void set_mode(const struct place *p, const char *path, mode_t mode)
{
    AUTO_FREE char *full = at(p, path);

    assert_int_equal(chmod(full, mode), 0);
}

static struct place place_make(void)
{
    struct place p = {.dir = tmpdir_open()};

    tmpdir_mkdir(p.dir, "a");
    tmpdir_mkdir(p.dir, "b");
    tmpdir_mkdir(p.dir, "t");
    p.a = at(&p, "a");
    p.b = at(&p, "b");
    p.t = at(&p, "t");
    p.pull.target = p.t;
    return p;
}

static void place_drop(struct place *p)
{
    version_release(&p->va);
    version_release(&p->vb);
    apply_result_release(&p->pull.result);
    free(p->a);
    free(p->b);
    free(p->t);
    tmpdir_close(p->dir);
}

static void pull_a(struct place *p)
{
    must(version_make(p->a, &p->va));
    p->pull.options.version = "base/test@1";
    must(pull_run(&p->pull, &p->va));
}

static struct alb_status try_b(struct place *p)
{
    must(version_make(p->b, &p->vb));
    p->pull.options.version = "base/test@2";
    return pull_run(&p->pull, &p->vb);
}

static void assert_same(const char *want, const char *got, bool more)
{
    AUTO_FREE char *diff = tree_diff(want, got, more);

    assert_string_equal(diff == NULL ? "" : diff, "");
}

/* ---- the tests ---- */

static void an_empty_directory_becomes_the_version(void **state)
{
    struct place p = place_make();
    AUTO_FREE char *file = at(&p, "a/d/run");
    AUTO_FREE char *fifo = at(&p, "a/d/fifo");

    (void)state;
    tmpdir_mkdir(p.dir, "a/d");
    tmpdir_mkdir(p.dir, "a/d/e");
    put(&p, "a/one", "1");
    put(&p, "a/empty", "");
    put(&p, "a/d/run", "#!");
    set_mode(&p, "a/d/run", 04755);
    make_hard_link(&p, "a/one", "a/d/e/again");
    make_link(&p, "../one", "a/d/link");
    assert_int_equal(mkfifo(fifo, 0640), 0);
    assert_int_equal(setxattr(file, "user.note", "x", 1, 0), 0);
    set_mode(&p, "a/d/e", 01777);
    pull_a(&p);
    assert_same(p.a, p.t, false);
    assert_int_equal(p.pull.result.made, 8);
    assert_false(is_there(&p, "t/.albedo/stage"));
    assert_false(is_there(&p, "t/.albedo/journal"));
    place_drop(&p);
}

static void a_second_pull_of_the_same_changes_nothing(void **state)
{
    struct place p = place_make();

    (void)state;
    put(&p, "a/one", "1");
    make_link(&p, "one", "a/link");
    pull_a(&p);
    must(pull_run(&p.pull, &p.va));
    assert_int_equal(p.pull.result.unchanged, 3);
    assert_int_equal(p.pull.result.made + p.pull.result.replaced + p.pull.result.removed +
                         p.pull.result.metadata_only,
                     0);
    place_drop(&p);
}

static void what_the_new_version_lacks_goes_and_what_is_foreign_stays(void **state)
{
    struct place p = place_make();

    (void)state;
    tmpdir_mkdir(p.dir, "a/gone");
    tmpdir_mkdir(p.dir, "a/shared");
    put(&p, "a/gone/x", "x");
    put(&p, "a/shared/x", "x");
    put(&p, "a/stays", "s");
    pull_a(&p);
    put(&p, "t/shared/mine", "mine");
    put(&p, "b/stays", "s");
    must(try_b(&p));
    assert_false(is_there(&p, "t/gone"));
    assert_false(is_there(&p, "t/shared/x"));
    assert_text(&p, "t/shared/mine", "mine");
    assert_int_equal(p.pull.result.removed, 3); /* gone, gone/x, shared/x */
    assert_int_equal(p.pull.result.kept, 0);
    assert_same(p.b, p.t, true);
    place_drop(&p);
}

static void exact_removes_foreign_things_too_but_never_our_folder(void **state)
{
    struct place p = place_make();

    (void)state;
    tmpdir_mkdir(p.dir, "a/d");
    put(&p, "a/d/x", "x");
    pull_a(&p);
    tmpdir_mkdir(p.dir, "t/mine");
    tmpdir_mkdir(p.dir, "t/mine/deep");
    put(&p, "t/mine/deep/file", "mine");
    put(&p, "t/d/mine", "mine");
    p.pull.options.exact = true;
    put(&p, "b/y", "y");
    must(try_b(&p));
    assert_same(p.b, p.t, false);
    assert_true(is_there(&p, "t/.albedo/applied"));
    place_drop(&p);
}

static void a_file_the_owner_changed_is_kept_before_it_is_replaced_or_removed(void **state)
{
    struct place p = place_make();

    (void)state;
    tmpdir_mkdir(p.dir, "a/etc");
    put(&p, "a/etc/conf", "ours");
    put(&p, "a/etc/old", "ours too");
    put(&p, "a/etc/plain", "plain");
    pull_a(&p);
    put(&p, "t/etc/conf", "the owner's");
    put(&p, "t/etc/old", "the owner's old");
    tmpdir_mkdir(p.dir, "b/etc");
    put(&p, "b/etc/conf", "newer");
    put(&p, "b/etc/plain", "newer plain");
    must(try_b(&p));
    assert_text(&p, "t/etc/conf", "newer");
    assert_false(is_there(&p, "t/etc/old"));
    assert_text(&p, "t/.albedo/kept/base/test@2/etc/conf", "the owner's");
    assert_text(&p, "t/.albedo/kept/base/test@2/etc/old", "the owner's old");
    assert_false(is_there(&p, "t/.albedo/kept/base/test@2/etc/plain"));
    assert_int_equal(p.pull.result.kept, 2);
    assert_int_equal(p.pull.result.kept_path_count, 2);
    place_drop(&p);
}

static void a_change_that_left_no_trace_in_the_stamps_is_found_by_its_digest(void **state)
{
    struct place p = place_make();
    AUTO_FREE char *path = at(&p, "t/conf");
    struct stat st;

    (void)state;
    put(&p, "a/conf", "1234");
    pull_a(&p);
    assert_int_equal(stat(path, &st), 0);
    put(&p, "t/conf", "4321"); /* same size, and its time set back */
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    put(&p, "b/conf", "5678");
    must(try_b(&p));
    assert_text(&p, "t/.albedo/kept/base/test@2/conf", "4321");
    place_drop(&p);
}

static void kept_twice_under_the_same_name_is_two_files(void **state)
{
    struct place p = place_make();

    (void)state;
    put(&p, "a/conf", "ours");
    put(&p, "t/conf", "first");
    pull_a(&p);
    put(&p, "t/conf", "second");
    must(pull_run(&p.pull, &p.va));
    assert_text(&p, "t/conf", "ours");
    assert_text(&p, "t/.albedo/kept/base/test@1/conf", "first");
    assert_text(&p, "t/.albedo/kept/base/test@1.~1/conf", "second");
    place_drop(&p);
}

static void a_directory_in_place_of_a_file_goes_when_it_is_ours_and_is_kept_when_not(void **state)
{
    struct place p = place_make();

    (void)state;
    tmpdir_mkdir(p.dir, "a/ours");
    tmpdir_mkdir(p.dir, "a/mixed");
    put(&p, "a/ours/x", "x");
    put(&p, "a/mixed/x", "x");
    pull_a(&p);
    put(&p, "t/mixed/mine", "mine");
    put(&p, "b/ours", "a file now");
    put(&p, "b/mixed", "a file now");
    must(try_b(&p));
    assert_same(p.b, p.t, false);
    assert_text(&p, "t/.albedo/kept/base/test@2/mixed/mine", "mine");
    assert_false(is_there(&p, "t/.albedo/kept/base/test@2/ours"));
    assert_false(is_there(&p, "t/.albedo/kept/base/test@2/mixed/x"));
    place_drop(&p);
}

static void a_file_in_place_of_a_directory_goes_when_it_is_ours_and_is_kept_when_not(void **state)
{
    struct place p = place_make();

    (void)state;
    put(&p, "a/ours", "o");
    pull_a(&p);
    put(&p, "t/mine", "m");
    tmpdir_mkdir(p.dir, "b/ours");
    tmpdir_mkdir(p.dir, "b/mine");
    put(&p, "b/ours/x", "x");
    put(&p, "b/mine/y", "y");
    must(try_b(&p));
    assert_same(p.b, p.t, false);
    assert_text(&p, "t/.albedo/kept/base/test@2/mine", "m");
    assert_int_equal(p.pull.result.kept, 1);
    place_drop(&p);
}

static void an_owners_symlink_in_place_of_a_directory_is_reported_and_nothing_is_done(void **state)
{
    struct place p = place_make();

    (void)state;
    tmpdir_mkdir(p.dir, "a/var");
    put(&p, "a/var/x", "x");
    put(&p, "a/first", "1");
    tmpdir_mkdir(p.dir, "elsewhere");
    make_link(&p, "../elsewhere", "t/var");
    must(version_make(p.a, &p.va));
    assert_int_equal(pull_run(&p.pull, &p.va).code, ALB_INVALID);
    assert_int_equal(p.pull.result.conflict_count, 1);
    assert_memory_equal(p.pull.result.conflicts[0], "var: ", 5);
    assert_false(is_there(&p, "elsewhere/x"));
    assert_false(is_there(&p, "t/first"));
    assert_false(is_there(&p, "t/.albedo/journal"));
    place_drop(&p);
}

static void our_own_symlink_may_become_a_directory_and_back(void **state)
{
    struct place p = place_make();

    (void)state;
    tmpdir_mkdir(p.dir, "a/real");
    make_link(&p, "real", "a/lib");
    put(&p, "a/real/x", "x");
    pull_a(&p);
    tmpdir_mkdir(p.dir, "b/lib");
    put(&p, "b/lib/x", "x");
    make_link(&p, "lib", "b/real");
    must(try_b(&p));
    assert_same(p.b, p.t, false);
    assert_int_equal(p.pull.result.kept, 0);
    must(pull_run(&p.pull, &p.va));
    assert_same(p.a, p.t, false);
    place_drop(&p);
}

static void metadata_alone_is_set_on_the_file_that_is_there(void **state)
{
    struct place p = place_make();
    AUTO_FREE char *path = at(&p, "t/x");
    struct stat before, after;

    (void)state;
    put(&p, "a/x", "x");
    pull_a(&p);
    assert_int_equal(stat(path, &before), 0);
    set_mode(&p, "t/x", 0600);
    assert_int_equal(setxattr(path, "user.mine", "m", 1, 0), 0);
    must(pull_run(&p.pull, &p.va));
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(p.pull.result.metadata_only, 1);
    assert_same(p.a, p.t, false);
    place_drop(&p);
}

static void a_file_with_links_outside_is_replaced_and_the_other_link_untouched(void **state)
{
    struct place p = place_make();
    AUTO_FREE char *outside = at(&p, "outside");
    struct stat st;

    (void)state;
    put(&p, "a/x", "x");
    set_mode(&p, "a/x", 0644);
    pull_a(&p);
    make_hard_link(&p, "t/x", "outside");
    put(&p, "b/x", "x");
    set_mode(&p, "b/x", 0755);
    must(try_b(&p));
    assert_same(p.b, p.t, false);
    assert_int_equal(stat(outside, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(st.st_nlink, 1);
    place_drop(&p);
}

static void links_are_made_joined_and_split_as_the_version_says(void **state)
{
    struct place p = place_make();

    (void)state;
    put(&p, "a/one", "same");
    make_hard_link(&p, "a/one", "a/two");
    put(&p, "a/three", "same");
    pull_a(&p);
    assert_same(p.a, p.t, false);
    put(&p, "b/one", "same");
    put(&p, "b/two", "same");
    put(&p, "b/three", "other");
    make_hard_link(&p, "b/three", "b/four");
    must(try_b(&p));
    assert_same(p.b, p.t, false);
    assert_int_equal(p.pull.result.kept, 0);
    place_drop(&p);
}

static void holes_of_a_sparse_file_take_no_room(void **state)
{
    struct place p = place_make();
    AUTO_FREE char *path = at(&p, "a/sparse");
    AUTO_FREE char *there = at(&p, "t/sparse");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    struct stat want, got;

    (void)state;
    assert_int_equal(pwrite(fd, "begin", 5, 0), 5);
    assert_int_equal(pwrite(fd, "end", 3, 3 << 20), 3);
    assert_int_equal(ftruncate(fd, 5 << 20), 0);
    close(fd);
    pull_a(&p);
    assert_same(p.a, p.t, false);

    /* The same by copying what is held. */
    assert_int_equal(truncate(there, 1), 0);
    p.pull.seed = p.a;
    must(pull_run(&p.pull, &p.va));
    assert_int_equal(p.pull.plan.bytes_local, 5 << 20);
    assert_same(p.a, p.t, false);
    assert_int_equal(stat(path, &want), 0);
    assert_int_equal(stat(there, &got), 0);
    assert_in_range(got.st_blocks, 0, want.st_blocks + 16);
    place_drop(&p);
}

/* A seed with all large files by path, size and time is not read before it is copied. */
static void a_seed_that_only_looks_like_the_version_is_fetched_all_the_same(void **state)
{
    struct place p = place_make();
    AUTO_FREE char *seed = at(&p, "b/large");
    AUTO_FREE char *copy = xasprintf("cd '%s' && cp -a a/. b", p.dir->path);
    char *bytes = xalloc(400000);
    struct stat now;

    (void)state;
    for (size_t i = 0; i < 400000; i++)
        bytes[i] = (char)(i * i / 77);
    tmpdir_write(p.dir, "a/large", bytes, 400000);
    put(&p, "a/small", "the same");
    free(bytes);
    assert_int_equal(system(copy), 0);
    assert_int_equal(stat(seed, &now), 0);
    int fd = open(seed, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "altered", 7, 200000), 7);
    const struct timespec times[2] = {now.st_atim, now.st_mtim};
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
    p.pull.seed = p.b;
    pull_a(&p);
    assert_int_equal(p.pull.plan.bytes_local, 400000 + 8);
    assert_same(p.a, p.t, false);
    place_drop(&p);
}

static void an_apply_cut_short_is_finished_by_the_next_pull_and_by_nobody_else(void **state)
{
    struct place p = place_make();

    (void)state;
    put(&p, "a/x", "old");
    pull_a(&p);
    put(&p, "b/x", "new");
    p.pull.stop_before_replay = true;
    must(try_b(&p));
    assert_text(&p, "t/x", "old");
    struct stage *s = NULL;
    struct holdings *h = holdings_new(NULL);
    struct stage_options options = {p.t, &p.va.manifest, h, &p.va.result.root_digest, false};
    assert_int_equal(stage_open(&options, &s).code, ALB_CONFLICT);
    holdings_free(h);
    apply_result_release(&p.pull.result);
    must(apply_replay(p.t, &p.pull.result));
    assert_int_equal(p.pull.result.replaced, 1);
    assert_same(p.b, p.t, false);
    apply_result_release(&p.pull.result);
    assert_int_equal(apply_replay(p.t, &p.pull.result).code, ALB_NOT_FOUND);
    place_drop(&p);
}

/* As a shell would: the stage's names are the entries'. */
static void alter_staged(const struct place *p, const char *what)
{
    AUTO_FREE char *command = xasprintf("cd '%s'/.albedo/stage/* && for f in *; do grep -q '^%s$' "
                                        "$f && printf X | dd of=$f conv=notrunc 2>/dev/null; done; "
                                        "cp 1 ../../.journal.tmp-1; cp 1 ../../.applied.tmp-2",
                                        p->t, what);

    assert_int_equal(system(command), 0);
}

static void a_staged_file_altered_after_a_crash_is_fetched_again_and_not_applied(void **state)
{
    struct place p = place_make();

    (void)state;
    put(&p, "a/x", "old");
    pull_a(&p);
    put(&p, "b/x", "new");
    put(&p, "b/y", "why");
    p.pull.stop_before_replay = true;
    must(try_b(&p));
    alter_staged(&p, "why");
    apply_result_release(&p.pull.result);
    must(apply_check(p.t, &p.pull.damage));
    assert_int_equal(p.pull.damage.count, 1);
    assert_string_equal(p.pull.damage.path, "y");
    assert_text(&p, "t/x", "old");
    apply_damage_release(&p.pull.damage);
    p.pull.stop_before_replay = false;
    must(pull_run(&p.pull, &p.vb));
    assert_int_equal(p.pull.damage.count, 1);
    assert_same(p.b, p.t, false);
    assert_false(is_there(&p, "t/.albedo/journal"));
    assert_false(is_there(&p, "t/.albedo/.journal.tmp-1"));
    assert_false(is_there(&p, "t/.albedo/.applied.tmp-2"));
    apply_damage_release(&p.pull.damage);
    place_drop(&p);
}

static void what_is_applied_is_told_with_its_manifest(void **state)
{
    struct place p = place_make();
    struct applied a;

    (void)state;
    put(&p, "a/x", "x");
    assert_int_equal(applied_read(p.t, &a).code, ALB_NOT_FOUND);
    pull_a(&p);
    must(applied_read(p.t, &a));
    assert_string_equal(a.version, "base/test@1");
    assert_true(digest_equal(&a.root, &p.va.result.root_digest));
    assert_non_null(manifest_find(&a.manifest, "x"));
    applied_release(&a);
    put(&p, "t/.albedo/applied",
        "ALBAPPL\nnonsense that is long enough to have a digest at its end");
    assert_int_equal(applied_read(p.t, &a).code, ALB_CORRUPT);
    place_drop(&p);
}

/* As somebody else than root: what needs privilege is counted, or refused with `strict`. */
static void without_privilege_owners_are_counted_and_strict_refuses(void **state)
{
    struct place p = place_make();
    struct stat st;
    AUTO_FREE char *run = at(&p, "t/run");

    (void)state;
    if (geteuid() != 0) {
        place_drop(&p);
        skip();
    }
    put(&p, "a/run", "#!");
    set_mode(&p, "a/run", 04755);
    assert_int_equal(chown(p.t, 4711, 4711), 0);
    assert_int_equal(chmod(p.dir->path, 0755), 0);
    must(version_make(p.a, &p.va));
    p.pull.options.strict = true;
    assert_int_equal(setegid(4711), 0);
    assert_int_equal(seteuid(4711), 0);
    struct alb_status strict = pull_run(&p.pull, &p.va);
    bool untouched = !is_there(&p, "t/run");
    p.pull.options.strict = false;
    struct alb_status lenient = pull_run(&p.pull, &p.va);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(setegid(0), 0);
    assert_int_equal(strict.code, ALB_REFUSED);
    assert_true(untouched);
    must(lenient);
    assert_int_equal(p.pull.result.owners_not_set, 2); /* the top and the file */
    assert_int_equal(stat(run, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755); /* not set-id for somebody it was not meant for */
    place_drop(&p);
}

/* Owners, set-id bits, capabilities, ACLs and devices, as only root can have them. */
static void with_privilege_everything_is_as_published(void **state)
{
    /* cap_net_raw+ep, as setcap(8) writes it (VFS_CAP_REVISION_2). */
    static const uint8_t capability[20] = {1, 0, 0, 2, 0, 0x20};
    /* user::rw- user:4711:r-- group::r-- mask::r-- other::---, version 2 of the ACL's form. */
    static const uint8_t acl[] = {2,   0,   0,   0,   1,   0,    6,    0,   255, 255, 255,
                                  255, 2,   0,   4,   0,   0x67, 0x12, 0,   0,   4,   0,
                                  4,   0,   255, 255, 255, 255,  16,   0,   4,   0,   255,
                                  255, 255, 255, 32,  0,   0,    0,    255, 255, 255, 255};
    struct place p = place_make();
    AUTO_FREE char *ping = at(&p, "a/ping");
    AUTO_FREE char *su = at(&p, "a/su");
    AUTO_FREE char *private = at(&p, "a/private");
    AUTO_FREE char *null = at(&p, "a/null");
    AUTO_FREE char *link = at(&p, "a/link");

    (void)state;
    put(&p, "a/ping", "ping");
    put(&p, "a/su", "su");
    put(&p, "a/private", "p");
    make_link(&p, "su", "a/link");
    if (geteuid() != 0 || mknod(null, S_IFCHR | 0666, makedev(1, 3)) != 0) {
        place_drop(&p);
        skip();
    }
    assert_int_equal(setxattr(ping, "security.capability", capability, sizeof(capability), 0), 0);
    assert_int_equal(chown(su, 12, 34), 0);
    set_mode(&p, "a/su", 06755);
    assert_int_equal(lchown(link, 12, 34), 0);
    set_mode(&p, "a/private", 0640);
    assert_int_equal(setxattr(private, "system.posix_acl_access", acl, sizeof(acl), 0), 0);
    pull_a(&p);
    assert_same(p.a, p.t, false);
    assert_int_equal(p.pull.result.owners_not_set + p.pull.result.devices_not_made +
                         p.pull.result.xattrs_not_set,
                     0);
    must(pull_run(&p.pull, &p.va));
    assert_int_equal(p.pull.result.unchanged, 6);

    /* Put right again what somebody set wrong: brought anew, since its owner could write to it. */
    AUTO_FREE char *ours = at(&p, "t/ping");
    assert_int_equal(chown(ours, 12, 12), 0);
    must(pull_run(&p.pull, &p.va));
    assert_int_equal(p.pull.result.replaced, 1);
    assert_same(p.a, p.t, false);
    place_drop(&p);
}

/* Its owner could write us a journal. */
static void a_folder_of_ours_that_is_somebody_elses_is_refused(void **state)
{
    struct place p = place_make();
    AUTO_FREE char *albedo = at(&p, "t/.albedo");

    (void)state;
    put(&p, "a/x", "x");
    tmpdir_mkdir(p.dir, "t/.albedo");
    set_mode(&p, "t/.albedo", 0777);
    put(&p, "t/.albedo/journal", "anything");
    must(version_make(p.a, &p.va));
    assert_int_equal(apply_replay(p.t, &p.pull.result).code, ALB_INVALID);
    if (geteuid() == 0) {
        set_mode(&p, "t/.albedo", 0700);
        assert_int_equal(chown(albedo, 4711, 4711), 0);
        assert_int_equal(pull_run(&p.pull, &p.va).code, ALB_INVALID);
    }
    assert_false(is_there(&p, "t/x"));
    place_drop(&p);
}

/* Who owned the file may still have it open, and would write root's set-id program. */
static void a_file_another_user_could_write_is_replaced_before_it_gains_rights(void **state)
{
    struct place p = place_make();
    AUTO_FREE char *theirs = NULL;
    struct stat now;
    int held;

    (void)state;
    if (geteuid() != 0)
        skip();
    put(&p, "a/su", "the program");
    set_mode(&p, "a/su", 04755);
    put(&p, "t/su", "the program");
    theirs = at(&p, "t/su");
    assert_int_equal(chown(theirs, 4711, 4711), 0);
    held = open(theirs, O_WRONLY | O_CLOEXEC);
    assert_true(held >= 0);
    pull_a(&p);
    assert_int_equal(pwrite(held, "THE", 3, 0), 3);
    assert_text(&p, "t/su", "the program");
    assert_int_equal(stat(theirs, &now), 0);
    assert_int_equal(now.st_uid, 0);
    assert_int_equal(now.st_mode & 07777, 04755);
    close(held);
    place_drop(&p);
}

/* A planted record would say that anything is what was applied. */
static void a_record_of_what_is_applied_is_read_only_from_a_folder_of_ours(void **state)
{
    struct place p = place_make();
    AUTO_FREE char *albedo = at(&p, "t/.albedo");
    struct applied applied;

    (void)state;
    put(&p, "a/x", "x");
    pull_a(&p);
    must(applied_read(p.t, &applied));
    applied_release(&applied);
    set_mode(&p, "t/.albedo", 0777);
    assert_int_equal(applied_read(p.t, &applied).code, ALB_INVALID);
    set_mode(&p, "t/.albedo", 0700);
    if (geteuid() == 0) {
        assert_int_equal(chown(albedo, 4711, 4711), 0);
        assert_int_equal(applied_read(p.t, &applied).code, ALB_INVALID);
    }
    place_drop(&p);
}

/* This program once more, all of it, where openat2 is not to be had. */
static void without_openat2_all_of_this_is_the_same(void **state)
{
    int how;

    (void)state;
    pid_t child = fork();
    if (child == 0) {
        if (!openat2_forbid() || !openat2_is_forbidden())
            _exit(0); /* no such filters here: nothing to try */
        execl("/proc/self/exe", "unit_image_apply", "without", (char *)NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_directory_becomes_the_version),
        cmocka_unit_test(a_second_pull_of_the_same_changes_nothing),
        cmocka_unit_test(what_the_new_version_lacks_goes_and_what_is_foreign_stays),
        cmocka_unit_test(exact_removes_foreign_things_too_but_never_our_folder),
        cmocka_unit_test(a_file_the_owner_changed_is_kept_before_it_is_replaced_or_removed),
        cmocka_unit_test(a_change_that_left_no_trace_in_the_stamps_is_found_by_its_digest),
        cmocka_unit_test(kept_twice_under_the_same_name_is_two_files),
        cmocka_unit_test(a_directory_in_place_of_a_file_goes_when_it_is_ours_and_is_kept_when_not),
        cmocka_unit_test(a_file_in_place_of_a_directory_goes_when_it_is_ours_and_is_kept_when_not),
        cmocka_unit_test(an_owners_symlink_in_place_of_a_directory_is_reported_and_nothing_is_done),
        cmocka_unit_test(our_own_symlink_may_become_a_directory_and_back),
        cmocka_unit_test(metadata_alone_is_set_on_the_file_that_is_there),
        cmocka_unit_test(a_file_with_links_outside_is_replaced_and_the_other_link_untouched),
        cmocka_unit_test(links_are_made_joined_and_split_as_the_version_says),
        cmocka_unit_test(holes_of_a_sparse_file_take_no_room),
        cmocka_unit_test(a_seed_that_only_looks_like_the_version_is_fetched_all_the_same),
        cmocka_unit_test(an_apply_cut_short_is_finished_by_the_next_pull_and_by_nobody_else),
        cmocka_unit_test(a_staged_file_altered_after_a_crash_is_fetched_again_and_not_applied),
        cmocka_unit_test(what_is_applied_is_told_with_its_manifest),
        cmocka_unit_test(without_privilege_owners_are_counted_and_strict_refuses),
        cmocka_unit_test(with_privilege_everything_is_as_published),
        cmocka_unit_test(a_folder_of_ours_that_is_somebody_elses_is_refused),
        cmocka_unit_test(a_file_another_user_could_write_is_replaced_before_it_gains_rights),
        cmocka_unit_test(a_record_of_what_is_applied_is_read_only_from_a_folder_of_ours),
    };
    const struct CMUnitTest again[] = {cmocka_unit_test(without_openat2_all_of_this_is_the_same)};
    bool is_again = argc > 1 && strcmp(argv[1], "without") == 0;

    if (is_again && !openat2_is_forbidden())
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed != 0 || is_again ? failed : cmocka_run_group_tests(again, NULL, NULL);
}
