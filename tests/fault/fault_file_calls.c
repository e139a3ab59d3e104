/* SPDX-License-Identifier: Apache-2.0 */
/* fault/fault_file_calls.c – every system call of small files fails, is cut or interrupted once. */
/* LINKS: sysfault base */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "support/sysfault.h"
#include "support/tmpdir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#ifdef ALB_FAULT

enum { SIZE = 200 << 10 };

struct place {
    struct tmpdir *dir;
    char *path;
    enum sysfault kind;
    uint8_t old[SIZE / 2], new[SIZE];
};

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

static int set_up(void **state)
{
    struct place *p = xalloc(sizeof *p);

    p->dir = tmpdir_open();
    p->path = tmpdir_path(p->dir, "conf");
    memset(p->old, 'o', sizeof p->old);
    memset(p->new, 'n', sizeof p->new);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;

    free(p->path);
    tmpdir_close(p->dir);
    free(p);
    return 0;
}

/* Failed exactly when it had to, and with the system's word for it. */
static void judge(const struct place *p, struct alb_status st, bool fired)
{
    assert_int_equal(alb_failed(st), fired && !sysfault_is_harmless(p->kind));
    if (alb_failed(st) && p->kind == SYSFAULT_FULL)
        assert_int_equal(st.sys, ENOSPC);
    assert_true(!alb_failed(st) || st.sys != 0);
}

static bool holds(const struct place *p, const void *bytes, size_t size)
{
    size_t found = 0;
    AUTO_FREE void *read = tmpdir_read(p->dir, "conf", &found);

    return found == size && memcmp(read, bytes, size) == 0;
}

static void replace(void *arg)
{
    struct place *p = arg;

    sysfault_begin();
    struct alb_status st = file_replace(p->path, p->new, sizeof p->new, 0600);

    judge(p, st, sysfault_disarm());
    assert_true(alb_failed(st) || holds(p, p->new, sizeof p->new));
    assert_true(holds(p, p->new, sizeof p->new) || holds(p, p->old, sizeof p->old));
    assert_int_equal(entries_in(p->dir->path), 1);
    assert_int_equal(file_replace(p->path, p->old, sizeof p->old, 0600).code, ALB_OK);
}

static void a_file_is_whole_whatever_call_of_its_replacement_fails(void **state)
{
    static const struct {
        enum sysfault kind;
        unsigned least;
    } rows[] = {{SYSFAULT_OPEN, 2}, {SYSFAULT_WRITE, 1}, {SYSFAULT_WRITE_SHORT, 1},
                {SYSFAULT_FULL, 3}, {SYSFAULT_SYNC, 2},  {SYSFAULT_NAME, 1},
                {SYSFAULT_EINTR, 1}};
    struct place *p = *state;

    tmpdir_write(p->dir, "conf", p->old, sizeof p->old);
    for (size_t i = 0; i < ALB_COUNT(rows); i++) {
        p->kind = rows[i].kind;
        sysfault_loop(p->kind, rows[i].least, replace, p);
    }
}

static void read_it(void *arg)
{
    struct place *p = arg;
    struct buf b;

    buf_init(&b, SIZE + 1);
    assert_int_equal(buf_append(&b, "x", 1).code, ALB_OK);
    sysfault_begin();
    struct alb_status st = file_read(p->path, &b);
    judge(p, st, sysfault_disarm());
    assert_int_equal(buf_size(&b), alb_failed(st) ? 1 : 1 + sizeof p->new);
    assert_int_equal(buf_peek(&b)[buf_size(&b) - 1], alb_failed(st) ? 'x' : 'n');
    buf_release(&b);
}

static void a_read_is_whole_or_appends_nothing(void **state)
{
    static const enum sysfault kinds[] = {SYSFAULT_OPEN, SYSFAULT_READ, SYSFAULT_READ_SHORT,
                                          SYSFAULT_EINTR};
    struct place *p = *state;

    tmpdir_write(p->dir, "conf", p->new, sizeof p->new);
    for (size_t i = 0; i < ALB_COUNT(kinds); i++) {
        p->kind = kinds[i];
        sysfault_loop(p->kind, p->kind == SYSFAULT_OPEN ? 1 : 4, read_it, p);
    }
}

static void make_dir(void *arg)
{
    struct place *p = arg;
    AUTO_FREE char *path = tmpdir_path(p->dir, "a/b/c");
    AUTO_FREE char *remove = xasprintf("rm -rf '%s/a'", p->dir->path);

    sysfault_begin();
    struct alb_status st = file_make_dir(path, 0700);
    judge(p, st, sysfault_disarm());
    assert_int_equal(file_make_dir(path, 0700).code, ALB_OK);
    assert_int_equal(system(remove), 0);
}

static void directories_that_could_not_be_made_are_made_later(void **state)
{
    static const enum sysfault kinds[] = {SYSFAULT_OPEN, SYSFAULT_SYNC, SYSFAULT_FULL};
    struct place *p = *state;

    for (size_t i = 0; i < ALB_COUNT(kinds); i++) {
        p->kind = kinds[i];
        sysfault_loop(p->kind, 3, make_dir, p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_whole_whatever_call_of_its_replacement_fails,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_read_is_whole_or_appends_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(directories_that_could_not_be_made_are_made_later, set_up,
                                        tear_down),
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
