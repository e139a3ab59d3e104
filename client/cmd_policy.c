/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_policy.c – `albedo policy check|set`: a file judged here, and made the policy. */
#include <inttypes.h>

#include "base/alloc.h"
#include "client/policy_copy.h"
#include "client/table.h"

enum exit_code cmd_policy_check(struct cli *cli)
{
    const char *file = cli->words[0];
    struct policy_doc *doc = NULL;
    char words[160];
    struct buf text;

    buf_init(&text, POLICY_TEXT_MAX);
    enum exit_code code = policy_file_read(cli, file, &doc, &text);
    if (code == EXIT_DONE)
        output_say(cli->output, "%s: good: %s", file, policy_doc_words(doc, words));
    policy_doc_free(doc);
    buf_release(&text);
    return code;
}

static void tell_set(struct output *o, const struct link_answer *answer,
                     const struct json_doc *said, const struct policy_doc *doc)
{
    const uint64_t number = json_doc_number(said, "number");
    char words[160], cell[CELL_SIZE_MAX];

    if (o->json)
        output_json_text(o, buf_peek(&answer->body), buf_size(&answer->body));
    else if (strcmp(table_cell(said, "changed", CELL_VALUE, cell), "yes") == 0)
        output_say(o, "policy %" PRIu64 " is set: %s", number, policy_doc_words(doc, words));
    else
        output_say(o, "policy %" PRIu64 " says just that already: nothing changed", number);
    for (size_t i = 0; i < json_doc_count(said, "warnings") && !o->json; i++) {
        AUTO_FREE char *at = xasprintf("warnings.%zu", i);

        output_note(o, "warning: with the sites of the directory: %s", json_doc_text(said, at));
    }
}

static enum exit_code put(struct cli *cli, const struct policy_doc *doc, const struct buf *text)
{
    const struct link_options options = {.at_hub = true};
    const char *seen = cli_text(cli, "if");
    AUTO_FREE char *path =
        xasprintf("/v1/policy-put%s%s", seen == NULL ? "" : "?if=", seen == NULL ? "" : seen);
    struct json_doc *said = NULL;
    struct link_answer answer;
    struct link link;
    enum exit_code code = link_begin(cli, &options, &link);

    if (code != EXIT_DONE)
        return code;
    link_ask(
        &link,
        &(struct upstream_ask){
            .method = "POST", .path = path, .body = buf_peek(text), .body_size = buf_size(text)},
        &answer);
    if (!alb_failed(answer.st))
        answer.st = json_doc_parse(buf_peek(&answer.body), buf_size(&answer.body), &said);
    if (alb_failed(answer.st))
        code = link_fail(&link, &answer, "setting the policy");
    else
        tell_set(cli->output, &answer, said, doc);
    json_doc_free(said);
    link_answer_release(&answer);
    link_end(&link);
    return code;
}

enum exit_code cmd_policy_set(struct cli *cli)
{
    struct policy_doc *doc = NULL;
    uint64_t seen = 0;
    struct buf text;

    buf_init(&text, POLICY_TEXT_MAX);
    enum exit_code code = cli_number(cli, "if", 0, INT64_MAX, 0, &seen);
    if (code == EXIT_DONE)
        code = policy_file_read(cli, cli->words[0], &doc, &text);
    if (code == EXIT_DONE)
        code = put(cli, doc, &text);
    policy_doc_free(doc);
    buf_release(&text);
    return code;
}
