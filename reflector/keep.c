/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/keep.c – records written behind the loop's back, in the order they were handed over. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/log.h"
#include "reflector/reflector_impl.h"

/* A job sees only itself: the reflector may be gone when it is done, the catalogue not (main.c). */
struct keep {
    struct job job;
    struct catalogue *catalogue;
    char name[CATALOGUE_NAME_MAX + 1];
    uint8_t *value; /* owned; NULL removes the record */
    size_t size;
    struct alb_status st;
};

static void keep_run(struct job *job)
{
    struct keep *k = ALB_CONTAINER(job, struct keep, job);

    k->st = catalogue_swap(k->catalogue, k->name, CATALOGUE_ANY, k->value, k->size, NULL);
    if (!alb_failed(k->st))
        KILL_POINT("reflector.record_kept");
}

static void keep_done(struct job *job)
{
    struct keep *k = ALB_CONTAINER(job, struct keep, job);

    if (alb_failed(k->st) && !(k->value == NULL && k->st.code == ALB_NOT_FOUND))
        log_status(LOG_WARN, "catalogue.not_kept", k->st, "name=%s", k->name);
    free(k->value);
    free(k);
}

void reflector_keep(struct reflector *r, const char *name, const void *value, size_t size)
{
    struct keep *k = xalloc(sizeof *k);

    k->job =
        (struct job){.run = keep_run, .done = keep_done, .lane = JOB_ORDERED, .work_bytes = size};
    k->catalogue = r->options.catalogue;
    (void)snprintf(k->name, sizeof k->name, "%s", name);
    if (value != NULL) {
        k->value = xalloc(size + 1);
        memcpy(k->value, value, size);
        k->size = size;
    }
    loop_submit(r->options.loop, &k->job);
}
