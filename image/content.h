/* SPDX-License-Identifier: Apache-2.0 */
/* image/content.h – the bytes of open files: their digest, and copies that are digested on the way.
 *
 * One `content` a thread: it holds the buffer and the running digest.
 */
#pragma once

#include "wire/manifest.h"

enum {
    CONTENT_STEP = 256 << 10
}; /* bytes of one read: large enough for a disk, small for a cache */

struct content {
    uint8_t *bytes; /* CONTENT_STEP of them; owned */
    struct hasher *hasher;
};

/* FULL when there is no memory. */
ALB_MUST_USE struct alb_status content_init(struct content *c);
void content_release(struct content *c);

/* Digest of the file's first `size` bytes; CORRUPT when it has fewer.  Whether it has more is
 * another question, and for fstat(2). */
ALB_MUST_USE struct alb_status content_digest(struct content *c, int fd, uint64_t size,
                                              struct digest *out);
/* Copy the entry's size of bytes from `from` into `to`, which has none yet; the digest is that of
 * what was copied, zeros in the entry's holes not written.  Shares the blocks where the file system
 * can. CORRUPT when there are fewer bytes. */
ALB_MUST_USE struct alb_status content_copy(struct content *c, int from, int to,
                                            const struct manifest_entry *e, struct digest *out);
/* pwrite(2) these bytes of the entry's file except where it has holes.  FULL: no space. */
ALB_MUST_USE struct alb_status content_write(int fd, const struct manifest_entry *e,
                                             const void *bytes, size_t size, uint64_t offset);
