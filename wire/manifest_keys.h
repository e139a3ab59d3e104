/* SPDX-License-Identifier: Apache-2.0 */
/* wire/manifest_keys.h – list C as it is made: each distinct chunk key once, in order of
 * appearance.
 *
 * The digests are whatever the manifest's maker wrote, so the table is hashed with a seed of its
 * own: nobody can choose keys that all fall into one place.
 */
#pragma once

#include "base/key.h"
#include "wire/manifest_arena.h"

struct key_list {
    struct manifest_arena *arena; /* borrowed: the budget */
    struct chunk_key *keys;       /* owned */
    uint32_t *furthest;           /* owned; beside keys: where the furthest slice ends       */
    uint32_t *wholes;             /* owned; beside keys: the chunk's size if told, else 0    */
    uint32_t *slots;              /* owned; index + 1 in keys, 0 = empty */
    size_t count;
    size_t keys_capacity, furthest_capacity, wholes_capacity;
    size_t slot_count; /* power of two */
    uint64_t seed[4];
};

void key_list_init(struct key_list *l, struct manifest_arena *arena);
void key_list_release(struct key_list *l);
/* Note that a slice of `key` ends at `end`, which is the chunk's size when `whole`.  False when
 * that contradicts what was noted before (*contradiction) or the arena refused. */
bool key_list_note(struct key_list *l, const struct chunk_key *key, uint32_t end, bool whole,
                   bool *contradiction);
