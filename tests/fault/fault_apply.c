/* SPDX-License-Identifier: Apache-2.0 */
/* fault/fault_apply.c – a pull that breaks at every step ends well.
 *
 * LINKS: sysfault image base chunk wire
 *
 * The 1st, 2nd, 3rd … fallible call of a pull fails; the pull is then run again, as its owner
 * would. And a process is killed at every operation of the journal; the next one finishes.  Each
 * time the whole tree is compared, and what the owner wrote is looked for.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/fault.h"
#include "support/gen.h"
#include "support/pull.h"
#include "support/sysfault.h"
#include "support/tmpdir.h"
#include "support/tree_diff.h"

#ifdef ALB_FAULT

struct world {
    struct tmpdir *dir;
    char *a, *b, *t;
    struct version va, vb;
};

static void must(struct alb_status st)
{
    assert_string_equal(st.what, "");
    assert_int_equal(st.code, ALB_OK);
}

static void shell(const struct world *w, const char *script)
{
    AUTO_FREE char *command = xasprintf("cd '%s' && %s", w->dir->path, script);

    assert_int_equal(system(command), 0);
}

/* Every kind of operation occurs on the way from a, with what the owner did to it, to b. */
static void world_make(struct world *w)
{
    w->dir = tmpdir_open();
    w->a = tmpdir_path(w->dir, "a");
    w->b = tmpdir_path(w->dir, "b");
    w->t = tmpdir_path(w->dir, "t");
    shell(w, "mkdir -p a/gone/deep a/stays a/tofile a/mixed b/stays b/todir b/new/deep && "
             "echo 1 >a/gone/deep/x; echo 2 >a/stays/x; echo 3 >a/tofile/x; echo 4 >a/mixed/x; "
             "echo 5 >a/todir; echo 6 >a/changed; echo 7 >a/same; ln a/same a/stays/link; "
             "ln -s same a/symlink; head -c 700000 /dev/urandom >a/large");
    shell(w, "cp -a a/same a/symlink b; echo 2b >b/stays/x; echo 3b >b/tofile; echo 4b >b/mixed; "
             "echo 5b >b/todir/x; echo 6b >b/changed; echo n >b/new/deep/n; ln b/changed b/new/l; "
             "ln -s n b/new/s; mkfifo b/new/f; chmod 700 b/stays; chmod 600 b/same; "
             "(cat a/large; echo more) >b/large");
    must(version_make(w->a, &w->va));
    must(version_make(w->b, &w->vb));
}

static void target_make(const struct world *w)
{
    struct pull p = {.target = w->t, .options = {.version = "base/test@1"}};
    struct version va = w->va;

    shell(w, "rm -rf t && mkdir t");
    must(pull_run(&p, &va));
    apply_result_release(&p.result);
    shell(w, "printf mine >t/mixed/mine; printf 'my change' >t/changed; printf foreign >t/stays/f");
}

static void world_drop(struct world *w)
{
    version_release(&w->va);
    version_release(&w->vb);
    free(w->a);
    free(w->b);
    free(w->t);
    tmpdir_close(w->dir);
}

static void assert_done(const struct world *w)
{
    AUTO_FREE char *diff = tree_diff(w->b, w->t, true);
    AUTO_FREE char *journal = tmpdir_path(w->dir, "t/.albedo/journal");
    AUTO_FREE char *stage = tmpdir_path(w->dir, "t/.albedo/stage");

    assert_string_equal(diff == NULL ? "" : diff, "");
    assert_true(tree_has_text(w->t, "mine"));
    assert_true(tree_has_text(w->t, "my change"));
    assert_true(tree_has_text(w->t, "foreign"));
    assert_int_not_equal(access(journal, F_OK), 0);
    assert_int_not_equal(access(stage, F_OK), 0);
}

static void a_pull_that_fails_anywhere_is_finished_by_the_next(void **state)
{
    struct world w;
    struct pull p = {.options = {.version = "base/test@2"}};
    bool fired = true;
    unsigned nth = 0;

    (void)state;
    world_make(&w);
    AUTO_FREE char *cache = tmpdir_path(w.dir, "cache");
    p.target = w.t;
    p.cache = cache;
    for (; fired; nth++) {
        struct alb_status st;

        target_make(&w);
        fault_arm(NULL, nth);
        st = pull_run(&p, &w.vb);
        fault_disarm();
        fired = fault_fired();
        if (fired)
            must(pull_run(&p, &w.vb));
        else
            must(st);
        assert_done(&w);
    }
    assert_true(nth > 60);
    apply_result_release(&p.result);
    world_drop(&w);
}

struct scene {
    struct world w;
    enum sysfault kind;
};

/* What has nothing left to fail, or is harmless, is done at once; all else by the next pull. */
static void pull_with_call_failing(void *arg)
{
    struct scene *s = arg;
    struct pull p = {.options = {.version = "base/test@2"}, .target = s->w.t};
    AUTO_FREE char *cache = tmpdir_path(s->w.dir, "cache");

    p.cache = cache;
    target_make(&s->w);
    sysfault_begin();
    struct alb_status st = pull_run(&p, &s->w.vb);
    if (!sysfault_disarm() || sysfault_is_harmless(s->kind)) {
        must(st);
    } else {
        assert_true(!alb_failed(st) || st.what[0] != '\0');
        must(pull_run(&p, &s->w.vb));
    }
    assert_done(&s->w);
    apply_result_release(&p.result);
}

static void a_pull_is_finished_by_the_next_whatever_call_fails(void **state)
{
    static const struct {
        enum sysfault kind;
        unsigned least;
    } rows[] = {{SYSFAULT_OPEN, 40},       {SYSFAULT_READ, 10}, {SYSFAULT_READ_SHORT, 10},
                {SYSFAULT_WRITE, 10},      {SYSFAULT_FULL, 40}, {SYSFAULT_SYNC, 4},
                {SYSFAULT_WRITE_SHORT, 8}, {SYSFAULT_NAME, 20}, {SYSFAULT_EINTR, 20}};
    struct scene s;

    (void)state;
    world_make(&s.w);
    for (size_t i = 0; i < ALB_COUNT(rows); i++) {
        s.kind = rows[i].kind;
        sysfault_loop(s.kind, rows[i].least, pull_with_call_failing, &s);
    }
    world_drop(&s.w);
}

/* The child dies as by kill -9: no exit handler, nothing flushed, nothing released. */
static bool replay_killed_at(const struct world *w, unsigned nth)
{
    struct apply_result result = {0};
    pid_t child = fork();
    int how = 0;

    if (child == 0) {
        fault_arm("apply.op", nth);
        if (alb_failed(apply_replay(w->t, &result)))
            kill(getpid(), SIGKILL);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    return WIFSIGNALED(how);
}

static void a_replay_killed_at_any_operation_is_finished_by_the_next(void **state)
{
    struct world w;
    struct pull p = {.options = {.version = "base/test@2"}, .stop_before_replay = true};
    struct apply_result result = {0};
    bool killed = true;
    unsigned nth = 0;

    (void)state;
    world_make(&w);
    p.target = w.t;
    for (; killed; nth++) {
        target_make(&w);
        must(pull_run(&p, &w.vb));
        killed = replay_killed_at(&w, nth);
        if (killed) {
            /* Half-way again, then to the end. */
            (void)replay_killed_at(&w, nth / 2);
            must(apply_replay(w.t, &result));
            apply_result_release(&result);
        }
        assert_done(&w);
    }
    assert_true(nth > 20);
    apply_result_release(&p.result);
    world_drop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pull_that_fails_anywhere_is_finished_by_the_next),
        cmocka_unit_test(a_pull_is_finished_by_the_next_whatever_call_fails),
        cmocka_unit_test(a_replay_killed_at_any_operation_is_finished_by_the_next),
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
