/* SPDX-License-Identifier: Apache-2.0 */
/* sim/test_scenario.c – the scenario reader, its complaints,
 * and a play with a cast of stand-ins. */
#include "sim/scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "net/stream.h"

#define GOOD                                                                                       \
    "link hub--a rate 2Mbit delay 40ms loss 0.5%\n"                                                \
    "link a--b rate 1MB delay 5ms\n"                                                               \
    "reflector a parent hub cache 200MiB\n"                                                        \
    "reflector b parent a   # two levels\n"                                                        \
    "endpoints a 3\n"                                                                              \
    "endpoints b 2\n"                                                                              \
    "at 0s hub publishes os 1MiB\n"                                                                \
    "at 1s endpoints of b want os\n"                                                               \
    "at 1s endpoints of a want os\n"                                                               \
    "at 90s link hub--a down for 30s\n"                                                            \
    "expect by 200s every endpoint has os\n"                                                       \
    "expect crossing ratio hub--a <= 1.01\n"

static char error[SCENARIO_ERROR_SIZE];

static struct scenario *parsed(const char *text)
{
    struct scenario *s = NULL;

    if (alb_failed(scenario_parse("dir/x.scn", text, &s, error)))
        fail_msg("%s", error);
    return s;
}

static void a_scenario_is_read_whole(void **state)
{
    struct scenario *s = parsed(GOOD);

    (void)state;
    assert_int_equal(s->site_count, 3);
    assert_string_equal(s->sites[2].name, "b");
    assert_ptr_equal(s->sites[2].parent, &s->sites[1]);
    assert_int_equal(s->sites[1].cache_bytes, 200 << 20);
    assert_int_equal(s->endpoints, 5);
    assert_int_equal(s->sites[2].first_endpoint, 3);
    assert_int_equal(s->events->size, 1 << 20);
    assert_ptr_equal(s->events->next->site, &s->sites[2]);
    assert_int_equal(s->events->next->next->next->act, ACT_LINK_DOWN);
    assert_int_equal(s->events->next->next->next->next->at_ns, 120 * NS_PER_S);
    assert_int_equal(s->expectations->line, 11);
    scenario_free(s);
}

static void many_sites_are_one_line(void **state)
{
    struct scenario *s = NULL;

    (void)state;
    assert_false(alb_failed(scenario_parse("x.scn",
                                           "sites shop 3 rate 2Mbit delay 4ms cache 1MiB "
                                           "endpoints 4\n"
                                           "at 1s reflector shop2 dies for 3s\n"
                                           "at 1s every link down for 1s\n"
                                           "expect crossing ratio of every site <= 1\n",
                                           &s, error)));
    assert_int_equal(s->site_count, 4);
    assert_int_equal(s->endpoints, 12);
    assert_string_equal(s->sites[3].name, "shop3");
    assert_int_equal(s->sites[3].first_endpoint, 8);
    assert_int_equal(s->sites[3].cache_bytes, 1 << 20);
    assert_ptr_equal(s->events->site, &s->sites[2]);
    scenario_free(s);
}

static void complaints_name_file_and_line(void **state)
{
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        {"", "x.scn:0: nothing is expected"},
        {"\n# only words\nfrobnicate now\n", "x.scn:3: no statement begins with 'frobnicate'"},
        {"link hub--a rate 2Mbit\n", "x.scn:1: not understood; what begins with 'link'"},
        {"link hub--a rate 2 delay 40ms\n", "x.scn:1: '2' is no RATE"},
        {"link hub--a rate 2Mbit delay 40\n", "x.scn:1: '40' is no TIME"},
        {"link hub--a rate 0Mbit delay 40ms\n", "x.scn:1: '0Mbit' is no RATE"},
        {"link hub--a rate 2Mbit delay 4ms loss 101%\n", "x.scn:1: '101%' is no PERCENT"},
        {"reflector a parent hub\n", "x.scn:1: nothing leads there: a line `link hub--a "},
        {"reflector a parent b\n", "x.scn:1: no hub or reflector is called 'b'"},
        {"endpoints a 40\n", "x.scn:1: no hub or reflector is called 'a'"},
        {"endpoints hub 0\n", "x.scn:1: between 1 and"},
        {"at 1s link x down for 3s\n", "x.scn:1: there is no link 'x'"},
        {"at 1s reflector hub dies for 3s\n", "x.scn:1: no reflector is called 'hub'"},
        {"sites shop 2000 rate 2Mbit delay 4ms cache 1MiB endpoints 1\n",
         "x.scn:1: more than 1023 sites"},
        {"at 1s endpoints of hub want os\n", "x.scn:1: there are no endpoints of 'hub'"},
        {"at 1s hub revokes hub-1\n", "x.scn:1: no endpoint is called 'hub-1'"},
        {"endpoints hub 2\nexpect by 1s hub-3 is out\n", "x.scn:2: no endpoint is called"},
        {"expect crossing ratio x <= 1\n", "x.scn:1: there is no link 'x'"},
        {"expect crossing ratio x <= much\n", "x.scn:1: 'much' is no NUMBER"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scenario *s = NULL;

        assert_int_equal(scenario_parse("x.scn", cases[i].text, &s, error).code, ALB_INVALID);
        if (strncmp(error, cases[i].complaint, strlen(cases[i].complaint)) != 0)
            fail_msg("expected \"%s…\", got \"%s\"", cases[i].complaint, error);
    }
}

static void a_file_that_is_not_there_is_named(void **state)
{
    struct scenario *s = NULL;

    (void)state;
    assert_int_equal(scenario_read("/no/such.scn", &s, error).code, ALB_NOT_FOUND);
    assert_non_null(strstr(error, "/no/such.scn: cannot be read"));
}

/* ---- a play: an endpoint has a layer once it could dial its site, which could dial its parent  */

enum { PORT = 1 };

struct actor {
    struct loop *loop;
    struct listener *listener;
    struct stream *stream;
    char upstream[SCENARIO_WORD_SIZE];
    bool has;
};

struct cast {
    struct actor sites[4], endpoints[8];
    unsigned started, published;
    bool is_revoked;
};

static void on_accepted(void *arg, struct stream *stream)
{
    (void)arg;
    stream_free(stream);
}

static void listen_as(struct actor *a, struct loop *loop)
{
    struct listen_options options = {.port = PORT};

    a->loop = loop;
    assert_false(alb_failed(loop_listen(loop, &options, on_accepted, a, &a->listener)));
}

static void start_hub(void *arg, struct loop *loop)
{
    listen_as(&((struct cast *)arg)->sites[0], loop);
}

static void start_reflector(void *arg, const struct scenario_site *site, struct loop *loop)
{
    (void)site;
    listen_as(&((struct cast *)arg)->sites[site->name[0] - 'a' + 1], loop);
}

static void start_endpoint(void *arg, const struct scenario_site *site, unsigned endpoint,
                           struct loop *loop)
{
    struct cast *c = arg;

    c->endpoints[endpoint].loop = loop;
    memcpy(c->endpoints[endpoint].upstream, site->name, sizeof(site->name));
    c->started++;
}

static void publish(void *arg, const char *layer, uint64_t size)
{
    struct cast *c = arg;

    assert_string_equal(layer, "os");
    assert_int_equal(size, 1 << 20);
    c->published++;
}

static void on_ready(void *arg)
{
    struct actor *a = arg;

    a->has = stream_is_open(a->stream);
}

static void want(void *arg, unsigned endpoint, const char *layer)
{
    struct actor *a = &((struct cast *)arg)->endpoints[endpoint];
    struct dial_options dial = {.host = a->upstream, .port = PORT, .timeout_ns = 5 * NS_PER_S};

    assert_string_equal(layer, "os");
    a->stream = loop_dial(a->loop, &dial);
    stream_on_ready(a->stream, on_ready, a);
}

static bool has(void *arg, unsigned endpoint, const char *layer)
{
    (void)layer;
    return ((struct cast *)arg)->endpoints[endpoint].has;
}

static uint64_t crossed_bytes(void *arg, const struct scenario_site *site)
{
    (void)arg;
    return site->name[0] == 'a' ? 1010 : 1020;
}

static uint64_t needed_bytes(void *arg, const struct scenario_site *site)
{
    (void)arg;
    (void)site;
    return 1000;
}

static void stop(void *arg)
{
    struct cast *c = arg;

    for (size_t i = 0; i < 8; i++)
        c->endpoints[i].stream = stream_free(c->endpoints[i].stream);
    for (size_t i = 0; i < 4; i++)
        c->sites[i].listener = listener_free(c->sites[i].listener);
}

static void released(void *arg)
{
    (void)arg;
}

static void revoke(void *arg, const char *device)
{
    assert_string_equal(device, "b-1");
    ((struct cast *)arg)->is_revoked = true;
}

static bool is_out(void *arg, const char *device)
{
    assert_string_equal(device, "b-1");
    return ((struct cast *)arg)->is_revoked;
}

static const struct scenario_ops ops = {.start_hub = start_hub,
                                        .start_reflector = start_reflector,
                                        .start_endpoint = start_endpoint,
                                        .publish = publish,
                                        .want = want,
                                        .revoke = revoke,
                                        .is_cut_off = is_out,
                                        .is_out = is_out,
                                        .has = has,
                                        .crossed_bytes = crossed_bytes,
                                        .needed_bytes = needed_bytes,
                                        .stop = stop,
                                        .released = released};

static unsigned played(const char *text, char *said, size_t size)
{
    struct scenario *s = parsed(text);
    struct cast cast = {0};
    FILE *out = fmemopen(said, size, "w");

    assert_non_null(out);
    unsigned failed = scenario_play(s, &ops, &cast, out);
    fclose(out);
    print_message("%s", said);
    assert_int_equal(cast.started, s->endpoints);
    assert_int_equal(cast.published, 1);
    scenario_free(s);
    return failed;
}

static void a_play_judges_what_was_expected(void **state)
{
    char said[2048] = "";

    (void)state;
    assert_int_equal(played(GOOD "expect crossing ratio a--b <= 1.01\n", said, sizeof(said)), 1);
    assert_non_null(strstr(said, "ok     x.scn:11: every endpoint has os at 1.1s"));
    assert_non_null(strstr(said, "ok     x.scn:12: crossing ratio hub--a = 1.0100 (at most 1.01)"));
    assert_non_null(strstr(said, "FAILED x.scn:13: crossing ratio a--b = 1.0200 (at most 1.01)"));
}

static void who_is_revoked_is_out_from_then_on(void **state)
{
    char said[2048] = "";

    (void)state;
    assert_int_equal(played(GOOD "at 5s hub revokes b-1\n"
                                 "expect by 4s b-1 is out\n"
                                 "expect by 5500ms b-1 is cut off\n"
                                 "expect by 5500ms b-1 is out\n",
                            said, sizeof(said)),
                     1);
    assert_non_null(strstr(said, "FAILED x.scn:14: b-1 is out by 4.0s: it was not"));
    assert_non_null(strstr(said, "ok     x.scn:15: b-1 is cut off by 5.5s"));
    assert_non_null(strstr(said, "ok     x.scn:16: b-1 is out by 5.5s"));
}

static void what_comes_after_its_time_has_not_come(void **state)
{
    char said[2048] = "";

    (void)state;
    assert_int_equal(played("endpoints hub 1\n"
                            "at 0s hub publishes os 1MiB\n"
                            "at 1s every endpoint wants os\n"
                            "expect by 1001ms every endpoint has os\n"
                            "expect by 900ms every endpoint has os\n",
                            said, sizeof(said)),
                     1);
    assert_non_null(strstr(said, "ok     x.scn:4: every endpoint has os at 1"));
    assert_non_null(strstr(said, "FAILED x.scn:5: every endpoint has os by 900ms: 1 of 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scenario_is_read_whole),
        cmocka_unit_test(many_sites_are_one_line),
        cmocka_unit_test(complaints_name_file_and_line),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
        cmocka_unit_test(a_play_judges_what_was_expected),
        cmocka_unit_test(who_is_revoked_is_out_from_then_on),
        cmocka_unit_test(what_comes_after_its_time_has_not_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
