/* SPDX-License-Identifier: Apache-2.0 */
/* hub/delta_maker.h – delta sets made in the background, when a version came.
 *
 *     LOOK at a layer ──> drop what policy keeps no longer ──> is a pair (old, newest) undecided?
 *       ^                                                        │
 *       └── COMMIT: record, list, state <── over ── KEEP <── STEP <┘   blob by blob
 *
 * One set at a time for the whole hub, in steps of about a second on any worker, so that whoever
 * asks for something waits for one step at most.  Kept are sets that lead to one of the newest
 * `delta_versions` versions of a layer, or to its current one, from versions that are still there.
 * Nothing is written down before a set is whole: who dies in between begins it anew.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hub;
struct hub_deltas;
struct json_writer;
struct ledger;
struct ledger_versions;

struct hub_delta_figures {
    uint64_t kept, poor, failed; /* sets since the start: kept, not worth it, not made */
    uint64_t bytes;              /* of those kept                                      */
    uint64_t saved_bytes;        /* … less than the same as chunks                     */
    bool is_working;
};

/* Looks at every layer soon after the start; with delta_versions 0 only to drop what there is. */
struct hub_deltas *hub_deltas_new(struct hub *h);
void hub_deltas_stop(struct hub_deltas *d); /* begins nothing more; NULL is fine, as below */
struct hub_deltas *hub_deltas_free(struct hub_deltas *d);
/* The layer has another version or another current one. */
void hub_deltas_look(struct hub_deltas *d, const char *layer);
void hub_delta_figures(const struct hub_deltas *d, struct hub_delta_figures *out);

/* "deltas": [{"from", "to": VERSION, "outcome": "kept" | "poor" | "cannot", "bytes", "chunk_bytes",
 * "made"}], as a member of a layer's open object; blocks. */
void hub_deltas_show(const struct ledger *l, const char *layer,
                     const struct ledger_versions *versions, struct json_writer *w);
