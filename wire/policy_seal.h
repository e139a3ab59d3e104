/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_seal.h – the policy, the overrides in force, and reflectors' states, as the hub signs
 * and numbers them.
 *
 * Three kinds of one shape: an envelope around the canonical JSON of wire/policy.h and
 * wire/states.h.  Each has numbers of its own, 1, 2, 3 …; whoever holds one takes only a higher
 * number, so that nobody on the way can bring back what was in force before.  What is sealed is
 * judged here as far as it is signed; what it says is read by policy_doc_decode(),
 * policy_overrides_decode() and states_decode().
 */
#pragma once

#include "base/buf.h"
#include "base/crypto.h"
#include "base/units.h"
#include "wire/signed.h"
#include "wire/trust.h"

enum policy_part { POLICY_RULES, POLICY_OVERRIDES, POLICY_STATES };
enum { POLICY_PARTS = 3 };
/* Room is left for the envelope. */
enum { POLICY_TEXT_MAX = SIGNED_MAX - 4096 };

struct policy_seal {
    char org[NAME_MAX_SIZE];
    uint64_t number; /* ≥ 1 */
    int64_t issued_wall_s;
    const void *text; /* borrowed: the caller's, or within the bytes that were decoded */
    size_t text_size; /* 1 … POLICY_TEXT_MAX */
};

/* "policy", "override", "states": catalogue's name, event, and behind "/v1/" the request. */
const char *policy_part_name(enum policy_part part);

ALB_MUST_USE struct alb_status policy_seal_encode(enum policy_part part,
                                                  const struct policy_seal *s,
                                                  const struct sign_secret *hub, struct buf *out);
/* Signature, format and organisation.  REFUSED when `trust` is NULL; CORRUPT when anybody but the
 * hub's online key signed it; the number is the caller's to judge. */
ALB_MUST_USE struct alb_status policy_seal_decode(enum policy_part part, const void *bytes,
                                                  size_t size, const struct trust *trust,
                                                  struct policy_seal *out);
