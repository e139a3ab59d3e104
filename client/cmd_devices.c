/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_devices.c – `albedo devices` and `albedo revoke`: who has joined,
 * who no longer may. */
#include "base/alloc.h"
#include "base/units.h"
#include "client/link.h"
#include "client/named.h"
#include "client/table.h"

static const struct column columns[] = {
    {"DEVICE", "device", CELL_TEXT},    {"ROLE", "role", CELL_TEXT},
    {"SITE", "site", CELL_TEXT},        {"ONLINE", "online", CELL_VALUE},
    {"WHERE", "where", CELL_TEXT},      {"BY", "by", CELL_TEXT},
    {"THROUGH", "through", CELL_TEXT},  {"SEEN", "seen", CELL_TIME},
    {"REVOKED", "revoked", CELL_VALUE}, {"CERTIFIED", "issued", CELL_TIME},
    {"UNTIL", "expires", CELL_TIME},    {"LAYERS", "layers", CELL_TEXT},
};

static enum exit_code print_devices(struct cli *cli, const struct json_doc *devices)
{
    table_print(cli->output, devices, "devices", columns, ALB_COUNT(columns));
    return EXIT_DONE;
}

enum exit_code cmd_devices(struct cli *cli)
{
    return link_show(cli, &(struct link_options){.at_hub = true}, "/v1/devices", "listing devices",
                     print_devices);
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
