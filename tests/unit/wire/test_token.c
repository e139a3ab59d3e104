/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_token.c – tokens people carry, and what is said of those that are none. */
#include "support/wire_fixture.h"

#include "wire/token.h"

#define SECRET "AAECAwQFBgcICQoLDA0ODw"
#define PIN_A "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo"
#define PIN_B "u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7s"
#define WHOLE "alb1.abcdefghij." SECRET "." PIN_A "~" PIN_B

static void sample(struct token *t)
{
    *t = (struct token){.id = "abcdefghij", .has_trust_pin = true};
    for (uint8_t i = 0; i < TOKEN_SECRET_SIZE; i++)
        t->secret[i] = i;
    memset(&t->ca_pin, 0xaa, sizeof t->ca_pin);
    memset(&t->trust_pin, 0xbb, sizeof t->trust_pin);
}

static void a_token_is_written_and_read(void **state)
{
    char text[TOKEN_TEXT_SIZE];
    struct token in, out;

    (void)state;
    sample(&in);
    token_format(&in, text);
    assert_string_equal(text, WHOLE);
    assert_ok(token_parse(text, &out));
    assert_memory_equal(&in, &out, sizeof in);
    in.has_trust_pin = false;
    token_format(&in, text);
    assert_string_equal(text, "alb1.abcdefghij." SECRET "." PIN_A);
    assert_ok(token_parse(text, &out));
    assert_false(out.has_trust_pin);
}

static void fresh_tokens_differ_and_can_be_carried(void **state)
{
    char text[TOKEN_TEXT_SIZE];
    struct token a, b, back;

    (void)state;
    token_make(&a);
    token_make(&b);
    assert_memory_not_equal(a.secret, b.secret, sizeof a.secret);
    assert_string_not_equal(a.id, b.id);
    token_format(&a, text);
    assert_ok(token_parse(text, &back));
    assert_string_equal(back.id, a.id);
}

static void each_wrong_token_hears_what_is_wrong(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"", "not an enrolment token: one begins with alb1."},
        {"hello", "not an enrolment token: one begins with alb1."},
        {"alb2.abcdefghij." SECRET "." PIN_A, "not an enrolment token: one begins with alb1."},
        {WHOLE "\n", "the token has a blank or a line break in it"},
        {"alb1.abcde fghij." SECRET "." PIN_A, "the token has a blank or a line break in it"},
        {"alb1.", "the token was cut short"},
        {"alb1.abcdefghij", "the token was cut short"},
        {"alb1.abcdefghij." SECRET, "the token was cut short"},
        {"alb1.abcdefghij." SECRET ".qqqq", "the token was cut short"},
        {"alb1.abcdefghij." SECRET "." PIN_A "~", "the token was cut short"},
        {"alb1.abcdefghij.AAECAw." PIN_A, "the token was cut short"},
        {"alb1.abcdefghijk." SECRET "." PIN_A, "the token has more in it than a token can"},
        {WHOLE "q", "the token has more in it than a token can"},
        {WHOLE "~" PIN_A, "the token has more in it than a token can"},
        {"alb1.abcdefghij." SECRET "A." PIN_A, "the token has more in it than a token can"},
        {"alb1.ABCDEFGHIJ." SECRET "." PIN_A, "the token holds a character that cannot be in one"},
        {"alb1.abcdefghij.AAECAwQFBgcICQoLDA0OD!." PIN_A,
         "not a character of base64url (A-Z, a-z, 0-9, -, _)"},
        {"alb1.abcdefghij.AAECAwQFBgcICQoLDA0ODx." PIN_A,
         "base64url text ends in bits that mean nothing"},
    };

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(cases); i++) {
        struct token t;

        assert_says(token_parse(cases[i].text, &t), ALB_INVALID, cases[i].says);
    }
}

static void every_prefix_is_refused_or_a_token_without_trust_pin(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof WHOLE - 1; i++) {
        AUTO_FREE char *part = xstrndup(WHOLE, i);
        struct token t;
        bool ok = !alb_failed(token_parse(part, &t));

        assert_int_equal(ok, i == strlen("alb1.abcdefghij." SECRET "." PIN_A));
    }
}

static void the_hub_keeps_a_hash_of_id_and_secret(void **state)
{
    char hex[DIGEST_HEX_SIZE];
    struct digest a, b;
    struct token t;

    (void)state;
    sample(&t);
    token_hash(&t, &a);
    sha256("albedo token 1\nabcdefghij\0\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe\xf", 41, &b);
    assert_string_equal(digest_hex(&a, hex), digest_hex(&b, (char[DIGEST_HEX_SIZE]){0}));
    t.secret[0]++;
    token_hash(&t, &b);
    assert_false(digest_equal(&a, &b));
}

static void base64url_has_one_spelling(void **state)
{
    static const char *const TEXTS[] = {"", "AA", "AAA", "AAAA", "_-8", "-_"};
    char text[16];
    uint8_t bytes[8];
    size_t size;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(TEXTS); i++) {
        struct alb_status st = base64url_decode(TEXTS[i], bytes, sizeof bytes, &size);

        if (alb_failed(st))
            continue;
        base64url_encode(bytes, size, text);
        assert_string_equal(text, TEXTS[i]);
    }
    assert_says(base64url_decode("A", bytes, 8, &size), ALB_INVALID,
                "base64url text was cut short");
    assert_says(base64url_decode("AAAA", bytes, 2, &size), ALB_INVALID,
                "base64url text is too long");
    assert_says(base64url_decode("AB", bytes, 8, &size), ALB_INVALID,
                "base64url text ends in bits that mean nothing");
    assert_says(base64url_decode("A=", bytes, 8, &size), ALB_INVALID,
                "not a character of base64url (A-Z, a-z, 0-9, -, _)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_written_and_read),
        cmocka_unit_test(fresh_tokens_differ_and_can_be_carried),
        cmocka_unit_test(each_wrong_token_hears_what_is_wrong),
        cmocka_unit_test(every_prefix_is_refused_or_a_token_without_trust_pin),
        cmocka_unit_test(the_hub_keeps_a_hash_of_id_and_secret),
        cmocka_unit_test(base64url_has_one_spelling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
