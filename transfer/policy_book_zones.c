/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/policy_book_zones.c – time zone files, looked at once a minute by a worker: the disk
 * that they are on may be slow, or a network's. */
#include "base/alloc.h"
#include "base/log.h"
#include "transfer/policy_book_impl.h"

/* A job sees only itself. */
struct zones_check {
    struct job job;
    struct policy_book *book; /* NULL once the book is gone */
    struct zones_reading *reading;
};

static void check_run(struct job *job)
{
    zones_reading_run(ALB_CONTAINER(job, struct zones_check, job)->reading);
}

static void check_done(struct job *job)
{
    struct zones_check *c = ALB_CONTAINER(job, struct zones_check, job);
    struct policy_book *b = c->book;

    if (b == NULL) {
        zones_reading_free(c->reading);
    } else {
        b->checking = NULL;
        if (policy_zones_end(b->policy, c->reading)) {
            log_event(LOG_INFO, "policy.zones",
                      "what=\"time zone files were replaced; read anew\"");
            policy_book_look_soon(b);
        }
    }
    free(c);
}

/* Where one takes longer than a minute it is not asked twice. */
void policy_book_check_zones(struct policy_book *b)
{
    if (b->checking != NULL)
        return;
    struct zones_check *c = xalloc(sizeof *c);

    c->book = b;
    c->reading = policy_zones_begin(b->policy);
    c->job = (struct job){.run = check_run, .done = check_done, .lane = JOB_SHARED};
    b->checking = c;
    loop_submit(b->options.loop, &c->job);
}

void policy_book_stop_checking(struct policy_book *b)
{
    if (b->checking != NULL)
        b->checking->book = NULL;
    b->checking = NULL;
}
