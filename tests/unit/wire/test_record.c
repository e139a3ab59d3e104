/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_record.c – version records and heads: who may make them, and what they refuse. */
#include "support/wire_fixture.h"

struct world {
    struct trust trust;
    struct trust_delegation delegation;
    struct buf bytes;
};

static int set_up(void **state)
{
    struct world *w = xalloc(sizeof *w);

    trust_sample(&w->trust, &w->delegation);
    buf_init(&w->bytes, SIGNED_MAX);
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

static void record_by(struct world *w, const struct version_record *r, int who)
{
    struct sign_secret secret = secret_of(who);

    buf_clear(&w->bytes);
    assert_ok(record_encode(r, &secret, &w->bytes));
}

static struct alb_status read_record(struct world *w, struct version_record *out)
{
    return record_decode(buf_peek(&w->bytes), buf_size(&w->bytes), &w->trust, out);
}

static void head_by(struct world *w, const struct head *h, int who)
{
    struct sign_secret secret = secret_of(who);

    buf_clear(&w->bytes);
    assert_ok(head_encode(h, &secret, &w->bytes));
}

static struct alb_status read_head(struct world *w, struct head *out)
{
    return head_decode(buf_peek(&w->bytes), buf_size(&w->bytes), &w->trust, out);
}

static void a_record_reads_as_it_was_written(void **state)
{
    struct version_record in = record_sample(), out;
    struct sign_public publisher = public_of(PUBLISHER);

    record_by(*state, &in, PUBLISHER);
    assert_ok(read_record(*state, &out));
    assert_true(sign_public_equal(&out.publisher, &publisher));
    in.publisher = publisher;
    assert_string_equal(out.layer, in.layer);
    assert_string_equal(out.version, in.version);
    assert_true(out.sequence == 7 && out.root_bytes == 4321 && out.content_bytes == 123456789);
    assert_true(out.entries == 1000 && out.flags == RECORD_DEVICES);
    assert_true(out.made_wall_s == 1700000100 && digest_equal(&out.root, &in.root));
}

static void a_publisher_outside_its_prefix_is_refused(void **state)
{
    static const char OUTSIDE[] = "the version record is signed by a key that the trust file does "
                                  "not let publish this layer";
    struct version_record r = record_sample(), out;
    struct world *w = *state;

    memcpy(r.layer, "app/editor", 11);
    record_by(w, &r, PUBLISHER);
    assert_says(read_record(w, &out), ALB_REFUSED, OUTSIDE);
    r = record_sample();
    record_by(w, &r, STRANGER);
    assert_says(read_record(w, &out), ALB_REFUSED, OUTSIDE);
    record_by(w, &r, HUB); /* the hub selects, it never introduces */
    assert_says(read_record(w, &out), ALB_REFUSED, OUTSIDE);
    assert_ok(record_decode(buf_peek(&w->bytes), buf_size(&w->bytes), NULL, &out));
}

static void bad_and_missing_signatures_are_refused(void **state)
{
    struct version_record r = record_sample(), out;
    struct sign_secret other = secret_of(STRANGER);
    struct world *w = *state;
    struct buf body;

    record_by(w, &r, PUBLISHER);
    w->bytes.bytes[buf_size(&w->bytes) - 1] ^= 1;
    assert_says(read_record(w, &out), ALB_CORRUPT, "the signature does not match");
    record_by(w, &r, PUBLISHER);
    assert_ok(signed_add(&w->bytes, &other));
    assert_says(read_record(w, &out), ALB_CORRUPT, "a version record has exactly one signature");
    record_by(w, &r, PUBLISHER);
    buf_init(&body, SIGNED_MAX);
    body_of(&w->bytes, "version", &body);
    buf_clear(&w->bytes);
    assert_ok(signed_seal("version", 1, &body, NULL, 0, &w->bytes));
    assert_says(read_record(w, &out), ALB_CORRUPT, "a version record has exactly one signature");
    buf_release(&body);
}

static void another_organisation_s_record_is_refused(void **state)
{
    struct version_record r = record_sample(), out;

    memcpy(r.org, "other", 6);
    record_by(*state, &r, PUBLISHER);
    assert_says(read_record(*state, &out), ALB_REFUSED,
                "the version record is another organisation's");
}

/* `tail` behind the fields, signed by who may sign. */
static struct alb_status record_with(struct world *w, const char *tail, size_t size,
                                     unsigned version)
{
    struct version_record r = record_sample(), out;
    struct alb_status st;
    struct buf body;

    record_by(w, &r, PUBLISHER);
    buf_init(&body, SIGNED_MAX);
    body_of(&w->bytes, "version", &body);
    assert_ok(buf_append(&body, tail, size));
    reseal(&w->bytes, "version", version, &body, PUBLISHER);
    buf_release(&body);
    st = read_record(w, &out);
    return st;
}

static void words_this_program_does_not_know_are_refused_by_name(void **state)
{
    assert_says(record_with(*state, "\x97\x00", 2, 1), ALB_CORRUPT,
                "version record has a field 23 that this program does not know");
    assert_ok(record_with(*state, "\x17\x00", 2, 1)); /* not critical */
    assert_says(record_with(*state, "", 0, 2), ALB_INVALID,
                "version record format 2 is not known to this program");
    assert_says(record_with(*state, "x", 1, 1), ALB_CORRUPT, "input ends too early");
}

static void records_that_make_no_sense_are_not_made(void **state)
{
    static const char *const SAYS[] = {
        "versions of a layer are numbered from 1",
        "a version record's root object is empty or over 4 MiB",
        "a version record's root object is empty or over 4 MiB",
        "a version record says its tree has no entry",
        "a version record has a flag that this program does not know",
    };
    struct sign_secret secret = secret_of(PUBLISHER);
    struct world *w = *state;

    for (size_t i = 0; i < ALB_COUNT(SAYS); i++) {
        struct version_record r = record_sample();

        r.sequence = i == 0 ? 0 : r.sequence;
        r.root_bytes = i == 1 ? 0 : i == 2 ? UINT64_C(1) << 40 : r.root_bytes;
        r.entries = i == 3 ? 0 : r.entries;
        r.flags = i == 4 ? 2 : r.flags;
        assert_says(record_encode(&r, &secret, &w->bytes), ALB_INVALID, SAYS[i]);
    }
}

static void a_head_reads_as_it_was_written(void **state)
{
    struct head in = head_sample(), out;

    head_by(*state, &in, HUB);
    assert_ok(read_head(*state, &out));
    assert_string_equal(out.layer, in.layer);
    assert_true(out.sequence == 9 && digest_equal(&out.record, &in.record));
    assert_true(out.issued_wall_s == in.issued_wall_s && out.expires_wall_s == in.expires_wall_s);
}

static void only_the_hub_s_online_key_signs_heads(void **state)
{
    struct head h = head_sample(), out;

    head_by(*state, &h, PUBLISHER);
    assert_says(read_head(*state, &out), ALB_CORRUPT,
                "the signature of the key that must sign this is missing");
    memcpy(h.org, "other", 6);
    head_by(*state, &h, HUB);
    assert_says(read_head(*state, &out), ALB_REFUSED, "the head is another organisation's");
}

static void a_head_is_no_record_and_a_record_no_head(void **state)
{
    struct version_record r = record_sample(), r_out;
    struct head h = head_sample(), h_out;

    record_by(*state, &r, PUBLISHER);
    assert_says(read_head(*state, &h_out), ALB_INVALID, "these signed bytes are not a head");
    head_by(*state, &h, HUB);
    assert_says(read_record(*state, &r_out), ALB_INVALID,
                "these signed bytes are not a version record");
}

static void heads_that_make_no_sense_are_not_made(void **state)
{
    struct sign_secret secret = secret_of(HUB);
    struct world *w = *state;
    struct head h = head_sample();

    h.sequence = 0;
    assert_says(head_encode(&h, &secret, &w->bytes), ALB_INVALID,
                "heads of a layer are numbered from 1");
    h = head_sample();
    h.expires_wall_s = h.issued_wall_s;
    assert_says(head_encode(&h, &secret, &w->bytes), ALB_INVALID,
                "a head expires before it is issued");
}

static void without_a_trust_file_nothing_signed_is_believed(void **state)
{
    struct world *w = *state;
    struct head h = head_sample(), out;
    struct revocations list;
    struct grant grant;

    head_by(w, &h, HUB);
    assert_says(head_decode(buf_peek(&w->bytes), buf_size(&w->bytes), NULL, &out), ALB_REFUSED,
                "there is no trust file yet to judge a head by");
    assert_says(grant_decode(buf_peek(&w->bytes), buf_size(&w->bytes), NULL, &grant), ALB_REFUSED,
                "there is no trust file yet to judge a read grant by");
    assert_says(revocations_decode(buf_peek(&w->bytes), buf_size(&w->bytes), NULL, &list),
                ALB_REFUSED, "there is no trust file yet to judge a revocation list by");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_record_reads_as_it_was_written),
        TEST(a_publisher_outside_its_prefix_is_refused),
        TEST(bad_and_missing_signatures_are_refused),
        TEST(another_organisation_s_record_is_refused),
        TEST(words_this_program_does_not_know_are_refused_by_name),
        TEST(records_that_make_no_sense_are_not_made),
        TEST(a_head_reads_as_it_was_written),
        TEST(only_the_hub_s_online_key_signs_heads),
        TEST(a_head_is_no_record_and_a_record_no_head),
        TEST(heads_that_make_no_sense_are_not_made),
        TEST(without_a_trust_file_nothing_signed_is_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
