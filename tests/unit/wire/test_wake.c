/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_wake.c – orders to wake: who signed them, what they may say; and guards' words. */
#include "support/wire_fixture.h"

#include "wire/wake.h"

static struct wake_order_target target_of(const char *device)
{
    struct wake_order_target t = {
        .macs = {{{2, 0, 0, 0, 0, 1}}},
        .mac_count = 1,
        .addresses = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 9}, 120}},
        .address_count = 1};

    (void)snprintf(t.device, sizeof t.device, "%s", device);
    return t;
}

static struct wake_order *order_sample(void)
{
    struct wake_order *o = xalloc(sizeof *o);

    *o = (struct wake_order){.org = "acme",
                             .guard = "box",
                             .job = "w1",
                             .number = 9,
                             .issued_wall_s = 100,
                             .expires_wall_s = 160,
                             .target_count = 1};
    o->targets[0] = target_of("till-1");
    return o;
}

static struct alb_status judge(const struct buf *b, const char *org)
{
    AUTO_FREE struct wake_order *o = xalloc(sizeof *o);
    struct trust_delegation d;
    struct trust t;

    trust_sample(&t, &d);
    (void)snprintf(t.org, sizeof t.org, "%s", org);
    return wake_order_decode(buf_peek(b), buf_size(b), &t, o);
}

static void an_order_is_the_hubs_alone(void **state)
{
    AUTO_FREE struct wake_order *o = order_sample();
    struct sign_secret hub = secret_of(HUB), stranger = secret_of(STRANGER);
    struct buf good, forged;

    (void)state;
    buf_init(&good, WAKE_ORDER_BYTES_MAX);
    buf_init(&forged, WAKE_ORDER_BYTES_MAX);
    assert_ok(wake_order_encode(o, &hub, &good));
    assert_ok(wake_order_encode(o, &stranger, &forged));
    assert_ok(judge(&good, "acme"));
    assert_says(judge(&forged, "acme"), ALB_CORRUPT,
                "the signature of the key that must sign this is missing");
    assert_says(judge(&good, "other"), ALB_REFUSED, "the wake order is another organisation's");
    assert_says(wake_order_decode(buf_peek(&good), buf_size(&good), NULL, o), ALB_REFUSED,
                "there is no trust file yet to judge a wake order by");
    buf_release(&good);
    buf_release(&forged);
}

static void the_fullest_order_fits_into_an_event(void **state)
{
    AUTO_FREE struct wake_order *o = order_sample();
    struct sign_secret hub = secret_of(HUB);
    struct buf out;

    (void)state;
    memset(o->org, 'o', 60);
    memset(o->guard, 'g', 60);
    memset(o->job, 'w', 17);
    o->target_count = WAKE_ORDER_TARGETS_MAX;
    for (size_t i = 0; i < o->target_count; i++) {
        struct wake_order_target *t = &o->targets[i];

        *t = target_of("");
        memset(t->device, 'd', 60);
        t->mac_count = WAKE_ORDER_MACS_MAX;
        t->address_count = WAKE_ORDER_ADDRESSES_MAX;
        t->password_size = WAKE_ORDER_PASSWORD_MAX;
        for (size_t k = 1; k < t->mac_count; k++)
            t->macs[k] = t->macs[0];
    }
    buf_init(&out, WAKE_ORDER_BYTES_MAX);
    assert_ok(wake_order_encode(o, &hub, &out));
    buf_release(&out);
}

static void what_no_order_may_say_is_refused(void **state)
{
    AUTO_FREE struct wake_order *o = order_sample();
    struct sign_secret hub = secret_of(HUB);
    struct buf out;

    (void)state;
    buf_init(&out, WAKE_ORDER_BYTES_MAX);
    o->expires_wall_s = 161;
    assert_says(wake_order_encode(o, &hub, &out), ALB_INVALID,
                "a wake order holds for a minute at most");
    o->expires_wall_s = 160;
    o->targets[0].macs[0].bytes[0] = 1;
    assert_says(wake_order_encode(o, &hub, &out), ALB_INVALID,
                "a wake order names a MAC that no machine has");
    o->targets[0] = target_of("till-1");
    o->targets[0].password_size = 5;
    assert_says(wake_order_encode(o, &hub, &out), ALB_INVALID,
                "a SecureOn password has 4 or 6 bytes");
    o->targets[0] = target_of("till-1");
    o->targets[0].address_count = 0;
    assert_says(wake_order_encode(o, &hub, &out), ALB_INVALID,
                "a wake order has 1 to 4 MACs and addresses of each machine");
    o->target_count = 0;
    assert_says(wake_order_encode(o, &hub, &out), ALB_INVALID,
                "a wake order names 1 to 8 machines");
    assert_int_equal(buf_size(&out), 0);
    buf_release(&out);
}

static void check_report(const char *text, const char *why)
{
    AUTO_FREE struct wake_report *r = xalloc(sizeof *r);

    assert_says(wake_report_decode(text, strlen(text), r), ALB_INVALID, why);
}

static void a_report_says_what_is_wrong_with_it(void **state)
{
#define TOP "{\"guard\":\"box\",\"job\":\"w1\",\"order\":\"0123456789abcdef\",\"targets\":"
    (void)state;
    check_report("no", "the report of a guard is no JSON");
    check_report("{}", "guard: it names no device");
    check_report("{\"guard\":\"box\"}", "job: it names no job");
    check_report("{\"guard\":\"box\",\"job\":\"w1\",\"order\":\"1\"}",
                 "order: 16 hexadecimal digits");
    check_report(TOP "[]}", "targets: 1 to 8 of them");
    check_report(TOP "[{}]}", "targets: one names no device");
    check_report(TOP "[{\"device\":\"a\"}]}", "targets: one lacks its word");
    check_report(TOP "[{\"device\":\"a\",\"word\":\"woke\"}]}",
                 "targets: a word that this program does not know");
    check_report(TOP "[{\"device\":\"a\",\"word\":\"sent\",\"why\":\"\\u0007\"}]}",
                 "targets: why is one line of at most 160 bytes");
#undef TOP
}

static void a_report_comes_back_as_it_was(void **state)
{
    struct wake_report r = {
        .guard = "box",
        .job = "w1",
        .number = 0x0123456789abcdef,
        .told = {{"till-1", WAKE_WORD_SENT, ""}, {"till-2", WAKE_WORD_REFUSED, "no link here"}},
        .told_count = 2};
    struct wake_report back;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_ok(wake_report_encode(&r, &out));
    assert_ok(wake_report_decode(buf_peek(&out), buf_size(&out), &back));
    assert_true(back.number == r.number);
    assert_string_equal(back.told[1].why, "no link here");
    assert_int_equal(back.told[0].word, WAKE_WORD_SENT);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_is_the_hubs_alone),
        cmocka_unit_test(the_fullest_order_fits_into_an_event),
        cmocka_unit_test(what_no_order_may_say_is_refused),
        cmocka_unit_test(a_report_says_what_is_wrong_with_it),
        cmocka_unit_test(a_report_comes_back_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
