/* SPDX-License-Identifier: Apache-2.0 */
/* crash/chunks.h – numbered chunks whose bytes follow from the number, and what is known of each.
 *
 * Lines of EXPECT: "have N" was acknowledged, "maybe N" is about to be removed, "gone N" was
 * removed, and "lied" – the disk lost what it had promised, so that nothing said before binds.
 */
#pragma once

#include "chunk/chunk.h"
#include "chunk/codec.h"
#include "crash/drive.h"
#include "store/chunk_store.h"

struct chunk *numbered_chunk(struct codec *codec, uint64_t n);
/* The key of chunk `n`, and its raw bytes, appended. */
struct chunk_key numbered_key(uint64_t n, struct buf *raw);

enum chunk_note { CHUNK_MAYBE, CHUNK_HAVE, CHUNK_GONE };

struct chunk_notes {
    struct {
        uint64_t n;
        enum chunk_note note;
    } * items; /* owned */
    size_t count;
};

void chunk_notes_line(struct chunk_notes *all, const char *line);
void chunk_notes_release(struct chunk_notes *all);
/* What was acknowledged is there, what was removed is not, and nothing has other bytes than it was
 * put with. */
bool chunk_notes_check(const struct chunk_notes *all, struct chunk_store *store,
                       struct codec *codec);
/* Remove one that is there, if any. */
bool chunk_notes_remove(struct chunk_notes *all, const char *work, struct chunk_store *store,
                        struct gen *g);
/* Put `count` chunks from `first` on as one group and say so. */
bool chunks_put(const char *work, struct chunk_store *store, struct codec *codec, uint64_t first,
                unsigned count);
/* Between lives of a store in WORK/dir: at times its index is gone, and the next life has to find
 * the same in the segments. */
bool chunks_lose_index(const char *work, struct gen *g);
