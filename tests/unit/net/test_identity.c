/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/net/test_identity.c – roles and the URI of an identity. */
#include "net/identity.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void every_role_that_has_a_certificate_has_a_word(void **state)
{
    static const enum role all[] = {ROLE_HUB, ROLE_REFLECTOR, ROLE_ENDPOINT, ROLE_PUBLISHER,
                                    ROLE_ADMIN};

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(all); i++) {
        enum role back = ROLE_NONE;

        assert_false(alb_failed(role_parse(role_name(all[i]), &back)));
        assert_int_equal(back, all[i]);
    }
    assert_string_equal(role_name(ROLE_NONE), "none");
}

static void no_role_and_unknown_roles_are_no_words_to_type(void **state)
{
    static const char *const bad[] = {"none", "", "Hub", "hub ", "root"};
    enum role out = ROLE_ADMIN;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(bad); i++)
        assert_int_equal(role_parse(bad[i], &out).code, ALB_INVALID);
    assert_int_equal(out, ROLE_ADMIN);
}

static void a_uri_is_read_into_its_parts(void **state)
{
    struct identity id = {.serial = "ab", .expires_wall_s = 7};

    (void)state;
    assert_false(alb_failed(identity_parse_uri("albedo://acme/reflector/site-1", &id)));
    assert_string_equal(id.org, "acme");
    assert_string_equal(id.device, "site-1");
    assert_int_equal(id.role, ROLE_REFLECTOR);
    assert_string_equal(id.serial, "ab");
    assert_int_equal(id.expires_wall_s, 7);
}

static void what_is_written_reads_back(void **state)
{
    const struct identity id = {.role = ROLE_ENDPOINT, .org = "acme", .device = "pc-7"};
    char uri[160];

    (void)state;
    identity_format_uri(&id, uri, sizeof(uri));
    assert_string_equal(uri, "albedo://acme/endpoint/pc-7");
}

static void anything_else_is_refused_and_leaves_the_output_alone(void **state)
{
    static const char *const bad[] = {
        "",
        "albedo:/acme/hub/x",
        "http://acme/hub/x",
        "albedo://",
        "albedo:///hub/x",
        "albedo://acme",
        "albedo://acme/hub",
        "albedo://acme/hub/",
        "albedo://acme/hub/x/",
        "albedo://acme/hub/x/y",
        "albedo://acme/none/x",
        "albedo://acme/HUB/x",
        "albedo://Acme/hub/x",
        "albedo://acme/hub/x y",
        "albedo://acme/hub/x\n",
        "albedo://acme/hub/..",
        "albedo://acme/hub/-x",
        "ALBEDO://acme/hub/x",
        "albedo://acme//x",
    };
    struct identity id = {.device = "before"};

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(bad); i++)
        assert_int_equal(identity_parse_uri(bad[i], &id).code, ALB_INVALID);
    assert_string_equal(id.device, "before");
}

static void a_name_too_long_is_refused(void **state)
{
    char uri[256];
    struct identity id;
    char device[101];

    (void)state;
    memset(device, 'a', 100);
    device[100] = '\0';
    (void)snprintf(uri, sizeof(uri), "albedo://acme/hub/%s", device);
    assert_int_equal(identity_parse_uri(uri, &id).code, ALB_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_role_that_has_a_certificate_has_a_word),
        cmocka_unit_test(no_role_and_unknown_roles_are_no_words_to_type),
        cmocka_unit_test(a_uri_is_read_into_its_parts),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(anything_else_is_refused_and_leaves_the_output_alone),
        cmocka_unit_test(a_name_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
