/* SPDX-License-Identifier: Apache-2.0 */
/* client/crew.c – as many jobs as processors, one shared counter. */
#include "client/crew.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/alloc.h"

#define TICK_NS (100 * NS_PER_MS)

struct crew;

struct member {
    struct job job;
    struct crew *crew;
    unsigned number;
    struct alb_status st;
    size_t unit;
    bool was_cut; /* stopped before it found nothing left to do */
};

struct crew {
    struct crew_options options;
    atomic_size_t next;
    atomic_bool stop;
    _Atomic uint64_t done_bytes;
    struct member members[CREW_MOST];
    unsigned working;
    struct progress progress;
    struct timer tick;
};

static void member_run(struct job *job)
{
    struct member *m = ALB_CONTAINER(job, struct member, job);
    struct crew *c = m->crew;
    const struct crew_options *o = &c->options;
    size_t unit;

    while ((unit = atomic_fetch_add(&c->next, 1)) < o->units) {
        m->was_cut = atomic_load(&c->stop);
        if (m->was_cut)
            return;
        m->st = o->run(o->arg, unit, m->number);
        if (alb_failed(m->st)) {
            m->unit = unit;
            atomic_store(&c->stop, true);
            return;
        }
        if (o->unit_bytes != NULL)
            atomic_fetch_add(&c->done_bytes, o->unit_bytes(o->arg, unit));
    }
}

static void member_done(struct job *job)
{
    struct member *m = ALB_CONTAINER(job, struct member, job);

    if (--m->crew->working == 0)
        loop_stop(m->crew->options.loop);
}

static struct progress_figures figures_of(struct crew *c)
{
    return (struct progress_figures){.done_bytes = atomic_load(&c->done_bytes),
                                     .total_bytes = c->options.total_bytes};
}

static void on_tick(void *arg)
{
    struct crew *c = arg;
    const struct progress_figures figures = figures_of(c);

    progress_show(&c->progress, &figures, loop_now_ns(c->options.loop));
    timer_set_in(&c->tick, TICK_NS);
}

unsigned crew_size(size_t units)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t size = cores < 2 ? 2 : (size_t)cores;

    size = size < CREW_MOST ? size : CREW_MOST;
    return (unsigned)(size < units ? size : units);
}

static void start(struct crew *c)
{
    const unsigned size = crew_size(c->options.units);

    for (unsigned i = 0; i < size; i++) {
        struct member *m = &c->members[i];
        m->crew = c;
        m->number = i;
        m->job = (struct job){.run = member_run, .done = member_done};
        c->working++;
        loop_submit(c->options.loop, &m->job);
    }
}

/* A failure says more than that others were cut short by it. */
static void collect(const struct crew *c, struct crew_result *out)
{
    *out = (struct crew_result){.st = ALB_STATUS_OK};
    for (unsigned i = 0; i < CREW_MOST; i++) {
        const struct member *m = &c->members[i];
        if (alb_failed(m->st))
            *out = (struct crew_result){m->st, i, m->unit};
        else if (m->was_cut && !alb_failed(out->st))
            out->st = alb_fail(ALB_CLOSED, "interrupted");
    }
}

void crew_run(const struct crew_options *options, struct crew_result *out)
{
    struct crew *c = xalloc(sizeof *c);
    struct progress_figures figures;

    c->options = *options;
    atomic_store(&c->stop, *options->interrupted);
    progress_begin(&c->progress, options->output, options->phase, loop_now_ns(options->loop));
    timer_init(&c->tick, options->loop, on_tick, c);
    timer_set_in(&c->tick, TICK_NS);
    start(c);
    while (c->working > 0) {
        loop_run(options->loop);
        if (*options->interrupted)
            atomic_store(&c->stop, true); /* units are finished, not broken off */
    }
    timer_stop(&c->tick);
    figures = figures_of(c);
    progress_end(&c->progress, &figures, loop_now_ns(options->loop));
    collect(c, out);
    free(c);
}

/* ---- one piece of work ----------------------------------------------------------------------- */

struct piece {
    struct alb_status (*run)(void *arg);
    void *arg;
};

static struct alb_status run_piece(void *arg, size_t unit, unsigned member)
{
    const struct piece *piece = arg;

    (void)unit;
    (void)member;
    return piece->run(piece->arg);
}

struct alb_status crew_do(const struct crew_options *options, struct alb_status (*run)(void *arg),
                          void *arg)
{
    struct piece piece = {run, arg};
    struct crew_options own = *options;
    struct crew_result result;

    own.units = 1;
    own.run = run_piece;
    own.arg = &piece;
    crew_run(&own, &result);
    return result.st;
}
