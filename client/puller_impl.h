/* SPDX-License-Identifier: Apache-2.0 */
/* client/puller_impl.h – what a puller is made of; for puller*.c only. */
#pragma once

#include "client/puller.h"

/* Something on a worker.  `over` runs on the loop and frees it; the puller may be gone (NULL). */
struct task {
    struct job job;
    struct puller *puller;
    struct chunk_sink *sink;
    struct alb_status st;
    void (*over)(struct puller *p, struct task *t);
    TAILQ_ENTRY(task) link;
};
TAILQ_HEAD(tasks, task);

struct chore { /* prepare, one unit of it, plan or seal */
    struct task task;
    const struct root_view *view;
    unsigned round;
    size_t unit, units;
    uint32_t *positions;
    size_t count;
};

struct morsel { /* one chunk: asked for (in p->morsels), then being put (in p->tasks) */
    struct task task;
    struct waiter waiter;
    struct chunk *chunk;
    uint32_t position;
    uint64_t raw_bytes;
    TAILQ_ENTRY(morsel) link;
};
TAILQ_HEAD(morsels, morsel);

struct puller {
    struct puller_options options;
    enum puller_state state;
    char *layer, *version;
    char which[DIGEST_HEX_SIZE + NAME_MAX_SIZE]; /* of the record that is asked for */
    struct record_wait record_wait;
    bool waits_record, waits_root;
    struct root_wait root_wait;
    const struct root_view *view;
    struct version_record record;
    size_t next_unit;
    uint32_t *positions;
    size_t count, next, in_flight, retries;
    uint64_t in_flight_bytes;
    struct morsels morsels;
    struct tasks tasks;
    struct alb_status st;
    struct puller_progress progress;
    struct timer again_timer, end_timer;
};

/* ---- puller.c */
/* Run on a worker; task_done() and then `over` follow on the loop. */
void puller_submit(struct puller *p, struct task *t, void (*run)(struct job *),
                   uint64_t work_bytes);
/* All that was planned was put. */
void puller_seal(struct puller *p);
/* The first status counts; the owner hears it from the loop once nothing is under way. */
void puller_finish(struct puller *p, struct alb_status st);

/* ---- puller_fetch.c */
/* Ask for what may be asked for now; seal when there is no more. */
void puller_ask_more(struct puller *p);
