/* SPDX-License-Identifier: Apache-2.0 */
/* client/stage_sink.c – from the pull engine's words to those of holdings and stage. */
#include "client/stage_sink.h"

#include "base/alloc.h"
#include "base/log.h"

static struct stage_sink *of(struct chunk_sink *sink)
{
    return ALB_CONTAINER(sink, struct stage_sink, sink);
}

static struct alb_status noted(struct stage_sink *s, struct alb_status st)
{
    if (alb_failed(st))
        atomic_store(&s->has_failed, true);
    return st;
}

/* ---- LOOK ------------------------------------------------------------------------------------ */

static void begin_look(struct stage_sink *s, const struct manifest *manifest, size_t *units)
{
    uint64_t bytes = 0;

    s->holdings = holdings_new(s->cache_path);
    holdings_want(s->holdings, manifest);
    for (size_t i = 0; i < s->scan_count; i++)
        holdings_add(s->holdings, &s->scans[i]);
    *units = holdings_units(s->holdings);
    for (size_t i = 0; i < *units; i++)
        bytes += holdings_unit_bytes(s->holdings, i);
    atomic_store(&s->round_bytes, bytes);
}

/* ---- FILL ------------------------------------------------------------------------------------ */

static struct alb_status begin_fill(struct stage_sink *s, const struct root_view *view,
                                    size_t *units)
{
    struct alb_status st = holdings_save_cache(s->holdings);

    if (alb_failed(st)) /* it only saves time */
        log_status(LOG_WARN, "pull.scan_not_kept", st, "path=%s", s->cache_path);
    st = stage_open(&(struct stage_options){.target = s->target,
                                            .manifest = view->manifest,
                                            .holdings = s->holdings,
                                            .root = &view->digest,
                                            .over_journal = s->over_journal},
                    &s->stage);
    if (!alb_failed(st))
        st = stage_plan(s->stage, &s->plan);
    if (alb_failed(st))
        return st;
    s->plan.positions = NULL; /* the stage's, and soon another plan's */
    *units = stage_local_units(s->stage);
    atomic_store(&s->round_done_bytes, 0);
    atomic_store(&s->round_bytes, s->plan.bytes_local + s->plan.bytes_local_chunks);
    return st;
}

static struct alb_status sink_prepare(struct chunk_sink *sink, const struct root_view *view,
                                      unsigned round, size_t *units)
{
    struct stage_sink *s = of(sink);

    if (round == STAGE_FILL)
        return noted(s, begin_fill(s, view, units));
    begin_look(s, view->manifest, units);
    return ALB_STATUS_OK;
}

static struct alb_status sink_prepare_unit(struct chunk_sink *sink, unsigned round, size_t unit)
{
    struct stage_sink *s = of(sink);
    struct alb_status st = ALB_STATUS_OK;

    if (round == STAGE_LOOK) {
        holdings_run(s->holdings, unit);
        atomic_fetch_add(&s->round_done_bytes, holdings_unit_bytes(s->holdings, unit));
    } else {
        st = noted(s, stage_fill_local(s->stage, unit));
        /* A stage does not tell how large its units are; on the average they are this. */
        atomic_fetch_add(&s->round_done_bytes,
                         atomic_load(&s->round_bytes) / stage_local_units(s->stage));
    }
    return st;
}

/* ---- PLAN ------------------------------------------------------------------------------------ */

static struct alb_status sink_plan(struct chunk_sink *sink, const struct root_view *view,
                                   uint32_t **positions, size_t *count)
{
    struct stage_sink *s = of(sink);
    struct stage_plan left;
    struct alb_status st = noted(s, stage_plan(s->stage, &left));

    (void)view;
    if (alb_failed(st))
        return st;
    *positions = xcalloc(left.position_count + 1, sizeof **positions);
    for (size_t i = 0; i < left.position_count; i++)
        (*positions)[i] = left.positions[i];
    *count = left.position_count;
    return ALB_STATUS_OK;
}

/* ---- PUT ------------------------------------------------------------------------------------- */

static struct alb_status sink_put(struct chunk_sink *sink, uint32_t position,
                                  const struct chunk *chunk)
{
    struct stage_sink *s = of(sink);
    struct codec *codec = codec_pool_take(s->codecs);
    const uint8_t *raw;
    size_t raw_size;
    struct alb_status st = codec_expand_here(codec, chunk->bytes, chunk->size, &raw, &raw_size);

    if (!alb_failed(st))
        st = stage_put(s->stage, position, raw, raw_size);
    codec_pool_give(s->codecs, codec);
    return noted(s, st);
}

/* ---- SEAL ------------------------------------------------------------------------------------ */

static struct alb_status sink_seal(struct chunk_sink *sink)
{
    struct stage_sink *s = of(sink);

    return noted(s, stage_seal(s->stage));
}

static const struct chunk_sink_ops ops = {.rounds = STAGE_ROUNDS,
                                          .prepare = sink_prepare,
                                          .prepare_unit = sink_prepare_unit,
                                          .plan = sink_plan,
                                          .put = sink_put,
                                          .seal = sink_seal};

void stage_sink_init(struct stage_sink *s, const char *target, const struct scan *scans,
                     size_t scan_count, const char *cache_path)
{
    *s = (struct stage_sink){.sink.ops = &ops,
                             .target = target,
                             .scans = scans,
                             .scan_count = scan_count,
                             .cache_path = cache_path,
                             .codecs = codec_pool_new()};
}

void stage_sink_release(struct stage_sink *s)
{
    s->stage = stage_close(s->stage);
    s->holdings = holdings_free(s->holdings);
    s->codecs = codec_pool_unref(s->codecs);
}
