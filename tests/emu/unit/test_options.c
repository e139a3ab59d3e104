/* SPDX-License-Identifier: Apache-2.0 */
/* emu/unit/test_options.c – every option of the link does what it says, or says what to give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "emu/option_table.h"

#define MS 1000000u

static struct emu_options set(const char *key, const char *value)
{
    struct emu_options o = {0};
    struct option option;
    struct emu_error err = {""};
    assert_true(option_find(key, &option));
    if (!option_set(&option, value, &o, &err))
        fail_msg("%s", err.text);
    return o;
}

static void a_key_alone_means_both_directions(void **state)
{
    (void)state;
    struct emu_options both = set("rate", "3mbit");
    struct emu_options one = set("rate-ba", "3mbit");
    assert_int_equal(both.link[DIR_AB].rate_bits, 3000000);
    assert_int_equal(both.link[DIR_BA].rate_bits, 3000000);
    assert_int_equal(one.link[DIR_AB].rate_bits, 0);
    assert_int_equal(one.link[DIR_BA].rate_bits, 3000000);
}

static void a_queue_is_in_time_bytes_or_packets(void **state)
{
    (void)state;
    assert_int_equal(set("queue", "150ms").link[DIR_AB].limit_ns, 150 * MS);
    assert_int_equal(set("queue", "16kB").link[DIR_AB].limit_bytes, 16000);
    assert_int_equal(set("queue", "16000").link[DIR_AB].limit_bytes, 16000);
    assert_int_equal(set("queue", "50packets").link[DIR_AB].limit_packets, 50);
    assert_int_equal(set("queue", "1packet").link[DIR_AB].limit_packets, 1);
}

static void the_kinds_of_queue(void **state)
{
    (void)state;
    struct queue_params codel = set("aqm", "codel").link[DIR_AB].queue;
    struct queue_params fq = set("aqm", "fq").link[DIR_AB].queue;
    struct queue_params both = set("aqm", "fq_codel:20ms,300ms").link[DIR_AB].queue;
    struct queue_params none = set("aqm", "fifo").link[DIR_AB].queue;
    assert_true(!codel.fair && codel.codel.target_ns == 5 * MS);
    assert_int_equal(codel.codel.interval_ns, 100 * MS);
    assert_true(fq.fair && fq.codel.target_ns == 0);
    assert_true(both.fair && both.codel.target_ns == 20 * MS);
    assert_int_equal(both.codel.interval_ns, 300 * MS);
    assert_true(!none.fair && none.codel.target_ns == 0);
    assert_int_equal(set("ecn", "mark").link[DIR_AB].queue.ecn, QUEUE_ECN_MARK);
    assert_int_equal(set("ecn", "clear").link[DIR_AB].queue.ecn, QUEUE_ECN_CLEAR);
}

static void loss_alone_and_in_bursts(void **state)
{
    (void)state;
    struct loss_params alone = set("loss", "0.5%").link[DIR_AB].loss;
    struct loss_params bursts = set("loss", "ge:1%,20%,50%,0.1%").link[DIR_AB].loss;
    assert_true(alone.good > 0.0049 && alone.good < 0.0051 && alone.to_bad <= 0);
    assert_true(bursts.to_bad > 0.0099 && bursts.to_good > 0.199 && bursts.bad > 0.499);
    assert_true(bursts.good > 0.00099 && bursts.good < 0.00101);
    assert_true(set("loss", "ge:1%,20%").link[DIR_AB].loss.bad >= 1);
}

static void jitter_policer_and_radio(void **state)
{
    (void)state;
    assert_int_equal(set("jitter", "5ms").link[DIR_AB].air.jitter, AIR_UNIFORM);
    assert_int_equal(set("jitter", "uniform:5ms").link[DIR_AB].air.jitter_ns, 5 * MS);
    assert_int_equal(set("jitter", "normal:5ms").link[DIR_AB].air.jitter, AIR_NORMAL);
    assert_true(set("reorder", "yes").link[DIR_AB].air.reorder);
    assert_int_equal(set("police", "8mbit").link[DIR_AB].policer.burst_bytes, 64000);
    assert_int_equal(set("police", "8mbit,20kB").link[DIR_AB].policer.burst_bytes, 20000);
    assert_int_equal(set("police", "no").link[DIR_AB].policer.rate_bits, 0);
    assert_int_equal(set("wifi", "yes").link[DIR_BA].air.pause_max_ns, 100 * MS);
    assert_int_equal(set("wifi", "1ms,2ms,300ms").link[DIR_BA].air.pause_gap_ns, 300 * MS);
    assert_int_equal(set("wifi", "no").link[DIR_BA].air.pause_gap_ns, 0);
}

static void refused(const char *key, const char *value, const char *said)
{
    struct emu_options o = {0};
    struct option option;
    struct emu_error err = {""};
    assert_true(option_find(key, &option));
    assert_false(option_set(&option, value, &o, &err));
    if (strstr(err.text, said) == NULL || strncmp(err.text, key, strlen(key)) != 0)
        fail_msg("'%s' does not say '%s'", err.text, said);
}

static void what_cannot_be_is_refused_with_what_to_give(void **state)
{
    (void)state;
    refused("queue-ab", "0packets", "50packets");
    refused("queue-ab", "5.packets5", "not a number of packets");
    refused("aqm-ba", "red", "neither fifo, codel, fq nor fq_codel");
    refused("aqm", "codel:", "neither fifo");
    refused("aqm", "codel:5ms", "a target and an interval");
    refused("aqm", "codel:0ms,100ms", "above 0");
    refused("ecn", "on", "off, mark or clear");
    refused("loss", "ge:1%", "two to four shares");
    refused("loss", "ge:1%,2%,3%,4%,5%", "two to four shares");
    refused("loss", "ge:1%,2", "'2' is not a share");
    refused("jitter", "normal", "is not a time");
    refused("jitter", "5", "'5' is not a time");
    refused("reorder", "maybe", "yes or no");
    refused("police", "1mbit,1000", "no full packet");
    refused("police", "1mbit,20kB,3", "a rate and a burst");
    refused("police", "", "is not a rate");
    refused("wifi", "20ms", "as in 20ms,100ms,1s");
    refused("wifi", "20ms,10ms,1s", "shorter than the shortest");
    refused("trace-every", "100us", "give 1ms or more");
    refused("pause", "11s", "at most 10s");
}

static void keys_that_are_none_are_not_found(void **state)
{
    (void)state;
    struct option option;
    static const char *const keys[] = {"",      "rat",     "rate-",   "rate-a", "ns",
                                       "ns-ab", "down-ab", "seed-ab", "ratex"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_false(option_find(keys[i], &option));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_alone_means_both_directions),
        cmocka_unit_test(a_queue_is_in_time_bytes_or_packets),
        cmocka_unit_test(the_kinds_of_queue),
        cmocka_unit_test(loss_alone_and_in_bursts),
        cmocka_unit_test(jitter_policer_and_radio),
        cmocka_unit_test(what_cannot_be_is_refused_with_what_to_give),
        cmocka_unit_test(keys_that_are_none_are_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
