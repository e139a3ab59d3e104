/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_publish.c – `albedo publish LAYER TREE`, and `publish LAYER --as-version OLD`. */
#include <inttypes.h>

#include "base/alloc.h"
#include "client/publish.h"
#include "wire/signed.h"

enum { RACES_MOST = 5 };
#define WAIT_DEFAULT_NS (60 * NS_PER_S)

static void print_result(struct output *o, const char *layer, const struct publish_result *r,
                         bool hold)
{
    char content[UNITS_TEXT_SIZE], sent[UNITS_TEXT_SIZE];

    if (o->json) {
        struct json_writer *w = json_writer_new();
        json_object_begin(w, NULL);
        json_text(w, "event", "published");
        json_text(w, "layer", layer);
        json_text(w, "version", r->version);
        json_number(w, "sequence", r->sequence);
        json_bool(w, "current", !hold);
        json_number(w, "entries", r->entries);
        json_number(w, "content_bytes", r->content_bytes);
        json_number(w, "chunks", r->chunks);
        json_number(w, "sent_chunks", r->sent_chunks);
        json_number(w, "sent_bytes", r->sent_bytes);
        json_number(w, "manifest_bytes", r->manifest_bytes);
        json_number(w, "manifest_stored_bytes", r->manifest_stored_bytes);
        json_number(w, "left_out", r->left_out);
        json_end(w);
        output_json(o, w);
        return;
    }
    output_say(o, "published %s@%s: %" PRIu64 " entries, %s; sent %zu of %" PRIu64 " chunks, %s%s",
               layer, r->version, r->entries, format_size(r->content_bytes, content),
               r->sent_chunks, r->chunks, format_size(r->sent_bytes, sent),
               hold ? "; on hold: `albedo promote` makes it current" : "");
}

/* Is there a version with the record's number by now, whose name is not the one that was asked for?
 */
static bool is_outrun(struct link *l, const struct publish_options *options,
                      const struct version_record *record)
{
    struct publish_past past;

    return publish_past(l, options, &past) == EXIT_DONE && !past.is_taken &&
           past.newest_sequence >= record->sequence;
}

/* Sign `past->old` under the next sequence and post it.  *lost: somebody else took that number. */
static enum exit_code post_old(struct link *l, const struct publish_options *options,
                               const struct publish_past *past, const struct sign_secret *key,
                               struct version_record *record, bool *lost)
{
    struct link_answer answer;
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    *record = past->old;
    enum exit_code code = publish_sign(l, options, past, key, record, &bytes);
    if (code == EXIT_DONE) {
        const struct upstream_ask ask = {.method = "POST",
                                         .path =
                                             options->hold ? "/v1/version?hold=1" : "/v1/version",
                                         .body = buf_peek(&bytes),
                                         .body_size = buf_size(&bytes),
                                         .expect_bytes = 4096};
        link_ask(l, &ask, &answer);
        *lost = *lost && answer.st.code == ALB_CONFLICT && is_outrun(l, options, record);
        if (alb_failed(answer.st) && !*lost)
            code = link_fail(l, &answer, "publishing an old version anew");
        link_answer_release(&answer);
    }
    buf_release(&bytes);
    return code;
}

/* The past is asked for anew each time; `may_lose` false: losing is an error. */
static enum exit_code try_old(struct link *l, const struct publish_options *options,
                              const struct sign_secret *key, struct version_record *record,
                              bool may_lose, bool *lost)
{
    struct publish_past past;

    *lost = may_lose;
    enum exit_code code = publish_past(l, options, &past);
    if (code == EXIT_DONE)
        code = publish_name_is_free(l, options, &past);
    if (code == EXIT_DONE)
        code = post_old(l, options, &past, key, record, lost);
    return code;
}

/* A new version record for a root the hub has already: costs no content bytes. */
static enum exit_code publish_old(struct link *l, const struct publish_options *options,
                                  struct publish_result *out)
{
    struct sign_secret key;
    struct version_record record;
    bool lost = true;

    enum exit_code code = publish_key(l, options->layer, &key);
    if (code != EXIT_DONE)
        return code;
    for (unsigned tries = 0; lost && code == EXIT_DONE; tries++)
        code = try_old(l, options, &key, &record, tries < RACES_MOST, &lost);
    wipe(&key, sizeof key);
    if (code != EXIT_DONE)
        return code;
    *out = (struct publish_result){.sequence = record.sequence,
                                   .entries = record.entries,
                                   .content_bytes = record.content_bytes};
    snprintf(out->version, sizeof out->version, "%s", record.version);
    return EXIT_DONE;
}

/* As a scan names paths: "./a/b/" is "a/b". */
static char *tidy_path(const char *path)
{
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    return xstrndup(path, size);
}

static enum exit_code read_typed(const struct cli *cli, struct publish_options *o)
{
    o->layer = cli->words[0];
    o->tree = cli->word_count > 1 ? cli->words[1] : NULL;
    o->version = cli_text(cli, "version");
    o->as_version = cli_text(cli, "as-version");
    o->hold = cli_flag(cli, "hold");
    o->devices = cli_flag(cli, "devices");
    o->cross_mounts = cli_flag(cli, "cross-mounts");
    enum exit_code code = cli_duration(cli, "wait", WAIT_DEFAULT_NS, &o->wait_ns);
    if (code != EXIT_DONE)
        return code;
    struct alb_status st = layer_name_check(o->layer);
    if (alb_failed(st))
        return cli_usage(cli, "LAYER %s: %s", o->layer, st.what);
    if (o->version != NULL && alb_failed(st = version_name_check(o->version)))
        return cli_usage(cli, "--version %s: %s", o->version, st.what);
    if ((o->tree == NULL) == (o->as_version == NULL))
        return cli_usage(cli, "give either a TREE to publish or --as-version OLD");
    return EXIT_DONE;
}

enum exit_code cmd_publish(struct cli *cli)
{
    struct link_options options = {.at_hub = true, .shows_warnings = true, .has_line = true};
    struct publish_options typed = {.layer = NULL};
    struct publish_result result;
    struct link link;

    enum exit_code code = read_typed(cli, &typed);
    if (code == EXIT_DONE)
        code = link_line_typed(cli, &options.line);
    if (code != EXIT_DONE)
        return code;
    typed.exclude_count = cli_count(cli, "exclude");
    AUTO_FREE char **exclude = xcalloc(typed.exclude_count + 1, sizeof *exclude);
    for (size_t i = 0; i < typed.exclude_count; i++)
        exclude[i] = tidy_path(cli_text_at(cli, "exclude", i));
    typed.exclude = (const char *const *)exclude;
    options.wait_ns = typed.wait_ns;
    code = link_begin(cli, &options, &link);
    if (code == EXIT_DONE) {
        code = typed.tree != NULL ? publish_run(&link, &typed, &result)
                                  : publish_old(&link, &typed, &result);
        if (code == EXIT_DONE)
            print_result(link.output, typed.layer, &result, typed.hold);
        link_end(&link);
    }
    for (size_t i = 0; i < typed.exclude_count; i++)
        free(exclude[i]);
    return code;
}
