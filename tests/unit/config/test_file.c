/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/config/test_file.c – what a person may write,
 * and what each mistake is answered with. */
#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "support/tmpdir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define PIN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define SOUND                                                                                      \
    "data = /srv/albedo\ndevice = box-1\ntrust_pin = " PIN "\n"                                    \
    "parents = { \"https://hub.example.com:7443\" }\n"

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

static struct alb_status load(void **state, const char *text, struct reflector_config *out,
                              char *error)
{
    AUTO_FREE char *path = tmpdir_path(*state, "r.conf");

    tmpdir_write(*state, "r.conf", text, strlen(text));
    struct alb_status st = reflector_config_load(path, out, error);
    /* The directory differs from run to run; what follows it does not. */
    size_t dir = strlen(path) - strlen("r.conf");
    if (strncmp(error, path, dir) == 0)
        memmove(error, error + dir, strlen(error + dir) + 1);
    return st;
}

static void refused(void **state, const char *text, const char *expected)
{
    char error[CONFIG_ERROR_SIZE];
    struct reflector_config c = {.window_bytes = 77};

    struct alb_status st = load(state, text, &c, error);
    assert_int_equal(st.code, ALB_INVALID);
    if (strstr(error, expected) == NULL)
        fail_msg("\"%s\" was expected in \"%s\"", expected, error);
    assert_int_equal(c.window_bytes, 77); /* nothing was written */
}

static void values_and_defaults_arrive(void **state)
{
    char error[CONFIG_ERROR_SIZE];
    struct reflector_config c;
    struct alb_status st = load(state,
                                SOUND "window = \"8MiB\" # a comment\n"
                                      "listen = [::1]:99\nlog_level = debug\nsite = north\n"
                                      "wan_down = 2Mbit\nparent_line = wan\nbeacon = off",
                                &c, error);

    assert_string_equal(error, "");
    assert_false(alb_failed(st));
    assert_string_equal(c.data, "/srv/albedo");
    assert_string_equal(c.device, "box-1");
    assert_string_equal(c.site, "north");
    assert_int_equal(c.window_bytes, 8 << 20);
    assert_int_equal(c.memory_cache_bytes, 64 << 20);
    assert_int_equal(c.max_sessions, 4096);
    assert_int_equal(c.log_level, LOG_DEBUG);
    assert_int_equal(c.wan_down_bps, 2000000);
    assert_int_equal(c.wan_up_bps, 0);
    assert_int_equal(c.parent_line, LINE_WAN);
    assert_false(c.beacon);
    assert_string_equal(c.listen.host, "::1");
    assert_int_equal(c.listen.port, 99);
    assert_int_equal(c.trust_pin.bytes[1], 0x11);
    assert_int_equal(c.parents.count, 1);
    assert_string_equal(c.parents.at[0].host, "hub.example.com");
    assert_int_equal(c.parents.at[0].port, 7443);
}

static void parents_keep_their_order(void **state)
{
    char error[CONFIG_ERROR_SIZE];
    struct reflector_config c;
    struct alb_status st =
        load(state,
             "data=/d\ndevice=b\ntrust_pin=" PIN "\n"
             "parents = {\n  \"https://a:1\", # first\n  https://b:2,\n 'https://[fd00::1]:3'\n}\n",
             &c, error);

    assert_string_equal(error, "");
    assert_false(alb_failed(st));
    assert_int_equal(c.parents.count, 3);
    assert_true(c.beacon);
    assert_string_equal(c.parents.at[0].host, "a");
    assert_string_equal(c.parents.at[1].host, "b");
    assert_string_equal(c.parents.at[2].host, "fd00::1");
}

static void each_mistake_is_told_with_its_line(void **state)
{
    refused(state, SOUND "listen = 1.2.3.4\n",
            "r.conf:5: listen: \"1.2.3.4\": there is no port (use ADDR:PORT");
    refused(state, "# one\n# two\n// three\n/* four\n five */\n" SOUND "lisen = 3\n",
            "r.conf:10: there is no option \"lisen\"; did you mean \"listen\"?");
    refused(state, SOUND "wibble = 3\n", "r.conf:5: there is no option \"wibble\"; see");
    refused(state, SOUND "window = 8MIB\n", "r.conf:5: window: \"8MIB\": unknown unit of a size");
    refused(state, SOUND "wan_down = 0Mbit\n", "r.conf:5: wan_down: \"0Mbit\": below 12kbit");
    refused(state, SOUND "wan_down = 0\n", "r.conf:5: wan_down: \"0\": below 12kbit");
    refused(state, SOUND "wan_down = 11kbit\n", "to stop all, use the policy (albedo pause)");
    refused(state, SOUND "wan_up = 2\n", "r.conf:5: wan_up: \"2\": a rate needs a unit");
    refused(state, SOUND "lan_rate = 1001Gbit\n", "no line has more than 1000Gbit");
    refused(state, SOUND "parent_line = dsl\n", "a line is auto, wan or lan");
    refused(state, SOUND "beacon = maybe\n", "beacon: \"maybe\": a switch is on or off");
    refused(state, SOUND "packet_overhead = 99999\n", "adds more than 256 bytes to a packet");
    refused(state, SOUND "workers = many\n", "workers: \"many\": a number is expected");
    refused(state, SOUND "log_level = loud\n", "r.conf:5: log_level: \"loud\": ");
    refused(state, SOUND "site = Nord\n", "site: \"Nord\": an id begins with a-z or 0-9");
    refused(state, SOUND "listen = a:1\nlisten = b:1\n", "r.conf:5: listen: \"a:1\": ");
    refused(state, SOUND "window = 1\n\nwindow = 2\n",
            "r.conf:7: window is set twice (first on line 5)");
    refused(state, SOUND "window 4MiB\n", "r.conf:5: missing equal sign after option 'window'");
    refused(state, SOUND "window = \"4MiB\n", "premature end of file");
    refused(state, SOUND "window = {4MiB}\n", "r.conf:5: ");
    refused(state, SOUND "= 5\n", "r.conf:5: ");
    refused(state, SOUND "\\\n", "r.conf:5: a backslash stands outside quotes");
    refused(state, SOUND "include(\"/etc/hostname\")\n", "there is no option \"include\"");
}

static void what_must_be_set_is_named(void **state)
{
    refused(state, "", "r.conf: data is not set (an absolute path, as in data = ");
    refused(state, "data=/d\ndevice=b\ntrust_pin=" PIN, "parents is not set");
    refused(state, "data=/d\ndevice=b\ntrust_pin=" PIN "\nparents={}", "parents is not set");
}

static void wrong_lists_are_told(void **state)
{
    refused(state, SOUND "parents = {\"https://b:1\"}\n", "r.conf:5: parents is set twice");
    refused(state, "parents = {\n\"https://a:1\",\n\"http://b:1\"}\n",
            "r.conf:3: parents: \"http://b:1\": it must begin with https://");
    refused(state,
            "parents = {https://a:1,https://a:2,https://a:3,https://a:4,https://a:5,https://a:6,"
            "https://a:7,https://a:8,https://a:9}",
            "more than 8 addresses");
}

static void what_a_cache_may_have_is_read_and_judged(void **state)
{
    char error[CONFIG_ERROR_SIZE];
    struct reflector_config c;
    struct alb_status st =
        load(state,
             SOUND "cache_quota = 2GiB\ncache_floor = 1GiB\ncache_policy = lru\n"
                   "cache_pins = { \"base/os@12.5\", \"app/office@2026.1+b\" }\n",
             &c, error);

    assert_string_equal(error, "");
    assert_false(alb_failed(st));
    assert_int_equal(c.cache_floor_bytes, 1 << 30);
    assert_string_equal(config_eviction_name(c.cache_policy), "lru");
    assert_int_equal(c.cache_pins.count, 2);
    assert_string_equal(c.cache_pins.at[1], "app/office@2026.1+b");
    static const char *const quotas[] = {"", "cache_quota = auto\n", "cache_quota = none\n",
                                         "cache_quota = 0\n"};
    for (size_t i = 0; i < ALB_COUNT(quotas); i++) {
        AUTO_FREE char *text = xasprintf("%s%s", SOUND, quotas[i]);
        assert_false(alb_failed(load(state, text, &c, error)));
        assert_true(c.cache_quota_bytes == (i < 2 ? QUOTA_AUTO : 0));
    }
    refused(state, SOUND "cache_quota = much\n", "cache_quota: \"much\": ");
    refused(state, SOUND "cache_policy = arc\n", "a policy is s3-fifo, lru, tiny-lfu or fifo");
    refused(state, SOUND "cache_pins = { \"base/os\" }\n", "a pin is LAYER@VERSION");
    refused(state, SOUND "cache_pins = { \"Base@1\" }\n", "cache_pins: \"Base@1\": ");
    refused(state, SOUND "cache_pins = { \"base/os@\" }\n", "cache_pins: \"base/os@\": ");
    refused(state,
            SOUND "cache_pins = { \"a@1\", \"a@2\", \"a@3\", \"a@4\", \"a@5\", \"a@6\", \"a@7\", "
                  "\"a@8\", \"a@9\", \"a@10\", \"a@11\", \"a@12\", \"a@13\", \"a@14\", "
                  "\"a@15\", \"a@16\", \"a@17\" }\n",
            "there are at most 16 pins");
}

static void paths_and_digests_are_judged(void **state)
{
    refused(state, "data = here\n", "r.conf:1: data: \"here\": a path begins with '/'");
    refused(state, "data = \"/a\\nb\"\n", "control characters");
    refused(state, "trust_pin = 00aa\n", "r.conf:1: trust_pin: \"00aa\": ");
}

static void a_file_that_is_not_there_is_named(void **state)
{
    char error[CONFIG_ERROR_SIZE];
    struct hub_config c;
    AUTO_FREE char *path = tmpdir_path(*state, "none.conf");
    struct alb_status st = hub_config_load(path, &c, error);

    assert_int_equal(st.code, ALB_NOT_FOUND);
    assert_non_null(strstr(error, "none.conf: "));
    assert_non_null(strstr(error, "No such file"));
}

static void a_directory_or_a_binary_is_no_configuration(void **state)
{
    char error[CONFIG_ERROR_SIZE];
    struct hub_config c;
    AUTO_FREE char *path = tmpdir_path(*state, "hub.conf");

    tmpdir_write(*state, "hub.conf", "data\0= /x", 9);
    assert_int_equal(hub_config_load(path, &c, error).code, ALB_INVALID);
    assert_non_null(strstr(error, "hub.conf: it holds a zero byte"));
    AUTO_FREE char *dir = tmpdir_path(*state, "dir");
    tmpdir_mkdir(*state, "dir");
    assert_true(alb_failed(hub_config_load(dir, &c, error)));
    assert_non_null(strstr(error, "dir: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_defaults_arrive),
        cmocka_unit_test(parents_keep_their_order),
        cmocka_unit_test(each_mistake_is_told_with_its_line),
        cmocka_unit_test(what_must_be_set_is_named),
        cmocka_unit_test(wrong_lists_are_told),
        cmocka_unit_test(what_a_cache_may_have_is_read_and_judged),
        cmocka_unit_test(paths_and_digests_are_judged),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
        cmocka_unit_test(a_directory_or_a_binary_is_no_configuration),
    };

    return cmocka_run_group_tests(tests, make_place, clear_place);
}
