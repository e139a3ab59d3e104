/* SPDX-License-Identifier: Apache-2.0 */
/* wire/token.h – the enrolment token a person carries: alb1.ID.SECRET.PIN
 *
 * ID names it at the hub (10 characters), SECRET proves it (16 bytes, base64url), PIN is what the
 * joiner must find: base64url of SHA-256 of the CA's SubjectPublicKeyInfo, and of trust file 1
 * behind a '~' (absent only in the very first admin token, before trust file 1 exists).
 */
#pragma once

#include "base/key.h"
#include "base/status.h"

enum { TOKEN_ID_SIZE = 11, TOKEN_SECRET_SIZE = 16, TOKEN_TEXT_SIZE = 192 };

struct token {
    char id[TOKEN_ID_SIZE];
    uint8_t secret[TOKEN_SECRET_SIZE];
    struct digest ca_pin;
    bool has_trust_pin;
    struct digest trust_pin;
};

/* A fresh id and secret; the pins are the caller's. */
void token_make(struct token *out);
void token_format(const struct token *t, char *out /* TOKEN_TEXT_SIZE */);
/* INVALID with what is wrong: not a token, cut short, a character that cannot be. */
ALB_MUST_USE struct alb_status token_parse(const char *text, struct token *out);
/* What the hub stores instead of the secret: SHA-256 over a domain string, id and secret. */
void token_hash(const struct token *t, struct digest *out);

void base64url_encode(const void *bytes, size_t size, char *out /* 4*(size+2)/3 + 1 */);
ALB_MUST_USE struct alb_status base64url_decode(const char *text, void *out, size_t out_size,
                                                size_t *size);
