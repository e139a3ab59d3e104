/* SPDX-License-Identifier: Apache-2.0 */
/* hub/damage.h – chunks that a published version needs and the store can no longer give.
 *
 *     a device's request finds one → named in the log → which versions need it? (hub/explain.c, in
 *     the background) → log, status, metrics → published again: healed, and off the list
 *
 * A hub has no parent to fetch from: only whoever has the files can bring them back.  The list is of
 * what was found since the hub was started; a chunk that is asked for later is found anew.  Only
 * the loop touches it.
 */
#pragma once

#include <stdint.h>

#include "base/key.h"
#include "base/map.h"
#include "base/status.h"
#include "wire/json.h"
#include "base/units.h"

enum { DAMAGE_MOST = 64, DAMAGE_VERSIONS_MOST = 8, DAMAGE_PATH_SIZE = 256 };

struct hub;

struct damaged_version {
    char layer[NAME_MAX_SIZE], version[NAME_MAX_SIZE];
    bool is_current;
    uint64_t files;
    char path[DAMAGE_PATH_SIZE]; /* of the first of them, cut; "": the manifest itself needs it */
};

struct damaged_chunk {
    struct chunk_key key;
    const char *why; /* literal */
    bool is_looked_into;
    size_t version_count; /* may be more than are named */
    struct damaged_version versions[DAMAGE_VERSIONS_MOST];
};

struct damage {
    struct damaged_chunk *chunks; /* owned */
    size_t count;                 /* of them, at most DAMAGE_MOST     */
    uint64_t found, healed;       /* since the start, listed or not   */
};

void hub_damage_release(struct damage *d);
/* supply.h's `lost`: asked for by a device, and not to be had. */
void hub_note_damage(void *hub, const struct chunk_key *key, struct alb_status why);
/* It is kept again. */
void hub_note_healed(struct hub *h, const struct chunk_key *key);
/* A copy for a worker to show; free() it.  NULL when there are none. */
struct damaged_chunk *hub_damage_copy(const struct hub *h, size_t *count);
/* "damaged": [{"chunk", "why", "versions": [{"layer", "version", "current", "files", "path"}]}] */
void hub_damage_show(const struct damaged_chunk *chunks, size_t count, struct json_writer *w);
