/* SPDX-License-Identifier: Apache-2.0 */
/* base/crypto.c – the only file that calls libcrypto.
 *
 * Every failure clears OpenSSL's error queue: the TLS code shares it and must not find ours there.
 */
#include "base/crypto.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdatomic.h>

#include "base/alloc.h"

/* A libcrypto without these is a broken installation, not a state of the world. */
#define must(call) ((call) ? (void)0 : alb_abort(__FILE__, __LINE__, "libcrypto failed: " #call))

/* ---- digest ---- */

/* Looking the algorithm up costs as much as hashing 1 KiB, so it is done once per process.  The
 * object lives until exit; threads that race drop their own copy. */
static const EVP_MD *sha256_algorithm(void)
{
    static _Atomic(EVP_MD *) known;
    EVP_MD *md = atomic_load_explicit(&known, memory_order_acquire);
    EVP_MD *expected = NULL;

    if (md != NULL)
        return md;
    md = EVP_MD_fetch(NULL, "SHA256", NULL);
    must(md != NULL);
    if (atomic_compare_exchange_strong(&known, &expected, md))
        return md;
    EVP_MD_free(md);
    return expected;
}

void sha256(const void *bytes, size_t size, struct digest *out)
{
    must(EVP_Digest(bytes, size, out->bytes, NULL, sha256_algorithm(), NULL) == 1);
}

struct hasher {
    EVP_MD_CTX *ctx; /* owned */
};

struct hasher *hasher_new(void)
{
    struct hasher *h = xalloc(sizeof *h);

    h->ctx = EVP_MD_CTX_new();
    must(h->ctx != NULL);
    hasher_reset(h);
    return h;
}

void hasher_reset(struct hasher *h)
{
    must(EVP_DigestInit_ex2(h->ctx, sha256_algorithm(), NULL) == 1);
}

void hasher_add(struct hasher *h, const void *bytes, size_t size)
{
    must(EVP_DigestUpdate(h->ctx, bytes, size) == 1);
}

void hasher_finish(struct hasher *h, struct digest *out)
{
    must(EVP_DigestFinal_ex(h->ctx, out->bytes, NULL) == 1);
    hasher_reset(h);
}

struct hasher *hasher_free(struct hasher *h)
{
    if (h == NULL)
        return NULL;
    EVP_MD_CTX_free(h->ctx);
    free(h);
    return NULL;
}

/* ---- random, secrets ---- */

void random_bytes(void *out, size_t size)
{
    alb_assert(size <= INT_MAX);
    must(RAND_bytes(out, (int)size) == 1);
}

void hmac_sha256(const void *key, size_t key_size, const void *bytes, size_t size,
                 struct digest *out)
{
    alb_assert(key_size <= INT_MAX);
    must(HMAC(sha256_algorithm(), key, (int)key_size, bytes, size, out->bytes, NULL) != NULL);
}

bool bytes_same_secret(const void *a, const void *b, size_t size)
{
    return CRYPTO_memcmp(a, b, size) == 0;
}

void wipe(void *bytes, size_t size)
{
    OPENSSL_cleanse(bytes, size);
}

/* ---- Ed25519 ---- */

static EVP_PKEY *private_key(const struct sign_secret *secret)
{
    EVP_PKEY *key =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret->seed, SIGN_SECRET_SIZE);

    must(key != NULL);
    return key;
}

void sign_generate(struct sign_secret *secret, struct sign_public *pub)
{
    must(RAND_priv_bytes(secret->seed, SIGN_SECRET_SIZE) == 1);
    sign_public_of(secret, pub);
}

void sign_public_of(const struct sign_secret *secret, struct sign_public *pub)
{
    EVP_PKEY *key = private_key(secret);
    size_t size = SIGN_PUBLIC_SIZE;

    must(EVP_PKEY_get_raw_public_key(key, pub->bytes, &size) == 1 && size == SIGN_PUBLIC_SIZE);
    EVP_PKEY_free(key);
}

void sign_bytes(const struct sign_secret *secret, const void *bytes, size_t size,
                uint8_t out[SIGN_SIZE])
{
    EVP_PKEY *key = private_key(secret);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t out_size = SIGN_SIZE;

    must(ctx != NULL);
    must(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1);
    must(EVP_DigestSign(ctx, out, &out_size, bytes, size) == 1 && out_size == SIGN_SIZE);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
}

struct alb_status sign_verify(const struct sign_public *pub, const void *bytes, size_t size,
                              const uint8_t signature[SIGN_SIZE])
{
    EVP_PKEY *key =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub->bytes, SIGN_PUBLIC_SIZE);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good;

    must(ctx != NULL);
    /* Some 32 bytes are no point of the curve: that is the key's fault, not the library's. */
    good = key != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
           EVP_DigestVerify(ctx, signature, SIGN_SIZE, bytes, size) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (good)
        return ALB_STATUS_OK;
    ERR_clear_error();
    return alb_fail(ALB_CORRUPT, "the signature does not match");
}
