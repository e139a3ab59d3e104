/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/prefetch.h – a reflector fills itself with a version because it was told to, before
 * anybody there asks for it.
 *
 *     "prefetch ORDER ROOT LAYER" ──> open the root ──> PASS: which positions are in the store?
 *        ^                                               │ (worker)      the others: supply_ask
 *        │ again: nothing twice                          v
 *        └─── rest ──────────────── lacking ─────── end of the pass ── all there ──> HELD
 *
 * Whatever is fetched goes the way of everything else (supply, want_table, fetch, the line's
 * policy and its controller), so it joins what endpoints ask for, is verified and kept, yields to
 * others, and a line that comes back goes on where it was.  An order is not written down: whoever
 * gave it says it again to a box that began anew, which then finds in its store what came before.
 * HELD means that every chunk was seen in the store behind the last one that came.
 *
 * One order runs at a time, in the order they came.  Bounded: PREFETCH_ORDERS wait or run, as many
 * ended ones are remembered; PREFETCH_SLOTS chunks are asked for ahead.  A version that the store
 * has no room for fails as soon as the first chunk is not kept.
 */
#pragma once

#include "transfer/root_book.h"
#include "transfer/upstream.h"
#include "wire/prefetch.h"

enum { PREFETCH_ORDERS = 16, PREFETCH_SLOTS = 512 };

struct prefetcher;
struct prefetcher_options {
    struct loop *loop;
    struct upstream *upstream; /* for reports; borrowed, as is all of this */
    struct root_book *roots;
    struct supply *supply; /* has a store */
    const char *device;    /* ours */
    /* What the line does: "up", "down", "paused" …; borrowed. */
    const char *(*line)(void *arg);
    void *arg;
};
struct prefetcher *prefetcher_new(const struct prefetcher_options *options);
struct prefetcher *prefetcher_free(struct prefetcher *p); /* before the others; NULL is fine */

/* What follows "for US " in an event line.  False: it is not about prefetching. */
bool prefetcher_hear(struct prefetcher *p, const char *rest);

struct prefetcher_figures {
    size_t open; /* orders that wait or run */
    uint64_t orders, refused, held, failed;
    uint64_t chunks, bytes; /* that came for orders, as they travelled */
};
void prefetcher_figures(const struct prefetcher *p, struct prefetcher_figures *out);
struct json_writer;
/* As an object "prefetch" of a status: figures, and each order. */
void prefetcher_show(const struct prefetcher *p, struct json_writer *w);
