/* SPDX-License-Identifier: Apache-2.0 */
/* crash/flip_target.c – a flipped bit in what a target keeps in .albedo is never applied.
 * LINKS: image store wire chunk base support
 *
 * Journal and applied record: each byte.  Staged files and scan cache: some, each with a pull that
 * has to end with the right tree and all that is the owner's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <string.h>

#include "base/file.h"
#include "crash/flip.h"
#include "support/pull.h"
#include "support/tmpdir.h"
#include "support/tree_diff.h"

enum { PULLS = 24 };

struct world {
    struct tmpdir *tmp;
    struct gen gen;
    char *a, *b, *target, *cache; /* owned */
    struct version va, vb;
};

static void must(struct alb_status st)
{
    assert_string_equal(st.what, "");
    assert_int_equal(st.code, ALB_OK);
}

static void shell(const struct world *w, const char *script)
{
    AUTO_FREE char *command = xasprintf("cd '%s' && %s", w->tmp->path, script);

    assert_int_equal(system(command), 0);
}

/* In place: a version points into itself. */
static void world_make(struct world *w)
{
    *w = (struct world){.tmp = tmpdir_open()};
    gen_init_from_env(&w->gen);
    w->a = tmpdir_path(w->tmp, "a");
    w->b = tmpdir_path(w->tmp, "b");
    w->target = tmpdir_path(w->tmp, "t");
    w->cache = tmpdir_path(w->tmp, "cache");
    shell(w, "mkdir -p a/d b/d b/e; echo 1 >a/d/x; echo 2 >a/same; cp -a a/same b; echo 3 >a/gone; "
             "echo 4 >b/d/x; echo 5 >b/e/new; ln b/e/new b/e/link; "
             "head -c 300000 /dev/urandom >a/large; (cat a/large; head -c 90000 /dev/urandom) "
             ">b/large; head -c 2000 /dev/urandom >b/e/small");
    must(version_make(w->a, &w->va));
    must(version_make(w->b, &w->vb));
}

static void world_drop(struct world *w)
{
    version_release(&w->va);
    version_release(&w->vb);
    free(w->a);
    free(w->b);
    free(w->target);
    free(w->cache);
    tmpdir_close(w->tmp);
}

static struct alb_status pull(struct world *w, struct version *v, size_t fetch_most, bool prepare)
{
    struct pull p = {.target = w->target,
                     .cache = w->cache,
                     .options = {.version = v == &w->va ? "base/test@a" : "base/test@b"},
                     .fetch_most = fetch_most,
                     .stop_before_replay = prepare};
    struct alb_status st = pull_run(&p, v);

    apply_result_release(&p.result);
    return st;
}

/* The target is at a, and the owner has changed something. */
static void begin_at_a(struct world *w)
{
    shell(w, "rm -rf t cache && mkdir t");
    must(pull(w, &w->va, 0, false));
    shell(w, "printf mine >t/d/x; printf foreign >t/d/f");
}

static void assert_is_b(struct world *w)
{
    AUTO_FREE char *diff = tree_diff(w->b, w->target, true);

    assert_string_equal(diff == NULL ? "" : diff, "");
    assert_true(tree_has_text(w->target, "mine"));
    assert_true(tree_has_text(w->target, "foreign"));
}

static void a_flipped_bit_of_the_journal_is_refused_and_nothing_done(void **state)
{
    struct world w;
    struct apply_result result = {0};

    (void)state;
    world_make(&w);
    AUTO_FREE char *journal = tmpdir_path(w.tmp, "t/.albedo/journal");
    AUTO_FREE char *before = tmpdir_path(w.tmp, "before");
    begin_at_a(&w);
    must(pull(&w, &w.vb, 0, true));
    shell(&w, "cp -a t before");
    for (size_t at = 0; at < flip_size(journal); at++) {
        unsigned bit = (unsigned)gen_below(&w.gen, 8);

        flip(journal, at, bit);
        struct alb_status st = apply_replay(w.target, &result);
        assert_true(st.code == ALB_CORRUPT || st.code == ALB_INVALID);
        assert_string_not_equal(st.what, "");
        flip(journal, at, bit);
    }
    AUTO_FREE char *diff = tree_diff(before, w.target, false);
    assert_string_equal(diff == NULL ? "" : diff, "");
    must(apply_replay(w.target, &result));
    apply_result_release(&result);
    assert_is_b(&w);
    world_drop(&w);
}

static void a_flipped_bit_of_the_applied_record_is_named(void **state)
{
    struct world w;
    struct applied a;

    (void)state;
    world_make(&w);
    AUTO_FREE char *record = tmpdir_path(w.tmp, "t/.albedo/applied");
    begin_at_a(&w);
    for (size_t at = 0; at < flip_size(record); at++) {
        unsigned bit = (unsigned)gen_below(&w.gen, 8);

        flip(record, at, bit);
        struct alb_status st = applied_read(w.target, &a);
        assert_true(st.code == ALB_CORRUPT || st.code == ALB_INVALID);
        flip(record, at, bit);
    }
    must(applied_read(w.target, &a));
    applied_release(&a);
    world_drop(&w);
}

/* Its advice works, and nothing of the owner's is lost by it. */
static void a_pull_over_a_damaged_record_says_what_to_do(void **state)
{
    struct world w;

    (void)state;
    world_make(&w);
    AUTO_FREE char *record = tmpdir_path(w.tmp, "t/.albedo/applied");
    for (unsigned n = 0; n < PULLS / 3; n++) {
        begin_at_a(&w);
        shell(&w, "rm -rf before; cp -a t before");
        flip(record, 8 + (size_t)gen_below(&w.gen, flip_size(record) - 8),
             (unsigned)gen_below(&w.gen, 8));
        struct alb_status st = pull(&w, &w.vb, 0, false);
        assert_int_equal(st.code, ALB_CORRUPT);
        assert_non_null(strstr(st.what, "remove it and pull again"));
        AUTO_FREE char *before = tmpdir_path(w.tmp, "before");
        AUTO_FREE char *diff = tree_diff(before, w.target, false);
        assert_string_equal(diff == NULL ? "" : diff, "");
        assert_int_equal(unlink(record), 0);
        must(pull(&w, &w.vb, 0, false));
        assert_is_b(&w);
    }
    world_drop(&w);
}

static void a_flipped_bit_of_the_scan_cache_is_ignored(void **state)
{
    struct world w;

    (void)state;
    world_make(&w);
    for (unsigned n = 0; n < PULLS; n++) {
        begin_at_a(&w);
        flip(w.cache, (size_t)gen_below(&w.gen, flip_size(w.cache)),
             (unsigned)gen_below(&w.gen, 8));
        must(pull(&w, &w.vb, 0, false));
        assert_is_b(&w);
    }
    world_drop(&w);
}

static void flip_one_staged(struct world *w)
{
    AUTO_FREE char *script = xasprintf("find '%s'/.albedo/stage -type f -size +0", w->target);
    FILE *found = popen(script, "re");
    char path[4096];
    size_t count = 0;
    AUTO_FREE char *chosen = NULL;

    while (found != NULL && fgets(path, sizeof path, found) != NULL) {
        path[strcspn(path, "\n")] = '\0';
        if (gen_below(&w->gen, ++count) != 0)
            continue;
        free(chosen);
        chosen = xstrdup(path);
    }
    pclose(found);
    assert_non_null(chosen);
    flip(chosen, (size_t)gen_below(&w->gen, flip_size(chosen)), (unsigned)gen_below(&w->gen, 8));
}

static void a_flipped_bit_of_a_staged_file_is_never_applied(void **state)
{
    struct world w;

    (void)state;
    world_make(&w);
    for (unsigned n = 0; n < PULLS; n++) {
        begin_at_a(&w);
        assert_int_equal(pull(&w, &w.vb, 1 + n % 2, false).code, ALB_CLOSED);
        flip_one_staged(&w);
        must(pull(&w, &w.vb, 0, false));
        assert_is_b(&w);
    }
    world_drop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flipped_bit_of_the_journal_is_refused_and_nothing_done),
        cmocka_unit_test(a_flipped_bit_of_the_applied_record_is_named),
        cmocka_unit_test(a_pull_over_a_damaged_record_says_what_to_do),
        cmocka_unit_test(a_flipped_bit_of_the_scan_cache_is_ignored),
        cmocka_unit_test(a_flipped_bit_of_a_staged_file_is_never_applied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
