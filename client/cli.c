/* SPDX-License-Identifier: Apache-2.0 */
/* client/cli.c – one walk over the words: options find their rows, the first words the command. */
#include "client/cli.h"

#include <inttypes.h>
#include <stdarg.h>

#include "base/alloc.h"
#include "base/units.h"

/* Where the walk stands. */
struct walk {
    struct cli *cli;
    int argc;
    char **argv;
    int at;
    bool options_ended;
};

static enum exit_code usage(const struct cli *c, const char *text)
{
    const char *words = c->command == NULL ? "" : c->command->words;
    const char *help = *words == '\0' && c->group != NULL ? c->group : words;

    return output_fail(c->output, ALB_INVALID, "%s%s%s (see: albedo help%s%s)", words,
                       *words == '\0' ? "" : ": ", text, *help == '\0' ? "" : " ", help);
}

enum exit_code cli_duration(const struct cli *c, const char *name, uint64_t otherwise_ns,
                            uint64_t *out_ns)
{
    const char *text = cli_text(c, name);
    uint64_t ns = otherwise_ns;
    struct alb_status st = ALB_STATUS_OK;

    if (text != NULL)
        st = parse_duration(text, &ns);
    if (alb_failed(st))
        return cli_usage(c, "--%s %s: %s", name, text, st.what);
    *out_ns = ns;
    return EXIT_DONE;
}

enum exit_code cli_usage(const struct cli *c, const char *format, ...)
{
    AUTO_FREE char *text = NULL;
    va_list args;

    va_start(args, format);
    alb_assert(vasprintf(&text, format, args) >= 0);
    va_end(args);
    return usage(c, text);
}

/* ---- taking it apart ---- */

static void keep_value(struct cli *c, const struct command_option *option, const char *text)
{
    if (strcmp(option->name, "json") == 0)
        c->output->json = true;
    if (strcmp(option->name, "verbose") == 0)
        c->output->verbose = true;
    if (strcmp(option->name, "help") == 0)
        c->wants_help = true;
    c->values[c->value_count++] = (struct cli_value){option, text};
}

static enum exit_code take_option(struct walk *w)
{
    struct cli *c = w->cli;
    const char *word = w->argv[w->at] + 2;
    size_t size = strcspn(word, "=");
    AUTO_FREE char *name = xstrndup(word, size);
    const struct command_option *option = command_option_find(c->command, name);

    if (option == NULL && c->command == NULL)
        return cli_usage(c, "--%s: no option that every command has; put it behind the command",
                         name);
    if (option == NULL)
        return cli_usage(c, "--%s: no such option", name);
    if (option->need != REPEATED && option->argument != NULL && cli_count(c, option->name) > 0)
        return cli_usage(c, "--%s: given twice", name);
    if (option->argument == NULL && word[size] == '=')
        return cli_usage(c, "--%s takes no value", name);
    if (option->argument == NULL) {
        keep_value(c, option, "");
    } else if (word[size] == '=') {
        keep_value(c, option, word + size + 1);
    } else if (w->at + 1 < w->argc) {
        keep_value(c, option, w->argv[++w->at]);
    } else {
        return cli_usage(c, "--%s needs a value: %s", name, option->argument);
    }
    return EXIT_DONE;
}

static bool asks_for_help(const char *word)
{
    return word != NULL && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0);
}

static enum exit_code group_alone(const struct cli *c, const char *second)
{
    const bool is_alone = second == NULL || second[0] == '-';
    enum exit_code code = is_alone ? cli_usage(c, "%s: it needs another word", c->group)
                                   : cli_usage(c, "%s %s: no such command", c->group, second);

    if (!c->output->json)
        cli_help_group(c->output->err, c->group);
    return code;
}

/* The word, or the two words, that name the command; "help" and "version" are the program's own. */
static enum exit_code take_command(struct walk *w)
{
    struct cli *c = w->cli;
    const char *first = w->argv[w->at];
    const char *second = w->at + 1 < w->argc ? w->argv[w->at + 1] : NULL;
    const bool is_alone = second == NULL || second[0] == '-';
    size_t used = 0;

    if (strcmp(first, "help") == 0 && !c->wants_help) {
        c->wants_help = true;
        return EXIT_DONE;
    }
    c->command = command_find(first, second, &used);
    if (c->command != NULL) {
        w->at += (int)used - 1;
        return EXIT_DONE;
    }
    if (!command_is_group(first))
        return cli_usage(c, "%s: no such command", first);
    c->group = first;
    if ((c->wants_help && is_alone) || asks_for_help(second)) {
        c->wants_help = true;
        w->at = w->argc; /* what follows is told in the help */
        return EXIT_DONE;
    }
    return group_alone(c, second);
}

static enum exit_code take_word(struct walk *w)
{
    struct cli *c = w->cli;
    const char *word = w->argv[w->at];

    if (!w->options_ended && strcmp(word, "--") == 0) {
        w->options_ended = true;
        return EXIT_DONE;
    }
    if (!w->options_ended && strcmp(word, "-h") == 0) {
        c->wants_help = true;
        return EXIT_DONE;
    }
    if (!w->options_ended && strncmp(word, "--", 2) == 0)
        return take_option(w);
    if (!w->options_ended && word[0] == '-' && word[1] != '\0')
        return cli_usage(c, "%s: no such option; they are written out, as in --json", word);
    if (c->command == NULL)
        return take_command(w);
    c->words[c->word_count++] = word;
    return EXIT_DONE;
}

static enum exit_code check_whole(const struct cli *c)
{
    const struct command *command = c->command;

    if (command == NULL)
        return cli_usage(c, "which command?");
    if (c->word_count < command->least)
        return cli_usage(c, "it needs %s", command->arguments);
    if (c->word_count > command->most)
        return cli_usage(c, "%s: %s", c->words[command->most],
                         command->most == 0 ? "it takes no such word, only options"
                                            : "one word too many");
    for (size_t i = 0; i < command_option_count; i++) {
        const struct command_option *option = &command_options[i];

        if (option->command == command->id && option->need == REQUIRED &&
            cli_count(c, option->name) == 0)
            return cli_usage(c, "it needs --%s %s", option->name, option->argument);
    }
    return EXIT_DONE;
}

enum exit_code cli_parse(struct cli *c, struct output *o, int argc, char **argv)
{
    struct walk w = {.cli = c, .argc = argc, .argv = argv};
    enum exit_code code = EXIT_DONE;

    *c = (struct cli){.output = o,
                      .words = xcalloc((size_t)argc + 1, sizeof *c->words),
                      .values = xcalloc((size_t)argc + 1, sizeof *c->values)};
    for (w.at = 1; w.at < argc && code == EXIT_DONE; w.at++)
        code = take_word(&w);
    if (code != EXIT_DONE || c->wants_help)
        return code;
    return check_whole(c);
}

void cli_release(struct cli *c)
{
    free(c->words);
    free(c->values);
    *c = (struct cli){0};
}

/* ---- asking it ---- */

const char *cli_text_at(const struct cli *c, const char *name, size_t index)
{
    alb_assert(command_option_find(c->command, name) != NULL);
    for (size_t i = 0; i < c->value_count; i++) {
        if (strcmp(c->values[i].option->name, name) != 0)
            continue;
        if (index == 0)
            return c->values[i].text;
        index--;
    }
    return NULL;
}

size_t cli_count(const struct cli *c, const char *name)
{
    size_t count = 0;

    while (cli_text_at(c, name, count) != NULL)
        count++;
    return count;
}

bool cli_flag(const struct cli *c, const char *name)
{
    return cli_count(c, name) > 0;
}

const char *cli_text(const struct cli *c, const char *name)
{
    size_t count = cli_count(c, name);

    return count == 0 ? NULL : cli_text_at(c, name, count - 1);
}

enum exit_code cli_number(const struct cli *c, const char *name, uint64_t least, uint64_t most,
                          uint64_t otherwise, uint64_t *out)
{
    const char *text = cli_text(c, name);
    uint64_t value = otherwise;

    if (text != NULL && (alb_failed(parse_u64(text, most, &value)) || value < least))
        return cli_usage(c, "--%s %s: a whole number from %" PRIu64 " to %" PRIu64 " is expected",
                         name, text, least, most);
    *out = value;
    return EXIT_DONE;
}
