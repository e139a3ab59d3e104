/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_probe.c – probes and invitations to them: one spelling, nothing else is read. */
#include "support/wire_fixture.h"

#include "wire/probe.h"

static const uint8_t KEY[PROBE_KEY_SIZE] = {1, 2, 3};

static struct probe_packet sample_reply(void)
{
    struct probe_packet p = {.kind = PROBE_REPLY,
                             .sequence = 0xfffffffe,
                             .sent_ns = UINT64_C(0x0102030405060708),
                             .received_ns = UINT64_MAX,
                             .held_ns = 70000,
                             .epoch = 0xabcdef01,
                             .aggregate_bps = 9600000,
                             .flows = 3};

    memset(p.id, 0x5a, sizeof p.id);
    return p;
}

static struct probe_packet sample_request(void)
{
    struct probe_packet p = {.kind = PROBE_REQUEST, .sequence = 7, .sent_ns = 12};

    memset(p.id, 0x5a, sizeof p.id);
    return p;
}

static void a_probe_is_written_and_read(void **state)
{
    const struct probe_packet both[] = {sample_request(), sample_reply()};
    uint8_t bytes[PROBE_PACKET_SIZE];
    struct probe_packet out;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(both); i++) {
        probe_packet_seal(&both[i], KEY, bytes);
        assert_ok(probe_packet_read(bytes, sizeof bytes, &out));
        assert_memory_equal(&both[i], &out, offsetof(struct probe_packet, flows));
        assert_int_equal(both[i].flows, out.flows);
        assert_true(probe_packet_is_authentic(bytes, KEY));
    }
}

static void every_bit_and_the_key_are_covered(void **state)
{
    const struct probe_packet p = sample_reply();
    uint8_t bytes[PROBE_PACKET_SIZE];
    uint8_t other[PROBE_KEY_SIZE] = {1, 2, 4};

    (void)state;
    probe_packet_seal(&p, KEY, bytes);
    assert_false(probe_packet_is_authentic(bytes, other));
    for (size_t i = 0; i < 8 * sizeof bytes; i++) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_false(probe_packet_is_authentic(bytes, KEY));
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
}

static void what_is_no_probe_is_refused_by_name(void **state)
{
    const struct probe_packet reply = sample_reply(), request = sample_request();
    uint8_t bytes[PROBE_PACKET_SIZE + 1] = {0};
    struct probe_packet out;

    (void)state;
    probe_packet_seal(&reply, KEY, bytes);
    for (size_t size = 0; size <= sizeof bytes; size++)
        if (size != PROBE_PACKET_SIZE)
            assert_says(probe_packet_read(bytes, size, &out), ALB_CORRUPT,
                        "a probe that is not 68 bytes long");
    bytes[0] = PROBE_VERSION + 1;
    assert_says(probe_packet_read(bytes, PROBE_PACKET_SIZE + 1, &out), ALB_INVALID,
                "a probe of a version that this program does not know");
    bytes[0] = PROBE_VERSION;
    bytes[1] = 3;
    assert_says(probe_packet_read(bytes, PROBE_PACKET_SIZE, &out), ALB_CORRUPT,
                "a probe that is neither request nor reply");
    probe_packet_seal(&request, KEY, bytes);
    bytes[44] = 1;
    assert_says(probe_packet_read(bytes, PROBE_PACKET_SIZE, &out), ALB_CORRUPT,
                "a probe request that holds what only replies do");
}

static void an_aggregate_beyond_the_field_is_its_most(void **state)
{
    struct probe_packet p = sample_reply(), out;
    uint8_t bytes[PROBE_PACKET_SIZE];

    (void)state;
    p.aggregate_bps = UINT64_MAX;
    probe_packet_seal(&p, KEY, bytes);
    assert_ok(probe_packet_read(bytes, sizeof bytes, &out));
    assert_true(out.aggregate_bps == UINT64_C(1000) * UINT32_MAX);
    p.aggregate_bps = 1999;
    probe_packet_seal(&p, KEY, bytes);
    assert_ok(probe_packet_read(bytes, sizeof bytes, &out));
    assert_int_equal(out.aggregate_bps, 1000);
}

static void an_invitation_is_written_and_read(void **state)
{
    struct probe_invite in = {.port = 7443}, out;
    struct buf text;

    (void)state;
    memset(in.id, 0xc3, sizeof in.id);
    buf_init(&text, 256);
    assert_ok(probe_invite_encode(&in, &text));
    assert_ok(probe_invite_decode(buf_peek(&text), buf_size(&text), &out));
    assert_memory_equal(in.id, out.id, sizeof in.id);
    assert_int_equal(out.port, 7443);
    buf_release(&text);
}

static void each_wrong_invitation_hears_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"{}", "an invitation to probe: \"id\" is not 32 hexadecimal digits"},
        {"{\"id\": \"c3\", \"port\": 1}",
         "an invitation to probe: \"id\" is not 32 hexadecimal digits"},
        {"{\"id\": \"zz000000000000000000000000000000\", \"port\": 1}",
         "an invitation to probe: \"id\" is not 32 hexadecimal digits"},
        {"{\"id\": \"00000000000000000000000000000000\"}",
         "an invitation to probe: \"port\" is not 1 to 65535"},
        {"{\"id\": \"00000000000000000000000000000000\", \"port\": 65536}",
         "an invitation to probe: \"port\" is not 1 to 65535"},
        {"{\"id\": \"00000000000000000000000000000000\", \"port\": -1}",
         "an invitation to probe: \"port\" is not 1 to 65535"},
    };
    struct probe_invite out;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(cases); i++)
        assert_says(probe_invite_decode(cases[i].text, strlen(cases[i].text), &out), ALB_INVALID,
                    cases[i].says);
    assert_true(alb_failed(probe_invite_decode("nothing", 7, &out)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_probe_is_written_and_read),
        cmocka_unit_test(every_bit_and_the_key_are_covered),
        cmocka_unit_test(what_is_no_probe_is_refused_by_name),
        cmocka_unit_test(an_aggregate_beyond_the_field_is_its_most),
        cmocka_unit_test(an_invitation_is_written_and_read),
        cmocka_unit_test(each_wrong_invitation_hears_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
