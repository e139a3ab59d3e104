/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/arrivals.h – what came from the parent of late, in a ring, for siblings that mirror it.
 *
 * Each arrival has a number; numbers begin with 1 at each start.  The ring holds ARRIVALS_MOST:
 * whoever asks for what was overwritten is told that something is lost, and gets what is left.
 * What a sibling brought is not put in: it came from one who says so itself.
 */
#pragma once

#include "transfer/want_table.h"
#include "wire/arrivals.h"

enum { ARRIVALS_MOST = 8192 };

struct arrivals {
    struct where *ring; /* NULL: nothing came yet */
    uint64_t last;      /* number of the newest; 0: none */
};

/* A zeroed struct is empty. */
void arrivals_release(struct arrivals *a);
void arrivals_add(struct arrivals *a, const struct where *where);
/* What came behind number `since`, of one list, a batch at most.  What the asker may not read is
 * passed over; `may_read` NULL: all may be read. */
void arrivals_after(const struct arrivals *a, uint64_t since,
                    bool (*may_read)(const void *arg, const char *layer), const void *arg,
                    struct arrivals_answer *out);
