/* SPDX-License-Identifier: Apache-2.0 */
/* client/commands.c – the tables that commands.def spells, and finding a row in them. */
#include "client/commands.h"

#include <string.h>

#include "base/alloc.h"

#define COMMAND(id, words, arguments, least, most, summary, details)                               \
    {COMMAND_##id, words, arguments, least, most, summary, details, cmd_##id},
#define OPTION(command, name, argument, need, help)
const struct command commands[] = {
#include "client/commands.def"
};
#undef COMMAND
#undef OPTION

#define COMMAND(id, words, arguments, least, most, summary, details)
#define OPTION(command, name, argument, need, help) {COMMAND_##command, name, argument, need, help},
const struct command_option command_options[] = {
#include "client/commands.def"
};
#undef COMMAND
#undef OPTION

const size_t command_count = ALB_COUNT(commands);
const size_t command_option_count = ALB_COUNT(command_options);

const struct command *command_find(const char *first, const char *second, size_t *used)
{
    size_t size = strlen(first);

    for (size_t i = 0; i < command_count; i++) {
        const char *words = commands[i].words;
        bool is_whole = strcmp(words, first) == 0;

        if (strncmp(words, first, size) != 0)
            continue;
        if (!is_whole &&
            (words[size] != ' ' || second == NULL || strcmp(words + size + 1, second) != 0))
            continue;
        *used = is_whole ? 1 : 2;
        return &commands[i];
    }
    return NULL;
}

bool command_is_group(const char *word)
{
    size_t size = strlen(word);

    for (size_t i = 0; i < command_count; i++)
        if (strncmp(commands[i].words, word, size) == 0 && commands[i].words[size] == ' ')
            return true;
    return false;
}

const struct command_option *command_option_find(const struct command *command, const char *name)
{
    for (size_t i = 0; i < command_option_count; i++) {
        const struct command_option *option = &command_options[i];
        bool belongs =
            option->command == COMMAND_ANY || (command != NULL && option->command == command->id);

        if (belongs && strcmp(option->name, name) == 0)
            return option;
    }
    return NULL;
}
