/* SPDX-License-Identifier: Apache-2.0 */
/* client/main.c – `albedo`: take the command line apart, run its command,
 * answer with an exit code. */
#include <signal.h>

#include "base/alloc.h"
#include "client/cli.h"
#include "client/renewing.h"

#ifndef ALB_VERSION
#define ALB_VERSION "0.1.0"
#endif

static enum exit_code run(struct cli *cli, struct output *output, int argc, char **argv)
{
    enum exit_code code = cli_parse(cli, output, argc, argv);

    log_install(output_log, output, output->verbose ? LOG_DEBUG : LOG_WARN);
    if (code != EXIT_DONE)
        return code;
    if (cli->wants_help) {
        if (cli->group != NULL)
            cli_help_group(output->out, cli->group);
        else
            cli_help(output, cli->command);
        return EXIT_DONE;
    }
    code = cli->command->run(cli);
    if (code == EXIT_DONE)
        renewing_look(cli);
    return code;
}

int main(int argc, char **argv)
{
    struct output output;
    struct cli cli;

    alloc_keep_freed();
    signal(SIGPIPE, SIG_IGN); /* a reader that left is an error to report, not to die of */
    output_init(&output, stdout, stderr);
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("albedo %s\n", ALB_VERSION);
        return (int)output_finish(&output, EXIT_DONE);
    }
    enum exit_code code = run(&cli, &output, argc, argv);
    cli_release(&cli);
    code = output_finish(&output, code);
    output_release(&output);
    return (int)code;
}
