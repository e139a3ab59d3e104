/* SPDX-License-Identifier: Apache-2.0 */
/* wire/signed.c – the envelope of signed things: domain line, body, signatures. */
#include "wire/signed.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/pack.h"

enum { LINE_MOST = 64, VERSIONS_NAMED = 10 };

/* What to say about another format version of a kind, as literals. */
#define VERSION_TEXT(what, n) what " format " #n " is not known to this program"
#define VERSION_TEXTS(what)                                                                        \
    {                                                                                              \
        VERSION_TEXT(what, 0), VERSION_TEXT(what, 1), VERSION_TEXT(what, 2),                       \
            VERSION_TEXT(what, 3), VERSION_TEXT(what, 4), VERSION_TEXT(what, 5),                   \
            VERSION_TEXT(what, 6), VERSION_TEXT(what, 7), VERSION_TEXT(what, 8),                   \
            VERSION_TEXT(what, 9)                                                                  \
    }

struct kind_texts {
    const char *kind;
    const char *other; /* the bytes are signed, but are something else */
    const char *beyond;
    const char *versions[VERSIONS_NAMED];
};

#define KIND(word, what)                                                                           \
    {                                                                                              \
        word, "these signed bytes are not a " what,                                                \
            what " format is newer than this program knows", VERSION_TEXTS(what)                   \
    }
static const struct kind_texts KINDS[] = {
    KIND("trust", "trust file"),
    KIND("version", "version record"),
    KIND("head", "head"),
    KIND("grant", "read grant"),
    KIND("revocations", "revocation list"),
    KIND("policy", "policy"),
    KIND("overrides", "list of overrides"),
    KIND("nearby", "list of what is nearby"),
    KIND("wake", "wake order"),
    KIND("vigil", "vigil order"),
    KIND("delta", "delta record"),
    KIND("", "signed object"), /* any other kind */
};

static const struct kind_texts *texts_of(const char *kind)
{
    size_t i = 0;

    while (KINDS[i].kind[0] != '\0' && strcmp(KINDS[i].kind, kind) != 0)
        i++;
    return &KINDS[i];
}

/* ---- writing ---- */

static void put_signature(struct pack *p, const struct sign_secret *secret, const uint8_t *covered,
                          size_t covered_size)
{
    struct sign_public key;
    uint8_t signature[SIGN_SIZE];

    sign_public_of(secret, &key);
    sign_bytes(secret, covered, covered_size, signature);
    pack_bytes(p, key.bytes, sizeof key.bytes);
    pack_bytes(p, signature, sizeof signature);
}

/* Sign what was appended to p->out since it held `start` bytes. */
static void put_signatures(struct pack *p, size_t start, const struct sign_secret *secrets,
                           size_t secret_count)
{
    AUTO_FREE uint8_t *covered = NULL; /* a copy: appending moves the buffer */
    size_t size = buf_size(p->out) - start;

    covered = xalloc(size);
    memcpy(covered, buf_peek(p->out) + start, size);
    pack_u8(p, (uint8_t)secret_count);
    for (size_t i = 0; i < secret_count; i++)
        put_signature(p, &secrets[i], covered, size);
}

struct alb_status signed_seal(const char *kind, unsigned version, const struct buf *body,
                              const struct sign_secret *secrets, size_t secret_count,
                              struct buf *out)
{
    char line[LINE_MOST];
    int n = snprintf(line, sizeof line, "albedo %s %u\n", kind, version);
    size_t start = buf_size(out);
    struct pack p;

    alb_assert(n > 0 && n < LINE_MOST);
    if (secret_count > SIGNED_SIGNATURES_MAX)
        return alb_fail(ALB_INVALID, "more than 16 signatures on one object");
    if (buf_size(body) >
        SIGNED_MAX - LINE_MOST - 5 - SIGNED_SIGNATURES_MAX * (SIGN_PUBLIC_SIZE + SIGN_SIZE))
        return alb_fail(ALB_INVALID, "a signed object is larger than 1 MiB");
    pack_init(&p, out);
    pack_bytes(&p, line, (size_t)n);
    pack_u32(&p, (uint32_t)buf_size(body));
    pack_bytes(&p, buf_peek(body), buf_size(body));
    if (!alb_failed(p.st))
        put_signatures(&p, start, secrets, secret_count);
    return pack_finish(&p);
}

/* ---- reading ---- */

/* Everything behind the domain line, which ends at `line_size`. */
static struct alb_status open_frame(const uint8_t *bytes, size_t size, size_t line_size,
                                    struct signed_view *out)
{
    struct signed_view v = {.covered = bytes};
    struct alb_status st;
    struct unpack u;
    const uint8_t *part;

    unpack_init(&u, bytes + line_size, size - line_size);
    v.body_size = unpack_u32(&u);
    v.body = unpack_bytes(&u, v.body_size);
    v.covered_size = (size_t)(u.at - bytes);
    v.signature_count = unpack_u8(&u);
    if (v.signature_count > SIGNED_SIGNATURES_MAX)
        unpack_fail(&u, "more than 16 signatures on one object");
    for (size_t i = 0; i < v.signature_count && u.error == NULL; i++) {
        part = unpack_bytes(&u, SIGN_PUBLIC_SIZE);
        if (part != NULL)
            memcpy(v.signatures[i].key.bytes, part, SIGN_PUBLIC_SIZE);
        part = unpack_bytes(&u, SIGN_SIZE);
        if (part != NULL)
            memcpy(v.signatures[i].bytes, part, SIGN_SIZE);
        for (size_t j = 0; j < i; j++)
            if (sign_public_equal(&v.signatures[i].key, &v.signatures[j].key))
                unpack_fail(&u, "the same key has signed twice");
    }
    st = unpack_finish(&u);
    if (!alb_failed(st))
        *out = v;
    return st;
}

/* The length of "albedo …\n", or 0. */
static size_t line_size_of(const uint8_t *bytes, size_t size)
{
    static const char START[] = "albedo ";
    const uint8_t *end = memchr(bytes, '\n', size < LINE_MOST ? size : LINE_MOST);

    if (end == NULL || size < sizeof START - 1 || memcmp(bytes, START, sizeof START - 1) != 0)
        return 0;
    return (size_t)(end - bytes) + 1;
}

/* The line is "albedo KIND N\n": is it our kind, and our N? */
static struct alb_status line_check(const char *line, const char *kind, unsigned version)
{
    const struct kind_texts *texts = texts_of(kind);
    size_t kind_size = strlen(kind);
    const char *number = line + strlen("albedo ");
    char expected[LINE_MOST];

    if (strncmp(number, kind, kind_size) != 0 || number[kind_size] != ' ')
        return (struct alb_status){ALB_INVALID, 0, texts->other};
    number += kind_size + 1;
    (void)snprintf(expected, sizeof expected, "%u\n", version);
    if (strcmp(number, expected) == 0)
        return ALB_STATUS_OK;
    if (number[0] >= '0' && number[0] <= '9' && strcmp(number + 1, "\n") == 0)
        return (struct alb_status){ALB_INVALID, 0, texts->versions[number[0] - '0']};
    return (struct alb_status){ALB_INVALID, 0, texts->beyond};
}

struct alb_status signed_open(const void *bytes, size_t size, const char *kind, unsigned version,
                              struct signed_view *out)
{
    size_t line_size = size > SIGNED_MAX ? 0 : line_size_of(bytes, size);
    char line[LINE_MOST + 1] = "";
    struct alb_status st;

    if (size > SIGNED_MAX)
        return alb_fail(ALB_CORRUPT, "a signed object is larger than 1 MiB");
    if (line_size == 0 || memchr(bytes, 0, line_size) != NULL)
        return alb_fail(ALB_CORRUPT, "these bytes are not a signed object of Albedo");
    memcpy(line, bytes, line_size);
    st = line_check(line, kind, version);
    if (alb_failed(st))
        return st;
    return open_frame(bytes, size, line_size, out);
}

struct alb_status signed_check(const struct signed_view *v, const struct sign_public *key)
{
    for (size_t i = 0; i < v->signature_count; i++)
        if (sign_public_equal(&v->signatures[i].key, key))
            return sign_verify(key, v->covered, v->covered_size, v->signatures[i].bytes);
    return alb_fail(ALB_CORRUPT, "the signature of the key that must sign this is missing");
}

struct alb_status signed_open_by(const void *bytes, size_t size, const char *kind, unsigned version,
                                 const struct sign_public *key, struct signed_view *out)
{
    struct signed_view v;
    struct alb_status st = signed_open(bytes, size, kind, version, &v);

    if (alb_failed(st))
        return st;
    /* A second signature would be room for bytes that nobody vouches for. */
    if (v.signature_count != 1)
        return alb_fail(ALB_CORRUPT, "exactly one signature must be here");
    st = signed_check(&v, key);
    if (!alb_failed(st))
        *out = v;
    return st;
}

size_t signed_count(const struct signed_view *v, const struct sign_public *keys, size_t key_count)
{
    size_t count = 0;

    for (size_t i = 0; i < key_count; i++) {
        bool again = false;

        for (size_t j = 0; j < i; j++)
            again = again || sign_public_equal(&keys[i], &keys[j]);
        count += !again && !alb_failed(signed_check(v, &keys[i]));
    }
    return count;
}

struct alb_status signed_add(struct buf *sealed, const struct sign_secret *secret)
{
    size_t line_size = line_size_of(buf_peek(sealed), buf_size(sealed));
    struct signed_view v;
    struct sign_public key;
    struct alb_status st;
    uint8_t *room;

    if (line_size == 0)
        return alb_fail(ALB_CORRUPT, "these bytes are not a signed object of Albedo");
    st = open_frame(buf_peek(sealed), buf_size(sealed), line_size, &v);
    if (alb_failed(st))
        return st;
    sign_public_of(secret, &key);
    for (size_t i = 0; i < v.signature_count; i++)
        if (sign_public_equal(&v.signatures[i].key, &key))
            return alb_fail(ALB_CONFLICT, "this key has signed already");
    if (v.signature_count == SIGNED_SIGNATURES_MAX)
        return alb_fail(ALB_FULL, "more than 16 signatures on one object");
    st = buf_reserve(sealed, SIGN_PUBLIC_SIZE + SIGN_SIZE, &room);
    if (alb_failed(st))
        return st;
    memcpy(room, key.bytes, SIGN_PUBLIC_SIZE);
    sign_bytes(secret, buf_peek(sealed), v.covered_size, room + SIGN_PUBLIC_SIZE);
    sealed->bytes[sealed->head + v.covered_size]++;
    buf_commit(sealed, SIGN_PUBLIC_SIZE + SIGN_SIZE);
    return ALB_STATUS_OK;
}
