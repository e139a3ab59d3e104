/* SPDX-License-Identifier: Apache-2.0 */
/* unit/shaper/test_probe_responder.c – the answerer: silent to strangers, and to who asks twice. */
/* LINKS: sim_world */
#include "support/probe_rig.h"

/* ---- spoofed, repeated, cut, strange --------------------------------------------------------- */

static void strangers_get_no_answer(void **state)
{
    struct rig *r = *state;
    uint8_t bytes[PROBE_PACKET_SIZE + 8] = {0};
    unsigned tried = 0;

    for (size_t size = 0; size <= sizeof(bytes); size += 4, tried++) {
        rig_seal_request(r, 1, bytes);
        if (size == PROBE_PACKET_SIZE)
            bytes[PROBE_PACKET_SIZE - 1] ^= 1; /* the MAC */
        rig_meddle(r, bytes, size);
    }
    rig_seal_request(r, 1, bytes);
    bytes[5] ^= 1; /* the id */
    rig_meddle(r, bytes, PROBE_PACKET_SIZE);
    rig_seal_request(r, 1, bytes);
    bytes[0] = 2; /* the version */
    rig_meddle(r, bytes, PROBE_PACKET_SIZE);
    assert_int_equal(r->heard, 0);
    assert_int_equal(answerer(r).strangers, tried + 2);
    assert_int_equal(answerer(r).answered, 0);
}

static void a_reply_is_as_long_as_its_request_and_is_no_request(void **state)
{
    struct rig *r = *state;
    uint8_t bytes[PROBE_PACKET_SIZE];

    rig_seal_request(r, 1, bytes);
    rig_meddle(r, bytes, sizeof(bytes));
    assert_int_equal(r->heard, 1);
    assert_int_equal(r->heard_size, sizeof(bytes));
    memcpy(bytes, r->heard_bytes, sizeof(bytes));
    rig_meddle(r, bytes, sizeof(bytes)); /* sent back to where it came from */
    assert_int_equal(r->heard, 1);
    assert_int_equal(answerer(r).strangers, 1);
}

static void a_request_is_answered_once_however_often_it_comes(void **state)
{
    struct rig *r = *state;
    uint8_t bytes[PROBE_PACKET_SIZE];
    static const uint32_t order[] = {10, 12, 11, 74, 9, 75, 11, 74, 75, 12, 300, 237, 236};
    static const unsigned heard[] = {1, 2, 3, 4, 4, 5, 5, 5, 5, 5, 6, 7, 7};

    for (size_t i = 0; i < ALB_COUNT(order); i++) {
        rig_seal_request(r, order[i], bytes);
        rig_meddle(r, bytes, sizeof(bytes));
        assert_int_equal(r->heard, heard[i]);
    }
    assert_int_equal(answerer(r).repeated, 6);
}

static void sequence_numbers_count_on_past_their_end(void **state)
{
    struct rig *r = *state;
    uint8_t bytes[PROBE_PACKET_SIZE];
    static const uint32_t order[] = {UINT32_MAX - 1, UINT32_MAX, 0, 1, UINT32_MAX, 0};

    for (size_t i = 0; i < ALB_COUNT(order); i++) {
        rig_seal_request(r, order[i], bytes);
        rig_meddle(r, bytes, sizeof(bytes));
    }
    assert_int_equal(r->heard, 4);
}

static void a_ticket_has_a_hundred_answers_in_a_second(void **state)
{
    struct rig *r = *state;
    uint8_t bytes[PROBE_PACKET_SIZE];

    for (uint32_t i = 0; i < 2000; i++) { /* in two seconds */
        rig_seal_request(r, i, bytes);
        assert_false(alb_failed(datagram_send(r->meddler, bytes, sizeof(bytes), &r->door)));
        run_s(r, 0.001);
    }
    run_s(r, 1);
    assert_in_range(r->heard, 200, 225);
    assert_int_equal(answerer(r).too_many, 2000 - r->heard);
}

static void a_ticket_that_was_given_back_is_a_strangers(void **state)
{
    struct rig *r = *state;
    uint8_t bytes[PROBE_PACKET_SIZE];

    rig_seal_request(r, 1, bytes);
    assert_int_equal(answerer(r).tickets, 1);
    r->ticket = probe_ticket_free(r->ticket);
    assert_int_equal(answerer(r).tickets, 0);
    rig_meddle(r, bytes, sizeof(bytes));
    assert_int_equal(r->heard, 0);
    assert_int_equal(answerer(r).strangers, 1);
}

static void there_are_no_more_tickets_than_allowed(void **state)
{
    struct rig *r = *state;
    struct probe_ticket *more[3] = {NULL};

    assert_false(alb_failed(probe_ticket_new(r->responder, r->key, &more[0])));
    assert_false(alb_failed(probe_ticket_new(r->responder, r->key, &more[1])));
    assert_int_equal(probe_ticket_new(r->responder, r->key, &more[2]).code, ALB_FULL);
    assert_memory_not_equal(probe_ticket_id(more[0]), probe_ticket_id(more[1]), PROBE_ID_SIZE);
    probe_ticket_free(more[0]);
    assert_false(alb_failed(probe_ticket_new(r->responder, r->key, &more[2])));
    probe_ticket_free(more[1]);
    probe_ticket_free(more[2]);
}

int main(void)
{
#define with_rig(test) cmocka_unit_test_setup_teardown(test, make_rig, drop_rig)
    const struct CMUnitTest tests[] = {
        with_rig(strangers_get_no_answer),
        with_rig(a_reply_is_as_long_as_its_request_and_is_no_request),
        with_rig(a_request_is_answered_once_however_often_it_comes),
        with_rig(sequence_numbers_count_on_past_their_end),
        with_rig(a_ticket_has_a_hundred_answers_in_a_second),
        with_rig(a_ticket_that_was_given_back_is_a_strangers),
        with_rig(there_are_no_more_tickets_than_allowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
