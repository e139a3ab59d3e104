/* SPDX-License-Identifier: Apache-2.0 */
/* unit/image/test_apply_found.c – a journal is found long after it was written, and the owner has
 * been at work in between. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/pull.h"
#include "support/tmpdir.h"
#include "support/tree_diff.h"

struct world {
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

static void shell(const struct world *w, const char *script)
{
    AUTO_FREE char *command = xasprintf("cd '%s' && %s", w->dir->path, script);

    assert_int_equal(system(command), 0);
}

/* a is in place, b's journal is written, and then the power fails. */
static void world_make(struct world *w, bool exact)
{
    *w = (struct world){.dir = tmpdir_open()};
    w->a = tmpdir_path(w->dir, "a");
    w->b = tmpdir_path(w->dir, "b");
    w->t = tmpdir_path(w->dir, "t");
    shell(w, "mkdir a b t && echo 1 >a/edited; echo 1 >a/left; echo 1 >a/rewritten; echo 1 >a/gone;"
             "echo 1 >a/leaves; echo 2 >b/edited; echo 2 >b/left; echo 2 >b/rewritten");
    shell(w, "ln -s old a/link; ln -s new b/link; echo 2 >b/new; echo 1 >a/todir; mkdir b/todir");
    w->pull = (struct pull){.target = w->t, .options = {.version = "base/test@1"}};
    must(version_make(w->a, &w->va));
    must(version_make(w->b, &w->vb));
    must(pull_run(&w->pull, &w->va));
    shell(w, "echo foreign >t/foreign");
    w->pull.options = (struct apply_options){.version = "base/test@2", .exact = exact};
    w->pull.stop_before_replay = true;
    must(pull_run(&w->pull, &w->vb));
    apply_result_release(&w->pull.result);
}

static void world_drop(struct world *w)
{
    apply_result_release(&w->pull.result);
    version_release(&w->va);
    version_release(&w->vb);
    free(w->a);
    free(w->b);
    free(w->t);
    tmpdir_close(w->dir);
}

static void assert_text(const struct world *w, const char *path, const char *text)
{
    AUTO_FREE char *found = tmpdir_read(w->dir, path, NULL);

    assert_string_equal(found, text);
}

static void assert_is_b(const struct world *w)
{
    AUTO_FREE char *diff = tree_diff(w->b, w->t, true);

    assert_string_equal(diff == NULL ? "" : diff, "");
}

static void what_the_owner_changed_after_a_crash_is_kept_when_the_update_is_finished(void **state)
{
    struct world w;

    (void)state;
    world_make(&w, false);
    shell(&w, "echo mine >t/edited; echo mine >x; mv x t/rewritten; echo mine >t/gone; "
              "echo mine >t/new; ln -sfn mine t/link; echo mine >t/todir");
    must(apply_replay(w.t, &w.pull.result));
    assert_int_equal(w.pull.result.kept, 6);
    assert_int_equal(w.pull.result.kept_path_count, 6);
    assert_int_equal(w.pull.result.conflict_count, 0);
    assert_text(&w, "t/.albedo/kept/base/test@2/edited", "mine\n");
    assert_text(&w, "t/.albedo/kept/base/test@2/rewritten", "mine\n");
    assert_text(&w, "t/.albedo/kept/base/test@2/gone", "mine\n");
    assert_text(&w, "t/.albedo/kept/base/test@2/new", "mine\n");
    assert_text(&w, "t/.albedo/kept/base/test@2/todir", "mine\n");
    shell(&w, "test $(readlink t/.albedo/kept/base/test@2/link) = mine");
    assert_is_b(&w);
    world_drop(&w);
}

static void what_nobody_changed_after_a_crash_is_replaced_and_nothing_kept(void **state)
{
    struct world w;

    (void)state;
    world_make(&w, true);
    shell(&w, "touch t/left; chmod 600 t/edited; echo 2 >t/rewritten");
    must(apply_replay(w.t, &w.pull.result));
    assert_int_equal(w.pull.result.kept, 0);
    assert_int_equal(w.pull.result.kept_path_count, 0);
    shell(&w, "test ! -e t/foreign && test ! -e t/leaves && test ! -e t/.albedo/kept");
    assert_is_b(&w);
    world_drop(&w);
}

/* Of whoever fetched it again over the journal and died before its metadata were set. */
static void a_staged_file_with_the_right_bytes_alone_gets_its_metadata_too(void **state)
{
    struct apply_damage damage;
    struct world w;

    (void)state;
    world_make(&w, true);
    shell(&w, "cd t/.albedo/stage/* && for f in *; do if test -f $f; then cat $f >../x && rm $f && "
              "mv ../x $f && chmod 604 $f; fi; done");
    must(apply_check(w.t, &damage));
    assert_int_equal(damage.count, 0);
    apply_damage_release(&damage);
    must(apply_replay(w.t, &w.pull.result));
    assert_is_b(&w);
    shell(&w, "test $(stat -c %a t/new) = $(stat -c %a b/new) && test ! t/new -nt b/new");
    world_drop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_owner_changed_after_a_crash_is_kept_when_the_update_is_finished),
        cmocka_unit_test(what_nobody_changed_after_a_crash_is_replaced_and_nothing_kept),
        cmocka_unit_test(a_staged_file_with_the_right_bytes_alone_gets_its_metadata_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
