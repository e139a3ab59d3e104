/* SPDX-License-Identifier: Apache-2.0 */
/* unit/image/test_stage.c – what is put together, what is asked for, what is refused. */

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/crypto.h"
#include "support/gen.h"
#include "support/pull.h"
#include "support/tmpdir.h"
#include "support/tree_diff.h"

enum { LARGE = 4000000 };

struct place {
    struct tmpdir *dir;
    char *a, *t, *seed;
    struct version v;
    struct pull pull;
};

static void must(struct alb_status st)
{
    assert_string_equal(st.what, "");
    assert_int_equal(st.code, ALB_OK);
}

static void write_large(const struct place *p, const char *name, uint64_t seed, size_t size)
{
    AUTO_FREE uint8_t *bytes = xalloc(size);
    struct gen g;

    gen_init(&g, seed);
    gen_bytes(&g, bytes, size);
    tmpdir_write(p->dir, name, bytes, size);
}

static struct place place_make(void)
{
    struct place p = {.dir = tmpdir_open()};

    tmpdir_mkdir(p.dir, "a");
    tmpdir_mkdir(p.dir, "t");
    tmpdir_mkdir(p.dir, "seed");
    p.a = tmpdir_path(p.dir, "a");
    p.t = tmpdir_path(p.dir, "t");
    p.seed = tmpdir_path(p.dir, "seed");
    p.pull.target = p.t;
    return p;
}

static void place_drop(struct place *p)
{
    version_release(&p->v);
    apply_result_release(&p->pull.result);
    free(p->a);
    free(p->t);
    free(p->seed);
    tmpdir_close(p->dir);
}

static void assert_same(const struct place *p)
{
    AUTO_FREE char *diff = tree_diff(p->a, p->t, false);

    assert_string_equal(diff == NULL ? "" : diff, "");
}

static void a_cut_pull_of_one_large_file_goes_on_where_it_was(void **state)
{
    struct place p = place_make();
    uint64_t all;

    (void)state;
    write_large(&p, "a/large", 1, LARGE);
    must(version_make(p.a, &p.v));
    p.pull.fetch_most = p.v.manifest.content_key_count / 2;
    assert_int_equal(pull_run(&p.pull, &p.v).code, ALB_CLOSED);
    all = p.pull.plan.bytes_needed;
    assert_int_equal(all, LARGE);
    p.pull.fetch_most = 0;
    must(pull_run(&p.pull, &p.v));
    assert_true(p.pull.plan.bytes_resumed > LARGE / 4);
    assert_int_equal(p.pull.plan.bytes_needed + p.pull.plan.bytes_resumed, LARGE);
    assert_same(&p);
    place_drop(&p);
}

/* Whatever is in the stage is proven, so damage in it is only work to do again. */
static void a_staged_file_that_was_damaged_is_fetched_again(void **state)
{
    struct place p = place_make();

    (void)state;
    write_large(&p, "a/large", 1, LARGE);
    tmpdir_mkdir(p.dir, "a/d");
    tmpdir_write(p.dir, "a/d/small", "small", 5);
    must(version_make(p.a, &p.v));
    p.pull.fetch_most = p.v.manifest.content_key_count - 1;
    assert_int_equal(pull_run(&p.pull, &p.v).code, ALB_CLOSED);
    AUTO_FREE char *command =
        xasprintf("for f in %s/.albedo/stage/*/*; do printf X | dd of=$f bs=1 seek=3 conv=notrunc "
                  "status=none; done; touch %s/.albedo/stage/foreign",
                  p.t, p.t);
    assert_int_equal(system(command), 0);
    p.pull.fetch_most = 0;
    must(pull_run(&p.pull, &p.v));
    assert_same(&p);
    place_drop(&p);
}

static void a_seed_saves_every_byte_and_a_changed_file_all_but_its_change(void **state)
{
    struct place p = place_make();

    (void)state;
    write_large(&p, "a/same", 1, LARGE);
    write_large(&p, "a/longer", 2, LARGE);
    tmpdir_write(p.dir, "a/empty", "", 0);
    AUTO_FREE char *command = xasprintf("cp %s/same %s/elsewhere && cp %s/longer %s/longer && "
                                        "echo more >>%s/longer",
                                        p.a, p.seed, p.a, p.seed, p.a);
    assert_int_equal(system(command), 0);
    must(version_make(p.a, &p.v));
    p.pull.seed = p.seed;
    must(pull_run(&p.pull, &p.v));
    assert_int_equal(p.pull.plan.files_local, 2); /* the same one and the empty one */
    assert_int_equal(p.pull.plan.bytes_local, LARGE);
    assert_in_range(p.pull.plan.bytes_needed, 1, 1 << 20); /* its last chunk */
    assert_int_equal(p.pull.plan.bytes_local_chunks + p.pull.plan.bytes_needed, LARGE + 5);
    assert_same(&p);
    place_drop(&p);
}

struct opened {
    struct scan target, seed;
    struct holdings *h;
    struct stage *s;
};

static struct alb_status try_open(const struct place *p, struct opened *o)
{
    static const struct scan_options options = {0};

    *o = (struct opened){.h = holdings_new(NULL)};
    must(scan_tree(p->t, &options, &o->target));
    must(scan_tree(p->seed, &options, &o->seed));
    holdings_add(o->h, &o->target);
    holdings_add(o->h, &o->seed);
    for (size_t i = 0; i < holdings_units(o->h); i++)
        holdings_run(o->h, i);
    return stage_open(
        &(struct stage_options){p->t, &p->v.manifest, o->h, &p->v.result.root_digest, false},
        &o->s);
}

static void close_again(struct opened *o)
{
    stage_close(o->s);
    holdings_free(o->h);
    scan_release(&o->target);
    scan_release(&o->seed);
}

static void a_local_source_that_changed_is_fetched_instead(void **state)
{
    struct place p = place_make();
    struct opened o;
    struct stage_plan plan;

    (void)state;
    write_large(&p, "a/x", 1, 1000);
    write_large(&p, "seed/x", 1, 1000);
    must(version_make(p.a, &p.v));
    must(try_open(&p, &o));
    must(stage_plan(o.s, &plan));
    assert_int_equal(plan.position_count, 0);
    write_large(&p, "seed/x", 2, 1000);
    for (size_t i = 0; i < stage_local_units(o.s); i++)
        must(stage_fill_local(o.s, i));
    must(stage_plan(o.s, &plan));
    assert_int_equal(plan.position_count, 1);
    assert_int_equal(stage_seal(o.s).code, ALB_NOT_FOUND);
    assert_string_equal(stage_error_path(o.s), "x");
    must(version_put(&p.v, plan.positions[0], o.s));
    must(stage_seal(o.s));
    close_again(&o);
    place_drop(&p);
}

static void two_stages_of_one_target_are_a_conflict(void **state)
{
    struct place p = place_make();
    struct opened first, second;

    (void)state;
    tmpdir_write(p.dir, "a/x", "x", 1);
    must(version_make(p.a, &p.v));
    must(try_open(&p, &first));
    assert_int_equal(try_open(&p, &second).code, ALB_CONFLICT);
    close_again(&second);
    close_again(&first);
    must(try_open(&p, &second));
    close_again(&second);
    place_drop(&p);
}

static void the_root_of_the_system_and_what_is_no_directory_are_refused(void **state)
{
    static const char *const bad[] = {"/", "/..", "/proc/../", "/nowhere/at/all", "/etc/passwd"};
    struct place p = place_make();
    struct opened o;

    (void)state;
    must(version_make(p.a, &p.v));
    free(p.t);
    for (size_t i = 0; i < ALB_COUNT(bad); i++) {
        struct stage *s = NULL;
        struct holdings *h = holdings_new(NULL);
        struct stage_options options = {bad[i], &p.v.manifest, h, &p.v.result.root_digest, false};
        struct apply_result result;

        assert_int_equal(stage_open(&options, &s).code, ALB_INVALID);
        assert_int_equal(apply_replay(bad[i], &result).code, ALB_INVALID);
        holdings_free(h);
    }
    p.t = tmpdir_path(p.dir, "t");
    must(try_open(&p, &o));
    close_again(&o);
    place_drop(&p);
}

/* A manifest whose chunk is right but whose file digest is another: nobody can spell that file. */
static void a_manifest_that_lies_about_a_file_is_found_out(void **state)
{
    struct place p = place_make();
    struct opened o;
    struct stage_plan plan;

    (void)state;
    tmpdir_write(p.dir, "a/x", "x", 1);
    write_large(&p, "a/y", 1, LARGE);
    must(version_make(p.a, &p.v));
    for (size_t i = 0; i < p.v.manifest.count; i++)
        p.v.manifest.entries[i].content.bytes[0] ^= 1;
    must(try_open(&p, &o));
    must(stage_plan(o.s, &plan));
    bool refused = false;
    for (size_t i = 0; i < plan.position_count; i++)
        refused |= version_put(&p.v, plan.positions[i], o.s).code == ALB_CORRUPT;
    assert_true(refused);
    assert_true(alb_failed(stage_seal(o.s)));
    close_again(&o);
    place_drop(&p);
}

static void the_stage_of_another_version_is_swept(void **state)
{
    struct place p = place_make();
    struct version other;

    (void)state;
    write_large(&p, "a/x", 1, LARGE);
    must(version_make(p.a, &p.v));
    p.pull.fetch_most = 1;
    assert_int_equal(pull_run(&p.pull, &p.v).code, ALB_CLOSED);
    must(version_make(p.seed, &other)); /* an empty tree */
    p.pull.fetch_most = 0;
    must(pull_run(&p.pull, &other));
    AUTO_FREE char *left = xasprintf("test ! -e %s/.albedo/stage", p.t);
    assert_int_equal(system(left), 0);
    version_release(&other);
    place_drop(&p);
}

/* ---- several file systems; needs the right to mount ---- */

static int pull_over_a_mount(struct place *p)
{
    AUTO_FREE char *mounted = xasprintf("%s/data", p->t);
    AUTO_FREE char *held = xasprintf("%s/data/mine", p->t);
    AUTO_FREE char *stage = xasprintf("%s/data/.albedo/stage", p->t);
    AUTO_FREE char *diff = NULL;

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return 77;
    if (mkdir(mounted, 0755) != 0 || mount("none", mounted, "tmpfs", 0, NULL) != 0)
        return 77;
    if (alb_failed(pull_run(&p->pull, &p->v)))
        return 1;
    diff = tree_diff(p->a, p->t, true);
    if (diff != NULL || access(stage, F_OK) == 0)
        return 2;
    /* A version without it leaves the mount point alone, even when it is to be exact. */
    struct version empty;
    if (alb_failed(version_make(p->seed, &empty)) || mkdir(held, 0755) != 0)
        return 3;
    p->pull.options.exact = true;
    if (alb_failed(pull_run(&p->pull, &empty)))
        return 4;
    version_release(&empty);
    return access(held, F_OK) == 0 && p->pull.result.conflict_count == 1 ? 0 : 5;
}

static void files_of_another_file_system_are_staged_on_it(void **state)
{
    struct place p = place_make();
    int how = 0;

    (void)state;
    tmpdir_mkdir(p.dir, "a/data");
    write_large(&p, "a/data/x", 1, LARGE);
    tmpdir_write(p.dir, "a/y", "y", 1);
    must(version_make(p.a, &p.v));
    pid_t child = fork();
    if (child == 0)
        _exit(pull_over_a_mount(&p));
    assert_int_equal(waitpid(child, &how, 0), child);
    place_drop(&p);
    if (WEXITSTATUS(how) == 77)
        skip();
    assert_int_equal(how, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_pull_of_one_large_file_goes_on_where_it_was),
        cmocka_unit_test(a_staged_file_that_was_damaged_is_fetched_again),
        cmocka_unit_test(a_seed_saves_every_byte_and_a_changed_file_all_but_its_change),
        cmocka_unit_test(a_local_source_that_changed_is_fetched_instead),
        cmocka_unit_test(two_stages_of_one_target_are_a_conflict),
        cmocka_unit_test(the_root_of_the_system_and_what_is_no_directory_are_refused),
        cmocka_unit_test(a_manifest_that_lies_about_a_file_is_found_out),
        cmocka_unit_test(the_stage_of_another_version_is_swept),
        cmocka_unit_test(files_of_another_file_system_are_staged_on_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
