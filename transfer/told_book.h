/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/told_book.h – reports of pulls on their way up: kept until the parent has them.
 *
 *     take ──> written ──> done() ──> (rest) ──> POST /v1/told, 64 at once ──> 2xx: forgotten
 *                                        ^                                  │
 *                                        └── 30 s … 10 min later ── not ────┘
 *
 * Each step answers only when the next keeper has it on its disk, and the hub counts each report
 * once (wire/told.h), so a broken line costs time, and never a report or a second count.  Bounded
 * by `most`.  When the line comes back they wait a random while, since those of all branches come
 * back at once.  What the parent calls wrong is told in the log (event=told.refused) and dropped.
 */
#pragma once

#include "store/catalogue.h"
#include "transfer/upstream.h"
#include "wire/told.h"

struct told_book;
struct told_taking;

struct told_book_options {
    struct loop *loop;
    struct catalogue *catalogue; /* borrowed; NULL: memory only */
    /* Of its records there, "told/" when NULL; borrowed.  Books that are open at the same time have
     * one each. */
    const char *prefix;
    /* Records are named by the reports' own numbers: short-lived books of one device may share a
     * prefix.  Should two send the same one, the hub counts it once. */
    bool by_number;
    struct upstream *upstream; /* borrowed, outlives the book */
    size_t most;               /* kept at once; 0: 4,096 */
    bool forgets_oldest;       /* when full; else what comes then is refused as FULL */
    uint64_t rest_ns;          /* what comes within it, about, travels together */
    uint64_t herd_ns;          /* at most this long after the line is back; 0: as rest_ns */
};

/* Blocking: reads what is kept; what cannot be read is told of in the log and left out. */
struct told_book *told_book_open(const struct told_book_options *options);
/* Those under way hear nothing more; what is being written is written. */
struct told_book *told_book_close(struct told_book *b);

/* done() comes from the loop, once, unless cancelled: OK when all of them are on the disk, FULL
 * when there is no room for all, or what the catalogue says.  They are copied. */
struct told_taking *told_book_take(struct told_book *b, const struct told *list, size_t count,
                                   void (*done)(void *arg, struct alb_status st), void *arg);
void told_book_cancel(struct told_taking *t);

/* Reports of one device, those being written included. */
size_t told_book_count_of(const struct told_book *b, const char *device);

struct told_book_figures {
    uint64_t kept;               /* not delivered yet; those being written included */
    uint64_t delivered, dropped; /* dropped: refused by the parent, or forgotten when full */
    int64_t oldest_wall_s;       /* when the oldest that is written ended; 0: none is */
};
void told_book_figures(const struct told_book *b, struct told_book_figures *out);
