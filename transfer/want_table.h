/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/want_table.h – ask upstream once, answer everyone who asked us.
 *
 * When forty endpoints want the same chunk, the branch link must carry it once.  The table holds
 * one `want` for each chunk being looked for and, on each want, the list of waiters.  The first
 * waiter starts the search; the rest only join.  When it ends, all waiters hear the same outcome,
 * in the order they asked.
 *
 * A want carries where its chunk may be asked for: {layer, root, list, position} of one of its
 * waiters. When that place says no, want_table_failed() turns to another waiter's place with
 * another root, and only when no place is left does anyone hear of it.
 *
 * A waiter that loses interest calls want_table_leave(); a want whose last waiter left goes on when
 * it has been asked for, since what is on its way is nearly paid for and goes into the store.
 *
 * Limits: `max_wants` searches at once, `max_waiters` in all.  Beyond either want_table_ask()
 * refuses with ALB_FULL and starts nothing.
 */
#pragma once

#include <sys/queue.h>

#include "base/map.h"
#include "base/units.h"
#include "chunk/chunk.h"
#include "wire/root.h"

/* How to ask a parent for a chunk: never by its digest alone (DESIGN §7). */
struct where {
    char layer[NAME_MAX_SIZE];
    struct digest root;
    enum chunk_list list;
    uint32_t position;
    uint32_t raw_bytes; /* most the chunk can be; 0: not known, CHUNK_RAW_MAX is assumed */
};

struct want;

/* How far a search may go for a waiter. */
enum want_reach {
    REACH_PARENT, /* to the parent, if need be                                               */
    REACH_COMING, /* a sibling asks: what is here, or looked for here for somebody else      */
    REACH_BESIDE, /* a sibling is asked, the parent is not                                   */
    REACH_HELD,   /* a sibling asks that is to fetch first: what is here, or asked for above */
};
enum want_stage { WANT_LOOKING, WANT_BESIDE, WANT_FETCHING };

/* One who waits; the storage is the asker's and must live until done() or leave(). */
struct waiter {
    /* `chunk` is borrowed (take a reference to keep it) and NULL unless `st` is OK. */
    void (*done)(struct waiter *w, struct alb_status st, struct chunk *chunk);
    struct where where;
    enum want_reach reach;
    struct want *want;        /* the table's; NULL while not waiting here */
    bool refused;             /* the table's: this place said no          */
    struct alb_status st;     /* supply's: an outcome to be told          */
    struct chunk *chunk;      /* supply's                                 */
    bool is_answered;         /* supply's: `st` is waiting to be told     */
    TAILQ_ENTRY(waiter) link; /* the table's or supply's                  */
};
TAILQ_HEAD(waiter_list, waiter);

struct want {
    struct chunk_key key;
    struct where where;         /* the place being asked */
    enum want_stage stage;      /* supply's */
    struct beside_ask *beside;  /* supply's: under way while its stage is BESIDE */
    struct waiter_list waiters; /* may be empty: everybody left */
    uint64_t since_ns;
    /* Whoever searches: bad answers at this place, failures in a row, when to try again, its
     * queue. */
    unsigned tries, failures;
    uint64_t retry_ns;
    struct layer_job *job;  /* … the job it counts for (layer_jobs.h); NULL: none */
    uint64_t charged_bytes; /* … and what it was charged when it was asked for    */
    TAILQ_ENTRY(want) link;
};
TAILQ_HEAD(want_list, want);

struct want_table {
    struct map wants;
    size_t waiters;
    size_t max_wants, max_waiters;
    uint64_t started, joined, refused; /* counters */
};

void want_table_init(struct want_table *t, size_t max_wants, size_t max_waiters);
/* Frees what is left; no waiter is told. */
void want_table_release(struct want_table *t);

/* Join or start.  *started is the new want, or NULL when one was there.  ALB_FULL: nothing
 * happened. */
ALB_MUST_USE struct alb_status want_table_ask(struct want_table *t, const struct chunk_key *key,
                                              struct waiter *waiter, uint64_t now_ns,
                                              struct want **started);
void want_table_leave(struct want_table *t, struct waiter *waiter);

/* The search ended: every waiter hears, the want is freed. */
void want_table_finish(struct want_table *t, struct want *want, struct alb_status st,
                       struct chunk *chunk);
/* `want->where` said no.  True: it now names another place, ask there; false: no place is left. */
bool want_table_next_place(struct want *want);
