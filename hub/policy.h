/* SPDX-License-Identifier: Apache-2.0 */
/* hub/policy.h – the policy, the list of overrides and that of states, one of each: kept, numbered,
 * signed, told.
 *
 *     "policy"    the rules (wire/policy.h), in the envelope of wire/policy_seal.h
 *     "override"  what operators said for a while, the newest first, in the same way
 *     "states"    what they said of single reflectors (wire/states.h), likewise
 *
 *     LOOP request ──> WORKER read it, judge all of it, number + 1, sign, compare-and-swap, audit
 *                        └──> LOOP policy_book_take() ──> event to all below, answered
 *
 * Whoever swaps has set it: a crash before the answer leaves the new one, and setting the same
 * again changes nothing.
 */
#pragma once

#include "hub/ledger.h"
#include "wire/policy.h"
#include "wire/policy_seal.h"

struct hub;
struct json_writer;
struct serve_request;

/* One of the three as the catalogue has it. */
struct policy_record {
    struct policy_seal seal; /* number 0 and no text: there is none yet */
    uint64_t swap_version;
    struct buf bytes; /* what `seal` shows */
};
void policy_record_init(struct policy_record *r);
void policy_record_release(struct policy_record *r);
/* Is this the text that it has? */
bool policy_record_says(const struct policy_record *r, const struct buf *text);

/* These block. */
ALB_MUST_USE struct alb_status policy_record_read(const struct ledger *l, enum policy_part part,
                                                  struct policy_record *out);
/* Sign `text` as the one after `before` and swap it in; `out` is empty, and gets the signed bytes.
 * CONFLICT: somebody else was first. */
ALB_MUST_USE struct alb_status policy_record_write(const struct ledger *l, enum policy_part part,
                                                   const struct policy_record *before,
                                                   const struct buf *text, int64_t now_wall_s,
                                                   struct buf *out);

/* "warnings", texts, of the object being written: what was found and not seen before, such as a
 * rule for a site that the directory does not have; nothing when that is nothing. */
void policy_put_warnings(const struct policy_findings *seen, const struct policy_findings *found,
                         struct json_writer *w);

/* policy.c: at start (blocking), and POST /v1/policy-put */
ALB_MUST_USE struct alb_status hub_load_policy(struct hub *h);
void hub_handle_policy_put(void *hub, struct serve_request *rq);
/* A document was swapped in by a task: put it in force, and tell. */
ALB_MUST_USE struct alb_status hub_policy_in_force(struct hub *h, enum policy_part part,
                                                   const struct buf *sealed);

/* policy_override.c: POST /v1/override-put, /v1/override-end */
void hub_handle_override_put(void *hub, struct serve_request *rq);
void hub_handle_override_end(void *hub, struct serve_request *rq);
