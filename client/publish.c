/* SPDX-License-Identifier: Apache-2.0 */
/* client/publish.c – scan, build, sign, upload. */
#include "client/publish.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "client/crew.h"
#include "client/uploader.h"
#include "wire/signed.h"

enum { PROBLEMS_SHOWN = 10 };
#define TICK_NS (100 * NS_PER_MS)

struct publication {
    struct link *link;
    const struct publish_options *options;
    struct scan scan;
    struct build *build;
    struct build_worker *workers[CREW_MOST];
    struct build_result built;
    bool is_built;
    struct buf record_bytes;
    struct version_record record;
    struct uploader *uploader;
    struct progress progress;
    struct timer tick;
    bool is_over;
    struct alb_status st;
    char message[512];
};

static enum exit_code scan(struct publication *p);
static enum exit_code build(struct publication *p);
static enum exit_code upload(struct publication *p);

static enum exit_code show_problems(struct publication *p, const struct scan_problem *problems,
                                    size_t count, const char *what)
{
    struct output *o = p->link->output;
    char text[256];

    for (size_t i = 0; i < count && i < PROBLEMS_SHOWN; i++)
        output_note(o, "  %s: %s", problems[i].path,
                    alb_status_text(problems[i].st, text, sizeof text));
    if (count > PROBLEMS_SHOWN)
        output_note(o, "  … and %zu more", count - PROBLEMS_SHOWN);
    return output_fail(o, ALB_IO,
                       "publishing %s: %zu path%s %s; nothing was published. Mend them, or "
                       "leave them out with --exclude PATH",
                       p->options->tree, count, count == 1 ? "" : "s", what);
}

/* ---- SCAN ------------------------------------------------------------------------------------------- */

static enum exit_code scan(struct publication *p)
{
    const struct publish_options *o = p->options;
    const struct scan_options options = {.cross_mounts = o->cross_mounts,
                                         .allow_devices = o->devices,
                                         .exclude = o->exclude,
                                         .exclude_count = o->exclude_count};
    struct alb_status st = scan_tree(o->tree, &options, &p->scan);

    if (alb_failed(st))
        return output_fail_status(p->link->output, st, "publishing %s", o->tree);
    if (p->scan.problem_count > 0)
        return show_problems(p, p->scan.problems, p->scan.problem_count, "cannot be taken in");
    return EXIT_DONE;
}

/* ---- BUILD ------------------------------------------------------------------------------------------ */

static uint64_t unit_bytes(void *arg, size_t unit)
{
    struct publication *p = arg;

    return build_unit_bytes(p->build, unit);
}

static struct alb_status run_unit(void *arg, size_t unit, unsigned member)
{
    struct publication *p = arg;

    if (p->workers[member] == NULL)
        p->workers[member] = build_worker_new();
    return build_run(p->build, unit, p->workers[member]);
}

static enum exit_code build(struct publication *p)
{
    struct output *o = p->link->output;
    const struct scan_problem *problems = NULL;
    struct crew_result result;

    p->build = build_new(&p->scan);
    crew_run(&(struct crew_options){.loop = p->link->loop,
                                    .output = o,
                                    .interrupted = &p->link->interrupted,
                                    .phase = "reading",
                                    .units = build_units(p->build),
                                    .total_bytes = p->scan.file_bytes,
                                    .unit_bytes = unit_bytes,
                                    .run = run_unit,
                                    .arg = p},
             &result);
    if (alb_failed(result.st))
        return output_fail_status(
            o, result.st, "publishing %s: %s", p->options->tree,
            p->workers[result.member] != NULL ? build_worker_path(p->workers[result.member]) : "");
    size_t count = build_problems(p->build, &problems);
    if (count > 0)
        output_note(o, "%zu file%s vanished while being read and %s left out (first: %s)", count,
                    count == 1 ? "" : "s", count == 1 ? "is" : "are", problems[0].path);
    struct alb_status st = build_finish(p->build, &p->built);
    if (alb_failed(st))
        return output_fail_status(o, st, "publishing %s", p->options->tree);
    p->is_built = true;
    return EXIT_DONE;
}

/* ---- UPLOAD ----------------------------------------------------------------------------------------- */

static struct alb_status read_chunk(void *arg, void *helper, uint32_t position, struct chunk **out)
{
    struct publication *p = arg;

    return build_read(p->build, position, helper, out);
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

static void on_tick(void *arg)
{
    struct publication *p = arg;
    struct uploader_progress done;

    uploader_progress(p->uploader, &done);
    progress_show(&p->progress,
                  &(struct progress_figures){.done_bytes = done.sent_raw_bytes,
                                             .total_bytes = done.lacking_raw_bytes,
                                             .has_sources = true,
                                             .wan_bytes = done.sent_bytes},
                  loop_now_ns(p->link->loop));
    timer_set_in(&p->tick, TICK_NS);
}

static enum exit_code upload_ended(struct publication *p)
{
    struct output *o = p->link->output;

    if (!p->is_over)
        return output_fail(o, ALB_CLOSED,
                           "publishing %s: interrupted; running it again sends only "
                           "what is still missing",
                           p->options->layer);
    if (p->st.code == ALB_CONFLICT && p->message[0] == '\0')
        return output_fail(o, ALB_CONFLICT,
                           "publishing %s: a file changed between reading and "
                           "sending; run it again when the tree is at rest",
                           p->options->tree);
    if (alb_failed(p->st))
        return output_fail_status(o, p->st, "publishing %s%s%s", p->options->layer,
                                  p->message[0] != '\0' ? ": the hub says: " : "", p->message);
    return EXIT_DONE;
}

static enum exit_code upload(struct publication *p)
{
    struct loop *loop = p->link->loop;
    struct build_result *b = &p->built;

    progress_begin(&p->progress, p->link->output, "sending", loop_now_ns(loop));
    p->uploader = uploader_start(
        &(struct uploader_options){.loop = loop,
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
                                   .done = uploaded,
                                   .arg = p});
    timer_init(&p->tick, loop, on_tick, p);
    timer_set_in(&p->tick, TICK_NS);
    link_run(p->link, &p->is_over);
    timer_stop(&p->tick);
    return upload_ended(p);
}

/* ---- the whole -------------------------------------------------------------------------------------- */

static void fill_record(struct publication *p)
{
    const struct build_result *b = &p->built;

    p->record.root = b->root_digest;
    p->record.root_bytes = buf_size(&b->root_object);
    p->record.content_bytes = b->root.content_bytes;
    p->record.entries = b->root.entries;
    p->record.flags = p->options->devices ? RECORD_DEVICES : 0;
}

static void fill_result(struct publication *p, struct publish_result *out)
{
    struct uploader_progress sent;

    uploader_progress(p->uploader, &sent);
    *out = (struct publish_result){.sequence = p->record.sequence,
                                   .entries = p->record.entries,
                                   .content_bytes = p->record.content_bytes,
                                   .chunks = p->built.content_key_count,
                                   .sent_chunks = sent.sent,
                                   .sent_bytes = sent.sent_bytes,
                                   .manifest_bytes = p->built.root.manifest_bytes};
    for (size_t i = 0; i < p->built.root.chunk_count; i++)
        out->manifest_stored_bytes += p->built.root.chunks[i].stored_bytes;
    snprintf(out->version, sizeof out->version, "%s", p->record.version);
}

static void release(struct publication *p)
{
    uploader_free(p->uploader);
    if (p->is_built)
        build_result_release(&p->built);
    for (size_t i = 0; i < CREW_MOST; i++)
        build_worker_free(p->workers[i]);
    build_free(p->build);
    scan_release(&p->scan);
    buf_release(&p->record_bytes);
    free(p);
}

enum exit_code publish_run(struct link *l, const struct publish_options *options,
                           struct publish_result *out)
{
    struct publication *p = xalloc(sizeof *p);
    struct publish_past past;
    struct sign_secret key;

    p->link = l;
    p->options = options;
    buf_init(&p->record_bytes, SIGNED_MAX);
    enum exit_code code = publish_key(l, options->layer, &key);
    if (code == EXIT_DONE)
        code = publish_past(l, options, &past);
    if (code == EXIT_DONE)
        code = scan(p);
    if (code == EXIT_DONE)
        code = build(p);
    if (code == EXIT_DONE) {
        fill_record(p);
        code = publish_sign(l, options, &past, &key, &p->record, &p->record_bytes);
    }
    wipe(&key, sizeof key);
    if (code == EXIT_DONE)
        code = upload(p);
    if (code == EXIT_DONE)
        fill_result(p, out);
    release(p);
    return code;
}
