/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/record_book.h – heads, version records and lists of delta sets: from memory, the
 * catalogue, or the parent.
 *
 * Names, which are also the catalogue's and, behind "/v1/", the parent's:
 *   head/LAYER                  mutable: asked anew when older than `fresh_ns`
 *   record/LAYER@VERSION        what a version means
 *   record/LAYER@sha256:HEX     the same, by the digest of its signed bytes
 *   record/LAYER@root:HEX       the same, by its root; or the record of the delta set of that root
 *   deltas/LAYER@root:HEX       mutable: the delta sets that lead to that root, smallest first
 * Whatever a parent answers is judged here against the trust file before anyone sees it.  A head is
 * never replaced by one of a lower sequence, nor by one of the same sequence that selects another
 * record; what the catalogue kept from earlier runs counts.  When the parent cannot be reached or
 * is not believed, what is kept is answered, marked stale.  Questions for the same name are asked
 * once.
 *
 * At most 8,192 names are kept in memory beside those being asked for.
 */
#pragma once

#include "transfer/authority.h"

struct record_book;

struct record_book_options {
    struct loop *loop;
    struct catalogue *catalogue; /* borrowed; NULL: memory only */
    struct authority *authority; /* borrowed */
    struct upstream *upstream;   /* borrowed; NULL: the catalogue is the truth (a hub) */
    uint64_t fresh_ns;           /* 0: 5 s */
};

struct record_wait { /* the asker's storage */
    void (*done)(struct record_wait *w, struct alb_status st, const uint8_t *bytes, size_t size,
                 bool is_stale);
    struct record_entry *entry; /* the book's … */
    unsigned turn;              /* … and this   */
    TAILQ_ENTRY(record_wait) link;
};

struct record_book *record_book_new(const struct record_book_options *options);
/* Whoever waits is forgotten; the catalogue must outlive the loop's last jobs. */
struct record_book *record_book_free(struct record_book *b);
/* done comes later, from the loop, once, unless the waiter leaves.  INVALID: no such kind of
 * name. */
void record_book_get(struct record_book *b, const char *name, struct record_wait *w);
void record_book_leave(struct record_book *b, struct record_wait *w);
/* What is held may be outdated: ask again next time.  NULL: every mutable one. */
void record_book_forget(struct record_book *b, const char *name);
