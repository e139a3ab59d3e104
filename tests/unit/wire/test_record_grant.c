/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_record_grant.c – read grants and revocation lists. */
#include "support/wire_fixture.h"

struct world {
    struct trust trust;
    struct trust_delegation delegation;
    struct buf bytes;
    struct grant grant, out;
};

static int set_up(void **state)
{
    struct world *w = xalloc(sizeof *w);

    trust_sample(&w->trust, &w->delegation);
    buf_init(&w->bytes, SIGNED_MAX);
    w->grant = (struct grant){
        .org = "acme",
        .device = "till-7",
        .site = "oslo",
        .issued_wall_s = 1700000000,
        .expires_wall_s = 1700000000 + GRANT_LIFETIME_S,
        .prefix_count = 2,
        .prefixes = {"base", "app/till"},
    };
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

static struct alb_status write_grant(struct world *w, int who)
{
    struct sign_secret secret = secret_of(who);

    buf_clear(&w->bytes);
    return grant_encode(&w->grant, &secret, &w->bytes);
}

static struct alb_status read_grant(struct world *w)
{
    return grant_decode(buf_peek(&w->bytes), buf_size(&w->bytes), &w->trust, &w->out);
}

static void a_grant_covers_what_lies_beneath_its_prefixes(void **state)
{
    struct world *w = *state;

    assert_ok(write_grant(w, HUB));
    assert_ok(read_grant(w));
    assert_string_equal(w->out.device, "till-7");
    assert_string_equal(w->out.site, "oslo");
    assert_int_equal(w->out.prefix_count, 2);
    assert_string_equal(w->out.prefixes[0], "app/till"); /* written in order */
    assert_true(grant_covers(&w->out, "base/debian-12"));
    assert_true(grant_covers(&w->out, "app/till"));
    assert_false(grant_covers(&w->out, "app/editor"));
    w->out.prefix_count = 0;
    assert_false(grant_covers(&w->out, "base"));
}

static void only_the_hub_s_online_key_signs_grants(void **state)
{
    struct world *w = *state;

    assert_ok(write_grant(w, PUBLISHER));
    assert_says(read_grant(w), ALB_CORRUPT,
                "the signature of the key that must sign this is missing");
    memcpy(w->grant.org, "other", 6);
    assert_ok(write_grant(w, HUB));
    assert_says(read_grant(w), ALB_REFUSED, "the grant is another organisation's");
}

static void grants_that_make_no_sense_are_not_made(void **state)
{
    struct world *w = *state;

    w->grant.prefix_count = GRANT_PREFIXES_MAX + 1;
    assert_says(write_grant(w, HUB), ALB_INVALID, "a grant has more than 256 prefixes");
    w->grant.prefix_count = 2;
    memcpy(w->grant.prefixes[1], "base", 5);
    assert_says(write_grant(w, HUB), ALB_INVALID, "a grant's prefixes are not in ascending order");
    memcpy(w->grant.prefixes[1], "Base", 5);
    assert_int_equal(write_grant(w, HUB).code, ALB_INVALID);
    w->grant.prefix_count = 0;
    w->grant.expires_wall_s = w->grant.issued_wall_s;
    assert_says(write_grant(w, HUB), ALB_INVALID, "a grant expires before it is issued");
    memcpy(w->grant.device, "no_id", 6);
    w->grant.expires_wall_s++;
    assert_int_equal(write_grant(w, HUB).code, ALB_INVALID);
}

static void a_grant_without_site_or_with_all_layers_is_one(void **state)
{
    struct world *w = *state;

    w->grant.site[0] = '\0';
    w->grant.prefix_count = 1;
    w->grant.prefixes[0][0] = '\0';
    assert_ok(write_grant(w, HUB));
    assert_ok(read_grant(w));
    assert_string_equal(w->out.site, "");
    assert_true(grant_covers(&w->out, "anything"));
}

static void a_grant_with_unknown_words_is_refused_by_name(void **state)
{
    struct world *w = *state;
    struct buf body;

    assert_ok(write_grant(w, HUB));
    buf_init(&body, SIGNED_MAX);
    body_of(&w->bytes, "grant", &body);
    reseal(&w->bytes, "grant", 2, &body, HUB);
    assert_says(read_grant(w), ALB_INVALID, "read grant format 2 is not known to this program");
    assert_ok(buf_append(&body, "\x88\x00", 2));
    reseal(&w->bytes, "grant", 1, &body, HUB);
    assert_says(read_grant(w), ALB_CORRUPT,
                "read grant has a field 8 that this program does not know");
    buf_release(&body);
}

/* ---- revocations ---- */

static struct alb_status write_list(struct world *w, char (*serials)[41], size_t count, int who)
{
    struct revocations r = {.org = "acme",
                            .number = 3,
                            .issued_wall_s = 1700000000,
                            .serials = serials,
                            .count = count};
    struct sign_secret secret = secret_of(who);

    buf_clear(&w->bytes);
    return revocations_encode(&r, &secret, &w->bytes);
}

static struct alb_status read_list(struct world *w, struct revocations *out)
{
    return revocations_decode(buf_peek(&w->bytes), buf_size(&w->bytes), &w->trust, out);
}

static void a_list_finds_what_is_on_it(void **state)
{
    char serials[][41] = {"01", "0a", "ff00"};
    struct revocations out;

    assert_ok(write_list(*state, serials, 3, HUB));
    assert_ok(read_list(*state, &out));
    assert_int_equal(out.number, 3);
    assert_true(revocations_has(&out, "0a"));
    assert_true(revocations_has(&out, "ff00"));
    assert_false(revocations_has(&out, "ff"));
    revocations_release(&out);
    assert_ok(write_list(*state, NULL, 0, HUB));
    assert_ok(read_list(*state, &out));
    assert_false(revocations_has(&out, "0a"));
    revocations_release(&out);
}

static void lists_that_make_no_sense_are_not_made(void **state)
{
    static const struct {
        char serials[2][41];
        const char *says;
    } cases[] = {
        {{"", "01"}, "a serial number in a revocation list is empty"},
        {{"0A", "0b"}, "a serial number is not lower-case hexadecimal"},
        {{"02", "01"}, "a revocation list's serial numbers are not in order"},
        {{"01", "01"}, "a revocation list's serial numbers are not in order"},
    };

    for (size_t i = 0; i < ALB_COUNT(cases); i++) {
        char serials[2][41];

        memcpy(serials, cases[i].serials, sizeof serials);
        assert_says(write_list(*state, serials, 2, HUB), ALB_INVALID, cases[i].says);
    }
}

static void only_the_hub_revokes(void **state)
{
    char serials[][41] = {"01"};
    struct world *w = *state;
    struct revocations out;

    assert_ok(write_list(w, serials, 1, STRANGER));
    assert_says(read_list(w, &out), ALB_CORRUPT,
                "the signature of the key that must sign this is missing");
    assert_ok(write_list(w, serials, 1, HUB));
    memcpy(w->trust.org, "other", 6);
    assert_says(read_list(w, &out), ALB_REFUSED, "the revocation list is another organisation's");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_grant_covers_what_lies_beneath_its_prefixes),
        TEST(only_the_hub_s_online_key_signs_grants),
        TEST(grants_that_make_no_sense_are_not_made),
        TEST(a_grant_without_site_or_with_all_layers_is_one),
        TEST(a_grant_with_unknown_words_is_refused_by_name),
        TEST(a_list_finds_what_is_on_it),
        TEST(lists_that_make_no_sense_are_not_made),
        TEST(only_the_hub_revokes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
