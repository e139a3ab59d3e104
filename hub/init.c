/* SPDX-License-Identifier: Apache-2.0 */
/* hub/init.c – a new hub: directory, keys, catalogue, the first tokens,
 * and hub.conf last of all. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "config/config.h"
#include "hub/bearer.h"
#include "hub/commands.h"
#include "hub/files.h"
#include "hub/tokens.h"

enum { ADMIN_TOKEN_LIFETIME_S = 30 * 86400 };

/* There from before the first key until the token is told: whoever finds it may begin again, for
 * nobody can trust these keys yet.  With hub.conf there, only the telling is left. */
#define UNFINISHED "init.unfinished"

static int fail(const char *what, struct alb_status st, const char *advice)
{
    char text[256];

    fprintf(stderr, "albedo-hub init: %s: %s%s%s\n", what, alb_status_text(st, text, sizeof text),
            advice[0] != '\0' ? "; " : "", advice);
    return EXIT_FAILED;
}

static int take_options(const struct init_options *o, struct hub_config *config)
{
    struct alb_status st;

    hub_config_defaults(config);
    snprintf(config->org, sizeof config->org, "%s", o->org != NULL ? o->org : "albedo");
    st = id_check(config->org);
    if (alb_failed(st))
        return fail("--org", st, "");
    if (o->listen != NULL)
        st = listen_parse(o->listen, &config->listen);
    if (alb_failed(st))
        return fail("--listen", st, "write ADDR:PORT, as in 0.0.0.0:7443");
    if (o->admin_listen != NULL)
        st = listen_parse(o->admin_listen, &config->admin_listen);
    if (alb_failed(st))
        return fail("--admin-listen", st, "write ADDR:PORT, as in 127.0.0.1:7444");
    return EXIT_FINE;
}

/* An absolute path of a directory that is no hub's yet, or of one that an init was killed in. */
static int take_dir(const char *data, struct hub_config *config, bool *is_begun)
{
    AUTO_FREE char *key = path_join(data, "ca.key");
    AUTO_FREE char *conf = path_join(data, "hub.conf");
    AUTO_FREE char *unfinished = path_join(data, UNFINISHED);
    AUTO_FREE char *real = NULL;

    *is_begun = file_exists(unfinished);
    if (file_exists(conf) && !*is_begun)
        return fail(data, alb_fail(ALB_REFUSED, "a hub is here already"),
                    "start it with 'albedo-hub serve', or choose another --data");
    if (file_exists(key) && !*is_begun)
        return fail(data, alb_fail(ALB_REFUSED, "there is a CA key here, and no hub.conf"),
                    "hub.conf was lost: put it back, or remove the directory and all who trust it "
                    "must join anew");
    struct alb_status st = file_make_dir(data, 0700);
    if (alb_failed(st))
        return fail(data, st, "choose a directory you may write to");
    real = realpath(data, NULL);
    if (real == NULL)
        return fail(data, alb_fail_sys("finding its absolute path"), "");
    if (snprintf(config->data, sizeof config->data, "%s", real) >= (int)sizeof config->data)
        return fail(data, alb_fail(ALB_INVALID, "the path is too long"), "");
    return EXIT_FINE;
}

static struct alb_status write_bearer(const char *dir, struct catalogue *catalogue)
{
    AUTO_FREE char *path = path_join(dir, "admin.token");
    char text[BEARER_TEXT_SIZE];
    struct alb_status st = bearer_make(catalogue, text);

    if (alb_failed(st))
        return st;
    size_t size = strlen(text);
    text[size] = '\n';
    st = file_replace(path, text, size + 1, 0600);
    wipe(text, sizeof text);
    return st;
}

static struct alb_status make_tokens(const struct hub_config *config, const struct hub_keys *keys,
                                     int64_t now_wall_s, char out[TOKEN_TEXT_SIZE])
{
    AUTO_FREE struct token_request *ask = xalloc(sizeof *ask);
    const struct token_scope scope = {.ca_certificate_pem = keys->ca_pem, .now_wall_s = now_wall_s};
    struct hub_doors doors;
    const char *part;
    struct alb_status st = hub_doors_open(config->data, &doors, &part);

    if (alb_failed(st))
        return st;
    snprintf(ask->role, sizeof ask->role, "%s", role_name(ROLE_ADMIN));
    ask->lifetime_s = ADMIN_TOKEN_LIFETIME_S;
    st = write_bearer(config->data, doors.catalogue);
    if (!alb_failed(st))
        st = token_create(doors.catalogue, &scope, ask, out);
    hub_doors_close(&doors);
    return st;
}

static struct alb_status write_config(const struct hub_config *config)
{
    AUTO_FREE char *path = path_join(config->data, "hub.conf");
    struct buf text;

    buf_init(&text, 64 << 10);
    struct alb_status st = hub_config_write(config, &text);
    if (!alb_failed(st))
        st = file_replace(path, buf_peek(&text), buf_size(&text), 0644);
    buf_release(&text);
    return st;
}

static void tell(const struct hub_config *config, const char *token)
{
    char listen[URL_TEXT_SIZE];

    fprintf(
        stderr,
        "A hub for '%s' is ready in %s.\n"
        "  start it:     albedo-hub serve --config %s/hub.conf\n"
        "  first admin:  albedo join --hub https://HOST:PORT --token TOKEN   (it listens on %s)\n"
        "  then:         albedo trust init\n"
        "The token, good for one admin and 30 days:\n",
        config->org, config->data, config->data, listen_format(&config->listen, listen));
    fflush(stderr);
    printf("%s\n", token);
}

/* ---- begin and end --------------------------------------------------------------------------- */

static struct alb_status begin(const struct hub_config *config, bool is_begun, int64_t now_wall_s,
                               struct hub_keys *keys)
{
    AUTO_FREE char *unfinished = path_join(config->data, UNFINISHED);
    AUTO_FREE char *conf = path_join(config->data, "hub.conf");
    const char *file;

    if (is_begun && file_exists(conf))
        return hub_keys_read(config->data, keys, &file);
    struct alb_status st = file_replace(unfinished, "", 0, 0600);
    return alb_failed(st) ? st : hub_keys_make(config->data, config->org, now_wall_s, keys);
}

static int end(const struct hub_config *config)
{
    AUTO_FREE char *unfinished = path_join(config->data, UNFINISHED);

    if (fflush(stdout) != 0)
        return EXIT_FAILED;
    if (unlink(unfinished) == 0)
        alb_ignore(file_sync_dir(config->data), "were it back, init would tell another token");
    return EXIT_FINE;
}

int command_init(const struct init_options *options, wall_clock now_s)
{
    AUTO_FREE struct hub_config *config = xalloc(sizeof *config);
    const int64_t now_wall_s = now_s();
    char token[TOKEN_TEXT_SIZE];
    struct hub_keys keys;
    bool is_begun = false;
    int code = take_options(options, config);

    if (code == EXIT_FINE)
        code = take_dir(options->data, config, &is_begun);
    if (code != EXIT_FINE)
        return code;
    struct alb_status st = begin(config, is_begun, now_wall_s, &keys);
    if (alb_failed(st))
        return fail(config->data, st, "its keys could not be made");
    st = make_tokens(config, &keys, now_wall_s, token);
    hub_keys_release(&keys);
    if (!alb_failed(st))
        st = write_config(config);
    if (alb_failed(st))
        return fail(config->data, st, "run it again when that is mended");
    tell(config, token);
    wipe(token, sizeof token);
    return end(config);
}
