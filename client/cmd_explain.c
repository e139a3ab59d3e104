/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_explain.c – `albedo explain rate|upstream|CHUNK|FILE`: why is it as it is? */
#include <string.h>

#include "client/explain.h"

enum exit_code cmd_explain(struct cli *cli)
{
    const char *what = cli->words[0], *target = cli_text(cli, "target");
    const char *layer = cli_text(cli, "layer");
    const bool at_hub = cli_flag(cli, "at-hub"), is_local = cli_flag(cli, "local");

    if (strcmp(what, "upstream") == 0 && target == NULL && !is_local && layer == NULL && !at_hub)
        return explain_upstream(cli);
    if (cli_flag(cli, "what-if") || cli_count(cli, "address") + cli_count(cli, "gateway") > 0)
        return cli_usage(cli, "%s: --what-if, --address and --gateway go with upstream", what);
    if (strcmp(what, "rate") == 0 && target == NULL && !is_local && layer == NULL)
        return explain_rate(cli, at_hub);
    if (target == NULL && !is_local && explain_is_chunk(what))
        return explain_chunk(cli, what, at_hub, layer);
    if (at_hub || layer != NULL)
        return cli_usage(cli,
                         "%s: --at-hub and --layer go with a chunk, which is 8 to 64 "
                         "hexadecimal digits",
                         what);
    return explain_file(cli, what, target, is_local);
}
