/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/codec.h – bytes of a chunk ⇄ its stored form: always exactly one zstd frame.
 *
 * The stored form is what is kept, sent and counted; it is never made anew on the way.  A frame
 * carries its content size, has no dictionary and no checksum (the chunk's name is one).  The
 * decoder is bounded: it refuses a frame whose declared size is absent, differs from what the
 * caller expects or exceeds the limit *before* it allocates, trailing bytes, a second frame and a
 * window larger than CHUNK_RAW_MAX.
 *
 * Small chunks (the manifest's) are made with zstd level 3.  Large ones with parameters between
 * level 2 and 3 that do not change with the size: on Debian systems 1.5 % more bytes than level 3
 * for 3/4 of its time (ARCHITECTURE.md, "Publishing").  Nobody but the maker needs to know: any
 * frame is as good.
 *
 * A `codec` keeps zstd's contexts between calls; use one per worker thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/key.h"
#include "base/status.h"

enum {
    CHUNK_RAW_MAX = 4 << 20,                       /* largest uncompressed chunk, bytes          */
    CHUNK_STORED_MAX = CHUNK_RAW_MAX + (64 << 10), /* no stored form is larger                */
    CODEC_LARGE = 16 << 10,                        /* from here made for speed, raw bytes        */
};

struct codec;
struct codec *codec_new(void);
struct codec *codec_free(struct codec *c);

/* Append the stored form of `raw` to `out`.  INVALID (over CHUNK_RAW_MAX), FULL. */
ALB_MUST_USE struct alb_status codec_compress(struct codec *c, const void *raw, size_t size,
                                              struct buf *out);
/* The raw size a stored form declares: CORRUPT when absent or over `max`. */
ALB_MUST_USE struct alb_status codec_raw_size(const void *stored, size_t size, size_t max,
                                              size_t *out);
/* Append exactly the raw bytes to `out`; CORRUPT when the frame is not one whole frame of at most
 * `max` raw bytes. */
ALB_MUST_USE struct alb_status codec_expand(struct codec *c, const void *stored, size_t size,
                                            size_t max, struct buf *out);
/* The same into memory of the codec's own: *raw and *raw_size are good until its next call. */
ALB_MUST_USE struct alb_status codec_expand_here(struct codec *c, const void *stored, size_t size,
                                                 const uint8_t **raw, size_t *raw_size);
/* Do the stored bytes belong to `key`?  OK, or CORRUPT saying how not.  Kinds other than KEY_PLAIN
 * are refused by name (ALB_INVALID) until they exist.  `raw` may be NULL; when not, the expanded
 * bytes are left in it (cleared first). */
ALB_MUST_USE struct alb_status codec_verify(struct codec *c, const struct chunk_key *key,
                                            const void *stored, size_t size, struct buf *raw);
