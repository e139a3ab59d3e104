/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_manifest.c – any bytes are no manifest, or one that is spelled again alike. */
/* LINKS: wire base */
#include "wire/manifest.h"

#include "base/alloc.h"
#include "fuzz/target.h"

const struct fuzz_bound fuzz_bound = {.fixed = 256 << 10, .per_byte = 400};

static void write_again(const struct manifest *m, struct buf *out)
{
    struct manifest_writer w;

    alb_assert(!alb_failed(manifest_begin(&w, &m->params, &m->entries[0])));
    for (size_t i = 1; i < m->count; i++)
        alb_assert(!alb_failed(manifest_add(&w, &m->entries[i])));
    alb_assert(!alb_failed(manifest_finish(&w, out)));
    manifest_writer_release(&w);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    struct manifest_limits limits = manifest_limits_default;
    struct manifest m;
    struct buf again;

    limits.allow_devices = true;
    if (alb_failed(manifest_decode(bytes, size, &limits, &m)))
        return;
    buf_init(&again, SIZE_MAX / 2);
    write_again(&m, &again);
    /* Shorter when fields that are unknown and not critical were skipped. */
    alb_assert(buf_size(&again) <= size);
    alb_assert(buf_size(&again) < size || memcmp(buf_peek(&again), bytes, size) == 0);
    for (size_t i = 0; i < m.count; i++)
        alb_assert(manifest_find(&m, m.entries[i].path) == &m.entries[i]);
    manifest_release(&m);
    buf_release(&again);
}
