/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_wake.c – `albedo wake`: machines woken by those beside them, shown as it happens.
 *
 * The hub does it: whoever interrupts this command ends the showing, not the waking.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/units.h"
#include "client/link.h"
#include "wire/wake.h"

enum {
    BODY_MAX = 512 << 10,
    ANSWER_MAX = 4 << 20,
    AT_ONCE_MOST = 1000,
    RATE_MOST = 20,
    PATIENCE_LEAST_S = 7,
    PATIENCE_MOST_S = 3600,
    PASSWORD_HEX = 2 * WAKE_ORDER_PASSWORD_MAX,
};

struct wishes {
    uint64_t at_once, rate, patience_ns;
    char password[PASSWORD_HEX + 1]; /* hexadecimal; "" */
};

/* ---- what was typed -------------------------------------------------------------------------- */

/* The first line of a file: 4 or 6 bytes as 01-02-03-04-05-06, 01:02 … or without anything between.
 * (On the command line everybody on this machine could read it.) */
static enum exit_code take_password(const struct cli *cli, char out[PASSWORD_HEX + 1])
{
    const char *path = cli_text(cli, "secureon");
    size_t count = 0;
    struct buf text;

    if (path == NULL)
        return EXIT_DONE;
    buf_init(&text, 4096);
    const struct alb_status st = file_read(path, &text);
    if (!alb_failed(st)) {
        for (const char *c = buf_text(&text); *c != '\0' && *c != '\n' && count <= PASSWORD_HEX;
             c++)
            if (strchr("-: \r", *c) == NULL) {
                if (count < PASSWORD_HEX)
                    out[count] = (char)(*c >= 'A' && *c <= 'F' ? *c - 'A' + 'a' : *c);
                count++;
            }
        wipe(text.bytes, buf_size(&text));
    }
    buf_release(&text);
    if (alb_failed(st))
        return output_fail_status(cli->output, st, "--secureon %s", path);
    out[count <= PASSWORD_HEX ? count : 0] = '\0';
    if ((count != 8 && count != 12) || strspn(out, "0123456789abcdef") != count)
        return cli_usage(cli,
                         "--secureon %s: a SecureOn password is 4 or 6 bytes in hexadecimal, "
                         "such as 01-02-03-04-05-06",
                         path);
    return EXIT_DONE;
}

static enum exit_code take_wishes(const struct cli *cli, struct wishes *out)
{
    enum exit_code code = cli_number(cli, "at-once", 1, AT_ONCE_MOST, 0, &out->at_once);

    if (code == EXIT_DONE)
        code = cli_number(cli, "rate", 1, RATE_MOST, 0, &out->rate);
    if (code == EXIT_DONE)
        code = cli_duration(cli, "patience", 0, &out->patience_ns);
    if (code == EXIT_DONE && out->patience_ns != 0 &&
        (out->patience_ns < PATIENCE_LEAST_S * NS_PER_S ||
         out->patience_ns > PATIENCE_MOST_S * NS_PER_S))
        code = cli_usage(cli, "--patience: 7s to 60m");
    if (code == EXIT_DONE)
        code = take_password(cli, out->password);
    return code;
}

static struct json_writer *make_request(const struct cli *cli, const struct wishes *w)
{
    struct json_writer *j = json_writer_new();

    json_object_begin(j, NULL);
    if (cli->word_count > 0) {
        json_array_begin(j, "devices");
        for (size_t i = 0; i < cli->word_count; i++)
            json_text(j, NULL, cli->words[i]);
        json_end(j);
    }
    if (cli_text(cli, "site") != NULL)
        json_text(j, "site", cli_text(cli, "site"));
    if (cli_text(cli, "for") != NULL)
        json_text(j, "for", cli_text(cli, "for"));
    if (cli_flag(cli, "sleep-after"))
        json_bool(j, "sleep_after", true);
    json_number(j, "at_once", w->at_once);
    json_number(j, "rate", w->rate);
    json_number(j, "patience_s", w->patience_ns / NS_PER_S);
    if (w->password[0] != '\0')
        json_text(j, "secureon", w->password);
    json_end(j);
    return j;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* `body` may be NULL. */
static enum exit_code ask(struct link *l, const char *method, const char *path,
                          const struct buf *body, struct json_doc **out)
{
    struct link_answer answer;
    enum exit_code code = EXIT_DONE;

    link_ask(l,
             &(struct upstream_ask){.method = method,
                                    .path = path,
                                    .body = body != NULL ? buf_peek(body) : NULL,
                                    .body_size = body != NULL ? buf_size(body) : 0,
                                    .expect_bytes = ANSWER_MAX},
             &answer);
    if (!alb_failed(answer.st))
        answer.st = json_doc_parse(buf_peek(&answer.body), buf_size(&answer.body), out);
    if (alb_failed(answer.st))
        code = link_fail(l, &answer, "waking");
    link_answer_release(&answer);
    return code;
}

/* Writes the job's ID. */
static enum exit_code begin(const struct cli *cli, struct link *l, struct wishes *w,
                            char id[WAKE_ID_SIZE])
{
    struct json_writer *request = make_request(cli, w);
    struct json_doc *said = NULL;
    struct buf body;

    buf_init(&body, BODY_MAX);
    const struct alb_status st = json_writer_finish(request, &body);
    const enum exit_code code = alb_failed(st)
                                    ? output_fail_status(cli->output, st, "waking so many")
                                    : ask(l, "POST", "/v1/wake", &body, &said);
    if (code == EXIT_DONE) {
        snprintf(id, WAKE_ID_SIZE, "%s", json_doc_text(said, "job"));
        output_note(cli->output,
                    "job %s wakes %" PRIu64 "; 'albedo wake --job %s' shows it again, with --end "
                    "it ends",
                    id, json_doc_number(said, "count"), id);
    }
    json_doc_free(said);
    wipe(w->password, sizeof w->password);
    wipe(body.bytes, buf_size(&body));
    buf_release(&body);
    return code;
}

/* ---- showing --------------------------------------------------------------------------------- */

/* All that a machine's end can be. */
static const struct {
    const char *result, *words;
} WORDS[] = {
    {"woken", "woken"},
    {"already_awake", "already awake"},
    {"never_answered", "never answered"},
    {"cannot_be_woken", "cannot be woken"},
    {"nobody_awake_there", "nobody awake there"},
    {"refused", "refused"},
    {"ended", "ended"},
    {"has_it_already", "has it already"},
};

static const char *word_of(const char *result)
{
    for (size_t i = 0; i < ALB_COUNT(WORDS); i++)
        if (strcmp(WORDS[i].result, result) == 0)
            return WORDS[i].words;
    return result;
}

static const char *text_of(const struct json_doc *d, size_t i, const char *name)
{
    char path[48];

    snprintf(path, sizeof path, "machines.%zu.%s", i, name);
    return json_doc_text(d, path);
}

static uint64_t number_of(const struct json_doc *d, size_t i, const char *name)
{
    char path[48];

    snprintf(path, sizeof path, "machines.%zu.%s", i, name);
    return json_doc_number(d, path);
}

static void show_json(struct output *o, const struct json_doc *d, size_t i)
{
    static const char *const TEXTS[] = {"device", "site", "stage", "result", "guard", "why"};
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "event", text_of(d, i, "result")[0] == '\0' ? "waking" : "machine");
    json_text(w, "job", json_doc_text(d, "job"));
    for (size_t k = 0; k < ALB_COUNT(TEXTS); k++)
        json_text(w, TEXTS[k], text_of(d, i, TEXTS[k]));
    json_number(w, "attempts", number_of(d, i, "attempts"));
    json_number(w, "took_ms", number_of(d, i, "took_ms"));
    json_end(w);
    output_json(o, w);
}

/* A line for each that is done; on the way, notes of who sent for it. */
static void show_machine(struct output *o, const struct json_doc *d, size_t i)
{
    const char *result = text_of(d, i, "result"), *guard = text_of(d, i, "guard");
    const uint64_t took_ms = number_of(d, i, "took_ms");
    char took[UNITS_TEXT_SIZE] = "-";

    if (o->json) {
        show_json(o, d, i);
        return;
    }
    if (result[0] == '\0') {
        if (strcmp(text_of(d, i, "stage"), "sent") == 0)
            output_note(o, "%s: %s sent for it (%" PRIu64 ". time)", text_of(d, i, "device"), guard,
                        number_of(d, i, "attempts"));
        return;
    }
    if (took_ms > 0)
        (void)format_duration(took_ms * NS_PER_MS, took);
    output_say(o, "%-24s %-18s %-16s %-8s %s", text_of(d, i, "device"), word_of(result),
               guard[0] == '\0' ? "-" : guard, took, text_of(d, i, "why"));
}

/* ---- what they are woken for ---- */

enum { CONTENTS_MAX = 256 };

/* What was said last of a site's content, so that it is said again when it is another. */
struct told_content {
    char state[12];
    uint64_t percent;
};

static const char *content_text(const struct json_doc *d, size_t i, const char *name)
{
    char path[48];

    snprintf(path, sizeof path, "contents.%zu.%s", i, name);
    return json_doc_text(d, path);
}

static uint64_t content_number(const struct json_doc *d, size_t i, const char *name)
{
    char path[48];

    snprintf(path, sizeof path, "contents.%zu.%s", i, name);
    return json_doc_number(d, path);
}

static uint64_t percent_of(const struct json_doc *d, size_t i)
{
    const uint64_t all = content_number(d, i, "bytes");

    return all == 0 ? 0 : content_number(d, i, "bytes_here") * 100 / all;
}

static void content_json(struct output *o, const struct json_doc *d, size_t i)
{
    static const char *const TEXTS[] = {"site", "reflector", "state", "line", "why"};
    static const char *const NUMBERS[] = {"chunks", "chunks_here", "bytes", "bytes_here",
                                          "fetched_bytes"};
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "event", "content");
    json_text(w, "job", json_doc_text(d, "job"));
    json_text(w, "layer", json_doc_text(d, "for.layer"));
    json_text(w, "version", json_doc_text(d, "for.version"));
    for (size_t k = 0; k < ALB_COUNT(TEXTS); k++)
        json_text(w, TEXTS[k], content_text(d, i, TEXTS[k]));
    for (size_t k = 0; k < ALB_COUNT(NUMBERS); k++)
        json_number(w, NUMBERS[k], content_number(d, i, NUMBERS[k]));
    json_end(w);
    output_json(o, w);
}

static void content_line(struct output *o, const struct json_doc *d, size_t i)
{
    const char *state = content_text(d, i, "state"), *why = content_text(d, i, "why"),
               *line = content_text(d, i, "line");
    char here[UNITS_TEXT_SIZE], all[UNITS_TEXT_SIZE];

    if (strcmp(state, "straight") == 0)
        output_note(o, "site %s: %s", content_text(d, i, "site"), why);
    else
        output_note(o, "site %s: %s@%s at %s: %s%s, %" PRIu64 " %% (%s of %s)%s%s",
                    content_text(d, i, "site"), json_doc_text(d, "for.layer"),
                    json_doc_text(d, "for.version"), content_text(d, i, "reflector"), state,
                    strcmp(line, "paused") == 0 ? " (paused by policy)" : "", percent_of(d, i),
                    format_size(content_number(d, i, "bytes_here"), here),
                    format_size(content_number(d, i, "bytes"), all), why[0] == '\0' ? "" : "; ",
                    why);
}

static void show_contents(struct output *o, const struct json_doc *d, struct told_content *told)
{
    for (size_t i = 0; i < json_doc_count(d, "contents") && i < CONTENTS_MAX; i++) {
        const char *state = content_text(d, i, "state");
        const uint64_t percent = percent_of(d, i);

        if (strcmp(state, told[i].state) == 0 && percent == told[i].percent)
            continue;
        snprintf(told[i].state, sizeof told[i].state, "%s", state);
        told[i].percent = percent;
        if (o->json)
            content_json(o, d, i);
        else
            content_line(o, d, i);
    }
}

static void show_bar(struct output *o, const struct json_doc *d)
{
    uint64_t done = 0;
    char path[48], text[128];

    for (size_t i = 0; i < ALB_COUNT(WORDS); i++) {
        snprintf(path, sizeof path, "results.%s", WORDS[i].result);
        done += json_doc_number(d, path);
    }
    snprintf(text, sizeof text,
             "%" PRIu64 " of %" PRIu64 " done, %" PRIu64 " woken, %" PRIu64 " starting", done,
             json_doc_number(d, "count"), json_doc_number(d, "results.woken"),
             json_doc_number(d, "begun"));
    if (o->err_is_terminal && !o->json)
        output_bar(o, text);
}

/* All are awake, or not. */
static enum exit_code finish(struct output *o, const struct json_doc *d)
{
    const uint64_t count = json_doc_number(d, "count"),
                   has_it = json_doc_number(d, "results.has_it_already"),
                   awake = json_doc_number(d, "results.woken") +
                           json_doc_number(d, "results.already_awake");

    if (o->err_is_terminal && !o->json)
        output_bar(o, NULL);
    if (o->json) {
        struct json_writer *w = json_writer_new();

        json_object_begin(w, NULL);
        json_text(w, "event", "woke");
        json_text(w, "job", json_doc_text(d, "job"));
        json_number(w, "count", count);
        json_relay(w, "results", d, "results");
        json_end(w);
        output_json(o, w);
    }
    if (has_it > 0)
        output_note(o, "%" PRIu64 " sleep on: they have %s@%s already", has_it,
                    json_doc_text(d, "for.layer"), json_doc_text(d, "for.version"));
    if (awake + has_it == count) {
        output_note(o, "%" PRIu64 " awake: %" PRIu64 " woken, %" PRIu64 " were awake already",
                    awake, json_doc_number(d, "results.woken"),
                    json_doc_number(d, "results.already_awake"));
        return EXIT_DONE;
    }
    return output_fail(o, ALB_UNKNOWN,
                       "%" PRIu64 " of %" PRIu64 " are not awake; the lines above say why",
                       count - awake - has_it, count);
}

static enum exit_code watch(struct cli *cli, struct link *l, const char *id)
{
    AUTO_FREE struct told_content *told = xcalloc(CONTENTS_MAX, sizeof *told);
    enum exit_code code = EXIT_DONE;
    bool is_done = false;
    uint64_t after = 0;

    if (!cli->output->json)
        output_say(cli->output, "%-24s %-18s %-16s %-8s %s", "MACHINE", "RESULT", "BY", "AFTER",
                   "WHY");
    while (!is_done && code == EXIT_DONE && !l->interrupted) {
        struct json_doc *d = NULL;
        char path[96];

        snprintf(path, sizeof path, "/v1/wake-job/%s?after=%" PRIu64 "&wait=1", id, after);
        code = ask(l, "GET", path, NULL, &d);
        if (code != EXIT_DONE)
            break;
        after = json_doc_number(d, "change");
        show_contents(cli->output, d, told);
        for (size_t i = 0; i < json_doc_count(d, "machines"); i++)
            show_machine(cli->output, d, i);
        is_done = strcmp(json_doc_text(d, "state"), "running") != 0;
        show_bar(cli->output, d);
        if (is_done)
            code = finish(cli->output, d);
        json_doc_free(d);
    }
    if (l->interrupted)
        output_note(cli->output,
                    "the hub goes on: 'albedo wake --job %s' shows it, with --end it ends", id);
    return code;
}

/* ---- the command ----------------------------------------------------------------------------- */

static enum exit_code check_words(const struct cli *cli)
{
    const bool has_job = cli_text(cli, "job") != NULL;
    const bool has_whom = cli->word_count > 0 || cli_text(cli, "site") != NULL;

    if (has_job == has_whom)
        return cli_usage(cli, "say whom: DEVICE…, or --site NAME; or --job ID, which shows a job "
                              "that runs");
    if (has_job && (cli_text(cli, "for") != NULL || cli_flag(cli, "sleep-after")))
        return cli_usage(cli, "--for and --sleep-after are said when a job begins");
    if (cli_flag(cli, "sleep-after") && cli_text(cli, "for") == NULL)
        return cli_usage(cli, "--sleep-after: it is by a layer's pull that one knows when a "
                              "machine may sleep again: --for LAYER");
    if (cli_text(cli, "for") != NULL && alb_failed(layer_name_check(cli_text(cli, "for"))))
        return cli_usage(cli, "--for %s: %s", cli_text(cli, "for"),
                         layer_name_check(cli_text(cli, "for")).what);
    if (cli_flag(cli, "end") && !has_job)
        return cli_usage(cli, "--end ends a job: --job ID");
    if (has_job && alb_failed(id_check(cli_text(cli, "job"))))
        return cli_usage(cli, "--job %s: an ID is 'w' and 16 hexadecimal digits",
                         cli_text(cli, "job"));
    return EXIT_DONE;
}

static enum exit_code end_job(struct link *l, const char *id)
{
    struct json_doc *d = NULL;
    char path[160];

    snprintf(path, sizeof path, "/v1/wake-end/%s", id);
    const enum exit_code code = ask(l, "POST", path, NULL, &d);
    if (code == EXIT_DONE)
        output_say(l->output, "job %s ended: %" PRIu64 " woken, %" PRIu64 " given up", id,
                   json_doc_number(d, "results.woken"), json_doc_number(d, "results.ended"));
    json_doc_free(d);
    return code;
}

enum exit_code cmd_wake(struct cli *cli)
{
    const struct link_options options = {.at_hub = true};
    struct wishes wishes = {.password = ""};
    char id[WAKE_ID_SIZE] = "";
    struct link link;
    enum exit_code code = check_words(cli);

    if (code == EXIT_DONE)
        code = take_wishes(cli, &wishes);
    if (code == EXIT_DONE)
        code = link_begin(cli, &options, &link);
    if (code != EXIT_DONE)
        return code;
    if (cli_text(cli, "job") != NULL)
        snprintf(id, sizeof id, "%s", cli_text(cli, "job"));
    else
        code = begin(cli, &link, &wishes, id);
    if (code == EXIT_DONE)
        code = cli_flag(cli, "end") ? end_job(&link, id) : watch(cli, &link, id);
    link_end(&link);
    return code;
}
