/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/wipe.c – everything that it kept of content goes: chunks, heads, records, the list of
 * layers, other devices' grants.  Who it is, whom it trusts and what rules hold stays.
 *
 *     NOTHING IS KEPT ANY MORE → (what was verified is on its way into the store) → WIPE (a job in
 *     the store's lane, behind all of it) → wiped; or again in a minute
 *
 * It is done again at each start while the state says so: one that was cut short is made whole, and
 * an empty store costs nothing.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "reflector/reflector_impl.h"

#define LOOK_NS (100 * NS_PER_MS)
#define AGAIN_NS (60 * NS_PER_S)

/* A job sees only itself and the two doors. */
struct wipe {
    struct job job;
    struct reflector *reflector; /* NULL: it is gone, or does not want it any more */
    struct chunk_store *store;
    struct catalogue *catalogue;
    size_t records;
    struct alb_status st;
};

static void try_wipe(void *reflector);

/* ---- on a worker ----------------------------------------------------------------------------- */

struct names {
    char **at; /* owned */
    size_t count;
};

static bool note_name(void *arg, const char *name, const void *value, size_t size, uint64_t version)
{
    struct names *all = arg;

    (void)value;
    (void)size;
    (void)version;
    all->at = xrealloc(all->at, (all->count + 1) * sizeof *all->at);
    all->at[all->count++] = xstrdup(name);
    return true;
}

static struct alb_status remove_names(struct wipe *w, const char *prefix)
{
    struct names all = {.at = NULL};
    struct alb_status st = catalogue_list(w->catalogue, prefix, note_name, &all);

    for (size_t i = 0; i < all.count; i++) {
        if (!alb_failed(st))
            st = catalogue_swap(w->catalogue, all.at[i], CATALOGUE_ANY, NULL, 0, NULL);
        if (st.code == ALB_NOT_FOUND)
            st = ALB_STATUS_OK;
        w->records += !alb_failed(st);
        free(all.at[i]);
    }
    free(all.at);
    return st;
}

static void wipe_run(struct job *job)
{
    static const char *const CONTENT[] = {"head/", "record/", "deltas/", "layers", "grant/of/"};
    struct wipe *w = ALB_CONTAINER(job, struct wipe, job);

    w->st = chunk_store_wipe(w->store);
    for (size_t i = 0; i < ALB_COUNT(CONTENT) && !alb_failed(w->st); i++)
        w->st = remove_names(w, CONTENT[i]);
}

/* ---- on the loop ----------------------------------------------------------------------------- */

static void wiped(struct reflector *r, const struct wipe *w)
{
    struct reflector_duty *d = &r->duty;

    d->wipe = NULL;
    if (alb_failed(w->st)) {
        log_status(LOG_ERROR, "reflector.wipe_failed", w->st, "next=\"again in a minute\"");
        timer_set_in(&d->wipe_again, AGAIN_NS);
        return;
    }
    d->is_wiping = false;
    d->is_wiped = true;
    log_event(LOG_WARN, "reflector.wiped", "records=%zu", w->records);
}

static void wipe_done(struct job *job)
{
    struct wipe *w = ALB_CONTAINER(job, struct wipe, job);

    if (w->reflector != NULL)
        wiped(w->reflector, w);
    free(w);
}

static void try_wipe(void *reflector)
{
    struct reflector *r = reflector;
    struct reflector_duty *d = &r->duty;

    if (!keeper_is_idle(r->keeper)) {
        timer_set_in(&d->wipe_again, LOOK_NS);
        return;
    }
    supply_forget(r->supply);
    record_book_forget(r->records, NULL);
    reflector_forget_layers(r);
    reflector_forget_grants(r);
    d->wipe = xalloc(sizeof *d->wipe);
    *d->wipe =
        (struct wipe){.reflector = r, .store = r->options.store, .catalogue = r->options.catalogue};
    d->wipe->job = (struct job){
        .run = wipe_run, .done = wipe_done, .lane = JOB_ORDERED, .work_bytes = 1 << 20};
    loop_submit(r->options.loop, &d->wipe->job);
}

void reflector_start_wipe(struct reflector *r)
{
    struct reflector_duty *d = &r->duty;

    if (d->is_wiping)
        return;
    d->is_wiping = true;
    d->is_wiped = false;
    timer_init(&d->wipe_again, r->options.loop, try_wipe, r);
    timer_set_in(&d->wipe_again, 0);
}

void reflector_stop_wipe(struct reflector *r)
{
    struct reflector_duty *d = &r->duty;

    if (d->is_wiping)
        timer_stop(&d->wipe_again);
    if (d->wipe != NULL)
        d->wipe->reflector = NULL;
    d->wipe = NULL;
    d->is_wiping = false;
}
