/* SPDX-License-Identifier: Apache-2.0 */
/* client/help.c – help for people, printed from the tables of commands.def. */
#include "client/cli.h"

enum { NAME_WIDTH = 28 };

static void print_options(FILE *to, enum command_id command)
{
    char name[80];

    for (size_t i = 0; i < command_option_count; i++) {
        const struct command_option *option = &command_options[i];

        if (option->command != command)
            continue;
        snprintf(name, sizeof name, "--%s%s%s", option->name, option->argument == NULL ? "" : " ",
                 option->argument == NULL ? "" : option->argument);
        fprintf(to, "  %-*s %s%s%s\n", NAME_WIDTH, name, option->help,
                option->need == REQUIRED ? " (needed)" : "",
                option->need == REPEATED ? " (may be repeated)" : "");
    }
}

static void print_command(FILE *to, const struct command *command)
{
    fprintf(to, "usage: albedo %s%s%s [options]\n\n%s\n", command->words,
            *command->arguments == '\0' ? "" : " ", command->arguments, command->summary);
    if (*command->details != '\0')
        fprintf(to, "\n%s\n", command->details);
    fputs("\noptions:\n", to);
    print_options(to, command->id);
    print_options(to, COMMAND_ANY);
}

static void print_program(FILE *to)
{
    char name[80];

    fputs("usage: albedo COMMAND … [options]\n\ncommands:\n", to);
    for (size_t i = 0; i < command_count; i++) {
        snprintf(name, sizeof name, "%s%s%s", commands[i].words,
                 *commands[i].arguments == '\0' ? "" : " ", commands[i].arguments);
        fprintf(to, "  %-*s %s\n", NAME_WIDTH, name, commands[i].summary);
    }
    fprintf(to, "  %-*s %s\n", NAME_WIDTH, "help COMMAND", "explain a command and its options");
    fputs("\noptions of every command:\n", to);
    print_options(to, COMMAND_ANY);
    fprintf(to, "  %-*s %s\n", NAME_WIDTH, "--version", "print the program's version");
    fputs("\nexit codes:\n", to);
    for (int code = EXIT_DONE; code <= EXIT_DAMAGED; code++)
        fprintf(to, "  %3d  %s\n", code, exit_code_text((enum exit_code)code));
    fprintf(to, "  %3d  %s\n", EXIT_INTERRUPTED, exit_code_text(EXIT_INTERRUPTED));
}

void cli_help(struct output *o, const struct command *command)
{
    if (command != NULL)
        print_command(o->out, command);
    else
        print_program(o->out);
}
