/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/enrol.h – the one request that is made without a certificate: POST /v1/enrol.
 *
 * The hub is believed because its CA's public key is the one that the token names.  Blocking: it
 * runs a loop of its own.
 */
#pragma once

#include "transfer/upstream.h"
#include "wire/json.h"
#include "wire/token.h"

struct enrolment {
    struct upstream_place hub;
    const struct token *token;
    const char *name; /* proposed, or "" */
    const char *csr_pem;
};

enum { ENROL_MESSAGE_SIZE = 512 };

/* The answer is checked against the token: its CA is the pinned one, its certificate names what it
 * says.  On failure `message` holds the hub's words, or "" when it said none. */
ALB_MUST_USE struct alb_status enrol(const struct enrolment *e, struct enrol_answer *out,
                                     char message[ENROL_MESSAGE_SIZE]);
