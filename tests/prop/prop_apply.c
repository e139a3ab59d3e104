/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_apply.c – whatever the versions and whatever the owner did, a pull is right.
 *
 * LINKS: image base chunk wire
 *
 * A random tree is published and pulled; a random change of it is published; the owner does random
 * things to his target; then the second version is pulled.  Laws: every path of the version is as
 * published; no byte the owner wrote is gone; with `exact` nothing else is left; a further pull
 * changes nothing.
 */
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

#include "support/gen.h"
#include "support/pull.h"
#include "support/tmpdir.h"
#include "support/tree_diff.h"

enum { ROUNDS = 40, TEXTS_MAX = 200, TEXT_SIZE = 40 };

struct world {
    struct gen g;
    struct tmpdir *dir;
    char *a, *b, *t;
    char texts[TEXTS_MAX][TEXT_SIZE]; /* what the owner wrote, each once */
    size_t text_count;
    unsigned serial;
};

static void must(struct alb_status st)
{
    assert_string_equal(st.what, "");
    assert_int_equal(st.code, ALB_OK);
}

/* Few names, so that versions and owner meet at the same paths, with other types. */
static char *some_path(struct gen *g, const char *top)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    char path[64] = "";
    unsigned depth = (unsigned)gen_range(g, 1, 4);

    for (unsigned i = 0; i < depth; i++) {
        strncat(path, "/", sizeof(path) - strlen(path) - 1);
        strncat(path, names[gen_below(g, ALB_COUNT(names))], sizeof(path) - strlen(path) - 1);
    }
    return xasprintf("%s%s", top, path);
}

static void remove_tree(const char *path)
{
    AUTO_FREE char *command = xasprintf("rm -rf '%s'", path);

    assert_int_equal(system(command), 0);
}

static void write_file(struct gen *g, const char *path)
{
    size_t size =
        gen_chance(g, 1, 8) ? (size_t)gen_range(g, 300000, 1500000) : (size_t)gen_skewed(g, 3000);
    AUTO_FREE char *bytes = xalloc(size + 1);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

    if (fd < 0)
        return;
    /* A few fixed beginnings, so that files share bytes. */
    struct gen fixed;
    gen_init(&fixed, gen_below(g, 4));
    gen_bytes(&fixed, bytes, size);
    if (size > 0 && gen_chance(g, 1, 2))
        bytes[gen_below(g, size)] ^= 1;
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

/* Make something at a random path, when its directory is there and the name is free. */
static void add_something(struct world *w, const char *top)
{
    AUTO_FREE char *path = some_path(&w->g, top);
    AUTO_FREE char *other = some_path(&w->g, top);
    struct stat st;

    switch (gen_below(&w->g, 8)) {
    case 0:
    case 1:
    case 2: (void)mkdir(path, gen_chance(&w->g, 1, 4) ? 0700 : 0755); break;
    case 3: (void)!symlink("a/b", path); break;
    case 4:
        if (lstat(other, &st) == 0 && S_ISREG(st.st_mode))
            (void)!link(other, path);
        break;
    case 5: (void)mkfifo(path, 0600); break;
    default: write_file(&w->g, path); break;
    }
}

static void change_something(struct world *w, const char *top)
{
    AUTO_FREE char *path = some_path(&w->g, top);
    struct stat st;

    if (lstat(path, &st) != 0 || gen_chance(&w->g, 1, 3)) {
        add_something(w, top);
    } else if (gen_chance(&w->g, 1, 2)) {
        remove_tree(path);
        add_something(w, top);
    } else if (!S_ISLNK(st.st_mode)) {
        (void)chmod(path, gen_chance(&w->g, 1, 2) ? 0700 : 0751);
    }
}

/* A file that he has not written before: the text in it would rightly be gone. */
static bool is_ours_still(const char *path)
{
    char begin[20] = "";
    struct stat st;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool ours = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
                read(fd, begin, sizeof(begin)) >= 0 &&
                strncmp(begin, "the owner wrote this", sizeof(begin)) != 0;

    if (fd >= 0)
        close(fd);
    return ours;
}

static void owner_writes(struct world *w, const char *path)
{
    char *text = w->texts[w->text_count];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    if (fd < 0 && is_ours_still(path))
        fd = open(path, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)snprintf(text, TEXT_SIZE, "the owner wrote this, number %u", w->serial++);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    w->text_count++;
}

static void owner_does_something(struct world *w)
{
    AUTO_FREE char *path = some_path(&w->g, w->t);
    struct stat st;
    bool there = lstat(path, &st) == 0;

    switch (gen_below(&w->g, 5)) {
    case 0: (void)mkdir(path, 0755); break;
    case 1:
        if (there && !S_ISLNK(st.st_mode))
            (void)chmod(path, 0700);
        break;
    case 2:
        if (there && S_ISLNK(st.st_mode)) /* a file could be one whose text is looked for */
            (void)unlink(path);
        break;
    default: owner_writes(w, path); break;
    }
}

static void publish_and_pull(const char *tree, struct pull *p)
{
    struct version v;

    must(version_make(tree, &v));
    must(pull_run(p, &v));
    version_release(&v);
}

static void assert_same(const char *want, const char *got, bool more)
{
    AUTO_FREE char *diff = tree_diff(want, got, more);

    assert_string_equal(diff == NULL ? "" : diff, "");
}

static void assert_nothing_lost(const struct world *w)
{
    for (size_t i = 0; i < w->text_count; i++)
        assert_true(tree_has_text(w->t, w->texts[i]));
}

static void assert_settled(const struct world *w, struct pull *p)
{
    publish_and_pull(w->b, p);
    assert_int_equal(p->result.made + p->result.replaced + p->result.removed +
                         p->result.metadata_only + p->result.kept,
                     0);
}

static void play_round(struct world *w)
{
    struct pull p = {.target = w->t, .options = {.version = "base/test@1"}};
    AUTO_FREE char *copy = NULL;
    AUTO_FREE char *cache = tmpdir_path(w->dir, "cache");

    p.cache = gen_chance(&w->g, 1, 2) ? cache : NULL;
    for (unsigned i = 0; i < 150; i++)
        add_something(w, w->a);
    copy = xasprintf("cp -a '%s/.' '%s'", w->a, w->b);
    assert_int_equal(system(copy), 0);
    for (unsigned i = 0; i < 60; i++)
        change_something(w, w->b);

    publish_and_pull(w->a, &p);
    assert_same(w->a, w->t, false);
    for (unsigned i = 0; i < 60; i++)
        owner_does_something(w);
    p.options.version = "base/test@2";
    publish_and_pull(w->b, &p);
    assert_same(w->b, w->t, true);
    assert_nothing_lost(w);
    assert_settled(w, &p);

    p.options.exact = true;
    publish_and_pull(w->b, &p);
    assert_same(w->b, w->t, false);
    publish_and_pull(w->a, &p);
    assert_same(w->a, w->t, false);
    apply_result_release(&p.result);
}

static void any_version_replaces_any_other_and_nothing_of_the_owners_is_lost(void **state)
{
    struct world *w = xalloc(sizeof(*w));

    (void)state;
    gen_init_from_env(&w->g);
    for (unsigned i = 0; i < ROUNDS; i++) {
        w->dir = tmpdir_open();
        tmpdir_mkdir(w->dir, "a");
        tmpdir_mkdir(w->dir, "b");
        tmpdir_mkdir(w->dir, "t");
        w->a = tmpdir_path(w->dir, "a");
        w->b = tmpdir_path(w->dir, "b");
        w->t = tmpdir_path(w->dir, "t");
        w->text_count = 0;
        play_round(w);
        free(w->a);
        free(w->b);
        free(w->t);
        tmpdir_close(w->dir);
    }
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_version_replaces_any_other_and_nothing_of_the_owners_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
