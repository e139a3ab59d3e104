/* SPDX-License-Identifier: Apache-2.0 */
/* hub/bearer.h – tokens of the admin port: "albadm_" and 32 random bytes, base64url.
 *
 * The catalogue keeps "bearer/HEX", HEX being the SHA-256 of a domain string and the token.  All of
 * them are loaded at start: a request must not wait for a disk to learn that it may not ask.
 */
#pragma once

#include "base/key.h"
#include "store/catalogue.h"

enum { BEARER_TEXT_SIZE = 64 };

/* Blocking. */
ALB_MUST_USE struct alb_status bearer_make(struct catalogue *c, char out[BEARER_TEXT_SIZE]);
void bearer_hash(const char *token, struct digest *out);
