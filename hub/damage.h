/* SPDX-License-Identifier: Apache-2.0 */
/* hub/damage.h – chunks that a published version needs and the store can no longer give.
 *
 *     a device's request finds one → named in the log → which versions need it? (hub/explain.c, in
 *     the background, of one chunk at a time: each reads every manifest) → log, status, metrics →
 *     published again: healed, and off the list
 *
 * The first one found has all of the store read through (hub/scrub.c), so that one publishing
 * brings everything back.  A hub has no parent to fetch from: only whoever has the files can do
 * that.  The list is of what was found since the hub was started; a chunk that is asked for later
 * is found anew.  Only the loop touches it.
 */
#pragma once

#include <stdint.h>

#include "base/key.h"
#include "base/log_limit.h"
#include "base/status.h"
#include "base/units.h"
#include "net/loop.h"
#include "wire/json.h"

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
    bool is_looking;              /* one of them is being looked into */
    struct log_limit lines;       /* of those for which there is no place */
};

/* scrub.c: reading the store through, one slice after another. */
struct scrub {
    struct timer rest;
    struct chunk_key after; /* up to where it was read */
    uint64_t looked_at, bad;
    bool is_running;
};
void hub_scrub_init(struct hub *h);
/* Nothing when it is under way. */
void hub_scrub_start(struct hub *h);
void hub_scrub_stop(struct hub *h);

void hub_damage_init(struct damage *d);
void hub_damage_release(struct damage *d);
/* supply.h's `lost`: asked for by a device, and not to be had. */
void hub_note_damage(void *hub, const struct chunk_key *key, struct alb_status why);
/* It is kept again. */
void hub_note_healed(struct hub *h, const struct chunk_key *key);
/* A copy for a worker to show; free() it.  NULL when there are none. */
struct damaged_chunk *hub_damage_copy(const struct hub *h, size_t *count);
/* "damaged": [{"chunk", "why", "versions": [{"layer", "version", "current", "files", "path"}]}] */
void hub_damage_show(const struct damaged_chunk *chunks, size_t count, struct json_writer *w);
