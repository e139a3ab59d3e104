/* SPDX-License-Identifier: Apache-2.0 */
/* wire/token.c – enrolment tokens and base64url (RFC 4648 §5, without padding). */
#include "wire/token.h"

#include <stdio.h>

#include "base/crypto.h"

static const char PREFIX[] = "alb1.";
/* 32 letters that are not mistaken for each other when read aloud or typed: no l, o, 0, 1. */
static const char ID_LETTERS[] = "abcdefghijkmnpqrstuvwxyz23456789";
static const char BASE64URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum {
    ID_LENGTH = TOKEN_ID_SIZE - 1,
    SECRET_LENGTH = 22, /* 16 bytes in base64url */
    PIN_LENGTH = 43,    /* 32 bytes              */
};

/* ---- base64url ---- */

void base64url_encode(const void *bytes, size_t size, char *out)
{
    const uint8_t *in = bytes;
    unsigned bits = 0, held = 0;

    for (size_t i = 0; i < size; i++) {
        held = held << 8 | in[i];
        for (bits += 8; bits >= 6; bits -= 6)
            *out++ = BASE64URL[held >> (bits - 6) & 63];
        held &= 63;
    }
    if (bits > 0)
        *out++ = BASE64URL[held << (6 - bits) & 63];
    *out = '\0';
}

static int value_of(char c)
{
    const char *at = c == '\0' ? NULL : strchr(BASE64URL, c);

    return at == NULL ? -1 : (int)(at - BASE64URL);
}

struct alb_status base64url_decode(const char *text, void *out, size_t out_size, size_t *size)
{
    uint8_t *bytes = out;
    unsigned bits = 0, held = 0;
    size_t length = strlen(text), n = 0;

    if (length % 4 == 1)
        return alb_fail(ALB_INVALID, "base64url text was cut short");
    if (length / 4 * 3 + (length % 4 > 0 ? length % 4 - 1 : 0) > out_size)
        return alb_fail(ALB_INVALID, "base64url text is too long");
    for (size_t i = 0; i < length; i++)
        if (value_of(text[i]) < 0)
            return alb_fail(ALB_INVALID, "not a character of base64url (A-Z, a-z, 0-9, -, _)");
    for (size_t i = 0; i < length; i++) {
        held = (held << 6 | (unsigned)value_of(text[i])) & 0xffff;
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        bytes[n++] = (uint8_t)(held >> bits);
    }
    if ((held & ((1U << bits) - 1)) != 0)
        return alb_fail(ALB_INVALID, "base64url text ends in bits that mean nothing");
    *size = n;
    return ALB_STATUS_OK;
}

/* ---- token ---- */

void token_make(struct token *out)
{
    uint8_t noise[ID_LENGTH];
    struct token t = {.has_trust_pin = false};

    random_bytes(noise, sizeof noise);
    for (size_t i = 0; i < ID_LENGTH; i++)
        t.id[i] = ID_LETTERS[noise[i] % (sizeof ID_LETTERS - 1)];
    random_bytes(t.secret, sizeof t.secret);
    *out = t;
}

void token_format(const struct token *t, char *out)
{
    char secret[SECRET_LENGTH + 3], ca[PIN_LENGTH + 3], trust[PIN_LENGTH + 3] = "";
    int n;

    base64url_encode(t->secret, sizeof t->secret, secret);
    base64url_encode(t->ca_pin.bytes, DIGEST_SIZE, ca);
    if (t->has_trust_pin)
        base64url_encode(t->trust_pin.bytes, DIGEST_SIZE, trust);
    n = snprintf(out, TOKEN_TEXT_SIZE, "%s%s.%s.%s%s%s", PREFIX, t->id, secret, ca,
                 t->has_trust_pin ? "~" : "", trust);
    alb_assert(n > 0 && n < TOKEN_TEXT_SIZE);
}

/* Decode exactly `length` characters that must be followed by one of `ends`; moves *text behind
 * that one (or onto the terminating zero). */
static struct alb_status take_part(const char **text, size_t length, const char *ends, void *out,
                                   size_t out_size)
{
    char part[PIN_LENGTH + 1];
    size_t size = strcspn(*text, ".~");

    if (size < length)
        return alb_fail(ALB_INVALID, "the token was cut short");
    if (size > length || ((*text)[size] != '\0' && strchr(ends, (*text)[size]) == NULL))
        return alb_fail(ALB_INVALID, "the token has more in it than a token can");
    if ((*text)[size] == '\0' && ends[0] == '.')
        return alb_fail(ALB_INVALID, "the token was cut short");
    memcpy(part, *text, length);
    part[length] = '\0';
    *text += length + ((*text)[length] != '\0' ? 1 : 0);
    return base64url_decode(part, out, out_size, &size);
}

static struct alb_status take_id(const char **text, char *out)
{
    size_t size = strcspn(*text, ".");

    if (strspn(*text, ID_LETTERS) < size && strspn(*text, ID_LETTERS) < ID_LENGTH)
        return alb_fail(ALB_INVALID, "the token holds a character that cannot be in one");
    if (size < ID_LENGTH || (*text)[size] == '\0')
        return alb_fail(ALB_INVALID, "the token was cut short");
    if (size > ID_LENGTH)
        return alb_fail(ALB_INVALID, "the token has more in it than a token can");
    memcpy(out, *text, ID_LENGTH);
    out[ID_LENGTH] = '\0';
    *text += ID_LENGTH + 1;
    return ALB_STATUS_OK;
}

static struct alb_status take_pins(const char **text, struct token *t)
{
    struct alb_status st = take_part(text, PIN_LENGTH, "~", t->ca_pin.bytes, DIGEST_SIZE);

    if (alb_failed(st))
        return st;
    t->has_trust_pin = (*text)[-1] == '~';
    if (t->has_trust_pin)
        st = take_part(text, PIN_LENGTH, "", t->trust_pin.bytes, DIGEST_SIZE);
    return st;
}

struct alb_status token_parse(const char *text, struct token *out)
{
    struct token t = {.has_trust_pin = false};
    struct alb_status st;

    if (strncmp(text, PREFIX, sizeof PREFIX - 1) != 0)
        return alb_fail(ALB_INVALID, "not an enrolment token: one begins with alb1.");
    text += sizeof PREFIX - 1;
    if (text[strcspn(text, " \t\r\n")] != '\0')
        return alb_fail(ALB_INVALID, "the token has a blank or a line break in it");
    st = take_id(&text, t.id);
    if (!alb_failed(st))
        st = take_part(&text, SECRET_LENGTH, ".", t.secret, sizeof t.secret);
    if (!alb_failed(st))
        st = take_pins(&text, &t);
    if (!alb_failed(st))
        *out = t;
    return st;
}

void token_hash(const struct token *t, struct digest *out)
{
    struct hasher *h = hasher_new();
    static const char DOMAIN[] = "albedo token 1\n";

    hasher_add(h, DOMAIN, sizeof DOMAIN - 1);
    hasher_add(h, t->id, ID_LENGTH);
    hasher_add(h, t->secret, sizeof t->secret);
    hasher_finish(h, out);
    (void)hasher_free(h);
}
