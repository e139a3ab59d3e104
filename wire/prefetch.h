/* SPDX-License-Identifier: Apache-2.0 */
/* wire/prefetch.h – a reflector told to hold a version before anybody there asks for it, and what
 * it says of that.
 *
 *     hub ── "for R prefetch ORDER ROOT LAYER" ──> R        event; "for R prefetch-end ORDER"
 *     R ── POST /v1/prefetched, JSON ──> … ──> hub          on each change, at least every 20 s
 *
 * The order is not signed: who passes it on can have a reflector fetch, from itself, what that
 * reflector's own grant covers, and nothing else.  A version is named by its root, so that what is
 * held is what was meant.  The report is a claim of that reflector.  PROTOCOL.md, "Prefetching".
 */
#pragma once

#include "base/buf.h"
#include "base/key.h"
#include "base/units.h"

enum {
    PREFETCH_ID_SIZE = 18, /* 'f' and 16 hexadecimal digits */
    PREFETCH_WHY_SIZE = 161,
    PREFETCH_BODY_MAX = 4 << 10,
};
#define PREFETCH_PATH "/v1/prefetched"
#define PREFETCH_WORD_NS (20 * NS_PER_S) /* one that runs says so at least that often */

enum prefetch_state {
    PREFETCH_WAITS,    /* for another order's end, or to try again: why */
    PREFETCH_FETCHING, /* looking for what is lacking, and asking for it */
    PREFETCH_HELD,     /* every chunk of it was found in the store */
    PREFETCH_FAILED,   /* given up: why */
};
const char *prefetch_state_word(enum prefetch_state state); /* "waits", "fetching", … */

/* ---- the order ---- */

struct prefetch_order {
    char id[PREFETCH_ID_SIZE];
    bool is_end; /* forget it: root and layer are not said */
    struct digest root;
    char layer[NAME_MAX_SIZE];
};
/* "f…": one that nobody has. */
void prefetch_id_make(char out[PREFETCH_ID_SIZE]);
/* What follows "for R " in the event line. */
ALB_MUST_USE struct alb_status prefetch_order_write(const struct prefetch_order *o,
                                                    struct buf *out);
/* NOT_FOUND: it is about something else.  INVALID. */
ALB_MUST_USE struct alb_status prefetch_order_read(const char *rest, struct prefetch_order *out);

/* ---- the report ---- */

struct prefetch_report {
    char device[64], order[PREFETCH_ID_SIZE];
    enum prefetch_state state;
    uint64_t chunks, chunks_here; /* 0 of 0: not known yet */
    uint64_t bytes, bytes_here;   /* of them, expanded: what is known beforehand */
    uint64_t fetched_bytes;       /* as they came from the parent, for this order */
    char line[16];                /* "up", "down", "paused", … as GET /v1/here has it */
    char why[PREFETCH_WHY_SIZE];  /* one line, or "" */
};
ALB_MUST_USE struct alb_status prefetch_report_encode(const struct prefetch_report *r,
                                                      struct buf *out);
/* INVALID names the member that is wrong. */
ALB_MUST_USE struct alb_status prefetch_report_decode(const void *bytes, size_t size,
                                                      struct prefetch_report *out);
