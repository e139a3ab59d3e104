/* SPDX-License-Identifier: Apache-2.0 */
/* image/content.h – the bytes of open files: their digest, and copies that are digested on the way.
 *
 * One `content` a thread: it holds the buffer and the running digest.
 */
#pragma once

#include "base/key.h"

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
/* Copy all of `from` into the empty file `to`; the digest is that of what was written.  Shares the
 * blocks where the file system can. */
ALB_MUST_USE struct alb_status content_copy(struct content *c, int from, int to, struct digest *out,
                                            uint64_t *size);
/* pwrite(2) everything.  FULL names no space. */
ALB_MUST_USE struct alb_status content_write(int fd, const void *bytes, size_t size,
                                             uint64_t offset);
