/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/supply.h – "give me this chunk": from memory, from the store, or from the parent, once.
 *
 *     supply_ask → memory? → told soon
 *                → want_table: first to ask? → LOOK in the store (worker) → here: told
 *                                                       → not here: fetch.c
 *                                                                   → verified → keeper, told
 *
 * A hub has no parent: what its store lacks is NOT_FOUND.  An endpoint has no store.  With siblings
 * (sibling.h) one of them is asked before the parent.  A chunk found damaged in the store is
 * dropped there and fetched anew.  Hot chunks stay in a bounded memory cache.  What the store has
 * no room for is passed on all the same, and counted (not_kept).
 */
#pragma once

#include "transfer/fetch.h"
#include "transfer/keeper.h"
#include "transfer/want_table.h"

struct sibling;
struct supply;

struct supply_options {
    struct loop *loop;
    struct chunk_store *store; /* borrowed; NULL: none */
    struct keeper *keeper;     /* borrowed; NULL exactly when store is */
    struct upstream *upstream; /* borrowed; NULL: none */
    struct layer_jobs *jobs;   /* what may be asked of it when; borrowed; NULL: all */
    /* Without a parent: the store cannot give what was asked for, and why.  NULL: nobody minds. */
    void (*lost)(void *arg, const struct chunk_key *key, struct alb_status why);
    void *lost_arg;
    /* Who is asked before the parent is, at this moment; NULL, or answers NULL: nobody. */
    struct sibling *(*beside)(void *arg);
    /* Something came from the parent; NULL: nobody minds. */
    void (*arrived)(void *arg, const struct where *where);
    void *beside_arg;
    bool only_held;       /* the parent is asked only for what it holds itself */
    uint64_t cache_bytes; /* memory for hot chunks; 0: 64 MiB */
    size_t max_wants;     /* 0: 65,536 */
    size_t max_waiters;   /* 0: 262,144 */
    size_t max_batches;   /* 0: fetch.h's default */
    uint64_t max_outstanding_bytes;
};

struct supply_stats {
    uint64_t asked; /* chunks asked of us                                   */
    uint64_t from_memory, from_store, from_parent; /* how they were answered          */
    uint64_t bytes_from_memory, bytes_from_store, bytes_from_parent; /* stored bytes  */
    uint64_t from_sibling, bytes_from_sibling;
    uint64_t failed, joined, damaged, not_kept;
    uint64_t cache_bytes;
    struct fetcher_stats fetch; /* zero without a parent */
};

struct supply *supply_new(const struct supply_options *options);
/* Waiters still waiting are forgotten, not told.  The store and the keeper must outlive what
 * they are doing for it: free the keeper once it is idle, the store after the loop ran its last
 * jobs. */
struct supply *supply_free(struct supply *s);

/* waiter->where says how a parent may be asked.  waiter->done comes later, from the loop,
 * exactly once, FULL (too many wait) included, unless the waiter leaves before. */
void supply_ask(struct supply *s, const struct chunk_key *key, struct waiter *waiter);
/* Harmless once done() was called. */
void supply_leave(struct supply *s, struct waiter *waiter);
/* What is asked of the parent: at first whatever is not here; what was asked already, to the end;
 * nothing, and what was asked is given up.  What is not here then is NOT_FOUND at once. */
enum supply_fetching { SUPPLY_FETCHES, SUPPLY_FINISHES, SUPPLY_FETCHES_NOTHING };
void supply_set_fetching(struct supply *s, enum supply_fetching fetching);
/* Memory lets go of all chunks; those that are being sent stay until they are. */
void supply_forget(struct supply *s);
/* Somebody who asks here lacks so many stored bytes of a layer still: for its deadline. */
void supply_tell_left(struct supply *s, const char *layer, uint64_t bytes);
void supply_stats(const struct supply *s, struct supply_stats *out);
/* What who waits here is told: how many chunks we wait for ourselves, and how many bytes per second
 * the parent brings of late; 0: not known, or none. */
void supply_queue(struct supply *s, uint32_t *before, uint64_t *bps);
/* Where it keeps chunks, for who explains; NULL: it has none. */
struct chunk_store *supply_store(const struct supply *s);
