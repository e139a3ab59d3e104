/* SPDX-License-Identifier: Apache-2.0 */
/* base/map.h – hash table from chunk key (or a short text) to a pointer, open addressing.
 *
 * Keys are copied, values are borrowed.  Not ordered.  Growth is by doubling at 3/4 load; there is
 * no shrinking.  map_each() must not see insertions or removals while it runs.
 */
#pragma once

#include "base/key.h"

struct map_slot {
    struct chunk_key key; /* kind 0 = empty */
    void *value;
};

struct map {
    struct map_slot *slots; /* owned; NULL while empty */
    size_t capacity;        /* power of two            */
    size_t count;
};

void map_init(struct map *m);
void map_release(struct map *m);
void *map_get(const struct map *m, const struct chunk_key *key);
/* Insert or replace; returns the value that was there, or NULL.  `value` must not be NULL. */
void *map_put(struct map *m, const struct chunk_key *key, void *value);
/* Returns the value that was there, or NULL. */
void *map_remove(struct map *m, const struct chunk_key *key);
/* Calls `fn` for each pair; stops when it answers false. */
void map_each(const struct map *m, bool (*fn)(void *arg, const struct chunk_key *key, void *value),
              void *arg);

/* A key that stands for a short text (a name, an id): kind 255 and the text's SHA-256. */
struct chunk_key map_text_key(const char *text);
