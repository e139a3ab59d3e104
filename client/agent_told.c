/* SPDX-License-Identifier: Apache-2.0 */
/* client/agent_told.c – what became of followed layers, told up the tree, once each.
 *
 * Told are pulls that changed something, and failures, the same one of a layer only once in a row.
 * The number of the last report rests in the catalogue ("told-self": EPOCH NUMBER); without it a
 * new epoch begins (wire/told.h).
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "client/agent_impl.h"
#include "transfer/told_book.h"

enum { KEPT_MOST = 256, COUNTER_SIZE = 64 };
#define REST_NS NS_PER_S
#define HERD_NS (10 * NS_PER_S)

static const char COUNTER[] = "told-self";

static void take_counter(struct agent_reports *r, const struct buf *kept)
{
    char text[COUNTER_SIZE];
    uint64_t number = 0;

    snprintf(text, sizeof text, "%.*s", (int)buf_size(kept), (const char *)buf_peek(kept));
    char *space = strchr(text, ' ');
    if (space == NULL || space - text != TOLD_EPOCH_SIZE - 1 ||
        alb_failed(parse_u64(space + 1, UINT64_MAX - 1, &number)))
        return;
    *space = '\0';
    memcpy(r->epoch, text, sizeof r->epoch);
    r->number = number;
}

void agent_told_start(struct agent *a)
{
    struct catalogue *catalogue = a->options.state->catalogue;
    struct agent_reports *r = &a->reports;
    struct buf kept;

    buf_init(&kept, COUNTER_SIZE - 1);
    if (!alb_failed(catalogue_get(catalogue, COUNTER, &kept, NULL)))
        take_counter(r, &kept);
    buf_release(&kept);
    if (r->epoch[0] == '\0')
        snprintf(r->epoch, sizeof r->epoch, "%016" PRIx64, loop_random(a->loop));
    r->book = told_book_open(&(struct told_book_options){.loop = a->loop,
                                                         .catalogue = catalogue,
                                                         .upstream = endpoint_upstream(a->endpoint),
                                                         .most = KEPT_MOST,
                                                         .forgets_oldest = true,
                                                         .rest_ns = REST_NS,
                                                         .herd_ns = HERD_NS});
}

void agent_told_stop(struct agent *a)
{
    if (a->reports.book != NULL)
        a->reports.book = told_book_close(a->reports.book);
}

/* Counted on the disk first: a number is never used twice. */
static bool next_number(struct agent *a)
{
    struct agent_reports *r = &a->reports;
    AUTO_FREE char *text = xasprintf("%s %" PRIu64, r->epoch, r->number + 1);
    struct alb_status st = catalogue_swap(a->options.state->catalogue, COUNTER, CATALOGUE_ANY, text,
                                          strlen(text), NULL);

    if (alb_failed(st)) {
        log_status(LOG_WARN, "agent.not_told", st, "state=%s", a->options.state->dir);
        return false;
    }
    r->number++;
    return true;
}

static void taken(void *arg, struct alb_status st)
{
    const struct agent *a = arg;

    if (alb_failed(st))
        log_status(LOG_WARN, "agent.not_told", st, "state=%s", a->options.state->dir);
}

static void tell(struct agent *a, const struct follow *f, const struct pull *p, const char *why)
{
    struct told t = {.outcome = why == NULL ? TOLD_APPLIED : TOLD_FAILED,
                     .bytes = p->fetched.put_bytes,
                     .duration_ms = (loop_now_ns(a->loop) - p->begun_ns) / NS_PER_MS,
                     .ended_wall_s = loop_wall_s(a->loop)};

    if (a->reports.book == NULL || !next_number(a))
        return;
    snprintf(t.device, sizeof t.device, "%s", a->options.state->who.device);
    memcpy(t.epoch, a->reports.epoch, sizeof t.epoch);
    t.number = a->reports.number;
    snprintf(t.layer, sizeof t.layer, "%s", f->layer);
    snprintf(t.version, sizeof t.version, "%s", p->version);
    if (why != NULL)
        told_set_why(&t, why);
    (void)told_book_take(a->reports.book, &t, 1, taken, a);
}

void agent_tell_applied(struct follow *f, const struct pull *p)
{
    const struct apply_result *r = &p->applied;

    f->told_why[0] = '\0';
    if (r->made + r->replaced + r->removed + r->metadata_only > 0)
        tell(f->agent, f, p, NULL);
}

void agent_tell_failed(struct follow *f, const struct pull *p)
{
    if (f->agent->is_terminated || strcmp(f->told_why, f->why) == 0)
        return;
    memcpy(f->told_why, f->why, sizeof f->told_why);
    tell(f->agent, f, p, f->why);
}

bool agent_told_waits(const struct agent *a)
{
    struct told_book_figures figures;

    told_book_figures(a->reports.book, &figures);
    return figures.kept > 0;
}

void agent_told_show(const struct agent *a, struct json_writer *w)
{
    struct told_book_figures figures;

    told_book_figures(a->reports.book, &figures);
    json_object_begin(w, "reports");
    json_number(w, "kept", figures.kept);
    json_number(w, "delivered", figures.delivered);
    json_number(w, "dropped", figures.dropped);
    json_end(w);
}
