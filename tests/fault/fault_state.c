/* SPDX-License-Identifier: Apache-2.0 */
/* fault/fault_state.c – joining on a disk that fails: told, and done by trying again. */
/* LINKS: sysfault client config image net shaper transfer store wire chunk base */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "client/state.h"
#include "support/sysfault.h"
#include "support/tmpdir.h"

#ifdef ALB_FAULT

struct scene {
    enum sysfault kind;
    struct tmpdir *dir;
    char *path;
};

static void must(struct alb_status st)
{
    assert_string_equal(st.what, "");
    assert_int_equal(st.code, ALB_OK);
}

static void scene_open(struct scene *s)
{
    s->dir = tmpdir_open();
    s->path = tmpdir_path(s->dir, "state");
}

static void scene_close(struct scene *s)
{
    free(s->path);
    tmpdir_close(s->dir);
}

static void fail_everywhere(struct scene *s, const enum sysfault *kinds, size_t count,
                            void (*once)(void *arg))
{
    for (size_t i = 0; i < count; i++) {
        s->kind = kinds[i];
        sysfault_loop(s->kind, 4, once, s);
    }
}

/* ---- a member's state ------------------------------------------------------------------------ */

/* What `join` keeps, in its order: key, certificate, a record, and the identity last. */
static struct alb_status join(const char *path, struct sign_secret *key)
{
    struct state s;
    struct alb_status st = state_create(path, &s);

    if (alb_failed(st))
        return st;
    s.who = (struct state_identity){.org = "acme",
                                    .device = "pc1",
                                    .role = ROLE_ENDPOINT,
                                    .hub = {.host = "hub.example", .port = 7443}};
    st = state_key_make(&s, "publisher.key", key);
    if (!alb_failed(st))
        st = state_write(&s, "certificate.pem", "pem\n", 4, 0644);
    if (!alb_failed(st))
        st = catalogue_swap(s.catalogue, "trust/1", CATALOGUE_ANY, "x", 1, NULL);
    if (!alb_failed(st))
        st = state_save(&s);
    state_close(&s);
    return st;
}

static void assert_joined(const char *path, const struct sign_secret *key)
{
    struct sign_secret kept;
    struct state s;

    must(state_open(path, &s));
    assert_string_equal(s.who.device, "pc1");
    must(state_key_read(&s, "publisher.key", &kept));
    assert_memory_equal(&kept, key, sizeof kept);
    assert_true(file_exists(path));
    state_close(&s);
}

static void join_with_call_failing(void *arg)
{
    struct scene *s = arg;
    struct sign_secret first = {{0}}, key;

    scene_open(s);
    sysfault_begin();
    struct alb_status st = join(s->path, &first);
    if (!sysfault_disarm() || sysfault_is_harmless(s->kind))
        must(st);
    assert_true(!alb_failed(st) || st.sys != 0);
    if (state_is_joined(s->path)) /* the last step of all may be done and said to have failed */
        assert_joined(s->path, &first);
    must(join(s->path, &key));
    assert_joined(s->path, &key);
    if (!alb_failed(st))
        assert_memory_equal(&first, &key, sizeof key);
    scene_close(s);
}

static void joining_is_told_of_whatever_fails_and_done_by_trying_again(void **state)
{
    static const enum sysfault kinds[] = {SYSFAULT_OPEN,        SYSFAULT_WRITE, SYSFAULT_SYNC,
                                          SYSFAULT_WRITE_SHORT, SYSFAULT_FULL,  SYSFAULT_NAME,
                                          SYSFAULT_EINTR};
    struct scene s;

    (void)state;
    fail_everywhere(&s, kinds, ALB_COUNT(kinds), join_with_call_failing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joining_is_told_of_whatever_fails_and_done_by_trying_again),
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
