/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/fetch_queue.h – wants that are not being asked for now, grouped as batches will ask.
 *
 * Wants for the same {layer, root, list} form a group; a batch is taken from one group, and the
 * groups take turns, so that a version of a hundred thousand chunks does not hold up one of three.
 * Adding and taking cost the same however many wait.
 *
 * A want that failed for now rests first: half a second, then twice as long each time, up to 30 s,
 * ± 25 %.
 *
 * A want is found here by want->link; whoever takes it out owns it again.
 */
#pragma once

#include "net/loop.h"
#include "transfer/want_table.h"

enum { FETCH_RESTS = 7 /* 0.5 s << 6 is over 30 s */ };

TAILQ_HEAD(fetch_groups, fetch_group);

struct fetch_queue {
    struct loop *loop; /* for the jitter */
    struct map groups;
    struct fetch_groups turns;           /* the next to be taken from is first */
    struct want_list rests[FETCH_RESTS]; /* by length of rest, oldest first     */
    size_t ready, resting;
    /* May a batch be asked of the group that has this want?  NULL: always. */
    bool (*may_ask)(void *arg, const struct want *want);
    void *may_ask_arg;
};

void fetch_queue_init(struct fetch_queue *q, struct loop *loop);
/* Forgets the wants; they are the table's. */
void fetch_queue_release(struct fetch_queue *q);

void fetch_queue_add(struct fetch_queue *q, struct want *want);
/* Was asked for and lost with the line: before the others of its group. */
void fetch_queue_put_back(struct fetch_queue *q, struct want *want);
/* After its want->failures-th failure (from 1). */
void fetch_queue_rest(struct fetch_queue *q, struct want *want);
/* End the rests that are over.  When the next one ends, or 0: nobody rests. */
uint64_t fetch_queue_wake(struct fetch_queue *q);

/* Ready wants by group, for who asks when they may; the next after `g`, the first after NULL. */
const struct fetch_group *fetch_queue_next(const struct fetch_queue *q, const struct fetch_group *g,
                                           const struct want **first);
/* The first want of the group whose turn it is, of those that may; NULL: nothing is ready. */
const struct want *fetch_queue_peek(const struct fetch_queue *q);
/* Take that group's wants for one batch: at most `max_count`, and at most `max_bytes` by
 * fetch_queue_most_bytes() but always one.  How many; 0: nothing is ready. */
size_t fetch_queue_take(struct fetch_queue *q, struct want **out, size_t max_count,
                        uint64_t max_bytes);
/* Take, of all groups, wants that nobody waits for any more. */
size_t fetch_queue_take_abandoned(struct fetch_queue *q, struct want **out, size_t max_count);
/* Take whatever there is, may it be asked for or not, resting or not. */
size_t fetch_queue_take_any(struct fetch_queue *q, struct want **out, size_t max_count);
/* The most a batch item for it can be, its head included. */
uint64_t fetch_queue_most_bytes(const struct want *want);
