/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/pins.h – the sets of chunks that a cache never drops, each in a file of its own
 * (store/FORMAT.md).
 *
 * In memory eight bytes for each key: a stranger whose hash is the same is kept as well, which
 * costs nothing.  Calls are made by one thread at a time (the store's write lock).
 */
#pragma once

#include "base/key.h"
#include "base/status.h"

struct pin {
    char *name;       /* owned                                       */
    uint64_t *hashes; /* owned, ascending: chunk_key_hash() of each  */
    size_t count;
    uint64_t bytes;      /* what they may take                  */
    uint64_t disk_bytes; /* of the file                         */
};

struct pins {
    char *dir; /* owned */
    struct pin *items;
    size_t count;
};

/* Reads what is in `dir`, which need not exist.  A file that is damaged is set aside and said; one
 * of a newer version is INVALID.  IO. */
ALB_MUST_USE struct alb_status pins_open(struct pins *p, const char *dir);
void pins_release(struct pins *p);
/* Durable when it returns OK; replaces a pin of this name.  FULL, INVALID, IO. */
ALB_MUST_USE struct alb_status pins_put(struct pins *p, const char *name,
                                        const struct chunk_key *keys, size_t count, uint64_t bytes);
ALB_MUST_USE struct alb_status pins_remove(struct pins *p, const char *name); /* NOT_FOUND */
ALB_MUST_USE struct alb_status pins_remove_all(struct pins *p);

const struct pin *pins_find(const struct pins *p, const char *name);
bool pins_hold(const struct pins *p, uint64_t hash);
/* Does any pin but `except` (may be NULL) hold it? */
bool pins_hold_besides(const struct pins *p, uint64_t hash, const struct pin *except);
uint64_t pins_reserved_bytes(const struct pins *p);
uint64_t pins_disk_bytes(const struct pins *p);
/* The keys of one, from its file; heap. */
ALB_MUST_USE struct alb_status pins_read_keys(const struct pins *p, const struct pin *pin,
                                              struct chunk_key **keys, size_t *count);

/* The file's bytes, for tests and fuzzing: INVALID (a newer version), CORRUPT. */
struct pin_image {
    char *name;             /* owned */
    struct chunk_key *keys; /* owned */
    size_t count;
    uint64_t bytes;
};
ALB_MUST_USE struct alb_status pin_decode(const void *bytes, size_t size, struct pin_image *out);
void pin_image_release(struct pin_image *i);
