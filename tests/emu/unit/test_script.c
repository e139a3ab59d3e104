/* SPDX-License-Identifier: Apache-2.0 */
/* emu/unit/test_script.c – scripts and traces happen in order, and refuse what they cannot do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "emu/script.h"

#define MS 1000000u
#define S 1000000000u

static char script_path[] = "/tmp/emu-script-XXXXXX";
static char trace_path[] = "/tmp/emu-trace-XXXXXX";

static void text_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct script script_make(const char *text, const char *trace)
{
    struct emu_options o = {.script_path = script_path};
    struct script script = {0};
    struct emu_error err = {""};
    text_write(script_path, text);
    text_write(trace_path, trace);
    o.rate_trace[DIR_BA] = trace_path;
    if (!script_read(&o, &err, &script))
        fail_msg("%s", err.text);
    return script;
}

static void lines_happen_at_their_time_in_any_order(void **state)
{
    (void)state;
    struct emu_options o = {0};
    struct script script = script_make("# a capacity drop\n"
                                       "at 30s rate-ab=10mbit   # and back\n"
                                       "\n"
                                       "at 20s rate=4mbit queue-ab=16kB aqm=fq_codel\n",
                                       "");
    assert_int_equal(script_next_ns(&script), 20 * (uint64_t)S);
    assert_false(script_run(&script, 20 * (uint64_t)S - 1, &o));
    assert_true(script_run(&script, 20 * (uint64_t)S, &o));
    assert_int_equal(o.link[DIR_AB].rate_bits, 4000000);
    assert_int_equal(o.link[DIR_BA].rate_bits, 4000000);
    assert_int_equal(o.link[DIR_AB].limit_bytes, 16000);
    assert_true(o.link[DIR_AB].queue.fair && o.link[DIR_AB].queue.codel.target_ns == 5 * MS);
    assert_true(script_run(&script, 99 * (uint64_t)S, &o));
    assert_int_equal(o.link[DIR_AB].rate_bits, 10000000);
    assert_int_equal(o.link[DIR_BA].rate_bits, 4000000);
    assert_int_equal(script_next_ns(&script), UINT64_MAX);
    assert_false(script_run(&script, UINT64_MAX, &o));
    script_release(&script);
}

static void an_outage_ends_and_a_pause_is_left_for_the_caller(void **state)
{
    (void)state;
    struct emu_options o = {0};
    struct script script = script_make("at 1min outage=1.5s\nat 5 pause-ab=200ms\n", "");
    assert_true(script_run(&script, 5 * (uint64_t)S, &o));
    assert_int_equal(o.pause_ns[DIR_AB], 200 * MS);
    assert_int_equal(o.pause_ns[DIR_BA], 0);
    assert_true(script_run(&script, 60 * (uint64_t)S, &o));
    assert_true(o.link[DIR_AB].down && o.link[DIR_BA].down);
    assert_int_equal(script_next_ns(&script), 61500 * (uint64_t)MS);
    assert_true(script_run(&script, 61500 * (uint64_t)MS, &o));
    assert_false(o.link[DIR_AB].down || o.link[DIR_BA].down);
    script_release(&script);
}

static void a_trace_sets_the_rate_of_its_direction(void **state)
{
    (void)state;
    struct emu_options o = {0};
    struct script script =
        script_make("at 1s rate=1mbit\n", "# time,rate\n0,8mbit\n0.5, 2500kbit\n1.0,0\n");
    assert_true(script_run(&script, 0, &o));
    assert_int_equal(o.link[DIR_BA].rate_bits, 8000000);
    assert_int_equal(o.link[DIR_AB].rate_bits, 0);
    assert_true(script_run(&script, 500 * MS, &o));
    assert_int_equal(o.link[DIR_BA].rate_bits, 2500000);
    assert_true(script_run(&script, S, &o));
    assert_int_equal(o.link[DIR_AB].rate_bits, 1000000);
    assert_int_equal(o.link[DIR_BA].rate_bits, 1000); /* the trace comes after the script */
    script_release(&script);
}

static void a_trace_of_an_hour_by_the_ten_milliseconds_is_read(void **state)
{
    (void)state;
    struct emu_options o = {.rate_trace = {trace_path}};
    struct script script = {0};
    struct emu_error err;
    FILE *file = fopen(trace_path, "we");
    assert_non_null(file);
    for (unsigned i = 0; i < 360000; i++)
        assert_true(fprintf(file, "%u.%02u,%umbit\n", i / 100, i % 100, 1 + i % 9) > 0);
    assert_int_equal(fclose(file), 0);
    assert_true(script_read(&o, &err, &script));
    assert_int_equal(script.count, 360000);
    script_release(&script);
}

static void refused(const char *text, const char *trace, const char *said)
{
    struct emu_options o = {.script_path = script_path, .rate_trace = {trace_path}};
    struct script script = {0};
    struct emu_error err = {""};
    text_write(script_path, text);
    text_write(trace_path, trace);
    assert_false(script_read(&o, &err, &script));
    if (strstr(err.text, said) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, said);
    assert_null(script.events);
}

static void what_is_wrong_is_refused_with_its_line(void **state)
{
    (void)state;
    refused("20s rate=4mbit\n", "", ":1: expected `at TIME key=value");
    refused("at 20s\n", "", "expected `at TIME key=value");
    refused("# ok\nat 20x rate=4mbit\n", "", ":2: '20x' is not a moment");
    refused("at 20s rate\n", "", "'rate' is not key=value");
    refused("at 20s speed=4mbit\n", "", "unknown key 'speed'");
    refused("at 20s seed=4\n", "", "unknown key 'seed'");
    refused("at 20s rate=4mbyte\n", "", "rate: '4mbyte' is not a rate");
    refused("at 20s outage=soon\n", "", "'soon' is not a time");
    refused("at 20s down=maybe\n", "", "neither yes, no, ab nor ba");
    refused("at 20s delay=00000000000000000000000000000000000000000000020ms\n", "", "too long");
    refused("", "0,1mbit,2\n", ":1: expected time,rate");
    refused("", "1mbit\n", "expected time,rate");
    refused("", "-1,1mbit\n", "'-1' is not a moment");
    refused("", "0,fast\n", "rate-ab: 'fast' is not a rate");
}

static void a_file_that_is_missing_is_named(void **state)
{
    (void)state;
    struct emu_options o = {.script_path = "/nonexistent"};
    struct script script = {0};
    struct emu_error err;
    assert_false(script_read(&o, &err, &script));
    assert_non_null(strstr(err.text, "cannot read /nonexistent"));
}

static int files_make(void **state)
{
    (void)state;
    int script = mkstemp(script_path);
    int trace = mkstemp(trace_path);
    return script < 0 || trace < 0 || close(script) != 0 || close(trace) != 0;
}

static int files_remove(void **state)
{
    (void)state;
    return unlink(script_path) + unlink(trace_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_happen_at_their_time_in_any_order),
        cmocka_unit_test(an_outage_ends_and_a_pause_is_left_for_the_caller),
        cmocka_unit_test(a_trace_sets_the_rate_of_its_direction),
        cmocka_unit_test(a_trace_of_an_hour_by_the_ten_milliseconds_is_read),
        cmocka_unit_test(what_is_wrong_is_refused_with_its_line),
        cmocka_unit_test(a_file_that_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, files_make, files_remove);
}
