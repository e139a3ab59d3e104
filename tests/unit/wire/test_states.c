/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_states.c – lists of reflectors' states that read as they were written, what is
 * wrong with others, and what parents say of themselves. */
#include "support/wire_fixture.h"

#include "wire/here.h"

static struct state_entry entry(const char *device, enum reflector_state state, const char *why)
{
    struct state_entry e = {.state = state, .since_wall_s = 1700000000, .by = "admin-1"};

    snprintf(e.device, sizeof e.device, "%s", device);
    snprintf(e.why, sizeof e.why, "%s", why);
    return e;
}

static bool set(struct states *s, const char *device, enum reflector_state state, const char *why)
{
    const struct state_entry e = entry(device, state, why);
    bool has_changed = false;

    assert_ok(states_set(s, &e, &has_changed));
    return has_changed;
}

static const char TWO[] =
    "{\"format\":1,\"states\":["
    "{\"device\":\"r1\",\"state\":\"drain\",\"since\":1700000000,\"by\":\"admin-1\"},"
    "{\"device\":\"r2\",\"state\":\"disable\",\"wipe\":true,\"since\":1700000000,"
    "\"by\":\"admin-1\",\"why\":\"moved\"}]}";

static void a_list_is_kept_by_device_and_reads_as_it_was_written(void **state)
{
    struct state_entry gone = entry("r2", REFLECTOR_DISABLE, "moved");
    struct states s, back;
    bool has_changed;
    struct buf text;

    (void)state;
    states_init(&s);
    buf_init(&text, 4096);
    gone.wipe = true;
    assert_ok(states_set(&s, &gone, &has_changed));
    assert_true(set(&s, "r1", REFLECTOR_DRAIN, ""));
    assert_ok(states_encode(&s, &text));
    assert_string_equal(buf_text(&text), TWO);
    assert_ok(states_decode(buf_peek(&text), buf_size(&text), &back));
    assert_int_equal(back.count, 2);
    assert_int_equal(states_find(&back, "r1")->state, REFLECTOR_DRAIN);
    assert_true(states_find(&back, "r2")->wipe);
    assert_string_equal(states_find(&back, "r2")->why, "moved");
    assert_null(states_find(&back, "r3"));
    states_release(&back);
    states_release(&s);
    buf_release(&text);
}

static void what_is_said_again_changes_nothing(void **state)
{
    struct states s;

    (void)state;
    states_init(&s);
    assert_false(set(&s, "r1", REFLECTOR_ACCEPT, ""));
    assert_true(set(&s, "r1", REFLECTOR_DRAIN, "disk"));
    assert_false(set(&s, "r1", REFLECTOR_DRAIN, "disk"));
    assert_true(set(&s, "r1", REFLECTOR_DRAIN, "fan"));
    assert_true(set(&s, "r1", REFLECTOR_SUSPEND, "fan"));
    assert_int_equal(s.count, 1);
    assert_true(set(&s, "r1", REFLECTOR_ACCEPT, ""));
    assert_int_equal(s.count, 0);
    states_release(&s);
}

static void the_list_is_bounded(void **state)
{
    struct state_entry e = entry("x", REFLECTOR_DRAIN, "");
    struct states s;
    bool has_changed;

    (void)state;
    states_init(&s);
    for (unsigned i = 0; i < STATES_MAX; i++) {
        snprintf(e.device, sizeof e.device, "r%04u", (i * 2654435761u) % STATES_MAX);
        assert_ok(states_set(&s, &e, &has_changed));
    }
    snprintf(e.device, sizeof e.device, "another");
    assert_says(states_set(&s, &e, &has_changed), ALB_FULL,
                "4,096 reflectors do not accept already, the most there can be");
    assert_non_null(states_find(&s, "r0000"));
    assert_non_null(states_find(&s, "r4095"));
    states_release(&s);
}

static void assert_wrong(const char *text, const char *why)
{
    struct states s;

    assert_says(states_decode(text, strlen(text), &s), ALB_INVALID, why);
}

#define LIST(entries) "{\"format\":1,\"states\":[" entries "]}"

static void what_is_no_list_of_states_is_refused(void **state)
{
    (void)state;
    assert_wrong("[", "the list of states is no JSON");
    assert_wrong("{\"format\":2,\"states\":[]}",
                 "the list of states is of a format that this program does not know");
    assert_wrong("{\"format\":1}", "\"states\" is no list of at most 4,096");
    assert_wrong(LIST("{\"state\":\"drain\"}"), "a state names no device");
    assert_wrong(LIST("{\"device\":\"r 1\",\"state\":\"drain\"}"), "a state names no device");
    assert_wrong(LIST("{\"device\":\"r1\",\"state\":\"nap\"}"),
                 "a device's state is none that this program knows: update it");
    assert_wrong(LIST("{\"device\":\"r1\",\"state\":\"accept\"}"),
                 "a device's state is none that this program knows: update it");
    assert_wrong(LIST("{\"device\":\"r1\",\"state\":\"drain\",\"why\":7}"),
                 "who set a state, or why, is no text or too long");
    assert_wrong(LIST("{\"device\":\"r1\",\"state\":\"drain\",\"why\":\"a\\nb\"}"),
                 "why: one line of text, without control characters");
    assert_wrong(LIST("{\"device\":\"r1\",\"state\":\"drain\",\"wipe\":true}"),
                 "only a disabled reflector is wiped");
    assert_wrong(LIST("{\"device\":\"r1\",\"state\":\"drain\"},"
                      "{\"device\":\"r1\",\"state\":\"drain\"}"),
                 "states are in order of their devices, each once");
}

/* ---- what a parent says of itself ------------------------------------------------------------ */

static void a_parent_that_takes_nobody_says_why_and_until_when(void **state)
{
    AUTO_FREE struct here *h = xalloc(sizeof *h), *back = xalloc(sizeof *back);
    struct buf text;

    (void)state;
    buf_init(&text, HERE_BYTES_MAX);
    *h = (struct here){.device = "r1",
                       .state = REFLECTOR_DRAIN,
                       .sessions = 3,
                       .max_sessions = 200,
                       .load_percent = 40,
                       .line_state = "up",
                       .down_bps = 250000,
                       .cut_off_since_wall_s = 1700000000,
                       .until_wall_s = 1700000300,
                       .retry_s = 300,
                       .why = "an operator has it take no new ones",
                       .above = {"r0", "hub"},
                       .above_count = 2};
    assert_ok(here_encode(h, &text));
    assert_ok(here_decode(buf_peek(&text), buf_size(&text), back));
    assert_memory_equal(h, back, sizeof *h);
    assert_true(here_leads_to(back, "r1") && here_leads_to(back, "r0"));
    assert_false(here_leads_to(back, "r2"));
    buf_release(&text);
}

static void a_word_that_is_not_ours_is_taken_for_what_it_can_mean(void **state)
{
    AUTO_FREE struct here *h = xalloc(sizeof *h);
    static const char NEWER[] = "{\"device\":\"r1\",\"state\":\"nap\",\"sessions\":-3,"
                                "\"load_percent\":400,\"more\":{}}";
    static const char BARE[] = "{\"device\":\"h\",\"role\":\"hub\"}";

    (void)state;
    assert_ok(here_decode(NEWER, strlen(NEWER), h));
    assert_false(h->takes_new);
    assert_int_equal(h->sessions, 0);
    assert_int_equal(h->load_percent, 0);
    assert_ok(here_decode(BARE, strlen(BARE), h));
    assert_true(h->takes_new && h->is_hub);
    assert_int_equal(h->state, REFLECTOR_ACCEPT);
    assert_says(here_decode("{}", 2, h), ALB_INVALID, "a parent does not say who it is");
    assert_says(here_decode("[]", 2, h), ALB_INVALID,
                "what a parent says of itself is no JSON object");
    static const char NOBODY_ABOVE[] = "{\"device\":\"r1\",\"above\":[\"\"]}";
    assert_says(here_decode(NOBODY_ABOVE, strlen(NOBODY_ABOVE), h), ALB_INVALID,
                "what a parent says is above it is no device");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_kept_by_device_and_reads_as_it_was_written),
        cmocka_unit_test(what_is_said_again_changes_nothing),
        cmocka_unit_test(the_list_is_bounded),
        cmocka_unit_test(what_is_no_list_of_states_is_refused),
        cmocka_unit_test(a_parent_that_takes_nobody_says_why_and_until_when),
        cmocka_unit_test(a_word_that_is_not_ours_is_taken_for_what_it_can_mean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
