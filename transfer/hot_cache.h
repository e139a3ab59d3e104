/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/hot_cache.h – a bounded memory cache of chunks, least recently used goes first.
 *
 * Holds one reference to each chunk.  A chunk larger than a quarter of the limit is not kept.
 */
#pragma once

#include <sys/queue.h>

#include "base/map.h"
#include "chunk/chunk.h"

struct hot_entry {
    struct chunk *chunk;
    TAILQ_ENTRY(hot_entry) link;
};
TAILQ_HEAD(hot_list, hot_entry);

struct hot_cache {
    struct map entries;
    struct hot_list order; /* most recent first */
    uint64_t bytes, limit;
};

void hot_cache_init(struct hot_cache *c, uint64_t limit);
void hot_cache_release(struct hot_cache *c);
void hot_cache_clear(struct hot_cache *c);
/* Borrowed until the next put; NULL when it is not here. */
struct chunk *hot_cache_get(struct hot_cache *c, const struct chunk_key *key);
void hot_cache_put(struct hot_cache *c, struct chunk *chunk);
