/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_promote.c – `albedo promote LAYER@VERSION`: the hub signs a new head. */
#include "client/layer_name.h"
#include "client/named.h"

enum exit_code cmd_promote(struct cli *cli)
{
    struct named_request request = {.layer = ""};
    struct layer_name name;

    struct alb_status st = layer_name_parse(cli->words[0], &name);
    if (alb_failed(st))
        return cli_usage(cli, "%s: %s", cli->words[0], st.what);
    if (name.version[0] == '\0')
        return cli_usage(cli, "%s: say which version, as in %s@VERSION", name.layer, name.layer);
    memcpy(request.layer, name.layer, sizeof name.layer);
    memcpy(request.version, name.version, sizeof name.version);
    return named_ask(cli, "/v1/promote", &request, "promoted", cli->words[0]);
}
