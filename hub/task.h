/* SPDX-License-Identifier: Apache-2.0 */
/* hub/task.h – a request whose work is done on a worker, because it touches the catalogue.
 *
 *     LOOP make ──> WORKER run ──> LOOP after ──> LOOP end: answered, released
 *                      ^               │
 *                      └─ start again ─┘
 *
 * run() sees only the task and the hub's constants (options, ledger).  What it leaves in `st`,
 * `why` and `answer` becomes the answer.  When the asker goes away the work goes on and nobody is
 * told.
 */
#pragma once

#include <sys/queue.h>

#include "base/buf.h"
#include "hub/ledger.h"
#include "transfer/serve.h"

struct hub;

struct hub_task {
    struct job job;
    struct hub *hub;
    struct serve_request *rq; /* NULL: nobody asks, or the asker is gone */
    struct identity who;      /* the asker */
    struct buf body;          /* the request's, taken */
    int64_t now_wall_s;       /* trusted time when it was made */
    void (*run)(struct hub_task *t);
    void (*after)(struct hub_task *t);   /* ends in hub_task_end(), now or later; NULL: just ends */
    void (*release)(struct hub_task *t); /* what the task owns beyond this struct; may be NULL */
    struct alb_status st;
    char why[LEDGER_WHY_SIZE]; /* "": the status's own words */
    struct buf answer;
    const char *content_type; /* NULL: application/octet-stream */
    TAILQ_ENTRY(hub_task) link;
};
TAILQ_HEAD(hub_tasks, hub_task);

/* `size` bytes, zeroed, of a struct that begins with a hub_task; takes the request's body. */
void *hub_task_new(struct hub *h, struct serve_request *rq, size_t size);
void hub_task_start(struct hub_task *t, enum job_lane lane, uint64_t work_bytes);
/* Answers and frees. */
void hub_task_end(struct hub_task *t);
/* Set `st` and `why`; a later refusal replaces an earlier one. */
void hub_task_refuse(struct hub_task *t, enum alb_code code, const char *format, ...)
    ALB_PRINTF(3, 4);

/* One line in the log and the audit file: who changed what. */
void hub_audit(const struct identity *who, const char *what, const char *format, ...)
    ALB_PRINTF(3, 4);
