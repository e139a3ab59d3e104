/* SPDX-License-Identifier: Apache-2.0 */
/* wire/root.h – the root object: how large a layer version is and which chunks spell its manifest.
 *
 * The SHA-256 of its bytes is the version's *root*, the name a request carries.  Two lists of
 * positions belong to a root: M, the manifest's chunks in order (they are in this object), and C,
 * the distinct content keys in order of first appearance in the manifest (computed by each holder,
 * never sent).
 */
#pragma once

#include "base/buf.h"
#include "base/key.h"

enum { ROOT_OBJECT_MAX = 4 << 20, ROOT_CHUNKS_MAX = 110000 };

/* "M", "C" and "R" in paths.  LIST_ROOT has one position, 0: the root object itself, which is kept
 * and sent as the plain chunk of its own digest, so that it is asked for, shared, verified and
 * cached like any other. */
enum chunk_list { LIST_MANIFEST = 1, LIST_CONTENT = 2, LIST_ROOT = 3 };
const char *chunk_list_word(enum chunk_list list); /* manifest, content, root */

struct root_chunk {
    struct chunk_key key;
    uint32_t raw_bytes;
    uint32_t stored_bytes;
};

struct root {
    uint64_t entries;           /* manifest entries, the root directory included  */
    uint64_t content_bytes;     /* sum of file sizes                              */
    uint64_t content_chunks;    /* length of list C                               */
    uint64_t content_raw_bytes; /* of the distinct chunks                   */
    uint64_t manifest_bytes;    /* sum of raw_bytes below                         */
    struct root_chunk *chunks;  /* list M, owned                                */
    size_t chunk_count;
};

ALB_MUST_USE struct alb_status root_encode(const struct root *r, struct buf *out);
/* CORRUPT with what is wrong; an unknown format version is refused by name. */
ALB_MUST_USE struct alb_status root_decode(const void *bytes, size_t size, struct root *out);
void root_release(struct root *r);
