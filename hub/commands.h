/* SPDX-License-Identifier: Apache-2.0 */
/* hub/commands.h – what `albedo-hub` can be told to do.  All return the exit code and say on
 * stderr what went wrong and what to do about it.
 */
#pragma once

#include <stdint.h>

/* Seconds since 1970: main.c's, as above net/ nobody reads a clock. */
typedef int64_t (*wall_clock)(void);

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct init_options {
    const char *data;                  /* directory; made when it is not there */
    const char *listen, *admin_listen; /* ADDR:PORT; NULL: the defaults */
    const char *org;                   /* NULL: "albedo" */
};
/* Makes CA, keys, catalogue and hub.conf; prints the first admin token, alone, on stdout. */
int command_init(const struct init_options *options, wall_clock now_s);
/* Makes the next online key in `data` and says what to do with it. */
int command_rotate_key(const char *data);
/* Runs the hub until SIGTERM or SIGINT. */
int command_serve(const char *config_path, wall_clock now_s);
