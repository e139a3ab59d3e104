/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/config/test_url.c – addresses that are taken, and every way to get one wrong. */
#include "config/url.h"

#include <string.h>

#include "base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct good {
    const char *text, *host;
    uint16_t port;
    const char *again;
};
struct bad {
    const char *text, *why;
};

static void urls_are_taken(void **state)
{
    static const struct good cases[] = {
        {"https://hub:7443", "hub", 7443, "https://hub:7443"},
        {"https://hub.example.com:1/", "hub.example.com", 1, "https://hub.example.com:1"},
        {"https://10.0.0.1:65535", "10.0.0.1", 65535, "https://10.0.0.1:65535"},
        {"https://[fd00::1]:7443", "fd00::1", 7443, "https://[fd00::1]:7443"},
    };
    char text[URL_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(cases); i++) {
        struct url url;
        assert_false(alb_failed(url_parse(cases[i].text, &url)));
        assert_string_equal(url.host, cases[i].host);
        assert_int_equal(url.port, cases[i].port);
        assert_string_equal(url_format(&url, text), cases[i].again);
    }
}

static void wrong_urls_are_told_why(void **state)
{
    static const struct bad cases[] = {
        {"", "it must begin with https://"},
        {"http://hub:1", "it must begin with https://"},
        {"hub:7443", "it must begin with https://"},
        {"https://", "there is no host"},
        {"https://:1", "there is no host"},
        {"https://hub", "there is no port"},
        {"https://hub/x", "there is no port"},
        {"https://hub:", "the port is no number"},
        {"https://hub:0", "the port is no number from 1"},
        {"https://hub:65536", "the port is no number"},
        {"https://hub:100000000000", "the port is no number"},
        {"https://hub:1/x", "nothing may follow the port"},
        {"https://hub:1//", "nothing may follow the port"},
        {"https://me@hub:1", "a character that no host name has"},
        {"https://h b:1", "a character that no host name has"},
        {"https://[fd00::1:1", "ends with ']'"},
        {"https://[hub]:1", "a character that no host name has"},
        {"https://[1:2]:1", "no IPv6 address"},
    };

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(cases); i++) {
        struct url url = {.port = 9};
        struct alb_status st = url_parse(cases[i].text, &url);
        assert_int_equal(st.code, ALB_INVALID);
        if (strstr(st.what, cases[i].why) == NULL)
            fail_msg("%s: \"%s\" was expected in \"%s\"", cases[i].text, cases[i].why, st.what);
        assert_int_equal(url.port, 9);
    }
}

static void a_host_longer_than_any_is_refused(void **state)
{
    char text[400] = "https://";
    struct url url;

    (void)state;
    memset(text + 8, 'a', 300);
    memcpy(text + 308, ":1", 3);
    assert_non_null(strstr(url_parse(text, &url).what, "longer than a host name"));
}

static void addresses_to_listen_on(void **state)
{
    static const struct good good[] = {{"0.0.0.0:7443", "0.0.0.0", 7443, "0.0.0.0:7443"},
                                       {"127.0.0.1:0", "127.0.0.1", 0, "127.0.0.1:0"},
                                       {"[::]:1", "::", 1, "[::]:1"}};
    static const struct bad bad[] = {{"1.2.3.4", "there is no port"},
                                     {":80", "there is no host"},
                                     {"hub:80", "no IPv4 or IPv6 address"},
                                     {"::1:80", "stands in [ ]"},
                                     {"1.2.3.4:x", "the port is no number"},
                                     {"1.2.3:80", "no IPv4 or IPv6 address"},
                                     {"", "there is no host"},
                                     {"1.2.3.4:", "the port is no number"}};
    char text[URL_TEXT_SIZE];
    struct url url;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(good); i++) {
        assert_false(alb_failed(listen_parse(good[i].text, &url)));
        assert_string_equal(url.host, good[i].host);
        assert_int_equal(url.port, good[i].port);
        assert_string_equal(listen_format(&url, text), good[i].again);
    }
    for (size_t i = 0; i < ALB_COUNT(bad); i++) {
        struct alb_status st = listen_parse(bad[i].text, &url);
        assert_int_equal(st.code, ALB_INVALID);
        if (strstr(st.what, bad[i].why) == NULL)
            fail_msg("%s: \"%s\" was expected in \"%s\"", bad[i].text, bad[i].why, st.what);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_taken),
        cmocka_unit_test(wrong_urls_are_told_why),
        cmocka_unit_test(a_host_longer_than_any_is_refused),
        cmocka_unit_test(addresses_to_listen_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
