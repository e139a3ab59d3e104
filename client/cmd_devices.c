/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_devices.c – `albedo devices` and `albedo revoke`: who has joined,
 * who no longer may. */
#include "base/alloc.h"
#include "base/units.h"
#include "client/link.h"
#include "client/named.h"
#include "client/table.h"

static const struct link_options at_hub = {.at_hub = true};

static const struct column columns[] = {
    {"DEVICE", "device", CELL_TEXT},    {"ROLE", "role", CELL_TEXT},
    {"SITE", "site", CELL_TEXT},        {"REVOKED", "revoked", CELL_VALUE},
    {"CERTIFIED", "issued", CELL_TIME}, {"UNTIL", "expires", CELL_TIME},
    {"LAYERS", "layers", CELL_TEXT},
};

enum exit_code cmd_devices(struct cli *cli)
{
    struct link_answer answer;
    struct json_doc *devices = NULL;
    struct link link;

    enum exit_code code = link_begin(cli, &at_hub, &link);
    if (code != EXIT_DONE)
        return code;
    code = link_get_json(&link, "/v1/devices", "listing devices", &answer, &devices);
    if (code == EXIT_DONE && cli->output->json)
        output_json_text(cli->output, buf_peek(&answer.body), buf_size(&answer.body));
    else if (code == EXIT_DONE)
        table_print(cli->output, devices, "devices", columns, ALB_COUNT(columns));
    json_doc_free(devices);
    link_answer_release(&answer);
    link_end(&link);
    return code;
}

enum exit_code cmd_revoke(struct cli *cli)
{
    const char *device = cli->words[0];
    struct named_request request = {.device = ""};
    struct alb_status st = id_check(device);

    if (alb_failed(st))
        return cli_usage(cli, "DEVICE %s: %s", device, st.what);
    memcpy(request.device, device, strlen(device) + 1);
    return named_ask(cli, "/v1/revoke", &request, "revoked", device);
}
