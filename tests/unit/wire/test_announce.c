/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_announce.c – announcements written and read back, and every way to be no
 * announcement. */
#include "support/wire_fixture.h"

#include <string.h>

#include "wire/announce.h"
#include "wire/json.h"

static const struct announce_address ADDRESSES[] = {
    {{[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 1, [15] = 9}, 96 + 24},
    {{0x20, 0x01, 0x0d, 0xb8, [15] = 9}, 64}};
static const struct site_mac GATEWAYS[] = {{{0x52, 0x54, 0, 0xab, 0xcd, 0xef}}};
static const struct announce_card CARDS[] = {
    {.mac = {{0x52, 0x54, 0, 1, 2, 3}}, .link = "eth0", .is_known = true, .wake = 0x60},
    {.mac = {{0x52, 0x54, 0, 1, 2, 4}}, .link = "wlan0"}};
static const struct announce_serves SERVES = {.at = {{"10.1.0.9", 7443}, {"2001:db8::9", 7443}},
                                              .at_count = 2,
                                              .state = REFLECTOR_DRAIN,
                                              .sessions = 12,
                                              .max_sessions = 4096,
                                              .load_percent = 40,
                                              .disk_free_bytes = 1 << 30,
                                              .down_bps = 2000000,
                                              .cut_off_since_wall_s = 1700000000};
static const struct announce_layer LAYERS[] = {{"base/debian-12", "12.5", 7}, {"app", "", 0}};

static struct announce sample(void)
{
    return (struct announce){.device = "shop-1",
                             .is_reflector = true,
                             .since_wall_s = 1700000001,
                             .place = {.site = "oslo",
                                       .by = NEARBY_BY_GATEWAY,
                                       .nature = "wired",
                                       .is_metered = true,
                                       .addresses = ADDRESSES,
                                       .address_count = 2,
                                       .gateways = GATEWAYS,
                                       .gateway_count = 1},
                             .cards = CARDS,
                             .card_count = 2,
                             .serves = &SERVES,
                             .upstream = "hub",
                             .upstream_is_hub = true,
                             .layers = LAYERS,
                             .layer_count = 2};
}

static void write(const struct announce *a, struct buf *out)
{
    struct json_writer *w = json_writer_new();

    buf_init(out, ANNOUNCE_BODY_MAX);
    announce_write(a, NULL, w);
    assert_ok(json_writer_finish(w, out));
}

static struct alb_status read_text(const char *text, struct announce **out)
{
    return announce_read(text, strlen(text), out);
}

static void an_announcement_is_written_as_the_protocol_says(void **state)
{
    const struct announce a = sample();
    struct buf text;

    (void)state;
    write(&a, &text);
    assert_string_equal(
        buf_text(&text),
        "{\"device\":\"shop-1\",\"role\":\"reflector\",\"since\":1700000001,\"place\":{\"site\":"
        "\"oslo\",\"by\":\"gateway\",\"addresses\":[\"10.1.0.9/24\",\"2001:db8::9/64\"],"
        "\"gateways\":[\"52:54:00:ab:cd:ef\"],\"nature\":\"wired\",\"metered\":true},\"cards\":[{"
        "\"mac\":\"52:54:00:01:02:03\",\"link\":\"eth0\",\"wake\":[\"magic\",\"secureon\"]},{"
        "\"mac\":\"52:54:00:01:02:04\",\"link\":\"wlan0\"}],\"serves\":{\"at\":[\"10.1.0.9:7443\","
        "\"[2001:db8::9]:7443\"],\"state\":\"drain\",\"sessions\":12,\"max_sessions\":4096,"
        "\"load_percent\":40,\"disk_free\":1073741824,\"down_bps\":2000000,\"cut_off_since\":"
        "1700000000},\"upstream\":{\"device\":\"hub\",\"kind\":\"hub\"},\"layers\":[{\"layer\":"
        "\"base/debian-12\",\"sequence\":7,\"version\":\"12.5\"},{\"layer\":\"app\",\"sequence\":0,"
        "\"version\":\"\"}]}");
    buf_release(&text);
}

static void what_is_written_is_read_back_the_same(void **state)
{
    const struct announce a = sample();
    struct announce *back = NULL, *copy;
    struct buf text;

    (void)state;
    write(&a, &text);
    assert_ok(announce_read(buf_peek(&text), buf_size(&text), &back));
    assert_true(announce_is_same(&a, back));
    assert_true(announce_is_same_place(&a, back));
    assert_int_equal(back->since_wall_s, 1700000001);
    copy = announce_copy(back);
    free(back);
    assert_true(announce_is_same(&a, copy));
    free(copy);
    buf_release(&text);
}

static void every_difference_but_the_time_it_came_is_seen(void **state)
{
    const struct announce a = sample();
    struct announce b = a;
    struct announce_serves serves = SERVES;
    struct announce_card card = CARDS[1];

    (void)state;
    b.since_wall_s++;
    assert_true(announce_is_same(&a, &b));
    b.place.is_metered = false;
    assert_false(announce_is_same(&a, &b));
    b = a;
    b.layer_count = 1;
    assert_false(announce_is_same(&a, &b));
    assert_true(announce_is_same_place(&a, &b));
    b = a;
    serves.load_percent++;
    b.serves = &serves;
    assert_false(announce_is_same(&a, &b));
    b = a;
    b.cards = &card;
    b.card_count = 1;
    assert_false(announce_is_same_place(&a, &b));
    b = a;
    b.upstream[0] = 'x';
    assert_false(announce_is_same(&a, &b));
}

static void a_device_may_say_no_more_than_who_it_is(void **state)
{
    struct announce *a = NULL;

    (void)state;
    assert_ok(read_text("{\"device\":\"pc-1\",\"role\":\"endpoint\",\"new\":[1,{}]}", &a));
    assert_string_equal(a->device, "pc-1");
    assert_false(a->is_reflector);
    assert_null(a->serves);
    assert_int_equal(a->goes, ANNOUNCE_STAYS);
    free(a);
    assert_ok(read_text("{\"device\":\"pc-1\",\"role\":\"endpoint\",\"goes\":\"sleep\","
                        "\"serves\":null,\"cards\":null}",
                        &a));
    assert_int_equal(a->goes, ANNOUNCE_SLEEP);
    free(a);
}

static void every_wrong_member_is_refused_by_its_name(void **state)
{
    static const struct {
        const char *member, *what;
    } WRONG[] = {
        {"\"device\":\"PC 1\"", "\"device\" is missing, or no name of a device"},
        {"\"device\":\"\"", "\"device\" is missing, or no name of a device"},
        {"\"role\":\"hub\"", "\"role\" is reflector or endpoint"},
        {"\"since\":-1", "\"since\" is a time, in seconds since 1970"},
        {"\"since\":\"now\"", "\"since\" is a time, in seconds since 1970"},
        {"\"goes\":\"home\"", "\"goes\" is bye, sleep or lost"},
        {"\"place\":{\"site\":\"../x\"}", "\"site\" is no name of a site"},
        {"\"place\":{\"nature\":\"a b\"}", "\"nature\" is one short word"},
        {"\"place\":{\"nature\":\"abcdefghijkl\"}", "\"nature\" is one short word"},
        {"\"place\":{\"addresses\":\"10.1.0.9/24\"}", "\"addresses\" is a list of at most 16"},
        {"\"place\":{\"addresses\":[\"10.1.0.9\"]}",
         "an address is written 10.1.0.9/24 or 2001:db8::9/64"},
        {"\"place\":{\"addresses\":[\"10.1.0.9/33\"]}",
         "an address is written 10.1.0.9/24 or 2001:db8::9/64"},
        {"\"place\":{\"addresses\":[\"::ffff:10.1.0.9/120\"]}",
         "an address is written 10.1.0.9/24 or 2001:db8::9/64"},
        {"\"place\":{\"addresses\":[7]}", "an address is written 10.1.0.9/24 or 2001:db8::9/64"},
        {"\"place\":{\"gateways\":[\"52:54\"]}", "a gateway is a MAC address"},
        {"\"cards\":[{}]", "a card's \"mac\" is the MAC address of one machine"},
        {"\"cards\":[{\"mac\":\"ff:ff:ff:ff:ff:ff\"}]",
         "a card's \"mac\" is the MAC address of one machine"},
        {"\"cards\":[{\"mac\":\"00:00:00:00:00:00\"}]",
         "a card's \"mac\" is the MAC address of one machine"},
        {"\"cards\":[{\"mac\":\"52:54:00:01:02:03\",\"link\":\"a\\u001bb\"}]",
         "a card's \"link\" is a name of at most 15 letters"},
        {"\"cards\":[{\"mac\":\"52:54:00:01:02:03\",\"wake\":7}]",
         "a card's \"wake\" is a list of words, or null"},
        {"\"cards\":[1,2,3,4,5,6,7,8,9]", "\"cards\" is a list of at most 8"},
        {"\"serves\":{}", "only a reflector serves anybody"},
        {"\"upstream\":{\"device\":\"A B\"}", "\"upstream\" names no device"},
        {"\"layers\":[{\"layer\":\"Base\"}]", "a layer is {\"layer\", \"sequence\", \"version\"}"},
        {"\"layers\":7", "\"layers\" is a list of at most 32"},
    };
    char text[512], what[160];
    struct announce *a = NULL;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(WRONG); i++) {
        const bool has_device = strncmp(WRONG[i].member, "\"device", 7) == 0,
                   has_role = strncmp(WRONG[i].member, "\"role", 5) == 0;

        (void)snprintf(text, sizeof text, "{%s%s%s}", has_device ? "" : "\"device\":\"pc-1\",",
                       has_role ? "" : "\"role\":\"endpoint\",", WRONG[i].member);
        (void)snprintf(what, sizeof what, "an announcement: %s", WRONG[i].what);
        assert_says(read_text(text, &a), ALB_INVALID, what);
    }
    assert_null(a);
}

static void what_a_reflector_says_of_its_serving_is_bounded(void **state)
{
    static const char *const WRONG[] = {
        "{\"state\":\"busy\"}",
        "{\"load_percent\":101}",
        "{\"sessions\":-1}",
        "{\"disk_free\":\"much\"}",
        "{\"at\":[\"10.1.0.5\"]}",
        "{\"at\":[\"reflector:7443\"]}",
        "7",
    };
    char text[256];
    struct announce *a = NULL;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(WRONG); i++) {
        (void)snprintf(text, sizeof text,
                       "{\"device\":\"r1\",\"role\":\"reflector\",\"serves\":%s}", WRONG[i]);
        assert_int_equal(read_text(text, &a).code, ALB_INVALID);
    }
}

static void a_body_is_taken_whole_or_not_at_all(void **state)
{
    static const char GOOD[] = "{\"devices\":[{\"device\":\"a\",\"role\":\"endpoint\"},{\"device\":"
                               "\"b\",\"role\":\"reflector\"}],\"gone\":[\"c\"]}";
    static const char BAD[] = "{\"devices\":[{\"device\":\"a\",\"role\":\"endpoint\"},{\"device\":"
                              "\"b\"}],\"gone\":[\"c\"]}";
    struct announce_body *b = NULL;

    (void)state;
    assert_int_equal(announce_decode(BAD, strlen(BAD), &b).code, ALB_INVALID);
    assert_null(b);
    assert_ok(announce_decode(GOOD, strlen(GOOD), &b));
    assert_int_equal(b->device_count, 2);
    assert_int_equal(b->gone_count, 1);
    assert_string_equal(b->gone[0], "c");
    b = announce_body_free(b);
    assert_int_equal(announce_decode("{\"gone\":[7]}", 12, &b).code, ALB_INVALID);
    assert_int_equal(announce_decode("[]", 2, &b).code, ALB_INVALID);
    assert_int_equal(announce_decode("", 0, &b).code, ALB_INVALID);
    assert_ok(announce_decode("{}", 2, &b));
    assert_int_equal(b->device_count, 0);
    announce_body_free(b);
}

/* Everything at its bound: no body that the announcer makes is refused for its size. */
static void a_device_with_everything_at_its_bound_fits(void **state)
{
    struct announce a = sample();
    struct announce_address addresses[ANNOUNCE_ADDRESSES_MAX];
    struct announce_layer layers[ANNOUNCE_LAYERS_MAX];
    char layer[101] = "", version[61] = "";
    struct announce *back = NULL;
    struct buf text;

    (void)state;
    memset(addresses, 0x2a, sizeof addresses);
    memset(layer, 'l', 100);
    memset(version, '9', 60);
    for (size_t i = 0; i < ANNOUNCE_LAYERS_MAX; i++)
        layers[i] = (struct announce_layer){layer, version, INT64_MAX};
    for (size_t i = 0; i < ANNOUNCE_ADDRESSES_MAX; i++)
        addresses[i].bits = 128;
    a.place.addresses = addresses;
    a.place.address_count = ANNOUNCE_ADDRESSES_MAX;
    a.layers = layers;
    a.layer_count = ANNOUNCE_LAYERS_MAX;
    write(&a, &text);
    assert_true(buf_size(&text) < ANNOUNCE_ONE_MAX);
    assert_ok(announce_read(buf_peek(&text), buf_size(&text), &back));
    assert_true(announce_is_same(&a, back));
    free(back);
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_announcement_is_written_as_the_protocol_says),
        cmocka_unit_test(what_is_written_is_read_back_the_same),
        cmocka_unit_test(every_difference_but_the_time_it_came_is_seen),
        cmocka_unit_test(a_device_may_say_no_more_than_who_it_is),
        cmocka_unit_test(every_wrong_member_is_refused_by_its_name),
        cmocka_unit_test(what_a_reflector_says_of_its_serving_is_bounded),
        cmocka_unit_test(a_body_is_taken_whole_or_not_at_all),
        cmocka_unit_test(a_device_with_everything_at_its_bound_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
