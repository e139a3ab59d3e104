/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_root.c – any bytes are no root object, or one that is spelled again alike. */
/* LINKS: wire base */
#include "fuzz/target.h"
#include "wire/root.h"

const struct fuzz_bound fuzz_bound = {.fixed = 16 << 10, .per_byte = 64};

void fuzz_one(const uint8_t *bytes, size_t size)
{
    struct buf again;
    struct root r;

    if (alb_failed(root_decode(bytes, size, &r)))
        return;
    buf_init(&again, ROOT_OBJECT_MAX);
    alb_assert(!alb_failed(root_encode(&r, &again)));
    alb_assert(buf_size(&again) <= size); /* unknown fields at the end were skipped */
    alb_assert(memcmp(buf_peek(&again), bytes, buf_size(&again)) == 0);
    root_release(&r);
    buf_release(&again);
}
