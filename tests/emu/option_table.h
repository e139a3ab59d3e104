/* SPDX-License-Identifier: Apache-2.0 */
/* emu/option_table.h – one row per option; command line, file and script go through this table.
 *
 * A key such as `rate` names both directions, `rate-ab` and `rate-ba` one of them; `ns-a` and
 * `ns-b` are of the sides.
 */
#pragma once

#include <stdbool.h>

#include "emu/error.h"
#include "emu/options.h"

/* Where an option may stand: each place takes what those before it take not. */
enum option_place {
    OPTION_ARGS,   /* on the command line only */
    OPTION_FILE,   /* there, in the file, and in a script */
    OPTION_SCRIPT, /* in a script only: it happens rather than holds */
};

struct option_row;

/* A key that was found: its row, and which of the sides or directions it means. */
struct option {
    const struct option_row *row;
    const char *suffix;
    int first, last;
};

/* False: there is no such key. */
bool option_find(const char *key, struct option *option);
enum option_place option_place(const struct option *option);

/* Set it in `options`; the message of a refusal begins with the key. */
bool option_set(const struct option *option, const char *text, struct emu_options *options,
                struct emu_error *err);
