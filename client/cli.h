/* SPDX-License-Identifier: Apache-2.0 */
/* client/cli.h – a command line, taken apart by the tables of commands.def.
 *
 * Options may stand anywhere (before the command only those of every command), as `--name VALUE`
 * or `--name=VALUE`; `--` ends them.  A command asks for its options by name: asking for one that
 * commands.def does not give it is a bug and aborts.
 */
#pragma once

#include "client/commands.h"
#include "client/output.h"

struct cli_value {
    const struct command_option *option;
    const char *text; /* "" for a flag */
};

struct cli {
    struct output *output; /* borrowed */
    const struct command *command;
    const char **words; /* what follows the command's name; owned array of borrowed texts */
    size_t word_count;
    struct cli_value *values; /* owned, in the order typed */
    size_t value_count;
    bool wants_help;
    const char *group; /* the first word of several commands, alone; NULL */
};

/* EXIT_DONE, or EXIT_USAGE after saying what is wrong.  Sets output's json and verbose. */
enum exit_code cli_parse(struct cli *c, struct output *o, int argc, char **argv);
void cli_release(struct cli *c);

bool cli_flag(const struct cli *c, const char *name);
/* The text given last, or NULL. */
const char *cli_text(const struct cli *c, const char *name);
/* How often it was given, and each of them. */
size_t cli_count(const struct cli *c, const char *name);
const char *cli_text_at(const struct cli *c, const char *name, size_t index);
/* A whole number in [least, most], or `otherwise` when it was not given.  EXIT_USAGE: said. */
enum exit_code cli_number(const struct cli *c, const char *name, uint64_t least, uint64_t most,
                          uint64_t otherwise, uint64_t *out);
/* A duration such as 90s, or `otherwise` when it was not given.  EXIT_USAGE: said. */
enum exit_code cli_duration(const struct cli *c, const char *name, uint64_t otherwise_ns,
                            uint64_t *out_ns);
/* "albedo COMMAND: TEXT" and a pointer to its help; EXIT_USAGE. */
enum exit_code cli_usage(const struct cli *c, const char *format, ...) ALB_PRINTF(2, 3);

/* Help for the program (NULL) or one command, on standard output. */
void cli_help(struct output *o, const struct command *command);
/* The commands that begin with a word ("policy"), a line each, and an example. */
void cli_help_group(FILE *to, const char *group);
