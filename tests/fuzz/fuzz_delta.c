/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_delta.c – a delta from anywhere: refused, or pieces of exactly the declared length. */
/* LINKS: chunk base */
#include "fuzz/target.h"
#include "chunk/delta.h"

#include <stdlib.h>

enum { MEMORY_MAX = 12 << 20, TARGET_MAX = 1 << 20, PIECES = 64 };

/* The limits, zstd's own context, and what lies around them. */
const struct fuzz_bound fuzz_bound = {.fixed = MEMORY_MAX + (1 << 20), .per_byte = 4};

static struct alb_status on_bytes(void *arg, const void *bytes, size_t size)
{
    uint64_t *sum = arg;

    (void)bytes;
    *sum += size;
    return ALB_STATUS_OK;
}

/* A reference as large as anybody says, that is nowhere. */
static struct alb_status read_reference(void *arg, uint64_t offset, void *out, size_t size)
{
    const struct delta_reference *r = arg;
    uint8_t *to = out;

    if (offset > r->size || size > r->size - offset)
        abort();
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)((offset + i) * 7 >> 3);
    return ALB_STATUS_OK;
}

static void rebuild(struct delta *d, size_t i)
{
    struct delta_piece_info info = delta_piece_info(d, i);
    struct delta_reference reference = {.size = info.reference_size, .read = read_reference};
    uint64_t sum = 0;
    struct delta_sink sink = {on_bytes, &sum};

    reference.arg = &reference;
    struct alb_status st = delta_rebuild(d, i, &reference, &sink);
    if (sum > info.target_size || (!alb_failed(st) && sum != info.target_size))
        abort();
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    static const struct delta_limits limits = {TARGET_MAX, MEMORY_MAX};
    struct delta *d;

    if (alb_failed(delta_open(bytes, size, &limits, &d)))
        return;
    for (size_t i = 0; i < delta_pieces(d) && i < PIECES; i++)
        rebuild(d, i);
    delta_close(d);
}
