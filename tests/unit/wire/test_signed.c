/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_signed.c – the envelope: kinds, versions,
 * signatures that count and that do not. */
#include "support/wire_fixture.h"

static void seal(struct buf *out, const char *kind, unsigned version, const char *text, int who)
{
    struct sign_secret secret = secret_of(who);
    struct buf body;

    buf_init(&body, 1000);
    buf_init(out, 10000);
    assert_ok(buf_append(&body, text, strlen(text)));
    assert_ok(signed_seal(kind, version, &body, &secret, who == 0 ? 0 : 1, out));
    buf_release(&body);
}

static struct alb_status open(const struct buf *b, const char *kind, struct signed_view *v)
{
    return signed_open(buf_peek(b), buf_size(b), kind, 1, v);
}

static void what_was_sealed_opens_and_its_signature_holds(void **state)
{
    struct sign_public key = public_of(HUB), other = public_of(STRANGER);
    struct signed_view v;
    struct buf b;

    (void)state;
    seal(&b, "head", 1, "body", HUB);
    assert_memory_equal(buf_peek(&b), "albedo head 1\n\4\0\0\0body\1", 23);
    assert_int_equal(buf_size(&b), 23 + 96);
    assert_ok(open(&b, "head", &v));
    assert_int_equal(v.body_size, 4);
    assert_memory_equal(v.body, "body", 4);
    assert_int_equal(v.covered_size, 22);
    assert_ok(signed_check(&v, &key));
    assert_says(signed_check(&v, &other), ALB_CORRUPT,
                "the signature of the key that must sign this is missing");
    buf_release(&b);
}

static void another_kind_or_version_is_refused_by_name(void **state)
{
    static const struct {
        const char *sealed_kind;
        unsigned version;
        const char *kind;
        const char *says;
    } cases[] = {
        {"grant", 1, "head", "these signed bytes are not a head"},
        {"head", 1, "version", "these signed bytes are not a version record"},
        {"heads", 1, "head", "these signed bytes are not a head"},
        {"head", 2, "head", "head format 2 is not known to this program"},
        {"head", 0, "head", "head format 0 is not known to this program"},
        {"trust", 9, "trust", "trust file format 9 is not known to this program"},
        {"version", 3, "version", "version record format 3 is not known to this program"},
        {"grant", 4, "grant", "read grant format 4 is not known to this program"},
        {"revocations", 5, "revocations", "revocation list format 5 is not known to this program"},
        {"head", 10, "head", "head format is newer than this program knows"},
        {"tales", 2, "tales", "signed object format 2 is not known to this program"},
    };

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(cases); i++) {
        struct signed_view v;
        struct buf b;

        seal(&b, cases[i].sealed_kind, cases[i].version, "x", HUB);
        assert_says(open(&b, cases[i].kind, &v), ALB_INVALID, cases[i].says);
        buf_release(&b);
    }
}

static void damage_to_the_frame_is_refused(void **state)
{
    struct signed_view v;
    struct buf b;

    (void)state;
    seal(&b, "head", 1, "body", HUB);
    for (size_t i = 0; i < buf_size(&b); i++)
        assert_int_equal(signed_open(buf_peek(&b), i, "head", 1, &v).code, ALB_CORRUPT);
    assert_says(signed_open("nonsense\n", 9, "head", 1, &v), ALB_CORRUPT,
                "these bytes are not a signed object of Albedo");
    assert_says(signed_open("albedo head 1\n", SIGNED_MAX + 1, "head", 1, &v), ALB_CORRUPT,
                "a signed object is larger than 1 MiB");
    assert_ok(buf_append(&b, "x", 1));
    assert_says(open(&b, "head", &v), ALB_CORRUPT, "bytes are left over at the end");
    b.bytes[22] = 17;
    assert_says(open(&b, "head", &v), ALB_CORRUPT, "more than 16 signatures on one object");
    buf_release(&b);
}

static void a_changed_byte_under_a_signature_is_noticed(void **state)
{
    struct sign_public key = public_of(HUB);
    struct signed_view v;
    struct buf b;

    (void)state;
    seal(&b, "head", 1, "body", HUB);
    b.bytes[20] ^= 1;
    assert_ok(open(&b, "head", &v));
    assert_says(signed_check(&v, &key), ALB_CORRUPT, "the signature does not match");
    b.bytes[20] ^= 1;
    b.bytes[60] ^= 1;
    assert_ok(open(&b, "head", &v));
    assert_int_equal(signed_check(&v, &key).code, ALB_CORRUPT);
    buf_release(&b);
}

static void keys_sign_one_after_another_and_each_counts_once(void **state)
{
    struct sign_secret first = secret_of(ROOT_1), second = secret_of(ROOT_2);
    struct sign_public keys[] = {public_of(ROOT_1), public_of(ROOT_2), public_of(ROOT_1),
                                 public_of(ROOT_3)};
    struct signed_view v;
    struct buf b;

    (void)state;
    seal(&b, "trust", 1, "body", 0);
    assert_ok(open(&b, "trust", &v));
    assert_int_equal(signed_count(&v, keys, 4), 0);
    assert_ok(signed_add(&b, &first));
    assert_ok(signed_add(&b, &second));
    assert_says(signed_add(&b, &first), ALB_CONFLICT, "this key has signed already");
    assert_ok(open(&b, "trust", &v));
    assert_int_equal(v.signature_count, 2);
    assert_int_equal(signed_count(&v, keys, 4), 2);
    b.bytes[buf_size(&b) - 1] ^= 1;
    assert_ok(open(&b, "trust", &v));
    assert_int_equal(signed_count(&v, keys, 4), 1);
    buf_release(&b);
}

static void there_is_a_last_signature_and_a_largest_body(void **state)
{
    struct sign_secret secret;
    struct sign_secret many[SIGNED_SIGNATURES_MAX + 1] = {{{0}}};
    struct buf b, body;

    (void)state;
    seal(&b, "trust", 1, "body", 0);
    for (int i = 1; i <= SIGNED_SIGNATURES_MAX; i++) {
        secret = secret_of(i);
        assert_ok(signed_add(&b, &secret));
    }
    secret = secret_of(99);
    assert_says(signed_add(&b, &secret), ALB_FULL, "more than 16 signatures on one object");
    buf_release(&b);
    buf_init(&body, SIZE_MAX);
    buf_init(&b, SIZE_MAX);
    assert_says(signed_seal("head", 1, &body, many, ALB_COUNT(many), &b), ALB_INVALID,
                "more than 16 signatures on one object");
    body.tail = SIGNED_MAX;
    assert_says(signed_seal("head", 1, &body, many, 1, &b), ALB_INVALID,
                "a signed object is larger than 1 MiB");
}

static void the_same_key_twice_is_no_two_signatures(void **state)
{
    uint8_t signature[96];
    struct signed_view v;
    struct buf b;

    (void)state;
    seal(&b, "head", 1, "body", HUB);
    memcpy(signature, b.bytes + 23, sizeof signature);
    assert_ok(buf_append(&b, signature, sizeof signature));
    b.bytes[22] = 2;
    assert_says(open(&b, "head", &v), ALB_CORRUPT, "the same key has signed twice");
    buf_release(&b);
}

static void open_by_wants_exactly_the_one_signature(void **state)
{
    struct sign_public hub = public_of(HUB);
    struct sign_secret stranger = secret_of(STRANGER);
    struct signed_view v;
    struct buf b;

    (void)state;
    seal(&b, "head", 1, "body", HUB);
    assert_ok(signed_open_by(buf_peek(&b), buf_size(&b), "head", 1, &hub, &v));
    assert_ok(signed_add(&b, &stranger));
    assert_says(signed_open_by(buf_peek(&b), buf_size(&b), "head", 1, &hub, &v), ALB_CORRUPT,
                "exactly one signature must be here");
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_opens_and_its_signature_holds),
        cmocka_unit_test(another_kind_or_version_is_refused_by_name),
        cmocka_unit_test(damage_to_the_frame_is_refused),
        cmocka_unit_test(a_changed_byte_under_a_signature_is_noticed),
        cmocka_unit_test(keys_sign_one_after_another_and_each_counts_once),
        cmocka_unit_test(there_is_a_last_signature_and_a_largest_body),
        cmocka_unit_test(the_same_key_twice_is_no_two_signatures),
        cmocka_unit_test(open_by_wants_exactly_the_one_signature),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
