/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_wake_ask.c – who is meant by a request to wake, and what has no room. */
/* LINKS: sim_world */
#include "support/hub_stage.h"

#include "hub/hub_impl.h"
#include "hub/wake.h"
#include "hub/wake_job.h"

static int set_up(void **state)
{
    *state = stage_ready();
    return 0;
}

static int tear_down(void **state)
{
    stage_free(*state);
    return 0;
}

static void admit(struct stage *s, const char *name, const char *site, const char *layers)
{
    struct device_record *d = xalloc(sizeof *d);

    *d = (struct device_record){.role = "endpoint", .expires_wall_s = INT64_MAX / 2};
    snprintf(d->device, sizeof d->device, "%s", name);
    snprintf(d->site, sizeof d->site, "%s", site);
    snprintf(d->layers, sizeof d->layers, "%s", layers);
    must(device_write(s->catalogue, d, CATALOGUE_ANY));
    free(d);
}

static unsigned wake(struct stage *s, const char *body)
{
    return stage_ask_text(s, ADMIN, "POST", "/v1/wake", body);
}

static bool count_one(void *arg, const char *name, const void *value, size_t size, uint64_t version)
{
    (void)name;
    (void)value;
    (void)size;
    (void)version;
    ++*(size_t *)arg;
    return true;
}

static size_t records(struct stage *s)
{
    size_t count = 0;

    must(catalogue_list(s->catalogue, "wake-job/", count_one, &count));
    return count;
}

static void a_site_of_exactly_4096_machines_is_woken_and_one_more_is_refused(void **state)
{
    struct stage *s = *state;
    char name[16];

    for (unsigned i = 0; i < WAKE_JOB_TARGETS_MAX; i++) {
        snprintf(name, sizeof name, "pc-%04u", i);
        admit(s, name, "big", "");
    }
    admit(s, "zz-elsewhere", "small", "");
    assert_int_equal(wake(s, "{\"site\":\"big\"}"), 200);
    assert_non_null(strstr(stage_text(s), "\"count\":4096"));
    admit(s, "pc-9999", "big", "");
    assert_int_equal(wake(s, "{\"site\":\"big\"}"), 507);
    stage_refused(s, 507, "one job wakes 4096 machines at most");
}

/* They were here once, and told how they are woken. */
static void sleepers(struct stage *s, unsigned count)
{
    char body[512], name[16];

    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "pc-%02u", i);
        admit(s, name, "site1", "");
        snprintf(body, sizeof body,
                 "{\"devices\":[{\"device\":\"pc-%02u\",\"role\":\"endpoint\",\"place\":{\"site\":"
                 "\"site1\",\"by\":\"subnet\",\"addresses\":[\"10.1.0.%u/24\"]},\"cards\":[{"
                 "\"mac\":\"52:54:00:01:02:%02x\",\"link\":\"eth0\",\"wake\":[\"magic\"]}]}]}",
                 i, i + 9, i);
        assert_int_equal(stage_ask_text(s, REFLECTOR, "POST", "/v1/announce", body), 200);
    }
    world_run(s->world, world_now_ns(s->world) + 2 * NS_PER_S);
    assert_int_equal(stage_ask_text(s, REFLECTOR, "POST", "/v1/announce?all=1", "{}"), 200);
    world_run(s->world, world_now_ns(s->world) + 2 * NS_PER_S);
}

static void a_job_that_has_no_room_leaves_no_record_that_it_runs(void **state)
{
    struct stage *s = *state;
    char body[64];

    sleepers(s, WAKE_JOBS_ACTIVE + 1);
    for (unsigned i = 0; i <= WAKE_JOBS_ACTIVE; i++) {
        snprintf(body, sizeof body, "{\"devices\":[\"pc-%02u\"]}", i);
        assert_int_equal(wake(s, body), i < WAKE_JOBS_ACTIVE ? 200 : 507);
    }
    stage_refused(s, 507, "wait for one to end");
    world_run(s->world, world_now_ns(s->world) + NS_PER_S);
    assert_int_equal(records(s), WAKE_JOBS_ACTIVE);
}

static void guard_is_here(struct stage *s, const char *nature)
{
    char body[256];

    snprintf(body, sizeof body,
             "{\"devices\":[{\"device\":\"guard\",\"role\":\"endpoint\",\"place\":{\"site\":"
             "\"site1\",\"by\":\"subnet\",\"nature\":\"%s\",\"addresses\":[\"10.1.0.99/24\"]}}]}",
             nature);
    assert_int_equal(stage_ask_text(s, REFLECTOR, "POST", "/v1/announce", body), 200);
}

/* Was it the guard who was told to wake this one? */
static bool is_guarded(struct stage *s, const char *device)
{
    char body[64], path[64], id[WAKE_ID_SIZE];

    snprintf(body, sizeof body, "{\"devices\":[\"%s\"]}", device);
    assert_int_equal(wake(s, body), 200);
    const char *job = strstr(stage_text(s), "\"job\":\"");
    assert_non_null(job);
    snprintf(id, sizeof id, "%s", job + strlen("\"job\":\""));
    snprintf(path, sizeof path, "/v1/wake-job/%s", id);
    assert_int_equal(stage_ask(s, ADMIN, "GET", path, NULL), 200);
    return strstr(stage_text(s), "\"guard\":\"guard\"") != NULL;
}

/* Whom it was found for a moment ago, it is not looked for anew. */
static void a_guard_that_went_home_a_moment_ago_is_not_told_to_wake(void **state)
{
    struct stage *s = *state;

    sleepers(s, 3);
    guard_is_here(s, "wired");
    assert_true(is_guarded(s, "pc-00"));
    assert_true(is_guarded(s, "pc-01"));
    guard_is_here(s, "vpn");
    assert_false(is_guarded(s, "pc-02"));
}

static void what_is_asked_for_wrongly_wakes_nobody(void **state)
{
    struct stage *s = *state;

    assert_int_equal(wake(s, "{\"site\":\"site1\",\"sleep_after\":true}"), 400);
    stage_refused(s, 400, "say \"for\", too");
    assert_int_equal(wake(s, "{\"site\":\"site1\",\"for\":\"base/none\"}"), 404);
    stage_refused(s, 404, "nothing of layer base/none is published");
    assert_int_equal(wake(s, "{\"site\":\"site1\",\"for\":\"/etc\"}"), 400);
    assert_int_equal(records(s), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_site_of_exactly_4096_machines_is_woken_and_one_more_is_refused),
        TEST(a_job_that_has_no_room_leaves_no_record_that_it_runs),
        TEST(a_guard_that_went_home_a_moment_ago_is_not_told_to_wake),
        TEST(what_is_asked_for_wrongly_wakes_nobody),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
