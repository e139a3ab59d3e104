/* SPDX-License-Identifier: Apache-2.0 */
/* unit/image/test_holdings.c – what is held is found, and nothing is believed that changed. */

#include <fcntl.h>
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

#include "base/crypto.h"
#include "base/file.h"
#include "image/holdings.h"
#include "support/gen.h"
#include "support/pull.h"
#include "support/tmpdir.h"

enum { LARGE = 2000000 };

struct place {
    struct tmpdir *dir;
    char *tree, *cache;
    uint8_t *large;
    struct scan scan;
    struct holdings *h;
};

static void must(struct alb_status st)
{
    assert_string_equal(st.what, "");
    assert_int_equal(st.code, ALB_OK);
}

static struct place place_make(void)
{
    struct place p = {.dir = tmpdir_open()};
    struct gen g;

    gen_init(&g, 7);
    tmpdir_mkdir(p.dir, "tree");
    p.tree = tmpdir_path(p.dir, "tree");
    p.cache = tmpdir_path(p.dir, "cache");
    p.large = xalloc(LARGE);
    gen_bytes(&g, p.large, LARGE);
    tmpdir_write(p.dir, "tree/large", p.large, LARGE);
    tmpdir_write(p.dir, "tree/small", "small", 5);
    return p;
}

static void look(struct place *p, const char *cache)
{
    must(scan_tree(p->tree, &(struct scan_options){0}, &p->scan));
    p->h = holdings_new(cache);
    holdings_add(p->h, &p->scan);
}

static void look_away(struct place *p)
{
    p->h = holdings_free(p->h);
    scan_release(&p->scan);
    p->scan = (struct scan){0};
}

static void run_all(const struct place *p)
{
    for (size_t i = 0; i < holdings_units(p->h); i++)
        holdings_run(p->h, i);
}

static void place_drop(struct place *p)
{
    look_away(p);
    free(p->tree);
    free(p->cache);
    free(p->large);
    tmpdir_close(p->dir);
}

static bool has_text(const struct place *p, const char *text)
{
    struct digest d;
    struct holding held;

    sha256(text, strlen(text), &d);
    return holdings_file(p->h, &d, strlen(text), &held);
}

static void files_are_found_by_their_digest_and_paths_by_their_name(void **state)
{
    struct place p = place_make();
    AUTO_FREE char *first = tmpdir_path(p.dir, "tree/small");
    AUTO_FREE char *second = tmpdir_path(p.dir, "tree/two");
    struct digest want, found;

    (void)state;
    assert_int_equal(link(first, second), 0);
    look(&p, NULL);
    assert_false(has_text(&p, "small")); /* nobody has read it yet */
    run_all(&p);
    assert_true(has_text(&p, "small"));
    assert_false(has_text(&p, "other"));
    sha256("small", 5, &want);
    assert_true(holdings_digest_of(p.h, "small", &found));
    assert_true(digest_equal(&want, &found));
    assert_true(holdings_digest_of(p.h, "two", &found)); /* another name of it */
    assert_true(digest_equal(&want, &found));
    assert_false(holdings_digest_of(p.h, "", &found));
    assert_false(holdings_digest_of(p.h, "none", &found));
    place_drop(&p);
}

/* What a version is made of and what is held are cut by the same rule. */
static void every_chunk_of_a_published_file_is_found_where_it_lies(void **state)
{
    struct place p = place_make();
    struct version v;

    (void)state;
    must(version_make(p.tree, &v));
    look(&p, NULL);
    run_all(&p);
    const struct manifest_entry *e = manifest_find(&v.manifest, "large");
    uint64_t at = 0;
    assert_true(e->slice_count > 1);
    for (size_t i = 0; i < e->slice_count; i++) {
        struct holding held;

        assert_true(holdings_chunk(p.h, &e->slices[i].key, &held));
        assert_string_equal(held.path, "large");
        assert_int_equal(held.offset, at);
        assert_int_equal(held.length, e->slices[i].length);
        at += e->slices[i].length;
    }
    version_release(&v);
    place_drop(&p);
}

static void a_small_file_is_held_as_a_chunk_too(void **state)
{
    struct place p = place_make();
    struct chunk_key key = {.kind = KEY_PLAIN};
    struct holding held;

    (void)state;
    look(&p, NULL);
    run_all(&p);
    sha256("small", 5, &key.digest);
    assert_true(holdings_chunk(p.h, &key, &held));
    assert_int_equal(held.length, 5);
    key.kind = KEY_SEALED;
    assert_false(holdings_chunk(p.h, &key, &held));
    place_drop(&p);
}

static void a_file_that_changed_after_the_scan_is_not_held(void **state)
{
    struct place p = place_make();

    (void)state;
    look(&p, NULL);
    tmpdir_write(p.dir, "tree/small", "SMALL and more", 14);
    run_all(&p);
    assert_false(has_text(&p, "small"));
    assert_false(has_text(&p, "SMALL and more"));
    place_drop(&p);
}

static void the_cache_spares_reading_until_a_file_changes(void **state)
{
    struct place p = place_make();

    (void)state;
    look(&p, p.cache);
    run_all(&p);
    must(holdings_save_cache(p.h));
    look_away(&p);

    look(&p, p.cache);
    assert_int_equal(holdings_units(p.h), 0);
    assert_true(has_text(&p, "small"));
    look_away(&p);

    tmpdir_write(p.dir, "tree/small", "SMALL", 5);
    look(&p, p.cache);
    assert_int_equal(holdings_units(p.h), 1);
    assert_false(has_text(&p, "small"));
    run_all(&p);
    assert_true(has_text(&p, "SMALL"));
    place_drop(&p);
}

static void a_damaged_or_unknown_cache_is_ignored(void **state)
{
    struct place p = place_make();
    size_t size;

    (void)state;
    look(&p, p.cache);
    run_all(&p);
    must(holdings_save_cache(p.h));
    look_away(&p);
    AUTO_FREE char *good = tmpdir_read(p.dir, "cache", &size);
    for (size_t i = 0; i < size; i += 3) {
        good[i] ^= 1;
        tmpdir_write(p.dir, "cache", good, size);
        good[i] ^= 1;
        look(&p, p.cache);
        assert_int_equal(holdings_units(p.h), 1);
        look_away(&p);
    }
    for (size_t cut = 0; cut < size; cut += 5) {
        tmpdir_write(p.dir, "cache", good, cut);
        look(&p, p.cache);
        assert_int_equal(holdings_units(p.h), 1);
        look_away(&p);
    }
    place_drop(&p);
}

static void only_what_the_version_could_use_is_read(void **state)
{
    struct place p = place_make();
    struct version v;

    (void)state;
    tmpdir_mkdir(p.dir, "other");
    tmpdir_write(p.dir, "other/x", "12345", 5);
    AUTO_FREE char *other = tmpdir_path(p.dir, "other");
    must(version_make(other, &v));
    tmpdir_write(p.dir, "tree/no", "no such size", 12);
    must(scan_tree(p.tree, &(struct scan_options){0}, &p.scan));
    p.h = holdings_new(NULL);
    holdings_want(p.h, &v.manifest);
    holdings_add(p.h, &p.scan);
    run_all(&p);
    assert_true(has_text(&p, "small")); /* five bytes, like x */
    assert_false(has_text(&p, "no such size"));
    version_release(&v);
    place_drop(&p);
}

static void what_was_applied_is_not_read_again(void **state)
{
    struct place p = place_make();
    struct pull pull = {.options = {.version = "base/test@1"}};
    struct version v;
    struct digest d;

    (void)state;
    tmpdir_mkdir(p.dir, "t");
    AUTO_FREE char *target = tmpdir_path(p.dir, "t");
    pull.target = target;
    must(version_make(p.tree, &v));
    must(pull_run(&pull, &v));
    must(scan_tree(target, &(struct scan_options){0}, &p.scan));
    p.h = holdings_new(NULL); /* believes nothing */
    holdings_add(p.h, &p.scan);
    assert_int_equal(holdings_units(p.h), 1);
    holdings_free(p.h);
    p.h = holdings_new(p.cache);
    holdings_add(p.h, &p.scan);
    assert_int_equal(holdings_units(p.h), 0);
    assert_true(holdings_digest_of(p.h, "large", &d));
    struct holding held;
    assert_true(holdings_chunk(p.h, &manifest_find(&v.manifest, "large")->slices[1].key, &held));
    version_release(&v);
    apply_result_release(&pull.result);
    place_drop(&p);
}

static void what_was_read_is_taken_before_a_seed_that_only_looks_like_it(void **state)
{
    struct place p = place_make();
    struct version v;
    struct scan target;
    struct holding held;

    (void)state;
    must(version_make(p.tree, &v));
    AUTO_FREE char *script = xasprintf("cd '%s' && mkdir t && cp tree/large t/moved && "
                                       "cp -a tree seed && printf altered | "
                                       "dd of=seed/large conv=notrunc 2>/dev/null && "
                                       "touch -r tree/large seed/large",
                                       p.dir->path);
    assert_int_equal(system(script), 0);
    AUTO_FREE char *top = tmpdir_path(p.dir, "t");
    AUTO_FREE char *seed = tmpdir_path(p.dir, "seed");
    must(scan_tree(top, &(struct scan_options){0}, &target));
    must(scan_tree(seed, &(struct scan_options){0}, &p.scan));
    p.h = holdings_new(NULL);
    holdings_want(p.h, &v.manifest);
    holdings_add(p.h, &target);
    holdings_add(p.h, &p.scan);
    assert_int_equal(holdings_units(p.h), 1); /* the target's: the seed is presumed */
    run_all(&p);
    assert_true(holdings_file(p.h, &manifest_find(&v.manifest, "large")->content, LARGE, &held));
    assert_string_equal(held.path, "moved");
    scan_release(&target);
    version_release(&v);
    place_drop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_found_by_their_digest_and_paths_by_their_name),
        cmocka_unit_test(every_chunk_of_a_published_file_is_found_where_it_lies),
        cmocka_unit_test(a_small_file_is_held_as_a_chunk_too),
        cmocka_unit_test(a_file_that_changed_after_the_scan_is_not_held),
        cmocka_unit_test(the_cache_spares_reading_until_a_file_changes),
        cmocka_unit_test(a_damaged_or_unknown_cache_is_ignored),
        cmocka_unit_test(only_what_the_version_could_use_is_read),
        cmocka_unit_test(what_was_applied_is_not_read_again),
        cmocka_unit_test(what_was_read_is_taken_before_a_seed_that_only_looks_like_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
