/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/command.h – the command line of albedo-reflector: what may be typed, and how it ends.
 *
 *     albedo-reflector init  --data DIR --hub https://HOST:PORT --token TOKEN [--listen ADDR:PORT]
 *                            [--parent https://HOST:PORT]… [--name NAME]
 *     albedo-reflector serve --config DIR/reflector.conf
 *     albedo-reflector would-lose --config DIR/reflector.conf
 *
 * Exit codes are those of `albedo`: 0 done, 1 failed, 2 what was typed or configured makes no
 * sense, 3 refused, 4 not found, 5 unreachable, 6 full, 7 damaged.
 */
#pragma once

#include <stddef.h>

#include "base/status.h"
#include "config/config.h"

enum reflector_verb {
    REFLECTOR_HELP,
    REFLECTOR_VERSION,
    REFLECTOR_INIT,
    REFLECTOR_SERVE,
    REFLECTOR_WOULD_LOSE
};

struct reflector_command {
    enum reflector_verb verb;
    const char *data, *hub, *token, *listen, *name; /* init; as typed, NULL when not */
    const char *parents[CONFIG_URLS_MAX + 1];       /* NULL behind the last */
    const char *config;                             /* serve, would-lose */
};

/* 0, or the exit code after saying on standard error what is wrong. */
int reflector_command_parse(int argc, char **argv, struct reflector_command *out);
void reflector_help(void);

int reflector_exit_code(enum alb_code code);
/* "albedo-reflector: TEXT" on standard error; returns the exit code for `code`. */
int reflector_fail(enum alb_code code, const char *format, ...) ALB_PRINTF(2, 3);
/* The same with what the status says behind it. */
int reflector_fail_status(struct alb_status st, const char *format, ...) ALB_PRINTF(2, 3);

/* init.c: from a token to a directory that `serve` can start from. */
int reflector_init_run(const struct reflector_command *c);
/* daemon.c: until SIGTERM; `sink` gets the log at the configured level. */
int reflector_serve_run(const struct reflector_command *c, log_sink sink);

/* would_lose.c: says what a start would drop, and drops nothing. */
int reflector_would_lose_run(const struct reflector_command *c);

/* Files of DIR beside reflector.conf, segments/, index/ and catalogue/. */
#define REFLECTOR_KEY "key.pem"
#define REFLECTOR_CERTIFICATE "certificate.pem"
#define REFLECTOR_CA "ca.pem"
#define REFLECTOR_CATALOGUE "catalogue"
#define REFLECTOR_CONFIG "reflector.conf"
enum { REFLECTOR_PEM_MOST = 64 << 10 };
