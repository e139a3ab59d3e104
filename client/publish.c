/* SPDX-License-Identifier: Apache-2.0 */
/* client/publish.c – may we?, scan, build; what comes then is in publish_send.c. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "client/publish_impl.h"

enum { PROBLEMS_SHOWN = 10 };

static enum exit_code scan(struct publication *p);
static enum exit_code build(struct publication *p);
static void fill_result(struct publication *p, struct publish_result *out);
static void release(struct publication *p);

enum exit_code publish_run(struct link *l, const struct publish_options *options,
                           struct publish_result *out)
{
    struct publication *p = xalloc(sizeof *p);

    p->link = l;
    p->options = options;
    enum exit_code code = publish_key(l, options->layer, &p->key);
    if (code == EXIT_DONE)
        code = publish_past(l, options, &p->past);
    if (code == EXIT_DONE)
        code = publish_name_is_free(l, options, &p->past);
    if (code == EXIT_DONE)
        code = scan(p);
    if (code == EXIT_DONE)
        code = build(p);
    if (code == EXIT_DONE)
        code = publish_send(p);
    if (code == EXIT_DONE)
        fill_result(p, out);
    release(p);
    return code;
}

enum exit_code publish_interrupted(struct publication *p)
{
    return output_interrupted(p->link->output,
                              "publishing %s: interrupted; nothing was published, running it again "
                              "sends only what is still missing",
                              p->options->layer);
}

static struct alb_status blocking(struct publication *p, const char *phase,
                                  struct alb_status (*run)(void *publication))
{
    const struct crew_options options = {.loop = p->link->loop,
                                         .output = p->link->output,
                                         .interrupted = &p->link->interrupted,
                                         .phase = phase};

    return crew_do(&options, run, p);
}

/* ---- SCAN ------------------------------------------------------------------------------------ */

static enum exit_code show_problems(struct publication *p, const struct scan_problem *problems,
                                    size_t count)
{
    struct output *o = p->link->output;
    char text[256];

    for (size_t i = 0; i < count && i < PROBLEMS_SHOWN; i++)
        output_note(o, "  %s: %s", problems[i].path,
                    alb_status_text(problems[i].st, text, sizeof text));
    if (count > PROBLEMS_SHOWN)
        output_note(o, "  … and %zu more", count - PROBLEMS_SHOWN);
    return output_fail(o, ALB_IO,
                       "publishing %s: %zu path%s cannot be taken in (first: %s: %s); nothing was "
                       "published. Mend them, or leave them out with --exclude PATH",
                       p->options->tree, count, count == 1 ? "" : "s", problems[0].path,
                       alb_status_text(problems[0].st, text, sizeof text));
}

static struct alb_status run_scan(void *arg)
{
    struct publication *p = arg;
    const struct publish_options *o = p->options;
    const struct scan_options options = {.cross_mounts = o->cross_mounts,
                                         .allow_devices = o->devices,
                                         .exclude = o->exclude,
                                         .exclude_count = o->exclude_count};

    return scan_tree(o->tree, &options, &p->scan);
}

static void note_vain_excludes(struct publication *p)
{
    const struct publish_options *o = p->options;
    struct stat now;

    for (size_t i = 0; i < o->exclude_count; i++) {
        if (fstatat(p->scan.top_fd, o->exclude[i], &now, AT_SYMLINK_NOFOLLOW) != 0)
            output_note(p->link->output, "--exclude %s: there is no such path in %s", o->exclude[i],
                        o->tree);
    }
}

static enum exit_code scan(struct publication *p)
{
    const struct publish_options *o = p->options;
    struct alb_status st = blocking(p, "scanning", run_scan);

    if (st.code == ALB_CLOSED && p->link->interrupted)
        return publish_interrupted(p);
    if (alb_failed(st))
        return output_fail_status(p->link->output, st, "publishing %s", o->tree);
    note_vain_excludes(p);
    if (p->scan.problem_count > 0)
        return show_problems(p, p->scan.problems, p->scan.problem_count);
    return EXIT_DONE;
}

/* ---- BUILD ----------------------------------------------------------------------------------- */

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

static struct alb_status run_finish(void *arg)
{
    struct publication *p = arg;
    struct alb_status st = build_finish(p->build, &p->built);

    p->is_built = !alb_failed(st);
    return st;
}

static void read_units(struct publication *p, struct crew_result *out)
{
    crew_run(&(struct crew_options){.loop = p->link->loop,
                                    .output = p->link->output,
                                    .interrupted = &p->link->interrupted,
                                    .phase = "reading",
                                    .units = build_units(p->build),
                                    .total_bytes = p->scan.file_bytes,
                                    .unit_bytes = unit_bytes,
                                    .run = run_unit,
                                    .arg = p},
             out);
}

static void note_left_out(struct publication *p)
{
    const struct scan_problem *problems = NULL;

    p->left_out = build_problems(p->build, &problems);
    if (p->left_out > 0)
        output_note(p->link->output,
                    "%zu file%s vanished while being read and %s left out (first: %s)", p->left_out,
                    p->left_out == 1 ? "" : "s", p->left_out == 1 ? "is" : "are", problems[0].path);
}

static enum exit_code build(struct publication *p)
{
    struct output *o = p->link->output;
    struct crew_result result;

    p->build = build_new(&p->scan);
    read_units(p, &result);
    const char *path =
        p->workers[result.member] != NULL ? build_worker_path(p->workers[result.member]) : "";
    if (result.st.code == ALB_CONFLICT)
        return output_fail(o, ALB_CONFLICT,
                           "publishing %s: %s keeps changing while it is read; nothing was "
                           "published: run it again when nobody writes to that file, or leave it "
                           "out with --exclude",
                           p->options->tree, path);
    if (alb_failed(result.st) && !(p->link->interrupted && result.st.code == ALB_CLOSED))
        return output_fail_status(o, result.st, "publishing %s: %s", p->options->tree, path);
    struct alb_status st = alb_failed(result.st) ? result.st : blocking(p, "finishing", run_finish);
    if (st.code == ALB_CLOSED && p->link->interrupted)
        return publish_interrupted(p);
    if (alb_failed(st))
        return output_fail_status(o, st, "publishing %s", p->options->tree);
    note_left_out(p);
    return EXIT_DONE;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void fill_result(struct publication *p, struct publish_result *out)
{
    *out = (struct publish_result){.sequence = p->record.sequence,
                                   .entries = p->record.entries,
                                   .content_bytes = p->record.content_bytes,
                                   .chunks = p->built.content_key_count,
                                   .sent_chunks = p->sent.sent,
                                   .sent_bytes = p->sent.sent_bytes,
                                   .manifest_bytes = p->built.root.manifest_bytes,
                                   .left_out = p->left_out};
    for (size_t i = 0; i < p->built.root.chunk_count; i++)
        out->manifest_stored_bytes += p->built.root.chunks[i].stored_bytes;
    snprintf(out->version, sizeof out->version, "%s", p->record.version);
}

static void release(struct publication *p)
{
    wipe(&p->key, sizeof p->key);
    if (p->is_built)
        build_result_release(&p->built);
    for (size_t i = 0; i < CREW_MOST; i++)
        build_worker_free(p->workers[i]);
    build_free(p->build);
    scan_release(&p->scan);
    buf_release(&p->record_bytes);
    free(p);
}
