/* SPDX-License-Identifier: Apache-2.0 */
/* client/pull.c – the steps of a pull, one function each. */
#include "client/pull.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "client/crew.h"

#define TICK_NS (100 * NS_PER_MS)

enum exit_code pull_fail(struct pull *p, struct alb_status st, const char *doing, const char *path)
{
    const char *about = path != NULL && path[0] != '\0' ? path : p->options->target;

    if (st.code == ALB_FULL && st.sys == ENOSPC)
        return output_fail(p->output, ALB_FULL,
                           "%s %s: no space left; what was fetched is kept, make "
                           "room and run the same command again",
                           doing, about);
    return output_fail_status(p->output, st, "%s %s", doing, about);
}

/* ---- FINISH ----------------------------------------------------------------------------------------- */

enum exit_code pull_finish_old(struct pull *p)
{
    struct apply_result result = {.made = 0};
    struct alb_status st = apply_replay(p->options->target, &result);

    apply_result_release(&result);
    if (st.code == ALB_NOT_FOUND)
        return EXIT_DONE;
    if (alb_failed(st))
        return pull_fail(p, st, "finishing the interrupted update of", NULL);
    output_note(p->output, "finished an update of %s that had been interrupted",
                p->options->target);
    return EXIT_DONE;
}

/* ---- LOOK ------------------------------------------------------------------------------------------- */

static uint64_t look_bytes(void *arg, size_t unit)
{
    return holdings_unit_bytes(((struct pull *)arg)->holdings, unit);
}

static struct alb_status look_at(void *arg, size_t unit, unsigned member)
{
    (void)member;
    holdings_run(((struct pull *)arg)->holdings, unit);
    return ALB_STATUS_OK;
}

static enum exit_code scan_one(struct pull *p, const char *top)
{
    const struct scan_options options = {.cross_mounts = true, .allow_devices = true};
    struct alb_status st = scan_tree(top, &options, &p->scans[p->scan_count]);

    if (alb_failed(st))
        return output_fail_status(p->output, st, "reading %s", top);
    p->scan_count++;
    return EXIT_DONE;
}

static char *cache_path(struct pull *p)
{
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];

    sha256(p->options->target, strlen(p->options->target), &digest);
    return xasprintf("%s/scan-%.16s.cache", p->state->dir, digest_hex(&digest, hex));
}

static enum exit_code run_holdings(struct pull *p, const char *phase)
{
    struct crew_result result;
    uint64_t total = 0;

    for (size_t i = 0; i < holdings_units(p->holdings); i++)
        total += holdings_unit_bytes(p->holdings, i);
    crew_run(&(struct crew_options){.loop = p->loop,
                                    .output = p->output,
                                    .interrupted = &p->interrupted,
                                    .phase = phase,
                                    .units = holdings_units(p->holdings),
                                    .total_bytes = total,
                                    .unit_bytes = look_bytes,
                                    .run = look_at,
                                    .arg = p},
             &result);
    return alb_failed(result.st) ? pull_fail(p, result.st, "reading", NULL) : EXIT_DONE;
}

enum exit_code pull_look(struct pull *p)
{
    AUTO_FREE char *cache = cache_path(p);
    enum exit_code code = EXIT_DONE;

    p->scans = xcalloc(p->options->seed_count + 1, sizeof *p->scans);
    code = scan_one(p, p->options->target);
    for (size_t i = 0; code == EXIT_DONE && i < p->options->seed_count; i++)
        code = scan_one(p, p->options->seeds[i]);
    if (code != EXIT_DONE)
        return code;
    p->holdings = holdings_new(cache);
    for (size_t i = 0; i < p->scan_count; i++)
        holdings_add(p->holdings, &p->scans[i]);
    code = run_holdings(p, "looking");
    if (code == EXIT_DONE)
        alb_ignore(holdings_save_cache(p->holdings), "a cache only saves time; it logs itself");
    return code;
}

/* ---- FETCH ------------------------------------------------------------------------------------------ */

static void pull_ended(void *arg, struct alb_status st)
{
    struct pull *p = arg;

    p->is_over = true;
    p->st = st;
    loop_stop(p->loop);
}

static void show(struct pull *p, bool is_end)
{
    const bool is_hub = p->state->who.upstream.host[0] == '\0';
    struct puller_progress now;
    struct progress_figures figures = {.has_sources = true};

    puller_progress(p->puller, &now);
    p->fetched = now;
    figures.done_bytes = now.put_raw_bytes;
    figures.total_bytes = now.needed_raw_bytes;
    *(is_hub ? &figures.wan_bytes : &figures.branch_bytes) = now.put_bytes;
    figures.local_bytes = p->sink.plan.bytes_unchanged + p->sink.plan.bytes_local +
                          p->sink.plan.bytes_local_chunks + p->sink.plan.bytes_resumed;
    if (is_end)
        progress_end(&p->progress, &figures, loop_now_ns(p->loop));
    else if (now.state >= PULL_FETCH)
        progress_show(&p->progress, &figures, loop_now_ns(p->loop));
}

static void on_tick(void *arg)
{
    struct pull *p = arg;
    struct upstream_figures up;

    show(p, false);
    timer_set_in(&p->tick, TICK_NS);
    upstream_figures(endpoint_upstream(p->endpoint), &up);
    if (!up.is_up && loop_now_ns(p->loop) - up.since_ns > p->options->wait_ns)
        pull_ended(p, alb_fail(ALB_CLOSED, "out of reach for too long"));
}

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

static enum exit_code fetch_failed(struct pull *p)
{
    const struct pull_options *o = p->options;
    const char *path = p->sink.stage != NULL ? stage_error_path(p->sink.stage) : "";
    struct upstream_figures up;

    if (!p->is_over)
        return output_fail(p->output, ALB_CLOSED,
                           "pulling %s: interrupted; nothing in %s was changed, "
                           "the same command goes on where this one stopped",
                           o->layer, o->target);
    upstream_figures(endpoint_upstream(p->endpoint), &up);
    if (!up.is_up && (p->st.code == ALB_CLOSED || p->st.code == ALB_TIMEOUT) &&
        up.why_down[0] != '\0')
        return output_fail(
            p->output, ALB_CLOSED,
            "pulling %s from %s: %s; check that the address is right, the service runs "
            "there and the line is up; the same command then goes on (--wait waits longer)",
            o->layer, up.place, up.why_down);
    if (p->st.code == ALB_NOT_FOUND && path[0] == '\0')
        return output_fail(p->output, ALB_NOT_FOUND,
                           "pulling %s%s%s: there is no such layer or "
                           "version for this device; `albedo layers` lists what there is",
                           o->layer, o->version != NULL ? "@" : "",
                           o->version != NULL ? o->version : "");
    if (path[0] != '\0')
        return pull_fail(p, p->st, "staging", path);
    return output_fail_status(p->output, p->st, "pulling %s", o->layer);
}

static enum exit_code start_endpoint(struct pull *p)
{
    const struct state_identity *who = &p->state->who;
    struct endpoint_options options = {.loop = p->loop,
                                       .catalogue = p->state->catalogue,
                                       .parent_count = 1,
                                       .dial_tls = p->tls,
                                       .device = who->device,
                                       .trust_pin = who->has_trust_pin ? &who->trust_pin : NULL};

    options.parents[0] = who->upstream.host[0] != '\0' ? who->upstream : who->hub;
    struct alb_status st = endpoint_start(&options, &p->endpoint);
    if (alb_failed(st))
        return output_fail_status(p->output, st, "state %s: its trust files", p->state->dir);
    return EXIT_DONE;
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
    enum exit_code code = start_endpoint(p);

    if (code != EXIT_DONE)
        return code;
    stage_sink_init(&p->sink, p->options->target, p->holdings);
    progress_begin(&p->progress, p->output, "fetching", loop_now_ns(p->loop));
    timer_init(&p->tick, p->loop, on_tick, p);
    timer_set_in(&p->tick, TICK_NS);
    p->puller = puller_start(&(struct puller_options){.loop = p->loop,
                                                      .authority = endpoint_authority(p->endpoint),
                                                      .records = endpoint_records(p->endpoint),
                                                      .roots = endpoint_roots(p->endpoint),
                                                      .supply = endpoint_supply(p->endpoint),
                                                      .sink = &p->sink.sink,
                                                      .layer = p->options->layer,
                                                      .version = p->options->version,
                                                      .allow_rollback = p->options->allow_rollback,
                                                      .least_sequence = least_sequence(p),
                                                      .done = pull_ended,
                                                      .arg = p});
    while (!p->is_over && !p->interrupted)
        loop_run(p->loop);
    timer_stop(&p->tick);
    show(p, true);
    if (!p->is_over || alb_failed(p->st))
        return fetch_failed(p);
    note_pulled(p);
    return EXIT_DONE;
}

/* ---- APPLY ------------------------------------------------------------------------------------------ */

static enum exit_code same_layer(struct pull *p)
{
    struct applied applied;
    size_t length = strlen(p->options->layer);
    struct alb_status st = applied_read(p->options->target, &applied);

    if (st.code == ALB_NOT_FOUND || p->options->replace_layer)
        return EXIT_DONE;
    if (alb_failed(st))
        return pull_fail(p, st, "reading the record of what is applied in", NULL);
    bool is_same =
        strncmp(applied.version, p->options->layer, length) == 0 && applied.version[length] == '@';
    enum exit_code code = EXIT_DONE;
    if (!is_same)
        code = output_fail(p->output, ALB_REFUSED,
                           "%s holds %s: pulling %s there would replace it; "
                           "choose another TARGET, or say --replace-layer",
                           p->options->target, applied.version, p->options->layer);
    applied_release(&applied);
    return code;
}

static void remember_sequence(struct pull *p)
{
    AUTO_FREE char *name = xasprintf("seen/%s", p->options->layer);
    AUTO_FREE char *text = xasprintf("%" PRIu64, p->sequence);
    struct alb_status st =
        catalogue_swap(p->state->catalogue, name, CATALOGUE_ANY, text, strlen(text), NULL);

    if (alb_failed(st))
        log_status(LOG_WARN, "pull.sequence_not_kept", st, "state=%s", p->state->dir);
}

enum exit_code pull_apply(struct pull *p)
{
    AUTO_FREE char *version = xasprintf("%s@%s", p->options->layer, p->version);
    const struct apply_options options = {
        .version = version, .exact = p->options->exact, .strict = p->options->strict};
    struct apply_result prepared = {.made = 0};
    struct alb_status st = apply_prepare(p->sink.stage, &options, &prepared);

    if (alb_failed(st)) {
        for (size_t i = 0; i < prepared.conflict_count; i++)
            output_note(p->output, "  %s", prepared.conflicts[i]);
        apply_result_release(&prepared);
        return pull_fail(p, st, "preparing the update of", stage_error_path(p->sink.stage));
    }
    apply_result_release(&prepared);
    stage_sink_release(&p->sink);
    st = apply_replay(p->options->target, &p->applied);
    if (alb_failed(st))
        return pull_fail(p, st, "updating", NULL);
    remember_sequence(p);
    return EXIT_DONE;
}

/* ---- VERIFY ----------------------------------------------------------------------------------------- */

static enum exit_code compare_all(struct pull *p, const struct manifest *manifest)
{
    struct digest digest;

    for (size_t i = 0; i < manifest->count; i++) {
        const struct manifest_entry *e = &manifest->entries[i];
        if (e->type != ENTRY_FILE)
            continue;
        p->files_checked++;
        if (!holdings_digest_of(p->holdings, e->path, &digest) ||
            !digest_equal(&digest, &e->content))
            return output_fail(p->output, ALB_CORRUPT,
                               "verifying %s: %s does not have the content the "
                               "manifest says; pull again",
                               p->options->target, e->path);
    }
    return EXIT_DONE;
}

enum exit_code pull_verify(struct pull *p)
{
    struct applied applied;

    holdings_free(p->holdings);
    scan_release(&p->scans[0]);
    p->scan_count = 0;
    enum exit_code code = scan_one(p, p->options->target);
    p->holdings = holdings_new(NULL); /* no cache: every byte is read again */
    if (code != EXIT_DONE)
        return code;
    holdings_add(p->holdings, &p->scans[0]);
    code = run_holdings(p, "verifying");
    if (code != EXIT_DONE)
        return code;
    struct alb_status st = applied_read(p->options->target, &applied);
    if (alb_failed(st))
        return pull_fail(p, st, "reading the record of what is applied in", NULL);
    code = compare_all(p, &applied.manifest);
    applied_release(&applied);
    return code;
}

/* ---- the whole -------------------------------------------------------------------------------------- */

enum exit_code pull_run(struct pull *p)
{
    enum exit_code code = pull_finish_old(p);

    if (code == EXIT_DONE)
        code = same_layer(p);
    if (code == EXIT_DONE)
        code = pull_look(p);
    if (code == EXIT_DONE)
        code = pull_fetch(p);
    if (code == EXIT_DONE)
        code = pull_apply(p);
    if (code == EXIT_DONE && p->options->verify)
        code = pull_verify(p);
    if (code == EXIT_DONE)
        pull_report(p);
    return code;
}
