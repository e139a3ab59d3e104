/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_layers.c – `albedo layers`: what may be read, and which version is current. */
#include "base/alloc.h"
#include "client/link.h"
#include "client/table.h"

static const struct column columns[] = {
    {"LAYER", "layer", CELL_TEXT},           {"CURRENT", "version", CELL_TEXT},
    {"SIZE", "content_bytes", CELL_SIZE},    {"FILES", "entries", CELL_NUMBER},
    {"PUBLISHED", "made_wall_s", CELL_TIME}, {"HEAD EXPIRES", "expires_wall_s", CELL_TIME},
};

enum exit_code cmd_layers(struct cli *cli)
{
    const struct link_options options = {.wants_grant = true};
    struct link_answer answer;
    struct json_doc *layers = NULL;
    struct link link;

    enum exit_code code = link_begin(cli, &options, &link);
    if (code != EXIT_DONE)
        return code;
    code = link_get_json(&link, "/v1/layers", "listing layers", &answer, &layers);
    if (code == EXIT_DONE && cli->output->json)
        output_json_text(cli->output, buf_peek(&answer.body), buf_size(&answer.body));
    else if (code == EXIT_DONE && json_doc_count(layers, "layers") == 0)
        output_note(cli->output, "no layers that %s may read", link.state->who.device);
    else if (code == EXIT_DONE)
        table_print(cli->output, layers, "layers", columns, ALB_COUNT(columns));
    json_doc_free(layers);
    link_answer_release(&answer);
    link_end(&link);
    return code;
}
