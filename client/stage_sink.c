/* SPDX-License-Identifier: Apache-2.0 */
/* client/stage_sink.c – from the pull engine's words to the stage's. */
#include "client/stage_sink.h"

#include "base/alloc.h"
#include "chunk/codec.h"

static struct stage_sink *of(struct chunk_sink *sink)
{
    return ALB_CONTAINER(sink, struct stage_sink, sink);
}

static struct alb_status fill_local(struct stage *stage)
{
    struct alb_status st = ALB_STATUS_OK;

    for (size_t i = 0; i < stage_local_units(stage) && !alb_failed(st); i++)
        st = stage_fill_local(stage, i);
    return st;
}

static struct alb_status sink_plan(struct chunk_sink *sink, const struct root_view *view,
                                   uint32_t **positions, size_t *count)
{
    struct stage_sink *s = of(sink);
    struct stage_plan left;
    struct alb_status st = ALB_STATUS_OK;

    if (s->stage == NULL)
        st = stage_open(&(struct stage_options){.target = s->target,
                                                .manifest = view->manifest,
                                                .holdings = s->holdings,
                                                .root = &view->digest},
                        &s->stage);
    if (!alb_failed(st) && !s->is_planned)
        st = stage_plan(s->stage, &s->plan);
    s->is_planned = !alb_failed(st);
    if (!alb_failed(st))
        st = fill_local(s->stage);
    if (!alb_failed(st))
        st = stage_plan(s->stage, &left); /* again: a local source may have been altered */
    if (alb_failed(st))
        return st;
    *positions = xcalloc(left.position_count + 1, sizeof **positions);
    for (size_t i = 0; i < left.position_count; i++)
        (*positions)[i] = left.positions[i];
    *count = left.position_count;
    s->plan.positions = NULL;
    return ALB_STATUS_OK;
}

static struct alb_status sink_put(struct chunk_sink *sink, uint32_t position,
                                  const struct chunk *chunk)
{
    struct stage_sink *s = of(sink);
    struct codec *codec = codec_new();
    struct buf raw;

    buf_init(&raw, CHUNK_RAW_MAX);
    struct alb_status st = codec_expand(codec, chunk->bytes, chunk->size, CHUNK_RAW_MAX, &raw);
    if (!alb_failed(st))
        st = stage_put(s->stage, position, buf_peek(&raw), buf_size(&raw));
    buf_release(&raw);
    codec_free(codec);
    return st;
}

static struct alb_status sink_seal(struct chunk_sink *sink)
{
    return stage_seal(of(sink)->stage);
}

static const struct chunk_sink_ops ops = {.plan = sink_plan, .put = sink_put, .seal = sink_seal};

void stage_sink_init(struct stage_sink *s, const char *target, const struct holdings *holdings)
{
    *s = (struct stage_sink){.sink.ops = &ops, .target = target, .holdings = holdings};
}

void stage_sink_release(struct stage_sink *s)
{
    s->stage = stage_close(s->stage);
}
