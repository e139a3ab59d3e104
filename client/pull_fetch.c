/* SPDX-License-Identifier: Apache-2.0 */
/* client/pull_fetch.c – an endpoint, a puller and a stage put together, with a bar meanwhile. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "client/crew.h"
#include "client/pull.h"

#define TICK_NS (100 * NS_PER_MS)
#define STILL_NS (3 * NS_PER_S)
#define QUEUED_LASTS_NS (6 * NS_PER_S) /* it is said at least every 5 s */
#define QUEUED_TOLD_NS (10 * NS_PER_S)

static void pull_ended(void *arg, struct alb_status st)
{
    struct pull *p = arg;

    p->is_over = true;
    p->st = st;
    loop_stop(p->loop);
}

/* ---- what is shown --------------------------------------------------------------------------- */

static const char *phase_of(const struct puller_progress *now)
{
    const enum puller_state state =
        now->state == PULL_FINISHED && now->ended_in < PULL_FETCH ? now->ended_in : now->state;

    if (state != PULL_PREPARE)
        return state < PULL_PREPARE ? "asking" : "fetching";
    return now->round == STAGE_LOOK ? "looking" : "copying";
}

static struct progress_figures figures_of(struct pull *p)
{
    const bool is_hub = pull_is_from_hub(p);
    const struct stage_plan *plan = &p->sink.plan;
    struct progress_figures figures = {.has_sources = true};

    if (strcmp(p->phase, "fetching") != 0)
        return (struct progress_figures){.done_bytes = atomic_load(&p->sink.round_done_bytes),
                                         .total_bytes = atomic_load(&p->sink.round_bytes)};
    figures.done_bytes = p->fetched.put_raw_bytes;
    figures.total_bytes = p->fetched.needed_raw_bytes;
    *(is_hub ? &figures.wan_bytes : &figures.branch_bytes) = p->fetched.put_bytes;
    figures.local_bytes =
        plan->bytes_unchanged + plan->bytes_local + plan->bytes_local_chunks + plan->bytes_resumed;
    return figures;
}

/* The next one begins only when this one has done all it had to do. */
static void next_phase(struct pull *p, const char *phase)
{
    if (p->phase[0] != '\0') {
        p->figures.done_bytes = p->figures.total_bytes;
        p->figures.held = NULL;
        progress_end(&p->progress, &p->figures, loop_now_ns(p->loop));
    }
    p->phase = phase; /* it began at some time after the last look */
    progress_begin(&p->progress, p->output, phase, p->shown_ns);
}

static void show(struct pull *p)
{
    const uint64_t now_ns = loop_now_ns(p->loop);

    puller_progress(p->puller, &p->fetched);
    const char *phase = phase_of(&p->fetched);
    if (strcmp(phase, p->phase) != 0)
        next_phase(p, phase);
    p->shown_ns = now_ns;
    p->figures = figures_of(p);
    p->figures.held = hold_text(&p->hold);
    if (p->figures.held == NULL && p->queued[0] != '\0')
        p->figures.held = p->queued;
    progress_show(&p->progress, &p->figures, now_ns);
}

static void show_end(struct pull *p)
{
    show(p);
    p->figures.held = NULL;
    progress_end(&p->progress, &p->figures, loop_now_ns(p->loop));
}

/* ---- patience -------------------------------------------------------------------------------- */

static void give_up(struct pull *p, struct alb_status why)
{
    p->why = why;
    puller_give_up(p->puller);
}

/* Only what can bring us nothing else is waited for: with the line down, copying goes on. */
static void watch_upstream(struct pull *p)
{
    const uint64_t now_ns = loop_now_ns(p->loop);
    struct upstream_figures up;

    upstream_figures(endpoint_upstream(p->endpoint), &up);
    const bool is_cut_off = alb_failed(p->fetched.asked_again); /* it is there, its parent is not */
    if ((up.is_up && !is_cut_off) || !p->fetched.waits_for_upstream) {
        p->waits_since_ns = 0;
        return;
    }
    if (p->waits_since_ns == 0)
        p->waits_since_ns = now_ns;
    if (!up.is_up && up.down_code == ALB_REFUSED)
        give_up(p, alb_fail(ALB_REFUSED, "not accepted"));
    else if (now_ns - p->waits_since_ns > p->options->wait_ns)
        give_up(p, up.is_up ? p->fetched.asked_again
                            : alb_fail(ALB_CLOSED, "out of reach for too long"));
}

/* The log has it in words; programs that watch the events hear it, too. */
static void tell_slow(struct pull *p)
{
    struct supply_stats stats;
    struct upstream_figures up;

    supply_stats(endpoint_supply(p->endpoint), &stats);
    if (stats.fetch.slow_alarms == p->slow_alarms)
        return;
    p->slow_alarms = stats.fetch.slow_alarms;
    if (!p->output->json)
        return;
    upstream_figures(endpoint_upstream(p->endpoint), &up);
    struct json_writer *w = json_writer_new();
    json_object_begin(w, NULL);
    json_text(w, "event", "slow");
    json_text(w, "place", up.place);
    json_number(w, "wanted", stats.fetch.queued + stats.fetch.asked);
    json_end(w);
    output_json(p->output, w);
}

static void tell_queued(struct pull *p, const struct fetcher_stats *f)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "event", "queued");
    json_number(w, "before", f->before);
    json_number(w, "rate_bps", f->before_bps);
    json_text(w, "text", p->queued);
    json_end(w);
    output_json(p->output, w);
}

/* Slow is not dead: an upstream that waits itself says for how much, and how fast that comes. */
static void look_at_queue(struct pull *p)
{
    const uint64_t now_ns = loop_now_ns(p->loop);
    struct supply_stats stats;
    char rate[UNITS_TEXT_SIZE];

    supply_stats(endpoint_supply(p->endpoint), &stats);
    const struct fetcher_stats *f = &stats.fetch;
    if (p->moved_ns == 0 || p->moved_bytes != p->fetched.put_bytes)
        p->moved_ns = now_ns;
    p->moved_bytes = p->fetched.put_bytes;
    p->queued[0] = '\0';
    if (!p->fetched.waits_for_upstream || f->before == 0 ||
        now_ns - f->before_ns > QUEUED_LASTS_NS || now_ns - p->moved_ns < STILL_NS)
        return;
    snprintf(p->queued, sizeof p->queued, "the upstream itself waits for %" PRIu32 " chunks%s%s",
             f->before, f->before_bps != 0 ? ", and gets " : "",
             f->before_bps != 0 ? format_rate(f->before_bps, rate) : "");
    if (!p->output->json || now_ns - p->queued_told_ns < QUEUED_TOLD_NS)
        return;
    p->queued_told_ns = now_ns;
    tell_queued(p, f);
}

static void on_tick(void *arg)
{
    struct pull *p = arg;

    show(p);
    tell_slow(p);
    look_at_queue(p);
    hold_look(&p->hold, p->phase, p->fetched.put_bytes + ((uint64_t)p->fetched.state << 56),
              p->fetched.waits_for_upstream);
    timer_set_in(&p->tick, TICK_NS);
    if (p->fetched.state != PULL_FINISHED)
        watch_upstream(p);
}

/* ---- starting and ending --------------------------------------------------------------------- */

static uint64_t least_sequence(struct pull *p)
{
    AUTO_FREE char *name = xasprintf("seen/%s", p->options->layer);
    uint64_t sequence = 0;
    struct buf text;

    buf_init(&text, 64);
    if (!alb_failed(catalogue_get(p->state->catalogue, name, &text, NULL)))
        alb_ignore(parse_u64(buf_text(&text), UINT64_MAX, &sequence), "damaged: as if never seen");
    buf_release(&text);
    return sequence;
}

static enum exit_code start_endpoint(struct pull *p)
{
    const struct state_identity *who = &p->state->who;
    struct endpoint_options options = {.loop = p->loop,
                                       .catalogue = p->state->catalogue,
                                       .parent_count = 1,
                                       .dial_tls = p->tls,
                                       .device = who->device,
                                       .site = who->site,
                                       .trust_pin = who->has_trust_pin ? &who->trust_pin : NULL};

    const bool is_hub = p->options->at_hub || who->upstream.host[0] == '\0';
    options.parents[0] = is_hub ? who->hub : who->upstream;
    options.hub = who->hub;
    options.line = p->options->line;
    options.stays = p->options->at_hub;
    options.looks_around = true;
    options.allow_metered = p->options->allow_metered;
    own_addresses_read(&options.addresses);
    struct alb_status st = endpoint_start(&options, &p->endpoint);
    if (alb_failed(st))
        return output_fail_status(p->output, st, "state %s: its trust files", p->state->dir);
    return EXIT_DONE;
}

static void start_puller(struct pull *p)
{
    p->least_sequence = least_sequence(p);
    p->puller = puller_start(&(struct puller_options){.loop = p->loop,
                                                      .authority = endpoint_authority(p->endpoint),
                                                      .records = endpoint_records(p->endpoint),
                                                      .roots = endpoint_roots(p->endpoint),
                                                      .supply = endpoint_supply(p->endpoint),
                                                      .sink = &p->sink.sink,
                                                      .layer = p->options->layer,
                                                      .version = p->options->version,
                                                      .allow_rollback = p->options->allow_rollback,
                                                      .is_patient = true,
                                                      .least_sequence = p->least_sequence,
                                                      .units_at_once = crew_size(SIZE_MAX),
                                                      .done = pull_ended,
                                                      .arg = p});
}

static void note_pulled(struct pull *p)
{
    const struct version_record *record = puller_record(p->puller);

    snprintf(p->version, sizeof p->version, "%s", record->version);
    p->sequence = record->sequence;
    p->content_bytes = record->content_bytes;
    p->entries = record->entries;
}

enum exit_code pull_fetch(struct pull *p)
{
    enum exit_code code = p->endpoint == NULL ? start_endpoint(p) : EXIT_DONE;

    if (code != EXIT_DONE)
        return code;
    stage_sink_init(&p->sink, p->options->target, p->scans, p->scan_count, p->cache_path);
    p->sink.over_journal = p->damage.count > 0;
    p->phase = "";
    p->shown_ns = loop_now_ns(p->loop);
    timer_init(&p->tick, p->loop, on_tick, p);
    hold_init(&p->hold, &(struct hold_options){.loop = p->loop,
                                               .output = p->output,
                                               .line = endpoint_line(p->endpoint),
                                               .policy = endpoint_policy(p->endpoint),
                                               .layer = p->options->layer,
                                               .way = WAN_DOWN,
                                               .by_reflector = !pull_is_from_hub(p)});
    start_puller(p);
    on_tick(p);
    while (!p->is_over) { /* also when interrupted: what is under way ends first */
        if (p->interrupted)
            puller_give_up(p->puller);
        loop_run(p->loop);
    }
    timer_stop(&p->tick);
    show_end(p);
    if (alb_failed(p->st))
        return pull_fetch_failed(p);
    note_pulled(p);
    return EXIT_DONE;
}
