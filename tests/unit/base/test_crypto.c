/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/base/test_crypto.c – published vectors of every algorithm,
 * and what must not verify. */
#include "base/crypto.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void assert_hex(const uint8_t *bytes, size_t size, const char *want)
{
    AUTO_FREE char *hex = xalloc(2 * size + 1);

    bytes_hex(bytes, size, hex);
    assert_string_equal(hex, want);
}

static void from_hex(const char *hex, void *out, size_t size)
{
    assert_false(alb_failed(bytes_parse_hex(hex, out, size)));
}

/* FIPS 180-4's examples. */
static void sha256_answers_the_standards_examples(void **state)
{
    AUTO_FREE char *million = xalloc(1000000);
    struct digest d;

    (void)state;
    sha256("", 0, &d);
    assert_hex(d.bytes, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256("abc", 3, &d);
    assert_hex(d.bytes, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, &d);
    assert_hex(d.bytes, 32, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    memset(million, 'a', 1000000);
    sha256(million, 1000000, &d);
    assert_hex(d.bytes, 32, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void a_running_digest_equals_the_one_of_the_whole(void **state)
{
    static const char text[] = "the quick brown fox jumps over the lazy dog";
    struct hasher *h = hasher_new();
    struct digest want;
    struct digest got;

    (void)state;
    sha256(text, sizeof text, &want);
    for (size_t cut = 0; cut <= sizeof text; cut++) {
        hasher_add(h, text, cut);
        hasher_add(h, text + cut, sizeof text - cut);
        hasher_finish(h, &got);
        assert_true(digest_equal(&want, &got));
    }
    hasher_add(h, "forgotten", 9);
    hasher_reset(h);
    hasher_add(h, text, sizeof text);
    hasher_finish(h, &got);
    assert_true(digest_equal(&want, &got));
    assert_null(hasher_free(h));
    assert_null(hasher_free(NULL));
}

/* RFC 4231, cases 2 and 6. */
static void hmac_answers_the_rfcs_examples(void **state)
{
    static const char text[] = "what do ya want for nothing?";
    static const char long_text[] = "Test Using Larger Than Block-Size Key - Hash Key First";
    uint8_t key[131];
    struct digest mac;
    char hex[DIGEST_HEX_SIZE];

    (void)state;
    hmac_sha256("Jefe", 4, text, sizeof text - 1, &mac);
    assert_string_equal(digest_hex(&mac, hex),
                        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    hmac_sha256(key, sizeof key, long_text, sizeof long_text - 1, &mac);
    assert_string_equal(digest_hex(&mac, hex),
                        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

struct ed25519_case {
    const char *seed;
    const char *pub;
    const char *message;
    const char *signature;
};

/* RFC 8032, section 7.1, tests 1 and 2. */
static const struct ed25519_case ED25519_CASES[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
     "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da0"
     "85ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
};

static void ed25519_answers_the_rfcs_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALB_COUNT(ED25519_CASES); i++) {
        const struct ed25519_case *c = &ED25519_CASES[i];
        size_t size = strlen(c->message) / 2;
        uint8_t message[1];
        uint8_t signature[SIGN_SIZE];
        struct sign_secret secret;
        struct sign_public pub;

        from_hex(c->seed, secret.seed, sizeof secret.seed);
        from_hex(c->message, message, size);
        sign_public_of(&secret, &pub);
        assert_hex(pub.bytes, sizeof pub.bytes, c->pub);
        sign_bytes(&secret, message, size, signature);
        assert_hex(signature, sizeof signature, c->signature);
        assert_false(alb_failed(sign_verify(&pub, message, size, signature)));
    }
}

static void a_signature_is_that_keys_over_those_bytes_only(void **state)
{
    struct sign_secret secret;
    struct sign_public pub;
    struct sign_public other;
    uint8_t signature[SIGN_SIZE];

    (void)state;
    sign_generate(&secret, &other);
    sign_generate(&secret, &pub);
    assert_false(sign_public_equal(&pub, &other));
    sign_bytes(&secret, "bytes", 5, signature);
    assert_false(alb_failed(sign_verify(&pub, "bytes", 5, signature)));
    assert_int_equal(sign_verify(&pub, "byteS", 5, signature).code, ALB_CORRUPT);
    assert_int_equal(sign_verify(&pub, "byte", 4, signature).code, ALB_CORRUPT);
    assert_int_equal(sign_verify(&other, "bytes", 5, signature).code, ALB_CORRUPT);
    signature[63] ^= 1;
    assert_int_equal(sign_verify(&pub, "bytes", 5, signature).code, ALB_CORRUPT);
}

static void bytes_that_are_no_key_verify_nothing(void **state)
{
    struct sign_public none;
    uint8_t signature[SIGN_SIZE] = {0};

    (void)state;
    memset(none.bytes, 0xff, sizeof none.bytes);
    assert_int_equal(sign_verify(&none, "bytes", 5, signature).code, ALB_CORRUPT);
}

static void random_bytes_differ_and_wiped_ones_are_zero(void **state)
{
    uint8_t a[32] = {0};
    uint8_t b[32] = {0};
    static const uint8_t zero[32] = {0};

    (void)state;
    random_bytes(a, sizeof a);
    random_bytes(b, sizeof b);
    assert_false(bytes_same_secret(a, b, sizeof a));
    assert_true(bytes_same_secret(a, a, sizeof a));
    wipe(a, sizeof a);
    assert_memory_equal(a, zero, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_answers_the_standards_examples),
        cmocka_unit_test(a_running_digest_equals_the_one_of_the_whole),
        cmocka_unit_test(hmac_answers_the_rfcs_examples),
        cmocka_unit_test(ed25519_answers_the_rfcs_examples),
        cmocka_unit_test(a_signature_is_that_keys_over_those_bytes_only),
        cmocka_unit_test(bytes_that_are_no_key_verify_nothing),
        cmocka_unit_test(random_bytes_differ_and_wiped_ones_are_zero),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
