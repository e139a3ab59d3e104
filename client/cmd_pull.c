/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_pull.c – `albedo pull LAYER[@VERSION] TARGET`: what was typed, what is printed at the
 * end. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "client/pull.h"
#include "image/target.h"

#define WAIT_DEFAULT_NS (60 * NS_PER_S)

static void report_json(struct pull *p)
{
    struct json_writer *w = json_writer_new();
    const struct stage_plan *plan = &p->sink.plan;
    const bool is_hub = pull_is_from_hub(p);

    json_object_begin(w, NULL);
    json_text(w, "event", "pulled");
    json_text(w, "layer", p->options->layer);
    json_text(w, "version", p->version);
    json_number(w, "sequence", p->sequence);
    json_number(w, "entries", p->entries);
    json_number(w, "content_bytes", p->content_bytes);
    json_number(w, "bytes_unchanged", plan->bytes_unchanged);
    json_number(w, "bytes_local", plan->bytes_local + plan->bytes_local_chunks);
    json_number(w, "bytes_resumed", plan->bytes_resumed);
    json_number(w, "fetched_chunks", p->fetched.put);
    json_number(w, "fetched_bytes", p->fetched.put_bytes);
    json_text(w, "fetched_from", is_hub ? "hub" : "reflector");
    json_number(w, "made", p->applied.made);
    json_number(w, "replaced", p->applied.replaced);
    json_number(w, "removed", p->applied.removed);
    json_number(w, "metadata_only", p->applied.metadata_only);
    json_number(w, "unchanged", p->applied.unchanged);
    json_number(w, "kept", p->applied.kept);
    json_number(w, "owners_not_set", p->applied.owners_not_set);
    json_number(w, "devices_not_made", p->applied.devices_not_made);
    json_number(w, "xattrs_not_set", p->applied.xattrs_not_set);
    json_number(w, "files_verified", p->files_checked);
    json_number(w, "milliseconds", (loop_now_ns(p->loop) - p->begun_ns) / NS_PER_MS);
    json_end(w);
    output_json(p->output, w);
}

static void report_left_undone(struct pull *p)
{
    const struct apply_result *r = &p->applied;
    struct output *o = p->output;

    if (r->owners_not_set + r->devices_not_made + r->xattrs_not_set > 0)
        output_say(o,
                   "  not set for lack of privilege: owner of %" PRIu64 ", %" PRIu64
                   " devices, extended attributes of %" PRIu64 " (run as root to set them)",
                   r->owners_not_set, r->devices_not_made, r->xattrs_not_set);
    if (r->kept > 0)
        output_say(o, "  %" PRIu64 " file%s of your own kept in %s/.albedo/kept/%s@%s:", r->kept,
                   r->kept == 1 ? "" : "s", p->options->target, p->options->layer, p->version);
    for (size_t i = 0; i < r->kept_path_count; i++)
        output_say(o, "    %s", r->kept_paths[i]);
    for (size_t i = 0; i < r->conflict_count; i++)
        output_say(o, "  left alone: %s", r->conflicts[i]);
}

void pull_report(struct pull *p)
{
    const struct stage_plan *plan = &p->sink.plan;
    const struct apply_result *r = &p->applied;
    char content[UNITS_TEXT_SIZE], fetched[UNITS_TEXT_SIZE], here[UNITS_TEXT_SIZE],
        took[UNITS_TEXT_SIZE];
    const bool is_hub = pull_is_from_hub(p);

    if (p->output->json) {
        report_json(p);
        return;
    }
    output_say(p->output, "%s now holds %s@%s: %" PRIu64 " entries, %s, in %s", p->options->target,
               p->options->layer, p->version, p->entries, format_size(p->content_bytes, content),
               format_duration(loop_now_ns(p->loop) - p->begun_ns, took));
    output_say(p->output, "  %s was here already, %s (%zu chunks) came from the %s",
               format_size(plan->bytes_unchanged + plan->bytes_local + plan->bytes_local_chunks +
                               plan->bytes_resumed,
                           here),
               format_size(p->fetched.put_bytes, fetched), p->fetched.put,
               is_hub ? "hub" : "branch's reflector");
    output_say(p->output,
               "  %" PRIu64 " made, %" PRIu64 " replaced, %" PRIu64 " removed, %" PRIu64
               " with new metadata only, %" PRIu64 " unchanged",
               r->made, r->replaced, r->removed, r->metadata_only, r->unchanged);
    if (p->options->verify)
        output_say(p->output, "  verified: %" PRIu64 " files read again, all as they should be",
                   p->files_checked);
    report_left_undone(p);
}

/* ---- what was typed -------------------------------------------------------------------------- */

static enum exit_code split_layer(const struct cli *cli, char *layer, struct pull_options *o)
{
    char *at = strchr(layer, '@');
    struct alb_status st;

    if (at != NULL) {
        *at = '\0';
        o->version = at + 1;
        st = version_name_check(o->version);
        if (alb_failed(st))
            return cli_usage(cli, "VERSION %s: %s", o->version, st.what);
    }
    o->layer = layer;
    st = layer_name_check(layer);
    if (alb_failed(st))
        return cli_usage(cli, "LAYER %s: %s", layer, st.what);
    return EXIT_DONE;
}

static void on_terminate(void *arg)
{
    struct pull *p = arg;

    if (p->interrupted)
        output_quit(p->output);
    p->interrupted = true;
    loop_stop(p->loop);
}

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

/* What was closed is freed by the loop, a turn later. */
static void release(struct pull *p)
{
    struct timer last;

    pull_release(p);
    timer_init(&last, p->loop, stop_loop, p->loop);
    timer_set_in(&last, 0);
    loop_run(p->loop);
    timer_stop(&last);
    p->loop = loop_free(p->loop);
    p->tls = tls_context_free(p->tls);
}

static enum exit_code run(struct cli *cli, const struct pull_options *options)
{
    struct pull *p = xalloc(sizeof *p);
    struct state state;
    enum exit_code code = state_begin(cli, &state);

    if (code != EXIT_DONE) {
        free(p);
        return code;
    }
    p->output = cli->output;
    p->state = &state;
    p->options = options;
    struct alb_status st = link_tls_open(&state, &p->tls);
    if (alb_failed(st)) {
        code =
            output_fail_status(cli->output, st,
                               "state %s: its key or certificates cannot be used; join anew with "
                               "--force",
                               state.dir);
    } else {
        p->loop = loop_new(&(struct loop_options){.workers = 0});
        p->begun_ns = loop_now_ns(p->loop);
        loop_on_terminate(p->loop, on_terminate, p);
        code = pull_run(p);
        release(p);
    }
    state_close(&state);
    free(p);
    return code;
}

enum exit_code cmd_pull(struct cli *cli)
{
    AUTO_FREE char *layer = xstrdup(cli->words[0]);
    size_t seed_count = cli_count(cli, "seed");
    AUTO_FREE const char **seeds = xcalloc(seed_count + 1, sizeof *seeds);
    struct pull_options options = {.target = cli->words[1],
                                   .seeds = seeds,
                                   .seed_count = seed_count,
                                   .exact = cli_flag(cli, "exact"),
                                   .strict = cli_flag(cli, "strict"),
                                   .verify = cli_flag(cli, "verify"),
                                   .allow_rollback = cli_flag(cli, "allow-rollback"),
                                   .replace_layer = cli_flag(cli, "replace-layer"),
                                   .at_hub = cli_flag(cli, "at-hub"),
                                   .allow_metered = cli_flag(cli, "allow-metered")};

    bool made = false;

    for (size_t i = 0; i < seed_count; i++)
        seeds[i] = cli_text_at(cli, "seed", i);
    enum exit_code code = split_layer(cli, layer, &options);
    if (code == EXIT_DONE)
        code = cli_duration(cli, "wait", WAIT_DEFAULT_NS, &options.wait_ns);
    if (code == EXIT_DONE)
        code = link_line_typed(cli, &options.line);
    if (code == EXIT_DONE)
        code = pull_ready_target(cli->output, options.target, &made);
    if (code != EXIT_DONE)
        return code;
    code = run(cli, &options);
    if (code != EXIT_DONE)
        target_leave(options.target, made);
    return code;
}
