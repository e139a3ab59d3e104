/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_override.c – `albedo pause|go|resume`: what an operator says for a while. */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/units.h"
#include "client/link.h"
#include "wire/policy.h"

enum { LONGEST_DAYS = 366, BODY_MAX = 4096 };

/* ---- whom it is about ------------------------------------------------------------------------ */

static const struct {
    const char *option, *word;
} SCOPES[] = {{"site", "site:"}, {"device", "client:"}, {"link", "link:"}, {"layer", "job:"}};

/* Exactly one of the options: "site:oslo", "global"; or "" when none is given. */
static enum exit_code take_scope(const struct cli *cli, char *out, size_t size)
{
    size_t given = cli_flag(cli, "all") ? 1 : 0;
    enum policy_scope scope;
    char of[104];

    snprintf(out, size, "%s", given > 0 ? "global" : "");
    for (size_t i = 0; i < ALB_COUNT(SCOPES); i++) {
        const char *text = cli_text(cli, SCOPES[i].option);

        if (text == NULL)
            continue;
        given++;
        snprintf(out, size, "%s%s", SCOPES[i].word, text);
        struct alb_status st = policy_scope_parse(out, &scope, of);
        if (alb_failed(st))
            return cli_usage(cli, "--%s %s: %s", SCOPES[i].option, text, st.what);
    }
    if (given > 1)
        return cli_usage(cli, "say one of --all, --site, --device, --link and --layer");
    return EXIT_DONE;
}

/* ---- asking the hub -------------------------------------------------------------------------- */

/* Takes `w`.  The answer's document is the caller's when EXIT_DONE. */
static enum exit_code ask(struct cli *cli, const char *path, struct json_writer *w,
                          const char *doing, struct json_doc **out)
{
    const struct link_options options = {.at_hub = true};
    struct link_answer answer;
    struct link link;
    struct buf body;

    buf_init(&body, BODY_MAX);
    struct alb_status st = json_writer_finish(w, &body);
    enum exit_code code = alb_failed(st) ? output_fail_status(cli->output, st, "%s", doing)
                                         : link_begin(cli, &options, &link);
    if (code != EXIT_DONE) {
        buf_release(&body);
        return code;
    }
    link_ask(
        &link,
        &(struct upstream_ask){
            .method = "POST", .path = path, .body = buf_peek(&body), .body_size = buf_size(&body)},
        &answer);
    if (!alb_failed(answer.st))
        answer.st = json_doc_parse(buf_peek(&answer.body), buf_size(&answer.body), out);
    if (alb_failed(answer.st))
        code = link_fail(&link, &answer, doing);
    else if (cli->output->json)
        output_json_text(cli->output, buf_peek(&answer.body), buf_size(&answer.body));
    link_answer_release(&answer);
    buf_release(&body);
    link_end(&link);
    return code;
}

/* ---- pause, go ------------------------------------------------------------------------------- */

static enum exit_code override(struct cli *cli, const char *what)
{
    char scope[128], until[UNITS_TEXT_SIZE];
    struct json_doc *said = NULL;
    uint64_t for_ns = 0;
    enum exit_code code = take_scope(cli, scope, sizeof scope);

    if (code == EXIT_DONE && scope[0] == '\0')
        code = cli_usage(cli, "say whom: --all, --site NAME, --device NAME, --link NAME or "
                              "--layer PREFIX");
    if (code == EXIT_DONE)
        code = cli_duration(cli, "for", 0, &for_ns);
    if (code == EXIT_DONE && (for_ns < NS_PER_S || for_ns / NS_PER_S > LONGEST_DAYS * 86400))
        code = cli_usage(cli, "--for %s: a second to 366 days", cli_text(cli, "for"));
    if (code != EXIT_DONE)
        return code;
    struct json_writer *w = json_writer_new();
    json_object_begin(w, NULL);
    json_text(w, "what", what);
    json_text(w, "scope", scope);
    json_number(w, "for_s", for_ns / NS_PER_S);
    json_text(w, "why", cli_text(cli, "why"));
    json_end(w);
    AUTO_FREE char *doing = xasprintf("%s %s", what, scope);
    code = ask(cli, "/v1/override-put", w, doing, &said);
    if (code == EXIT_DONE)
        output_say(
            cli->output, "%s: %s until %s; `albedo resume %s` ends it before",
            json_doc_text(said, "scope"), strcmp(what, "pause") == 0 ? "paused" : "at full speed",
            format_time((int64_t)json_doc_number(said, "until"), until), json_doc_text(said, "id"));
    json_doc_free(said);
    return code;
}

enum exit_code cmd_pause(struct cli *cli)
{
    return override(cli, "pause");
}

enum exit_code cmd_go(struct cli *cli)
{
    return override(cli, "go");
}

/* ---- resume ---------------------------------------------------------------------------------- */

enum exit_code cmd_resume(struct cli *cli)
{
    struct json_doc *said = NULL;
    char scope[128];
    enum exit_code code = take_scope(cli, scope, sizeof scope);

    if (code != EXIT_DONE)
        return code;
    if ((cli->word_count == 0) == (scope[0] == '\0'))
        return cli_usage(cli, "say which: an ID that `albedo policy show` lists, or one of --all, "
                              "--site, --device, --link and --layer");
    const char *which = cli->word_count > 0 ? cli->words[0] : cli_flag(cli, "all") ? "all" : scope;
    struct json_writer *w = json_writer_new();
    json_object_begin(w, NULL);
    json_text(w, "which", which);
    json_end(w);
    code = ask(cli, "/v1/override-end", w, "resuming", &said);
    if (code == EXIT_DONE)
        output_say(cli->output, "%s: %" PRIu64 " override%s ended; the policy holds again", which,
                   json_doc_number(said, "ended"), json_doc_number(said, "ended") == 1 ? "" : "s");
    json_doc_free(said);
    return code;
}
