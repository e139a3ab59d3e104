/* SPDX-License-Identifier: Apache-2.0 */
/* crash/rebuild.h – a dead process's directory becomes what a disk might have kept of it.
 *
 *     base = powerloss_begin(dir, shadow)   before it starts: all there is counts as on disk
 *     … the process runs with powerloss.so preloaded, and dies …
 *     powerloss_rebuild(base, &options, &losses)
 *     powerloss_end(base)                   the shadow goes; without a rebuild, too
 *
 * Inodes keep their numbers: they are moved about, not copied.  The model is in powerloss.h.  What
 * fails ends the test at once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "support/gen.h"

struct powerloss;

struct powerloss_options {
    bool is_ordered; /* names: a prefix of all changes, as a journal keeps them */
    bool is_lying;   /* bytes: what was synced counts no more than what was not */
    struct gen *gen;
};

struct powerloss_losses { /* summed up, not set */
    uint64_t names;       /* changes of names that did not last */
    uint64_t blocks;      /* of 4 KiB                          */
    uint64_t torn;
};

struct powerloss *powerloss_begin(const char *dir, const char *shadow);
void powerloss_rebuild(struct powerloss *p, const struct powerloss_options *options,
                       struct powerloss_losses *losses);
struct powerloss *powerloss_end(struct powerloss *p);
/* Events of a process that ended by itself; 0 when it did not. */
uint64_t powerloss_events(const struct powerloss *p);
