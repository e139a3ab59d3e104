/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_trust.c – the chain of trust files, and what each of them refuses. */
#include "support/wire_fixture.h"

static void encode(const struct trust *t, const int *signers, size_t count, struct buf *out)
{
    struct sign_secret secrets[8];

    for (size_t i = 0; i < count; i++)
        secrets[i] = secret_of(signers[i]);
    buf_init(out, SIGNED_MAX);
    assert_ok(trust_encode(t, secrets, count, out));
}

static const int TWO[] = {ROOT_1, ROOT_3};

static void the_first_file_is_believed_by_its_own_keys_and_its_pin(void **state)
{
    struct trust_delegation d;
    struct trust in, out;
    struct digest pin;
    struct buf b;

    (void)state;
    trust_sample(&in, &d);
    encode(&in, TWO, 2, &b);
    sha256(buf_peek(&b), buf_size(&b), &pin);
    assert_ok(trust_decode(buf_peek(&b), buf_size(&b), NULL, &pin, &out));
    assert_string_equal(out.org, "acme");
    assert_int_equal(out.version, 1);
    assert_int_equal(out.issued_wall_s, 1700000000);
    assert_int_equal(out.threshold, 2);
    assert_int_equal(out.root_count, 3);
    assert_true(sign_public_equal(&out.hub_key, &in.hub_key));
    assert_int_equal(out.delegation_count, 1);
    assert_string_equal(out.delegations[0].prefix, "base");
    trust_release(&out);
    pin.bytes[0] ^= 1;
    assert_says(trust_decode(buf_peek(&b), buf_size(&b), NULL, &pin, &out), ALB_REFUSED,
                "the trust file is not the one the token was made for");
    buf_release(&b);
}

static void the_threshold_must_be_met(void **state)
{
    static const int NONE[1], ONE[] = {ROOT_2}, STRANGE[] = {ROOT_1, ROOT_2, STRANGER};
    struct trust_delegation d;
    struct trust in, out;
    struct buf b;

    (void)state;
    trust_sample(&in, &d);
    encode(&in, NONE, 0, &b);
    assert_says(trust_decode(buf_peek(&b), buf_size(&b), NULL, NULL, &out), ALB_REFUSED,
                "a trust file is signed by fewer of its root keys than its threshold");
    buf_release(&b);
    encode(&in, ONE, 1, &b);
    assert_says(trust_decode(buf_peek(&b), buf_size(&b), NULL, NULL, &out), ALB_REFUSED,
                "a trust file is signed by fewer of its root keys than its threshold");
    assert_ok(trust_decode_unchecked(buf_peek(&b), buf_size(&b), &out));
    trust_release(&out);
    buf_release(&b);
    encode(&in, STRANGE, 3, &b);
    assert_says(trust_decode(buf_peek(&b), buf_size(&b), NULL, NULL, &out), ALB_REFUSED,
                "a trust file is signed by a key that is no root key");
    buf_release(&b);
}

static void a_signature_that_does_not_verify_spoils_the_file(void **state)
{
    static const int THREE[] = {ROOT_1, ROOT_2, ROOT_3};
    struct trust_delegation d;
    struct trust in, out;
    struct buf b;

    (void)state;
    trust_sample(&in, &d);
    encode(&in, THREE, 3, &b);
    b.bytes[buf_size(&b) - 1] ^= 1; /* two good ones are left, but nobody vouches for this byte */
    assert_says(trust_decode(buf_peek(&b), buf_size(&b), NULL, NULL, &out), ALB_CORRUPT,
                "the signature does not match");
    buf_release(&b);
}

/* The second file has one root of its own; who signs it, and what is said then. */
static void the_next_file_needs_the_old_keys_as_well(void **state)
{
    static const struct {
        int signers[3];
        size_t count;
        const char *says;
    } cases[] = {
        {{5, ROOT_1, ROOT_2}, 3, ""},
        {{5, ROOT_1},
         2,
         "a trust file is signed by fewer root keys of the version before than that one's "
         "threshold"},
        {{ROOT_1, ROOT_2},
         2,
         "a trust file is signed by fewer of its root keys than its threshold"},
    };
    struct trust_delegation d;
    struct trust before, next, out;

    (void)state;
    trust_sample(&before, &d);
    next = before;
    next.version = 2;
    next.threshold = 1;
    next.root_count = 1;
    next.roots[0] = public_of(5);
    for (size_t i = 0; i < ALB_COUNT(cases); i++) {
        struct alb_status st;
        struct buf b;

        encode(&next, cases[i].signers, cases[i].count, &b);
        st = trust_decode(buf_peek(&b), buf_size(&b), &before, NULL, &out);
        assert_string_equal(st.what, cases[i].says);
        if (!alb_failed(st))
            trust_release(&out);
        buf_release(&b);
    }
}

static void versions_follow_one_another(void **state)
{
    struct trust_delegation d;
    struct trust before, next, out;
    struct buf b;

    (void)state;
    trust_sample(&before, &d);
    for (uint64_t version = 1; version <= 3; version += 2) { /* the same again, and a jump */
        next = before;
        next.version = version;
        encode(&next, TWO, 2, &b);
        assert_says(trust_decode(buf_peek(&b), buf_size(&b), &before, NULL, &out), ALB_INVALID,
                    "the trust file is not the version after the one held here");
        buf_release(&b);
    }
    next.version = 2;
    encode(&next, TWO, 2, &b);
    assert_says(trust_decode(buf_peek(&b), buf_size(&b), NULL, NULL, &out), ALB_INVALID,
                "the first trust file to believe must be version 1");
    buf_release(&b);
    memcpy(next.org, "other", 6);
    encode(&next, TWO, 2, &b);
    assert_says(trust_decode(buf_peek(&b), buf_size(&b), &before, NULL, &out), ALB_REFUSED,
                "the trust file is another organisation's");
    buf_release(&b);
}

/* Break one rule in `t`. */
static void break_rule(struct trust *t, int rule)
{
    switch (rule) {
    case 0: t->version = 0; break;
    case 1: t->root_count = 0; break;
    case 2: t->threshold = 0; break;
    case 3: t->threshold = 4; break;
    case 4: t->roots[1] = t->roots[0]; break;
    case 5: t->hub_key = t->roots[2]; break;
    case 6: t->delegations[0].key = t->hub_key; break;
    case 7: memcpy(t->delegations[0].prefix, "Base", 5); break;
    case 8: t->delegation_count = TRUST_DELEGATIONS_MAX + 1; break;
    case 9: t->delegations[1] = t->delegations[0]; break;
    default: memcpy(t->org, "ACME", 5); break;
    }
}

static void a_file_that_breaks_a_rule_is_not_made(void **state)
{
    static const char *const SAYS[] = {
        "trust files are numbered from 1",
        "a trust file has 1 to 16 root keys",
        "a trust file's threshold is from 1 to its root keys' number",
        "a trust file's threshold is from 1 to its root keys' number",
        "a trust file names a root key twice",
        "a root key must not be the hub's online key",
        "a publisher's key must not be the hub's online key",
        NULL, /* the name rule's own words */
        "a trust file has more than 1024 delegations",
        "delegations are not in ascending order",
        NULL,
    };
    AUTO_FREE struct trust_delegation *d = xcalloc(TRUST_DELEGATIONS_MAX + 1, sizeof *d);

    (void)state;
    for (int rule = 0; rule < (int)ALB_COUNT(SAYS); rule++) {
        struct sign_secret secret = secret_of(ROOT_1);
        struct alb_status st;
        struct trust t;
        struct buf b;

        trust_sample(&t, d);
        t.delegations = d;
        t.delegation_count = rule == 9 ? 2 : 1;
        break_rule(&t, rule);
        buf_init(&b, SIGNED_MAX);
        st = trust_encode(&t, &secret, 1, &b);
        assert_int_equal(st.code, ALB_INVALID);
        if (SAYS[rule] != NULL)
            assert_string_equal(st.what, SAYS[rule]);
        assert_int_equal(buf_size(&b), 0);
        buf_release(&b);
    }
}

static void delegations_are_written_in_order_whatever_order_they_come_in(void **state)
{
    struct trust_delegation d[3];
    struct trust t, out;
    struct buf a, b;

    (void)state;
    trust_sample(&t, d);
    d[1] = (struct trust_delegation){.prefix = "", .key = public_of(21)};
    d[2] = (struct trust_delegation){.prefix = "app", .key = public_of(22)};
    t.delegations = d;
    t.delegation_count = 3;
    encode(&t, TWO, 2, &a);
    d[2] = d[0];
    d[0] = (struct trust_delegation){.prefix = "app", .key = public_of(22)};
    encode(&t, TWO, 2, &b);
    assert_int_equal(buf_size(&a), buf_size(&b));
    assert_memory_equal(buf_peek(&a), buf_peek(&b), buf_size(&a));
    assert_ok(trust_decode(buf_peek(&a), buf_size(&a), NULL, NULL, &out));
    assert_string_equal(out.delegations[0].prefix, "");
    assert_string_equal(out.delegations[2].prefix, "base");
    trust_release(&out);
    buf_release(&a);
    buf_release(&b);
}

static void a_publisher_may_sign_beneath_its_prefix_only(void **state)
{
    struct sign_public publisher = public_of(PUBLISHER), stranger = public_of(STRANGER);
    struct trust_delegation d;
    struct trust t;

    (void)state;
    trust_sample(&t, &d);
    assert_true(trust_allows(&t, "base", &publisher));
    assert_true(trust_allows(&t, "base/debian-12", &publisher));
    assert_false(trust_allows(&t, "baseline", &publisher));
    assert_false(trust_allows(&t, "app/x", &publisher));
    assert_false(trust_allows(&t, "base", &stranger));
    d.prefix[0] = '\0';
    assert_true(trust_allows(&t, "app/x", &publisher));
}

static void an_unknown_critical_field_is_refused_by_its_number(void **state)
{
    struct trust_delegation d;
    struct trust in, out;
    struct buf b, body;

    (void)state;
    trust_sample(&in, &d);
    encode(&in, TWO, 2, &b);
    buf_init(&body, SIGNED_MAX);
    body_of(&b, "trust", &body);
    assert_ok(buf_append(&body, "\x97\x00", 2));
    reseal(&b, "trust", 1, &body, ROOT_1);
    assert_says(trust_decode(buf_peek(&b), buf_size(&b), NULL, NULL, &out), ALB_CORRUPT,
                "trust file has a field 23 that this program does not know");
    buf_release(&b);
    buf_release(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_file_is_believed_by_its_own_keys_and_its_pin),
        cmocka_unit_test(the_threshold_must_be_met),
        cmocka_unit_test(a_signature_that_does_not_verify_spoils_the_file),
        cmocka_unit_test(the_next_file_needs_the_old_keys_as_well),
        cmocka_unit_test(versions_follow_one_another),
        cmocka_unit_test(a_file_that_breaks_a_rule_is_not_made),
        cmocka_unit_test(delegations_are_written_in_order_whatever_order_they_come_in),
        cmocka_unit_test(a_publisher_may_sign_beneath_its_prefix_only),
        cmocka_unit_test(an_unknown_critical_field_is_refused_by_its_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
