/* SPDX-License-Identifier: Apache-2.0 */
/* client/help.c – help for people, printed from the tables of commands.def. */
#include <string.h>

#include "base/alloc.h"
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

/* What one does with them, in order. */
static const struct {
    const char *group, *text;
} EXAMPLES[] = {
    {"policy",
     "  albedo policy check office.json          all that is wrong with it\n"
     "  albedo policy set office.json            in force within a second\n"
     "  albedo policy explain --site oslo --at 2026-12-01T09:00\n"
     "                                           which rule holds there then, and the next\n"
     "  albedo pause --site oslo --for 2h --why 'trading day'\n"
     "                                           before any rule; `albedo resume ID` ends it\n"
     "a small policy: nobody notices it by day, and by night it may have 8 Mbit/s\n"
     "  {\"format\": 1, \"zone\": \"Europe/Oslo\", \"sites\": [{\"name\": \"oslo\"}],\n"
     "   \"rules\": [\n"
     "    {\"name\": \"office\", \"scope\": \"site:oslo\", \"days\": \"mon-fri\",\n"
     "     \"hours\": \"08:00-18:00\", \"mode\": \"scavenge\", \"ceiling\": \"2Mbit\"},\n"
     "    {\"name\": \"night\", \"scope\": \"site:oslo\",\n"
     "     \"mode\": \"capped\", \"rate\": \"8Mbit\"}]}\n"
     "the same as a table is what `albedo policy show --csv` prints\n"},
    {"reflector", "  albedo reflector drain oslo-1 --why 'new disk on friday'\n"
                  "  albedo reflector list                      what each is told, and since when\n"
                  "  albedo reflector accept oslo-1\n"
                  "  albedo reflector disable bergen-2 --wipe --yes --why 'the branch closes'\n"},
    {"site",
     "  albedo site export > sites.json            a draft, or what there is\n"
     "  albedo site import sites.json --dry-run    all that is wrong, and what would change\n"
     "  albedo site import sites.json              in everybody's policy within a second\n"
     "  albedo site set oslo subnets=10.1.0.0/16,10.2.0.0/16 zone=Europe/Oslo\n"
     "  albedo site find 10.1.7.9                  which branch that is, and why\n"},
    {"token", "  albedo token create --role endpoint --site oslo --uses 40\n"
              "  albedo token list; albedo token revoke ID\n"},
    {"trust", "  albedo trust init --keys 3 --threshold 2\n"
              "  albedo trust delegate app/office KEY\n"},
};

void cli_help_group(FILE *to, const char *group)
{
    const size_t size = strlen(group);
    char name[80];

    fprintf(to, "usage: albedo %s COMMAND … [options]\n\ncommands:\n", group);
    for (size_t i = 0; i < command_count; i++) {
        const struct command *c = &commands[i];

        if (strncmp(c->words, group, size) != 0 || c->words[size] != ' ')
            continue;
        snprintf(name, sizeof name, "%s%s%s", c->words, *c->arguments == '\0' ? "" : " ",
                 c->arguments);
        fprintf(to, "  %-*s %s\n", NAME_WIDTH, name, c->summary);
    }
    for (size_t i = 0; i < ALB_COUNT(EXAMPLES); i++)
        if (strcmp(EXAMPLES[i].group, group) == 0)
            fprintf(to, "\nfor example:\n%s", EXAMPLES[i].text);
    fprintf(to, "\n`albedo help %s COMMAND` explains one of them and its options\n", group);
}

void cli_help(struct output *o, const struct command *command)
{
    if (command != NULL)
        print_command(o->out, command);
    else
        print_program(o->out);
}
