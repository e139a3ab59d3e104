/* SPDX-License-Identifier: Apache-2.0 */
/* client/publish_send.c – a built tree under a signed name, on its way to the hub. */
#include "base/alloc.h"
#include "client/publish_impl.h"
#include "wire/signed.h"

enum { RACES_MOST = 5 };
#define TICK_NS (100 * NS_PER_MS)

/* ---- where the uploader gets its chunks ------------------------------------------------------ */

static struct alb_status read_chunk(void *arg, void *helper, uint32_t position, struct chunk **out)
{
    struct publication *p = arg;
    struct alb_status st = build_read(p->build, position, helper, out);

    if (alb_failed(st))
        atomic_store(&p->changed, build_worker_path(helper));
    return st;
}

static uint32_t raw_size(void *arg, uint32_t position)
{
    const struct publication *p = arg;

    return build_chunk_raw_size(p->build, position);
}

static void *new_helper(void)
{
    return build_worker_new();
}

static void free_helper(void *helper)
{
    build_worker_free(helper);
}

static void uploaded(void *arg, struct alb_status st, const char *message)
{
    struct publication *p = arg;

    p->is_over = true;
    p->st = st;
    snprintf(p->message, sizeof p->message, "%s", message);
    loop_stop(p->link->loop);
}

static struct progress_figures figures_of(const struct publication *p)
{
    struct uploader_progress now;

    uploader_progress(p->uploader, &now);
    return (struct progress_figures){.done_bytes = now.sent_raw_bytes,
                                     .total_bytes = now.lacking_raw_bytes,
                                     .has_sources = true,
                                     .wan_bytes = now.sent_bytes,
                                     .held = p->is_over ? NULL : hold_text(&p->hold)};
}

/* Nothing is lost by giving up: the next run sends the rest. */
static void watch_hub(struct publication *p)
{
    const uint64_t now_ns = loop_now_ns(p->link->loop);
    struct upstream_figures up;

    upstream_figures(p->link->upstream, &up);
    if (up.is_up) {
        p->down_since_ns = 0;
        return;
    }
    if (p->down_since_ns == 0)
        p->down_since_ns = now_ns;
    if (up.down_code != ALB_REFUSED && now_ns - p->down_since_ns < p->options->wait_ns)
        return;
    p->has_given_up = true;
    uploader_give_up(p->uploader);
}

static void on_tick(void *arg)
{
    struct publication *p = arg;
    const struct progress_figures figures = figures_of(p);

    progress_show(&p->progress, &figures, loop_now_ns(p->link->loop));
    hold_look(&p->hold, "sending", figures.wan_bytes, true);
    timer_set_in(&p->tick, TICK_NS);
    if (!p->is_over)
        watch_hub(p);
}

/* ---- one try --------------------------------------------------------------------------------- */

static void start_uploader(struct publication *p)
{
    struct build_result *b = &p->built;

    p->is_over = false;
    p->down_since_ns = 0;
    p->uploader = uploader_start(
        &(struct uploader_options){.loop = p->link->loop,
                                   .upstream = p->link->upstream,
                                   .layer = p->options->layer,
                                   .root_object = buf_peek(&b->root_object),
                                   .root_object_size = buf_size(&b->root_object),
                                   .manifest_chunks = b->manifest_chunks,
                                   .manifest_chunk_count = b->root.chunk_count,
                                   .content_chunk_count = b->content_key_count,
                                   .record = buf_peek(&p->record_bytes),
                                   .record_size = buf_size(&p->record_bytes),
                                   .hold = p->options->hold,
                                   .source = {read_chunk, new_helper, free_helper, raw_size, p},
                                   .readers = crew_size(SIZE_MAX),
                                   .done = uploaded,
                                   .arg = p});
}

static void add_sent(struct publication *p)
{
    struct uploader_progress now;

    uploader_progress(p->uploader, &now);
    p->sent.sent += now.sent;
    p->sent.sent_bytes += now.sent_bytes;
    p->sent.is_committing = now.is_committing;
}

static void send_once(struct publication *p)
{
    struct loop *loop = p->link->loop;

    progress_begin(&p->progress, p->link->output, "sending", loop_now_ns(loop));
    start_uploader(p);
    hold_init(&p->hold, &(struct hold_options){.loop = loop,
                                               .output = p->link->output,
                                               .line = p->link->line,
                                               .policy = p->link->policy,
                                               .way = WAN_UP});
    timer_init(&p->tick, loop, on_tick, p);
    timer_set_in(&p->tick, TICK_NS);
    while (!p->is_over) { /* also when interrupted: what is being read is read first */
        if (p->link->interrupted)
            uploader_give_up(p->uploader);
        loop_run(loop);
    }
    timer_stop(&p->tick);
    const struct progress_figures figures = figures_of(p);
    progress_end(&p->progress, &figures, loop_now_ns(loop));
    add_sent(p);
    p->uploader = uploader_free(p->uploader);
}

/* ---- how it ended ---------------------------------------------------------------------------- */

static enum exit_code out_of_reach(struct publication *p)
{
    struct upstream_figures up;

    upstream_figures(p->link->upstream, &up);
    const char *why = up.why_down[0] != '\0' ? up.why_down : p->st.what;
    const enum alb_code code = up.down_code == ALB_REFUSED ? ALB_REFUSED : p->st.code;
    if (p->sent.is_committing)
        return output_fail(p->link->output, code,
                           "publishing %s: hub %s: %s; it had been asked to publish: `albedo "
                           "layers` shows whether %s@%s came to be",
                           p->options->layer, up.place, why, p->options->layer, p->record.version);
    return output_fail(p->link->output, code,
                       "publishing %s: hub %s: %s; nothing was published. Is albedo-hub running "
                       "there, and the line up? Running it again sends only what is still missing "
                       "(--wait waits longer)",
                       p->options->layer, up.place, why);
}

static enum exit_code ended(struct publication *p)
{
    struct output *o = p->link->output;
    const char *changed = atomic_load(&p->changed);

    if (p->has_given_up)
        return out_of_reach(p);
    if (p->st.code == ALB_CLOSED && p->link->interrupted && p->sent.is_committing)
        return output_interrupted(o,
                                  "publishing %s: interrupted while the hub was asked to publish; "
                                  "`albedo layers` shows whether %s@%s came to be",
                                  p->options->layer, p->options->layer, p->record.version);
    if (p->st.code == ALB_CLOSED && p->link->interrupted)
        return publish_interrupted(p);
    if (changed != NULL && p->st.code == ALB_CONFLICT)
        return output_fail(o, ALB_CONFLICT,
                           "publishing %s: %s changed between reading and sending; nothing was "
                           "published, run it again when the tree is at rest",
                           p->options->tree, changed);
    if (changed != NULL)
        return output_fail_status(o, p->st, "publishing %s: reading %s again", p->options->tree,
                                  changed);
    if (p->message[0] != '\0')
        return output_fail(o, p->st.code, "publishing %s: the hub says: %s", p->options->layer,
                           p->message);
    if (p->st.code == ALB_CLOSED || p->st.code == ALB_TIMEOUT)
        return out_of_reach(p);
    return output_fail_status(o, p->st, "publishing %s", p->options->layer);
}

/* Did somebody else take our sequence number?  Then the past is a new one. */
static bool lost_race(struct publication *p)
{
    if (p->st.code != ALB_CONFLICT || p->message[0] == '\0')
        return false;
    struct publish_past past;
    if (publish_past(p->link, p->options, &past) != EXIT_DONE ||
        past.newest_sequence < p->record.sequence || past.is_taken)
        return false;
    p->past = past;
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void fill_record(struct publication *p)
{
    const struct build_result *b = &p->built;

    p->record.root = b->root_digest;
    p->record.root_bytes = buf_size(&b->root_object);
    p->record.content_bytes = b->root.content_bytes;
    p->record.entries = b->root.entries;
    p->record.flags = p->options->devices ? RECORD_DEVICES : 0;
}

enum exit_code publish_send(struct publication *p)
{
    fill_record(p);
    for (unsigned tries = 0;; tries++) {
        buf_release(&p->record_bytes);
        buf_init(&p->record_bytes, SIGNED_MAX);
        enum exit_code code =
            publish_sign(p->link, p->options, &p->past, &p->key, &p->record, &p->record_bytes);
        if (code != EXIT_DONE)
            return code;
        send_once(p);
        if (!alb_failed(p->st))
            return EXIT_DONE;
        if (tries == RACES_MOST || !lost_race(p))
            return ended(p);
    }
}
