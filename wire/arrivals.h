/* SPDX-License-Identifier: Apache-2.0 */
/* wire/arrivals.h – what a reflector tells its siblings that it has fetched: GET /v1/arrivals.
 *
 * An answer is one line, "arrivals NEXT LOST\n", and behind it a batch request (wire/batch.h) that
 * names what came: positions of one list of one root.  Nothing behind it: nothing new.
 */
#pragma once

#include "wire/batch.h"

enum { ARRIVALS_BYTES_MAX = BATCH_REQUEST_MAX + 64 };

struct arrivals_answer {
    uint64_t next; /* to be asked for with ?since= the next time */
    bool has_lost; /* what came between `since` and this is forgotten */
    bool has_some; /* `came` says what */
    struct batch_request came;
};

ALB_MUST_USE struct alb_status arrivals_encode(const struct arrivals_answer *a, struct buf *out);
/* INVALID: no such line, or what is behind it is no batch request. */
ALB_MUST_USE struct alb_status arrivals_decode(const void *bytes, size_t size,
                                               struct arrivals_answer *out);
