/* SPDX-License-Identifier: Apache-2.0 */
/* emu/stats.h – what the link did, as JSON for the test that ran it. */
#pragma once

#include <stdbool.h>

#include "emu/error.h"
#include "emu/wire.h"

/* Write both directions to `path`, whole or not at all (a reader never sees half a file), or to
 * standard output when `path` is NULL.  "valid" is false when the machine was too noisy, or a
 * packet never reached the link. */
bool stats_write(const struct wire *ab, const struct wire *ba, const char *path,
                 struct emu_error *err);
