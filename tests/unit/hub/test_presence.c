/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_presence.c – who is there as the hub tells it, and what it keeps of those who are
 * not. */
/* LINKS: sim_world */
#include "hub/roster.h"
#include "support/hub_stage.h"

static const char AT_OSLO[] =
    "{\"devices\":[{\"device\":\"pc-1\",\"role\":\"endpoint\",\"since\":5,\"place\":{\"site\":"
    "\"oslo\",\"by\":\"gateway\",\"addresses\":[\"10.1.0.9/24\"]},\"cards\":[{\"mac\":"
    "\"52:54:00:01:02:03\",\"link\":\"eth0\",\"wake\":[\"magic\"]}]}]}";

static void enrol(struct stage *s, const char *device)
{
    struct identity who = {.role = ROLE_ENDPOINT, .org = "acme", .expires_wall_s = INT64_MAX};

    (void)snprintf(who.device, sizeof who.device, "%s", device);
    (void)snprintf(who.serial, sizeof who.serial, "%032x", 77U);
    must(hub_admit(s->hub, &who, "", ""));
}

static int set_up(void **state)
{
    struct stage *s = stage_new();

    enrol(s, "pc-1");
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    stage_free(*state);
    return 0;
}

static void run_s(struct stage *s, uint64_t seconds)
{
    world_run(s->world, world_now_ns(s->world) + seconds * NS_PER_S);
}

static unsigned announce(struct stage *s, enum actor who, const char *path, const char *body)
{
    return stage_ask_text(s, who, "POST", path, body);
}

static struct presence kept(struct stage *s, const char *device)
{
    struct presence p = {.announce = NULL};

    must(presence_read(s->catalogue, device, &p));
    return p;
}

static void what_a_reflector_announced_is_kept_with_its_macs(void **state)
{
    struct stage *s = *state;

    assert_int_equal(announce(s, REFLECTOR, "/v1/announce", AT_OSLO), 200);
    run_s(s, 1);
    struct presence p = kept(s, "pc-1");
    assert_string_equal(p.announce->place.site, "oslo");
    assert_string_equal(p.via, s->who[REFLECTOR].device);
    assert_int_equal(p.goes, ANNOUNCE_STAYS);
    assert_int_equal(p.announce->card_count, 1);
    assert_int_equal(p.announce->cards[0].mac.bytes[5], 3);
    presence_release(&p);
}

static void a_name_that_nobody_enrolled_is_here_but_not_kept(void **state)
{
    struct stage *s = *state;
    struct presences_figures f;
    struct presence p;
    char body[256];

    for (int i = 0; i < 100; i++) {
        (void)snprintf(body, sizeof body,
                       "{\"devices\":[{\"device\":\"ghost-%d\",\"role\":\"endpoint\"}]}", i);
        assert_int_equal(announce(s, REFLECTOR, "/v1/announce", body), 200);
        run_s(s, 1);
    }
    assert_int_equal(announce(s, REFLECTOR, "/v1/announce?count=100", ""), 200);
    run_s(s, 200);
    assert_int_equal(presence_read(s->catalogue, "ghost-7", &p).code, ALB_NOT_FOUND);
    hub_presences_figures(s->hub, &f);
    assert_int_equal(f.written, 0);
    assert_int_equal(f.strangers, 100);
}

/* ---- a catalogue that fails ---- */

static struct catalogue_ops broken_ops;
static const struct catalogue_ops *whole_ops;
static unsigned broken_calls;

static struct alb_status refuse_presence(struct catalogue *c, const char *name, uint64_t expected,
                                         const void *value, size_t size, uint64_t *version)
{
    if (strncmp(name, "presence/", 9) != 0)
        return whole_ops->swap(c, name, expected, value, size, version);
    broken_calls++;
    return alb_fail(ALB_IO, "the disk is away");
}

static void break_catalogue(struct stage *s)
{
    whole_ops = s->catalogue->ops;
    broken_ops = *whole_ops;
    broken_ops.swap = refuse_presence;
    broken_calls = 0;
    s->catalogue->ops = &broken_ops;
}

static void what_could_not_be_written_is_written_when_the_disk_is_back(void **state)
{
    struct stage *s = *state;
    struct presences_figures f;

    break_catalogue(s);
    assert_int_equal(announce(s, REFLECTOR, "/v1/announce", AT_OSLO), 200);
    run_s(s, 290);
    assert_in_range(broken_calls, 4, 6); /* once a minute, not all the time */
    s->catalogue->ops = whole_ops;
    run_s(s, 65);
    struct presence p = kept(s, "pc-1");
    assert_string_equal(p.announce->place.site, "oslo");
    presence_release(&p);
    run_s(s, 130);
    hub_presences_figures(s->hub, &f);
    assert_int_equal(f.written, 1);
    assert_int_equal(f.waiting, 0);
}

static void of_what_could_not_be_written_the_newest_is_written_later(void **state)
{
    struct stage *s = *state;

    break_catalogue(s);
    assert_int_equal(announce(s, REFLECTOR, "/v1/announce", AT_OSLO), 200);
    run_s(s, 1);
    assert_int_equal(announce(s, REFLECTOR, "/v1/announce",
                              "{\"devices\":[{\"device\":\"pc-1\",\"role\":\"endpoint\","
                              "\"place\":{\"site\":\"bergen\"}}]}"),
                     200);
    run_s(s, 1);
    s->catalogue->ops = whole_ops;
    run_s(s, 65);
    struct presence p = kept(s, "pc-1");
    assert_string_equal(p.announce->place.site, "bergen");
    presence_release(&p);
}

static void a_device_that_sleeps_is_kept_as_asleep_where_it_was(void **state)
{
    struct stage *s = *state;

    announce(s, REFLECTOR, "/v1/announce", AT_OSLO);
    run_s(s, 1);
    assert_int_equal(
        announce(s, REFLECTOR, "/v1/announce",
                 "{\"devices\":[{\"device\":\"pc-1\",\"role\":\"endpoint\",\"goes\":\"sleep\"}]}"),
        200);
    run_s(s, 70); /* once a minute for one device */
    struct presence p = kept(s, "pc-1");
    assert_int_equal(p.goes, ANNOUNCE_SLEEP);
    assert_string_equal(p.announce->place.site, "oslo");
    assert_int_equal(p.announce->card_count, 1);
    presence_release(&p);
}

static void a_device_that_wavers_is_written_once_a_minute(void **state)
{
    struct stage *s = *state;
    struct presences_figures f;
    char body[512];

    for (int i = 0; i < 50; i++) {
        (void)snprintf(body, sizeof body,
                       "{\"devices\":[{\"device\":\"pc-1\",\"role\":\"endpoint\",\"place\":{"
                       "\"site\":\"%s\"}}]}",
                       i % 2 == 0 ? "oslo" : "bergen");
        assert_int_equal(announce(s, REFLECTOR, "/v1/announce", body), 200);
    }
    run_s(s, 200);
    hub_presences_figures(s->hub, &f);
    assert_in_range(f.written, 1, 3);
    assert_int_equal(f.failed, 0);
    struct presence p = kept(s, "pc-1");
    assert_string_equal(p.announce->place.site, "bergen");
    presence_release(&p);
}

static void a_hub_that_begins_anew_writes_nothing_that_is_kept_already(void **state)
{
    struct stage *s = *state;
    struct presences_figures f;

    announce(s, REFLECTOR, "/v1/announce", AT_OSLO);
    run_s(s, 100);
    announce(s, REFLECTOR, "/v1/announce?all=1", "{}"); /* gone … */
    run_s(s, 100);
    announce(s, REFLECTOR, "/v1/announce", AT_OSLO); /* … and here */
    run_s(s, 100);
    announce(s, REFLECTOR, "/v1/announce", AT_OSLO);
    run_s(s, 100);
    hub_presences_figures(s->hub, &f);
    assert_int_equal(f.written, 3);
    assert_int_equal(f.waiting, 0);
}

static void an_endpoint_may_announce_itself_alone(void **state)
{
    struct stage *s = *state;

    assert_int_equal(announce(s, ENDPOINT, "/v1/announce", AT_OSLO), 403);
    assert_int_equal(announce(s, ENDPOINT, "/v1/announce", "{\"devices\":[{}]}"), 400);
    assert_int_equal(announce(s, ENDPOINT, "/v1/announce?count=0", ""), 200);
    assert_int_equal(announce(s, ENDPOINT, "/v1/announce?count=1", ""), 409);
    assert_int_equal(announce(s, ENDPOINT, "/v1/announce?count=x", ""), 400);
    assert_int_equal(announce(s, ADMIN, "/v1/announce", "{}"), 403);
    assert_int_equal(announce(s, NOBODY, "/v1/announce", "{}"), 401);
}

static void who_announces_all_the_time_is_told_to_rest(void **state)
{
    struct stage *s = *state;
    static char large[ANNOUNCE_ONE_MAX + 2];
    unsigned taken = 0, refused = 0;

    memset(large, ' ', sizeof large - 1);
    assert_int_equal(announce(s, ENDPOINT, "/v1/announce", large), 400);
    stage_refused(s, 400, "at most 24 KiB");
    for (int i = 0; i < 100; i++) {
        const unsigned status = announce(s, ENDPOINT, "/v1/announce", "{}");
        taken += status == 200;
        refused += status == 503;
    }
    assert_in_range(taken, 15, 25);
    assert_int_equal(taken + refused, 100);
    stage_refused(s, 503, "once a second is enough");
    run_s(s, 2);
    assert_int_equal(announce(s, ENDPOINT, "/v1/announce", "{}"), 200);
}

static void devices_are_listed_with_where_they_are_or_were(void **state)
{
    struct stage *s = *state;
    const char *endpoint = s->who[ENDPOINT].device;
    char body[512];

    must(hub_admit(s->hub, &s->who[ENDPOINT], "oslo", ""));
    (void)snprintf(body, sizeof body,
                   "{\"devices\":[{\"device\":\"%s\",\"role\":\"endpoint\",\"since\":5,\"place\":{"
                   "\"site\":\"oslo\",\"by\":\"subnet\"}}]}",
                   endpoint);
    assert_int_equal(announce(s, REFLECTOR, "/v1/announce", body), 200);
    stage_ask(s, ADMIN, "GET", "/v1/devices", NULL);
    assert_int_equal(s->reply.status, 200);
    assert_non_null(strstr(stage_text(s), "\"online\":true,\"where\":\"oslo\",\"by\":"
                                          "\"subnet\",\"through\":\""));
    run_s(s, 70);
    announce(s, REFLECTOR, "/v1/announce?all=1", "{}");
    run_s(s, 70);
    stage_ask(s, ADMIN, "GET", "/v1/devices", NULL);
    assert_non_null(strstr(stage_text(s), "\"online\":false,\"where\":\"oslo\""));
    assert_non_null(strstr(stage_text(s), "\"went\":\"lost\""));
    stage_ask(s, ADMIN, "GET", "/v1/status", NULL);
    assert_non_null(strstr(stage_text(s), "\"online\":0"));
}

static void a_damaged_record_of_presence_is_no_presence(void **state)
{
    static const char *const WRONG[] = {"",
                                        "1 5 here r1",
                                        "2 5 here r1\n{}",
                                        "1 5 here r1\n{}",
                                        "1 x here r1\n{\"device\":\"a\",\"role\":\"endpoint\"}",
                                        "\n{\"device\":\"a\",\"role\":\"endpoint\"}"};
    struct presence p = {.announce = NULL};

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(WRONG); i++)
        assert_int_equal(presence_decode(WRONG[i], strlen(WRONG[i]), &p).code, ALB_CORRUPT);
    static const char GOOD[] = "1 5 sleep r1\n{\"device\":\"a\",\"role\":\"endpoint\"}";
    must(presence_decode(GOOD, sizeof GOOD - 1, &p));
    assert_int_equal(p.goes, ANNOUNCE_SLEEP);
    assert_int_equal(p.seen_wall_s, 5);
    presence_release(&p);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_a_reflector_announced_is_kept_with_its_macs),
        TEST(a_name_that_nobody_enrolled_is_here_but_not_kept),
        TEST(what_could_not_be_written_is_written_when_the_disk_is_back),
        TEST(of_what_could_not_be_written_the_newest_is_written_later),
        TEST(a_device_that_sleeps_is_kept_as_asleep_where_it_was),
        TEST(a_device_that_wavers_is_written_once_a_minute),
        TEST(a_hub_that_begins_anew_writes_nothing_that_is_kept_already),
        TEST(an_endpoint_may_announce_itself_alone),
        TEST(who_announces_all_the_time_is_told_to_rest),
        TEST(devices_are_listed_with_where_they_are_or_were),
        TEST(a_damaged_record_of_presence_is_no_presence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
