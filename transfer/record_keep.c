/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/record_keep.c – records written behind the loop's back, in the order they were handed
 * over. */
#include "transfer/record_keep.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"

/* A job sees only itself and the catalogue. */
struct keep {
    struct job job;
    struct catalogue *catalogue;
    char name[CATALOGUE_NAME_MAX + 1];
    uint8_t *value; /* owned; NULL removes the record */
    size_t size;
    record_kept kept;
    struct alb_status st;
};

static void keep_run(struct job *job)
{
    struct keep *k = ALB_CONTAINER(job, struct keep, job);

    k->st = catalogue_swap(k->catalogue, k->name, CATALOGUE_ANY, k->value, k->size, NULL);
    if (!alb_failed(k->st) && k->kept != NULL)
        k->kept();
}

static void keep_done(struct job *job)
{
    struct keep *k = ALB_CONTAINER(job, struct keep, job);

    if (alb_failed(k->st) && !(k->value == NULL && k->st.code == ALB_NOT_FOUND))
        log_status(LOG_WARN, "record.not_kept", k->st,
                   "name=%s next=\"asked for again after a restart\"", k->name);
    free(k->value);
    free(k);
}

void record_keep(struct loop *loop, struct catalogue *catalogue, const char *name,
                 const void *value, size_t size, record_kept kept)
{
    struct keep *k = xalloc(sizeof *k);

    k->job =
        (struct job){.run = keep_run, .done = keep_done, .lane = JOB_ORDERED, .work_bytes = size};
    k->catalogue = catalogue;
    k->kept = kept;
    (void)snprintf(k->name, sizeof k->name, "%s", name);
    if (value != NULL) {
        k->value = xalloc(size + 1);
        memcpy(k->value, value, size);
        k->size = size;
    }
    loop_submit(loop, &k->job);
}
