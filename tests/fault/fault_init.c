/* SPDX-License-Identifier: Apache-2.0 */
/* fault/fault_init.c – a new hub on a disk that fails: told, and made by trying again. */
/* LINKS: sysfault hub store_disk config image net shaper transfer store wire chunk base */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "hub/commands.h"
#include "hub/files.h"
#include "support/sysfault.h"
#include "support/tmpdir.h"

#ifdef ALB_FAULT

struct scene {
    enum sysfault kind;
    struct tmpdir *dir;
    char *path;
};

static int64_t now(void)
{
    return 1790000000;
}

/* Its words and its token are not what this test is about. */
static int init_quietly(const char *path, bool with_fault)
{
    const struct init_options options = {.data = path, .org = "acme"};
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int out, err, code;

    fflush(stdout);
    out = dup(STDOUT_FILENO);
    err = dup(STDERR_FILENO);
    assert_true(null >= 0 && dup2(null, STDOUT_FILENO) >= 0 && dup2(null, STDERR_FILENO) >= 0);
    if (with_fault)
        sysfault_begin();
    code = command_init(&options, now);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(null);
    close(out);
    close(err);
    return code;
}

static void init_with_call_failing(void *arg)
{
    struct scene *s = arg;
    struct hub_keys keys;
    const char *file = "";

    s->dir = tmpdir_open();
    s->path = tmpdir_path(s->dir, "hub");
    int code = init_quietly(s->path, true);
    bool fired = sysfault_disarm();
    if (!fired || sysfault_is_harmless(s->kind))
        assert_int_equal(code, EXIT_FINE);
    if (code != EXIT_FINE)
        assert_int_equal(init_quietly(s->path, false), EXIT_FINE);
    assert_int_equal(hub_keys_read(s->path, &keys, &file).code, ALB_OK);
    hub_keys_release(&keys);
    free(s->path);
    tmpdir_close(s->dir);
}

static void a_hub_whose_init_failed_anywhere_is_made_by_the_next(void **state)
{
    static const enum sysfault kinds[] = {SYSFAULT_FULL, SYSFAULT_SYNC};
    struct scene s;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(kinds); i++) {
        s.kind = kinds[i];
        sysfault_loop(s.kind, 10, init_with_call_failing, &s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hub_whose_init_failed_anywhere_is_made_by_the_next),
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
