/* SPDX-License-Identifier: Apache-2.0 */
/* hub/main.c – the words after `albedo-hub`. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "hub/commands.h"

static const char usage[] =
    "albedo-hub – the data centre's end: layers, chunks, the CA, who is who\n"
    "\n"
    "  albedo-hub init --data DIR [--listen ADDR:PORT] [--admin-listen ADDR:PORT] [--org NAME]\n"
    "      Make a new hub in DIR: CA, keys, hub.conf.  Prints one admin token, alone, on stdout.\n"
    "      Defaults: --listen 0.0.0.0:7443 --admin-listen 127.0.0.1:7444 --org albedo\n"
    "  albedo-hub serve --config DIR/hub.conf\n"
    "      Run it.  SIGTERM lets what is open finish, for at most 5 seconds.\n"
    "  albedo-hub rotate-key --data DIR\n"
    "      Make the hub's next signing key; 'albedo trust rotate-hub KEY' then puts it to use.\n"
    "  albedo-hub --help | --version\n"
    "\n"
    "Exit codes: 0 done, 1 failed (stderr says why), 2 not understood.\n";

static int64_t now_s(void)
{
    return (int64_t)time(NULL);
}

struct option {
    const char *name;
    const char **value;
};

static int misused(const char *what, const char *word)
{
    fprintf(stderr, "albedo-hub: %s '%s'; 'albedo-hub --help' lists what there is\n", what, word);
    return EXIT_USAGE;
}

static const char **value_of(const struct option *options, size_t count, const char *word,
                             size_t length)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(options[i].name) == length && strncmp(options[i].name, word, length) == 0)
            return options[i].value;
    return NULL;
}

/* --name VALUE or --name=VALUE */
static int read_options(int argc, char **argv, const struct option *options, size_t count)
{
    for (int i = 2; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        size_t length = equals != NULL ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        const char **value = value_of(options, count, argv[i], length);

        if (value == NULL)
            return misused("not an option of this command:", argv[i]);
        if (equals == NULL && i + 1 == argc)
            return misused("a value is missing after", argv[i]);
        *value = equals != NULL ? equals + 1 : argv[++i];
    }
    return EXIT_FINE;
}

static int init(int argc, char **argv)
{
    struct init_options o = {.data = NULL};
    const struct option options[] = {{"--data", &o.data},
                                     {"--listen", &o.listen},
                                     {"--admin-listen", &o.admin_listen},
                                     {"--org", &o.org}};
    int code = read_options(argc, argv, options, ALB_COUNT(options));

    if (code != EXIT_FINE)
        return code;
    return o.data == NULL ? misused("init needs", "--data DIR") : command_init(&o, now_s);
}

static int serve(int argc, char **argv)
{
    const char *config = NULL;
    const struct option options[] = {{"--config", &config}};
    int code = read_options(argc, argv, options, ALB_COUNT(options));

    if (code != EXIT_FINE)
        return code;
    return config == NULL ? misused("serve needs", "--config DIR/hub.conf")
                          : command_serve(config, now_s);
}

static int rotate_key(int argc, char **argv)
{
    const char *data = NULL;
    const struct option options[] = {{"--data", &data}};
    int code = read_options(argc, argv, options, ALB_COUNT(options));

    if (code != EXIT_FINE)
        return code;
    return data == NULL ? misused("rotate-key needs", "--data DIR") : command_rotate_key(data);
}

int main(int argc, char **argv)
{
    alloc_keep_freed();
    if (argc < 2) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
        return fputs(usage, stdout) < 0 ? EXIT_FAILED : EXIT_FINE;
    if (strcmp(argv[1], "--version") == 0)
        return printf("albedo-hub %s\n", ALB_VERSION) < 0 ? EXIT_FAILED : EXIT_FINE;
    if (strcmp(argv[1], "init") == 0)
        return init(argc, argv);
    if (strcmp(argv[1], "serve") == 0)
        return serve(argc, argv);
    if (strcmp(argv[1], "rotate-key") == 0)
        return rotate_key(argc, argv);
    return misused("not a command:", argv[1]);
}
