/* SPDX-License-Identifier: Apache-2.0 */
/* client/stage_sink.h – a chunk sink that is a stage on disk (image/stage.h).
 *
 * Planning opens the stage, copies what the target and the seeds hold, and answers with what is left to
 * fetch; putting expands a chunk and writes it to every file it is part of; sealing verifies and syncs.
 */
#pragma once

#include "client/chunk_sink.h"
#include "image/stage.h"

struct stage_sink {
    struct chunk_sink sink;
    const char *target;              /* borrowed */
    const struct holdings *holdings; /* borrowed, all units run */
    struct stage *stage;             /* owned once planned */
    struct stage_plan plan;          /* the first one: what came from where */
    bool is_planned;
};

void stage_sink_init(struct stage_sink *s, const char *target, const struct holdings *holdings);
/* Closes the stage; what is there stays for the next time. */
void stage_sink_release(struct stage_sink *s);
