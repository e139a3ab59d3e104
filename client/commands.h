/* SPDX-License-Identifier: Apache-2.0 */
/* client/commands.h – the table of commands and their options, made from commands.def. */
#pragma once

#include "client/output.h"

struct cli;

#define COMMAND(id, words, arguments, least, most, summary, details) COMMAND_##id,
#define OPTION(command, name, argument, need, help)
enum command_id {
#include "client/commands.def"
    COMMAND_ANY, /* an option of every command */
};
#undef COMMAND
#undef OPTION

/* cmd_<id>() of each row, in client/cmd_*.c. */
#define COMMAND(id, words, arguments, least, most, summary, details)                               \
    enum exit_code cmd_##id(struct cli *cli);
#define OPTION(command, name, argument, need, help)
#include "client/commands.def"
#undef COMMAND
#undef OPTION

enum option_need { OPTIONAL, REQUIRED, REPEATED };

struct command_option {
    enum command_id command;
    const char *name;     /* without the dashes */
    const char *argument; /* what it takes, for help; NULL: a flag */
    enum option_need need;
    const char *help;
};

struct command {
    enum command_id id;
    const char *words;     /* "token create" */
    const char *arguments; /* "PREFIX KEY" */
    size_t least, most;    /* how many of them */
    const char *summary;   /* a line */
    const char *details;   /* more lines for its own help, or "" */
    enum exit_code (*run)(struct cli *cli);
};

extern const struct command commands[];
extern const size_t command_count;
extern const struct command_option command_options[];
extern const size_t command_option_count;

/* The command that `first` (and, when it takes two words, `second`, which may be NULL) names, or
 * NULL; *used is how many words that took. */
const struct command *command_find(const char *first, const char *second, size_t *used);
/* Is `word` the first of several commands' two words ("token")? */
bool command_is_group(const char *word);
/* The option `name` of `command` (NULL: those of every command only), or NULL. */
const struct command_option *command_option_find(const struct command *command, const char *name);
