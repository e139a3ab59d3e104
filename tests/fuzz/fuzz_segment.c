/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_segment.c – a segment file from a damaged disk: walked to its end, record by record. */
/* LINKS: store_disk store wire chunk base */
#include "fuzz/target.h"
#include "store/disk/segment.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

const struct fuzz_bound fuzz_bound = {.fixed = 5 << 20, .per_byte = 4};

struct seen {
    const uint8_t *bytes;
    size_t size;
    uint64_t salt;
    uint64_t end; /* of the record before */
};

static struct alb_status judge(void *arg, const struct record *r)
{
    struct seen *s = arg;
    uint64_t end = r->offset + RECORD_HEADER_SIZE + r->size;
    if (r->offset < s->end || end > s->size)
        abort();
    if (!record_is_whole(s->bytes + r->offset, r, s->salt,
                         s->bytes + r->offset + RECORD_HEADER_SIZE))
        abort();
    s->end = end;
    return ALB_STATUS_OK;
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    struct segment_header header = {.salt = 0};
    struct seen seen = {.bytes = bytes, .size = size, .end = SEGMENT_HEADER_SIZE};
    struct segment segment = {.fd = memfd_create("segment", MFD_CLOEXEC)};
    const struct segment_visitor visitor = {judge, &seen};
    uint64_t end;
    uint64_t damaged_bytes;
    if (segment.fd < 0 || (size > 0 && write(segment.fd, bytes, size) != (ssize_t)size))
        abort();
    /* With a spoilt header the records, which its salt is part of, cannot be any good either; walk
     * all the same, with the salt that stands there. */
    if (size >= SEGMENT_HEADER_SIZE) {
        if (alb_failed(segment_header_decode(bytes, &header)))
            memcpy(&header.salt, bytes + 16, sizeof(header.salt));
        segment.salt = seen.salt = header.salt;
        if (alb_failed(
                segment_walk(&segment, SEGMENT_HEADER_SIZE, &visitor, &end, &damaged_bytes)) ||
            end != seen.end)
            abort();
    }
    (void)close(segment.fd);
}
