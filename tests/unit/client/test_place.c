/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/test_place.c – addresses as people type them, and the ways to type them wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "client/layer_name.h"
#include "client/place.h"

static void an_address_comes_back_as_it_was_typed(void **state)
{
    static const struct {
        const char *url, *host, *again;
        unsigned port;
    } rows[] = {
        {"https://hub.example:7443", "hub.example", "https://hub.example:7443", 7443},
        {"https://10.0.0.1:1/", "10.0.0.1", "https://10.0.0.1:1", 1},
        {"https://[fd00::1]:65535", "fd00::1", "https://[fd00::1]:65535", 65535},
    };
    char text[PLACE_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(rows); i++) {
        struct upstream_place place;

        assert_int_equal(place_parse(rows[i].url, &place).code, ALB_OK);
        assert_string_equal(place.host, rows[i].host);
        assert_int_equal(place.port, rows[i].port);
        assert_string_equal(place_format(&place, text), rows[i].again);
    }
}

static void a_wrong_address_is_refused_with_its_fault(void **state)
{
    static const struct {
        const char *url, *says;
    } rows[] = {
        {"", "begin with https://"},
        {"http://hub:1", "begin with https://"},
        {"hub:7443", "begin with https://"},
        {"https://hub", "no port"},
        {"https://hub/", "no port"},
        {"https://:7443", "no host"},
        {"https://[]:7443", "no host"},
        {"https://[fd00::1:7443", "']'"},
        {"https://[fd00::1]7443", "no port"},
        {"https://hub:0", "65535"},
        {"https://hub:65536", "65535"},
        {"https://hub:", "65535"},
        {"https://hub:74x3", "65535"},
        {"https://hub:7443/v1", "follow the port"},
        {"https://user@hub:7443", "no host name has"},
        {"https://hub name:7443", "no host name has"},
    };

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(rows); i++) {
        struct upstream_place place = {.port = 77};
        struct alb_status st = place_parse(rows[i].url, &place);

        assert_int_equal(st.code, ALB_INVALID);
        assert_non_null(strstr(st.what, rows[i].says));
        assert_int_equal(place.port, 77);
    }
}

static void a_layer_may_carry_a_version(void **state)
{
    struct layer_name name;

    (void)state;
    assert_int_equal(layer_name_parse("base/debian-12", &name).code, ALB_OK);
    assert_string_equal(name.layer, "base/debian-12");
    assert_string_equal(name.version, "");
    assert_int_equal(layer_name_parse("app@1.2+b", &name).code, ALB_OK);
    assert_string_equal(name.layer, "app");
    assert_string_equal(name.version, "1.2+b");
}

static void a_wrong_layer_or_version_is_refused(void **state)
{
    static const char *const rows[] = {"", "@1", "Base", "base/../x", "base@", "base@a b", "a@b@c"};
    struct layer_name name;
    char longer[300];

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(rows); i++)
        assert_int_equal(layer_name_parse(rows[i], &name).code, ALB_INVALID);
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(layer_name_parse(longer, &name).code, ALB_INVALID);
    longer[2] = '@';
    assert_int_equal(layer_name_parse(longer, &name).code, ALB_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_comes_back_as_it_was_typed),
        cmocka_unit_test(a_wrong_address_is_refused_with_its_fault),
        cmocka_unit_test(a_layer_may_carry_a_version),
        cmocka_unit_test(a_wrong_layer_or_version_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
