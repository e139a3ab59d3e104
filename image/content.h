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

/* Digest of the file from its first byte to its last; *size is how many there were. */
ALB_MUST_USE struct alb_status content_digest(struct content *c, int fd, struct digest *out,
                                              uint64_t *size);
/* Copy all of `from` into `to`, which has no bytes yet; the digest is that of what was read, zeros in
 * the entry's holes not written.  Shares the blocks where the file system can. */
ALB_MUST_USE struct alb_status content_copy(struct content *c, int from, int to,
                                            const struct manifest_entry *e, struct digest *out,
                                            uint64_t *size);
/* pwrite(2) these bytes of the entry's file except where it has holes.  FULL: no space. */
ALB_MUST_USE struct alb_status content_write(int fd, const struct manifest_entry *e,
                                             const void *bytes, size_t size, uint64_t offset);
