/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_policy_seal.c – who may sign a policy, and what is not taken for one. */
#include "support/wire_fixture.h"

#include "wire/policy_seal.h"

struct world {
    struct trust trust;
    struct trust_delegation delegation;
    struct policy_seal seal, out;
    struct buf bytes;
};

static int set_up(void **state)
{
    struct world *w = xalloc(sizeof *w);

    trust_sample(&w->trust, &w->delegation);
    buf_init(&w->bytes, SIGNED_MAX);
    w->seal = (struct policy_seal){
        .org = "acme", .number = 7, .issued_wall_s = 1700000000, .text = "{}", .text_size = 2};
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    buf_release(&w->bytes);
    free(w);
    return 0;
}

static struct alb_status seal(struct world *w, enum policy_part part, int who)
{
    const struct sign_secret secret = secret_of(who);

    buf_clear(&w->bytes);
    return policy_seal_encode(part, &w->seal, &secret, &w->bytes);
}

static struct alb_status open_as(struct world *w, enum policy_part part)
{
    return policy_seal_decode(part, buf_peek(&w->bytes), buf_size(&w->bytes), &w->trust, &w->out);
}

static void what_the_hub_sealed_opens_for_those_who_trust_it(void **state)
{
    struct world *w = *state;

    for (int part = 0; part < POLICY_PARTS; part++) {
        assert_ok(seal(w, (enum policy_part)part, HUB));
        assert_ok(open_as(w, (enum policy_part)part));
        assert_string_equal(w->out.org, "acme");
        assert_int_equal(w->out.number, 7);
        assert_int_equal(w->out.issued_wall_s, 1700000000);
        assert_int_equal(w->out.text_size, 2);
        assert_memory_equal(w->out.text, "{}", 2);
    }
}

static void a_policy_is_not_taken_for_overrides_nor_the_reverse(void **state)
{
    struct world *w = *state;

    assert_ok(seal(w, POLICY_RULES, HUB));
    assert_says(open_as(w, POLICY_OVERRIDES), ALB_INVALID,
                "these signed bytes are not a list of overrides");
    assert_ok(seal(w, POLICY_OVERRIDES, HUB));
    assert_says(open_as(w, POLICY_RULES), ALB_INVALID, "these signed bytes are not a policy");
}

static void nobody_but_the_hub_s_online_key_signs_a_policy(void **state)
{
    static const int OTHERS[] = {ROOT_1, PUBLISHER, STRANGER};
    struct world *w = *state;

    for (size_t i = 0; i < ALB_COUNT(OTHERS); i++) {
        assert_ok(seal(w, POLICY_RULES, OTHERS[i]));
        assert_says(open_as(w, POLICY_RULES), ALB_CORRUPT,
                    "the signature of the key that must sign this is missing");
    }
}

static void a_policy_with_any_byte_altered_is_refused(void **state)
{
    struct world *w = *state;

    assert_ok(seal(w, POLICY_RULES, HUB));
    for (size_t i = 0; i < buf_size(&w->bytes); i++) {
        w->bytes.bytes[w->bytes.head + i] ^= 1;
        assert_true(alb_failed(open_as(w, POLICY_RULES)));
        w->bytes.bytes[w->bytes.head + i] ^= 1;
    }
    assert_ok(open_as(w, POLICY_RULES));
    while (buf_size(&w->bytes) > 0) {
        w->bytes.tail--;
        assert_true(alb_failed(open_as(w, POLICY_RULES)));
    }
}

static void another_organisation_s_policy_is_refused(void **state)
{
    struct world *w = *state;

    memcpy(w->seal.org, "other", 6);
    assert_ok(seal(w, POLICY_RULES, HUB));
    assert_says(open_as(w, POLICY_RULES), ALB_REFUSED, "the policy is another organisation's");
    assert_says(
        policy_seal_decode(POLICY_RULES, buf_peek(&w->bytes), buf_size(&w->bytes), NULL, &w->out),
        ALB_REFUSED, "there is no trust file yet to judge a policy by");
}

static void what_has_no_number_or_no_text_or_too_much_is_not_sealed(void **state)
{
    AUTO_FREE char *large = xcalloc(POLICY_TEXT_MAX + 1, 1);
    struct world *w = *state;

    w->seal.number = 0;
    assert_says(seal(w, POLICY_RULES, HUB), ALB_INVALID,
                "policies, overrides and states are numbered from 1");
    w->seal.number = 1;
    w->seal.text_size = 0;
    assert_says(seal(w, POLICY_RULES, HUB), ALB_INVALID, "a signed policy is empty or over 1 MiB");
    w->seal.text = large;
    w->seal.text_size = POLICY_TEXT_MAX + 1;
    assert_says(seal(w, POLICY_RULES, HUB), ALB_INVALID, "a signed policy is empty or over 1 MiB");
    w->seal.text_size = POLICY_TEXT_MAX;
    assert_ok(seal(w, POLICY_RULES, HUB));
    assert_ok(open_as(w, POLICY_RULES));
}

static void a_newer_format_of_a_policy_is_refused_by_name(void **state)
{
    struct world *w = *state;
    struct buf body;

    assert_ok(seal(w, POLICY_RULES, HUB));
    buf_init(&body, SIGNED_MAX);
    body_of(&w->bytes, "policy", &body);
    reseal(&w->bytes, "policy", 2, &body, HUB);
    assert_says(open_as(w, POLICY_RULES), ALB_INVALID,
                "policy format 2 is not known to this program");
    buf_release(&body);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_the_hub_sealed_opens_for_those_who_trust_it),
        TEST(a_policy_is_not_taken_for_overrides_nor_the_reverse),
        TEST(nobody_but_the_hub_s_online_key_signs_a_policy),
        TEST(a_policy_with_any_byte_altered_is_refused),
        TEST(another_organisation_s_policy_is_refused),
        TEST(what_has_no_number_or_no_text_or_too_much_is_not_sealed),
        TEST(a_newer_format_of_a_policy_is_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
