/* SPDX-License-Identifier: Apache-2.0 */
/* hub/delta_build.h – one delta set in the making, a blob at a time.
 *
 *     step (any worker): plan, then read targets and references → encode a blob → cut → chunks
 *     keep (the ordered lane, since the store has one writer): those chunks, durable
 *     … until it is over: index and root object, too
 *
 * Each call blocks for about a second at most, the first one for a few on a large tree.  Nothing
 * is written but chunks, so whoever dies in between begins anew.  Memory: both manifests, 160 MiB
 * of references, 64 MiB of chunks, some 60 MiB for the encoder and a blob: below 512 MiB for trees
 * of DELTA_ENTRIES_MAX entries whose paths are not absurd.
 */
#pragma once

#include "store/chunk_store.h"
#include "wire/delta_set.h"

enum {
    DELTA_REFERENCE_MAX = 128 << 20,  /* bytes: larger files are no references        */
    DELTA_REFERENCES_MAX = 160 << 20, /* bytes of all references of a blob            */
    DELTA_SAVES_PERCENT = 10,         /* a set that saves less of the chunks is none  */
};

struct delta_built {
    bool is_worth_it;
    struct digest set; /* when it is … */
    uint64_t root_bytes;
    uint64_t bytes;        /* stored bytes of the set's chunks                          */
    uint64_t chunk_bytes;  /* what the same contents cost as chunks                     */
    uint64_t rest_bytes;   /* … those for which there is no delta                       */
    uint64_t target_bytes; /* what the set rebuilds                                     */
    uint64_t pieces, blobs;
};

struct delta_build;
struct delta_build *delta_build_new(struct chunk_store *store, const struct digest *from,
                                    const struct digest *to);
struct delta_build *delta_build_free(struct delta_build *b); /* NULL is fine */
/* After a failure the build is only good for being freed.  FULL: the trees are too large. */
ALB_MUST_USE struct alb_status delta_build_step(struct delta_build *b);
ALB_MUST_USE struct alb_status delta_build_keep(struct delta_build *b);
bool delta_build_is_over(const struct delta_build *b); /* and everything was kept */
void delta_build_result(const struct delta_build *b, struct delta_built *out);
