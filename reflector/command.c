/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/command.c – options as a table, walked once; errors and exit codes. */
#include "reflector/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

struct option {
    enum reflector_verb verb;
    bool is_needed, is_list;
    const char *name, *argument;
    size_t offset; /* of the text, or the first of the list */
    const char *help;
};

#define MEMBER(name) offsetof(struct reflector_command, name)
static const struct option options[] = {
    {REFLECTOR_INIT, true, false, "data", "DIR", MEMBER(data), "where this box keeps everything"},
    {REFLECTOR_INIT, true, false, "hub", "https://HOST:PORT", MEMBER(hub),
     "the hub that made the token"},
    {REFLECTOR_INIT, true, false, "token", "TOKEN", MEMBER(token),
     "the token, or - to read it from standard input"},
    {REFLECTOR_INIT, false, false, "listen", "ADDR:PORT", MEMBER(listen),
     "where endpoints find this box (default 0.0.0.0:7443)"},
    {REFLECTOR_INIT, false, true, "parent", "https://HOST:PORT", MEMBER(parents),
     "whom to ask, in order; may be repeated (default: the hub)"},
    {REFLECTOR_INIT, false, false, "name", "NAME", MEMBER(name), "propose a name for this box"},
    {REFLECTOR_SERVE, true, false, "config", "DIR/reflector.conf", MEMBER(config),
     "the file that init wrote"},
    {REFLECTOR_WOULD_LOSE, true, false, "config", "DIR/reflector.conf", MEMBER(config),
     "the same, as it is about to be"},
};

static const char *const verb_words[] = {
    [REFLECTOR_HELP] = "--help", [REFLECTOR_VERSION] = "--version",     [REFLECTOR_INIT] = "init",
    [REFLECTOR_SERVE] = "serve", [REFLECTOR_WOULD_LOSE] = "would-lose",
};

/* ---- errors ---- */

int reflector_exit_code(enum alb_code code)
{
    switch (code) {
    case ALB_OK: return 0;
    case ALB_IO:
    case ALB_CONFLICT:
    case ALB_UNKNOWN:
    case ALB_BUG: return 1;
    case ALB_INVALID: return 2;
    case ALB_REFUSED: return 3;
    case ALB_NOT_FOUND: return 4;
    case ALB_TIMEOUT:
    case ALB_CLOSED: return 5;
    case ALB_FULL: return 6;
    case ALB_CORRUPT: return 7;
    }
    alb_unreachable();
}

static void ALB_PRINTF(1, 0) say(const char *format, va_list args, const char *more)
{
    fputs("albedo-reflector: ", stderr);
    (void)vfprintf(stderr, format, args);
    fprintf(stderr, "%s%s\n", *more == '\0' ? "" : ": ", more);
}

int reflector_fail(enum alb_code code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args, "");
    va_end(args);
    return reflector_exit_code(code);
}

int reflector_fail_status(struct alb_status st, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    say(format, args, alb_status_text(st, text, sizeof text));
    va_end(args);
    return reflector_exit_code(st.code);
}

/* ---- the walk ---- */

static bool take_verb(const char *word, enum reflector_verb *out)
{
    for (size_t i = 0; i < ALB_COUNT(verb_words); i++) {
        if (strcmp(word, verb_words[i]) == 0) {
            *out = (enum reflector_verb)i;
            return true;
        }
    }
    return false;
}

static const struct option *find(enum reflector_verb verb, const char *name, size_t size)
{
    for (size_t i = 0; i < ALB_COUNT(options); i++)
        if (options[i].verb == verb && strlen(options[i].name) == size &&
            strncmp(options[i].name, name, size) == 0)
            return &options[i];
    return NULL;
}

static const char **slot(struct reflector_command *c, const struct option *option)
{
    return (const char **)(void *)((char *)c + option->offset);
}

static int keep(struct reflector_command *c, const struct option *option, const char *text)
{
    const char **at = slot(c, option);
    size_t n = 0;

    while (option->is_list && n < CONFIG_URLS_MAX && at[n] != NULL)
        n++;
    if (at[n] != NULL || n == CONFIG_URLS_MAX)
        return reflector_fail(ALB_INVALID, "%s: --%s is given %s", verb_words[c->verb],
                              option->name, option->is_list ? "more than 8 times" : "twice");
    at[n] = text;
    return 0;
}

/* Options of one word ("--name=VALUE") or two; *at is left on the last word used. */
static int take_option(struct reflector_command *c, int argc, char **argv, int *at)
{
    const char *verb = verb_words[c->verb];
    const char *word = argv[*at];

    if (strncmp(word, "--", 2) != 0)
        return reflector_fail(ALB_INVALID, "%s: %s: it takes only options (see %s --help)", verb,
                              word, "albedo-reflector");
    const char *name = word + 2;
    const size_t size = strcspn(name, "=");
    const struct option *option = find(c->verb, name, size);
    if (option == NULL)
        return reflector_fail(ALB_INVALID, "%s: --%.*s: no such option (see %s --help)", verb,
                              (int)size, name, "albedo-reflector");
    if (name[size] == '=')
        return keep(c, option, name + size + 1);
    if (*at + 1 == argc)
        return reflector_fail(ALB_INVALID, "%s: --%s needs a value: %s", verb, option->name,
                              option->argument);
    (*at)++;
    return keep(c, option, argv[*at]);
}

static int check_needed(struct reflector_command *c)
{
    for (size_t i = 0; i < ALB_COUNT(options); i++)
        if (options[i].verb == c->verb && options[i].is_needed && *slot(c, &options[i]) == NULL)
            return reflector_fail(ALB_INVALID, "%s: it needs --%s %s", verb_words[c->verb],
                                  options[i].name, options[i].argument);
    return 0;
}

int reflector_command_parse(int argc, char **argv, struct reflector_command *out)
{
    struct reflector_command c = {.verb = REFLECTOR_HELP};
    int code = 0;

    if (argc < 2 || !take_verb(argv[1], &c.verb))
        return reflector_fail(ALB_INVALID,
                              "%s%sinit, serve or would-lose is expected (see %s --help)",
                              argc < 2 ? "" : argv[1], argc < 2 ? "" : ": ", "albedo-reflector");
    for (int at = 2; at < argc && code == 0; at++) {
        if (strcmp(argv[at], "--help") == 0) {
            out->verb = REFLECTOR_HELP;
            return 0;
        }
        code = take_option(&c, argc, argv, &at);
    }
    if (code == 0)
        code = check_needed(&c);
    if (code == 0)
        *out = c;
    return code;
}

/* ---- help ---- */

static void help_of(enum reflector_verb verb)
{
    char name[64];

    for (size_t i = 0; i < ALB_COUNT(options); i++) {
        if (options[i].verb != verb)
            continue;
        (void)snprintf(name, sizeof name, "--%s %s", options[i].name, options[i].argument);
        printf("  %-28s %s%s\n", name, options[i].help, options[i].is_needed ? " (needed)" : "");
    }
}

void reflector_help(void)
{
    puts("usage: albedo-reflector init --data DIR --hub https://HOST:PORT --token TOKEN [options]\n"
         "       albedo-reflector serve --config DIR/reflector.conf\n"
         "       albedo-reflector would-lose --config DIR/reflector.conf\n\n"
         "The branch box: gives the branch what it holds, and asks its parent once for what it\n"
         "lacks.\n\n"
         "init: enrol with a token (albedo token create --role reflector), write DIR");
    help_of(REFLECTOR_INIT);
    puts("\nserve: run until SIGTERM; the log goes to standard error");
    help_of(REFLECTOR_SERVE);
    puts("\nwould-lose: what a start with this quota and these pins would drop; drops nothing");
    help_of(REFLECTOR_WOULD_LOSE);
    puts("\n  --version                    print the program's version\n\n"
         "exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 refused,\n"
         "4 not found, 5 unreachable, 6 full, 7 damaged");
}
