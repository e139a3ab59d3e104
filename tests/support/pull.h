/* SPDX-License-Identifier: Apache-2.0 */
/* support/pull.h – publish and pull in one process: a tree becomes a version, a target becomes it.
 *
 * For tests that link image; header only, because support itself knows base alone.
 */
#pragma once

#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "chunk/codec.h"
#include "image/apply.h"
#include "image/build.h"

struct version { /* a published tree */
    struct scan scan;
    struct build *build;
    struct build_worker *worker;
    struct build_result result;
    struct manifest manifest;
};

struct pull {
    const char *target;
    const char *seed;  /* may be NULL */
    const char *cache; /* may be NULL */
    struct apply_options options;
    size_t fetch_most; /* stop after so many chunks, as a cut link would; 0: no limit */
    bool stop_before_replay;
    struct stage_plan plan; /* as it was before anything was fetched */
    struct apply_result result;
    struct apply_damage damage; /* what an earlier run left; release it */
    char path[4096];            /* what an error was about */
};

static inline struct alb_status version_make(const char *top, struct version *v)
{
    static const struct scan_options options = {.allow_devices = true};
    struct manifest_limits limits = manifest_limits_default;
    struct alb_status st;

    *v = (struct version){0};
    st = scan_tree(top, &options, &v->scan);
    if (alb_failed(st))
        return st;
    v->build = build_new(&v->scan);
    v->worker = build_worker_new();
    for (size_t i = 0; i < build_units(v->build) && !alb_failed(st); i++)
        st = build_run(v->build, i, v->worker);
    if (!alb_failed(st))
        st = build_finish(v->build, &v->result);
    limits.allow_devices = true;
    if (!alb_failed(st))
        st = manifest_decode(buf_peek(&v->result.manifest), buf_size(&v->result.manifest), &limits,
                             &v->manifest);
    return st;
}

static inline void version_release(struct version *v)
{
    manifest_release(&v->manifest);
    build_result_release(&v->result);
    build_worker_free(v->worker);
    build_free(v->build);
    scan_release(&v->scan);
}

/* Upstream: the raw bytes of a position, as a fetch would deliver them. */
static inline struct alb_status version_put(struct version *v, uint32_t position, struct stage *s)
{
    struct codec *codec = codec_new();
    struct chunk *chunk = NULL;
    struct buf raw;
    struct alb_status st = build_read(v->build, position, v->worker, &chunk);

    buf_init(&raw, CHUNK_RAW_MAX);
    if (!alb_failed(st))
        st = codec_verify(codec, &chunk->key, chunk->bytes, chunk->size, &raw);
    if (!alb_failed(st))
        st = stage_put(s, position, buf_peek(&raw), buf_size(&raw));
    buf_release(&raw);
    chunk_unref(chunk);
    codec_free(codec);
    return st;
}

static inline struct alb_status pull_fetch(struct pull *p, struct version *v, struct stage *s)
{
    struct stage_plan plan;
    struct alb_status st = stage_plan(s, &p->plan);

    for (size_t i = 0; i < stage_local_units(s) && !alb_failed(st); i++)
        st = stage_fill_local(s, i);
    if (!alb_failed(st))
        st = stage_plan(s, &plan);
    if (alb_failed(st))
        return st;
    for (size_t i = 0; i < plan.position_count && !alb_failed(st); i++) {
        if (p->fetch_most > 0 && i == p->fetch_most)
            return alb_fail(ALB_CLOSED, "the link was cut, as the test wants");
        st = version_put(v, plan.positions[i], s);
    }
    return alb_failed(st) ? st : stage_seal(s);
}

static inline struct alb_status pull_stage(struct pull *p, struct version *v, struct holdings *h)
{
    struct stage_options options = {p->target, &v->manifest, h, &v->result.root_digest,
                                    p->damage.count > 0};
    struct stage *s = NULL;
    struct alb_status st = stage_open(&options, &s);

    if (alb_failed(st))
        return st;
    st = pull_fetch(p, v, s);
    if (!alb_failed(st))
        st = apply_prepare(s, &p->options, &p->result);
    (void)snprintf(p->path, sizeof(p->path), "%s", stage_error_path(s));
    stage_close(s);
    if (alb_failed(st) || p->stop_before_replay)
        return st;
    apply_result_release(&p->result);
    return apply_replay(p->target, &p->result);
}

/* All that `albedo pull` does between the manifest and the summary. */
static inline struct alb_status pull_run(struct pull *p, struct version *v)
{
    static const struct scan_options options = {.allow_devices = true, .cross_mounts = true};
    struct scan target = {0}, seed = {0};
    struct holdings *h;
    struct alb_status st;

    if (p->options.version == NULL)
        p->options.version = "base/test@1";
    apply_result_release(&p->result);
    apply_damage_release(&p->damage);
    st = apply_check(p->target, &p->damage);
    if (!alb_failed(st) && p->damage.count == 0)
        st = apply_replay(p->target, &p->result);
    if (alb_failed(st) && st.code != ALB_NOT_FOUND)
        return st;
    apply_result_release(&p->result);
    st = scan_tree(p->target, &options, &target);
    if (alb_failed(st))
        return st;
    h = holdings_new(p->cache);
    holdings_want(h, &v->manifest);
    holdings_add(h, &target);
    if (p->seed != NULL)
        st = scan_tree(p->seed, &options, &seed);
    if (p->seed != NULL && !alb_failed(st))
        holdings_add(h, &seed);
    for (size_t i = 0; i < holdings_units(h) && !alb_failed(st); i++)
        holdings_run(h, i);
    if (!alb_failed(st))
        st = pull_stage(p, v, h);
    if (!alb_failed(st))
        st = holdings_save_cache(h);
    holdings_free(h);
    scan_release(&target);
    scan_release(&seed);
    return st;
}
