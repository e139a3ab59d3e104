/* SPDX-License-Identifier: Apache-2.0 */
/* client/stage_sink.h – a chunk sink that is a stage on disk (image/stage.h).
 *
 *     round 0, LOOK: read what target and seeds hold, as far as this version could use it
 *     round 1, FILL: open the stage and copy from there what is held
 *
 * The plan is then what is left to fetch; putting expands a chunk and writes it to every file it is
 * part of; sealing verifies and syncs.
 */
#pragma once

#include <stdatomic.h>

#include "chunk/codec_pool.h"
#include "client/chunk_sink.h"
#include "image/stage.h"

enum { STAGE_LOOK, STAGE_FILL, STAGE_ROUNDS };

struct stage_sink {
    struct chunk_sink sink;
    const char *target;       /* borrowed                                                   */
    const struct scan *scans; /* borrowed; [0] is the target's                              */
    size_t scan_count;
    const char *cache_path; /* borrowed; of the scan cache                                */
    bool over_journal;      /* see struct stage_options; set between init and the pull    */
    struct holdings *holdings;
    struct stage *stage;
    struct stage_plan plan; /* the first one: what came from where; from PULL_PLAN on     */
    /* For progress, at any time. */
    _Atomic uint64_t round_bytes, round_done_bytes;
    atomic_bool has_failed;    /* an operation did: the reason is here, not with the upstream */
    struct codec_pool *codecs; /* to expand chunks with */
};

void stage_sink_init(struct stage_sink *s, const char *target, const struct scan *scans,
                     size_t scan_count, const char *cache_path);
/* Closes the stage; what is there stays for the next time.  No operation may be under way. */
void stage_sink_release(struct stage_sink *s);
