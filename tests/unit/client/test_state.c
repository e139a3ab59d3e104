/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/test_state.c – a membership on disk: kept, read back, refused when damaged,
 * forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "client/root_keys.h"
#include "client/state.h"
#include "support/tmpdir.h"

struct fixture {
    struct tmpdir *dir;
    char *path;
    struct state s;
};

static int set_up(void **state)
{
    struct fixture *f = xalloc(sizeof *f);

    f->dir = tmpdir_open();
    f->path = tmpdir_path(f->dir, "deep/state");
    assert_int_equal(state_create(f->path, &f->s).code, ALB_OK);
    f->s.who = (struct state_identity){.org = "acme",
                                       .device = "pc1",
                                       .site = "lyon",
                                       .role = ROLE_ENDPOINT,
                                       .hub = {.host = "hub.example", .port = 7443},
                                       .upstream = {.host = "fd00::1", .port = 1},
                                       .has_trust_pin = true,
                                       .trust_pin = {{1, 2, 3}},
                                       .joined_wall_s = 1763769601};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    state_close(&f->s);
    free(f->path);
    tmpdir_close(f->dir);
    free(f);
    return 0;
}

static void a_state_is_joined_once_its_identity_is_saved(void **state)
{
    struct fixture *f = *state;
    struct state again;

    assert_false(state_is_joined(f->path));
    assert_int_equal(state_open(f->path, &again).code, ALB_NOT_FOUND);
    assert_int_equal(state_save(&f->s).code, ALB_OK);
    assert_true(state_is_joined(f->path));
    assert_int_equal(state_open(f->path, &again).code, ALB_OK);
    assert_string_equal(again.who.org, "acme");
    assert_string_equal(again.who.device, "pc1");
    assert_string_equal(again.who.site, "lyon");
    assert_int_equal(again.who.role, ROLE_ENDPOINT);
    assert_string_equal(again.who.hub.host, "hub.example");
    assert_int_equal(again.who.hub.port, 7443);
    assert_string_equal(again.who.upstream.host, "fd00::1");
    assert_true(again.who.has_trust_pin);
    assert_true(digest_equal(&again.who.trust_pin, &f->s.who.trust_pin));
    assert_int_equal(again.who.joined_wall_s, 1763769601);
    state_close(&again);
}

static void what_may_be_missing_may_be_missing(void **state)
{
    struct fixture *f = *state;
    struct state again;

    f->s.who.site[0] = '\0';
    f->s.who.upstream = (struct upstream_place){.port = 0};
    f->s.who.has_trust_pin = false;
    assert_int_equal(state_save(&f->s).code, ALB_OK);
    assert_int_equal(state_open(f->path, &again).code, ALB_OK);
    assert_string_equal(again.who.site, "");
    assert_string_equal(again.who.upstream.host, "");
    assert_false(again.who.has_trust_pin);
    state_close(&again);
}

static void nobody_else_may_look_into_it(void **state)
{
    struct fixture *f = *state;
    struct stat info;

    assert_int_equal(stat(f->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
}

static void a_damaged_identity_is_called_corrupt(void **state)
{
    static const char *const rows[] = {
        "",
        "{",
        "[]",
        "{\"format\":2}",
        "{\"format\":1,\"org\":\"acme\",\"role\":\"king\",\"device\":\"pc1\",\"hub\":"
        "{\"host\":\"h\",\"port\":1}}",
        "{\"format\":1,\"org\":\"acme\",\"role\":\"endpoint\",\"device\":\"../x\",\"hub\":"
        "{\"host\":\"h\",\"port\":1}}",
        "{\"format\":1,\"org\":\"acme\",\"role\":\"endpoint\",\"device\":\"pc1\"}",
        "{\"format\":1,\"org\":\"acme\",\"role\":\"endpoint\",\"device\":\"pc1\",\"hub\":{\"host\":"
        "\"h\",\"port\":70000}}",
        "{\"format\":1,\"org\":\"acme\",\"role\":\"endpoint\",\"device\":\"pc1\",\"hub\":{\"host\":"
        "\"h\",\"port\":1},\"trust_pin\":\"12\"}",
    };
    struct fixture *f = *state;
    struct state again;

    for (size_t i = 0; i < ALB_COUNT(rows); i++) {
        tmpdir_write(f->dir, "deep/state/identity.json", rows[i], strlen(rows[i]));
        assert_int_equal(state_open(f->path, &again).code, ALB_CORRUPT);
    }
}

static void forgetting_removes_the_membership_and_keeps_the_signing_keys(void **state)
{
    struct fixture *f = *state;
    struct sign_secret before, after;
    struct buf out;

    assert_int_equal(state_save(&f->s).code, ALB_OK);
    assert_int_equal(state_key_make(&f->s, "publisher.key", &before).code, ALB_OK);
    assert_int_equal(catalogue_swap(f->s.catalogue, "trust/1", CATALOGUE_ANY, "x", 1, NULL).code,
                     ALB_OK);
    assert_int_equal(state_forget(&f->s).code, ALB_OK);
    assert_false(state_is_joined(f->path));
    buf_init(&out, 10);
    assert_int_equal(catalogue_get(f->s.catalogue, "trust/1", &out, NULL).code, ALB_NOT_FOUND);
    buf_release(&out);
    assert_int_equal(state_key_read(&f->s, "publisher.key", &after).code, ALB_OK);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(state_forget(&f->s).code, ALB_OK);
}

static void a_key_is_made_once_and_only_its_owner_may_read_it(void **state)
{
    struct fixture *f = *state;
    struct sign_secret first, second;
    struct stat info;

    assert_int_equal(state_key_read(&f->s, "roots/1.key", &first).code, ALB_NOT_FOUND);
    assert_int_equal(state_key_make(&f->s, "roots/1.key", &first).code, ALB_OK);
    assert_int_equal(state_key_make(&f->s, "roots/1.key", &second).code, ALB_OK);
    assert_memory_equal(&first, &second, sizeof first);
    AUTO_FREE char *path = path_join(f->path, "roots/1.key");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void a_damaged_key_is_refused_and_not_replaced(void **state)
{
    static const char *const rows[] = {"", "12\n", "zz"};
    struct fixture *f = *state;
    struct sign_secret secret;
    char line[70];

    for (size_t i = 0; i < ALB_COUNT(rows); i++) {
        tmpdir_write(f->dir, "deep/state/publisher.key", rows[i], strlen(rows[i]));
        assert_int_equal(state_key_make(&f->s, "publisher.key", &secret).code, ALB_CORRUPT);
    }
    memset(line, 'g', sizeof line);
    line[64] = '\n';
    tmpdir_write(f->dir, "deep/state/publisher.key", line, 65);
    assert_int_equal(state_key_read(&f->s, "publisher.key", &secret).code, ALB_CORRUPT);
    tmpdir_write(f->dir, "deep/state/publisher.key", line, 70);
    assert_int_equal(state_key_read(&f->s, "publisher.key", &secret).code, ALB_CORRUPT);
}

static void root_keys_are_those_that_the_trust_file_names(void **state)
{
    struct fixture *f = *state;
    struct root_keys made, kept;
    struct trust trust = {.version = 1};
    struct sign_secret stranger;

    assert_int_equal(root_keys_make(&f->s, 3, &made).code, ALB_OK);
    root_keys_name(&made, &trust);
    assert_int_equal(trust.root_count, 3);
    assert_int_equal(state_key_make(&f->s, "roots/9.key", &stranger).code, ALB_OK);
    assert_int_equal(root_keys_load(&f->s, &trust, &kept).code, ALB_OK);
    assert_int_equal(kept.count, 3);
    assert_memory_equal(kept.secrets, made.secrets, 3 * sizeof *made.secrets);
    trust.root_count = 1;
    assert_int_equal(root_keys_load(&f->s, &trust, &kept).code, ALB_OK);
    assert_int_equal(kept.count, 1);
}

static void fewer_root_keys_than_are_there_are_refused(void **state)
{
    struct fixture *f = *state;
    struct root_keys keys;

    assert_int_equal(root_keys_make(&f->s, 3, &keys).code, ALB_OK);
    assert_int_equal(root_keys_make(&f->s, 2, &keys).code, ALB_REFUSED);
    assert_int_equal(root_keys_make(&f->s, 3, &keys).code, ALB_OK);
}

static void a_place_that_cannot_be_written_is_refused_when_it_is_made(void **state)
{
    struct fixture *f = *state;
    struct state other;

    tmpdir_write(f->dir, "file", "", 0);
    AUTO_FREE char *path = tmpdir_path(f->dir, "file/state");
    assert_true(alb_failed(state_create(path, &other)));
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(a_state_is_joined_once_its_identity_is_saved),
        ROW(what_may_be_missing_may_be_missing),
        ROW(nobody_else_may_look_into_it),
        ROW(a_damaged_identity_is_called_corrupt),
        ROW(forgetting_removes_the_membership_and_keeps_the_signing_keys),
        ROW(a_key_is_made_once_and_only_its_owner_may_read_it),
        ROW(a_damaged_key_is_refused_and_not_replaced),
        ROW(root_keys_are_those_that_the_trust_file_names),
        ROW(fewer_root_keys_than_are_there_are_refused),
        ROW(a_place_that_cannot_be_written_is_refused_when_it_is_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
