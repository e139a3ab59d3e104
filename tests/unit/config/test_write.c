/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/config/test_write.c – what is written reads the same again, and the examples are
 * current.
 *
 * After a change of schema.def:  ALB_WRITE_EXAMPLES=1 ctest -R unit_config_write
 */
#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/file.h"
#include "support/tmpdir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { TEXT_MOST = 1 << 20 };

static int make_place(void **state)
{
    *state = tmpdir_open();
    return 0;
}

static int clear_place(void **state)
{
    tmpdir_close(*state);
    return 0;
}

/* config/NAME beside the tests this file belongs to. */
static char *example_path(const char *name)
{
    const char *end = strstr(__FILE__, "tests/unit/config/");

    assert_non_null(end);
    return xasprintf("%.*sconfig/%s", (int)(end - __FILE__), __FILE__, name);
}

static void check_current(const char *name, const struct buf *made)
{
    AUTO_FREE char *path = example_path(name);
    struct buf kept;

    if (getenv("ALB_WRITE_EXAMPLES") != NULL)
        assert_false(alb_failed(file_replace(path, buf_peek(made), buf_size(made), 0644)));
    buf_init(&kept, TEXT_MOST);
    assert_false(alb_failed(file_read(path, &kept)));
    assert_int_equal(buf_size(&kept), buf_size(made));
    assert_memory_equal(buf_peek(&kept), buf_peek(made), buf_size(made));
    buf_release(&kept);
}

static void the_examples_are_current_and_parse(void **state)
{
    char error[CONFIG_ERROR_SIZE];
    struct hub_config hub;
    struct reflector_config reflector;
    struct buf made;

    (void)state;
    AUTO_FREE char *hub_path = example_path("hub.conf.example");
    AUTO_FREE char *reflector_path = example_path("reflector.conf.example");
    buf_init(&made, TEXT_MOST);
    assert_false(alb_failed(hub_config_example(&made)));
    check_current("hub.conf.example", &made);
    buf_clear(&made);
    assert_false(alb_failed(reflector_config_example(&made)));
    check_current("reflector.conf.example", &made);
    buf_release(&made);
    assert_false(alb_failed(hub_config_load(hub_path, &hub, error)));
    assert_string_equal(hub.org, "example");
    assert_int_equal(hub.admin_listen.port, 7444);
    assert_false(alb_failed(reflector_config_load(reflector_path, &reflector, error)));
    assert_string_equal(reflector.parents.at[0].host, "hub.example.com");
}

static void what_is_written_reads_the_same(void **state)
{
    struct reflector_config c, again;
    char error[CONFIG_ERROR_SIZE];
    struct buf text;
    AUTO_FREE char *path = tmpdir_path(*state, "r.conf");

    reflector_config_defaults(&c);
    snprintf(c.data, sizeof c.data, "%s", "/srv/a \"b\" ${HOME} \\ #c");
    snprintf(c.device, sizeof c.device, "box");
    snprintf(c.site, sizeof c.site, "north");
    memset(&c.trust_pin, 0xab, sizeof c.trust_pin);
    assert_false(alb_failed(listen_parse("[::1]:0", &c.listen)));
    assert_false(alb_failed(url_parse("https://a.b:1", &c.parents.at[0])));
    assert_false(alb_failed(url_parse("https://[::2]:65535", &c.parents.at[1])));
    c.parents.count = 2;
    c.window_bytes = 3000;
    c.cache_quota_bytes = UINT64_C(2) << 40;
    c.cache_policy = EVICT_LRU;
    c.cache_pins.count = 2;
    snprintf(c.cache_pins.at[0], CONFIG_PIN_SIZE, "base/os@12.5");
    snprintf(c.cache_pins.at[1], CONFIG_PIN_SIZE, "a@1");
    c.log_level = LOG_ERROR;
    c.wan_down_bps = 1500000;
    c.wan_up_bps = 0;
    c.lan_rate_bps = 12345;
    c.parent_line = LINE_LAN;
    c.beacon = false;
    buf_init(&text, TEXT_MOST);
    assert_false(alb_failed(reflector_config_write(&c, &text)));
    tmpdir_write(*state, "r.conf", buf_peek(&text), buf_size(&text));
    buf_release(&text);
    memset(&again, 0, sizeof again);
    struct alb_status st = reflector_config_load(path, &again, error);
    assert_string_equal(error, "");
    assert_false(alb_failed(st));
    assert_string_equal(again.data, c.data);
    assert_memory_equal(&again.trust_pin, &c.trust_pin, sizeof c.trust_pin);
    assert_string_equal(again.parents.at[1].host, "::2");
    assert_int_equal(again.parents.at[1].port, 65535);
    assert_int_equal(again.listen.port, 0);
    assert_int_equal(again.window_bytes, 3000);
    assert_int_equal(again.cache_quota_bytes, c.cache_quota_bytes);
    assert_int_equal(again.cache_policy, EVICT_LRU);
    assert_memory_equal(&again.cache_pins, &c.cache_pins, sizeof c.cache_pins);
    assert_int_equal(again.log_level, LOG_ERROR);
    assert_int_equal(again.wan_down_bps, 1500000);
    assert_int_equal(again.wan_up_bps, 0);
    assert_int_equal(again.lan_rate_bps, 12345);
    assert_int_equal(again.parent_line, LINE_LAN);
    assert_false(again.beacon);
    assert_int_equal(again.memory_cache_bytes, c.memory_cache_bytes);
}

static void places_of_a_hub_are_written_and_read_also_when_there_are_none(void **state)
{
    AUTO_FREE char *path = tmpdir_path(*state, "h.conf");
    char error[CONFIG_ERROR_SIZE];
    struct hub_config c, again;
    struct buf text;

    for (size_t count = 0; count <= 2; count++) {
        hub_config_defaults(&c);
        snprintf(c.data, sizeof c.data, "/x");
        snprintf(c.org, sizeof c.org, "acme");
        assert_int_equal(c.places.count, 0);
        assert_false(alb_failed(url_parse("https://hub.example:7443", &c.places.at[0])));
        assert_false(alb_failed(url_parse("https://[2001:db8::1]:443", &c.places.at[1])));
        c.places.count = count;
        buf_init(&text, TEXT_MOST);
        assert_false(alb_failed(hub_config_write(&c, &text)));
        tmpdir_write(*state, "h.conf", buf_peek(&text), buf_size(&text));
        buf_release(&text);
        alb_ignore(hub_config_load(path, &again, error), "its words say more");
        assert_string_equal(error, "");
        assert_int_equal(again.places.count, count);
        if (count > 1)
            assert_string_equal(again.places.at[1].host, "2001:db8::1");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_are_current_and_parse),
        cmocka_unit_test(what_is_written_reads_the_same),
        cmocka_unit_test_setup_teardown(
            places_of_a_hub_are_written_and_read_also_when_there_are_none, make_place, clear_place),
    };

    return cmocka_run_group_tests(tests, make_place, clear_place);
}
