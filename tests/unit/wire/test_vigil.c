/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_vigil.c – orders to sleep or to stay awake: who signed them, what they may say. */
#include "support/wire_fixture.h"

#include "wire/vigil.h"

static struct vigil_order order_sample(void)
{
    return (struct vigil_order){.org = "acme",
                                .device = "till-7",
                                .number = 9,
                                .issued_wall_s = 100,
                                .expires_wall_s = 160,
                                .kind = VIGIL_SLEEP,
                                .begun_wall_s = 90,
                                .until_wall_s = 7300,
                                .layer = "base/os",
                                .version = "12.5"};
}

static struct alb_status judge(const struct buf *b, const char *org)
{
    struct trust_delegation d;
    struct vigil_order o;
    struct trust t;

    trust_sample(&t, &d);
    (void)snprintf(t.org, sizeof t.org, "%s", org);
    return vigil_order_decode(buf_peek(b), buf_size(b), &t, &o);
}

static void an_order_is_the_hubs_alone(void **state)
{
    struct vigil_order o = order_sample();
    struct sign_secret hub = secret_of(HUB), stranger = secret_of(STRANGER);
    struct buf good, forged;

    (void)state;
    buf_init(&good, VIGIL_ORDER_BYTES_MAX);
    buf_init(&forged, VIGIL_ORDER_BYTES_MAX);
    assert_ok(vigil_order_encode(&o, &hub, &good));
    assert_ok(vigil_order_encode(&o, &stranger, &forged));
    assert_ok(judge(&good, "acme"));
    assert_says(judge(&forged, "acme"), ALB_CORRUPT,
                "the signature of the key that must sign this is missing");
    assert_says(judge(&good, "other"), ALB_REFUSED, "the vigil order is another organisation's");
    assert_says(vigil_order_decode(buf_peek(&good), buf_size(&good), NULL, &o), ALB_REFUSED,
                "there is no trust file yet to judge a vigil order by");
    buf_release(&good);
    buf_release(&forged);
}

static void refuse(const struct vigil_order *o, const char *what)
{
    struct sign_secret hub = secret_of(HUB);
    struct buf out;

    buf_init(&out, VIGIL_ORDER_BYTES_MAX);
    assert_says(vigil_order_encode(o, &hub, &out), ALB_INVALID, what);
    assert_int_equal(buf_size(&out), 0);
    buf_release(&out);
}

static void what_no_order_may_say_is_refused(void **state)
{
    struct vigil_order o = order_sample();

    (void)state;
    o.expires_wall_s = 161;
    refuse(&o, "a vigil order is to be heard within a minute");
    o = order_sample();
    o.until_wall_s = 100 + VIGIL_MOST_S + 1;
    refuse(&o, "a vigil order holds for a day at most");
    o = order_sample();
    o.kind = 4;
    refuse(&o, "a vigil order asks for what this program does not know");
    o = order_sample();
    o.version[0] = '\0';
    refuse(&o, "a vigil order to sleep names no version");
    o = order_sample();
    o.kind = VIGIL_STAY;
    refuse(&o, "a vigil order to stay names a layer");
}

static void the_longest_order_fits_into_an_event(void **state)
{
    struct vigil_order o = order_sample();
    struct sign_secret hub = secret_of(HUB);
    struct buf out;

    (void)state;
    memset(o.org, 'o', 60);
    memset(o.device, 'd', 60);
    memset(o.layer, 'l', 100);
    memset(o.version, 'v', 60);
    buf_init(&out, VIGIL_ORDER_BYTES_MAX);
    assert_ok(vigil_order_encode(&o, &hub, &out));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_is_the_hubs_alone),
        cmocka_unit_test(what_no_order_may_say_is_refused),
        cmocka_unit_test(the_longest_order_fits_into_an_event),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
