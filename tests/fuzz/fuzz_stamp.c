/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_stamp.c – any bytes as a stamp: refused, or written again alike. */
/* LINKS: wire base */
#include <string.h>

#include "fuzz/target.h"
#include "wire/stamp.h"

const struct fuzz_bound fuzz_bound = {.fixed = 16 << 10, .per_byte = 16};

void fuzz_one(const uint8_t *bytes, size_t size)
{
    uint8_t again[STAMP_SIZE];
    struct sender_stamp s;

    if (alb_failed(sender_stamp_decode(bytes, size, &s)))
        return;
    alb_assert(size == STAMP_SIZE);
    sender_stamp_encode(&s, again);
    alb_assert(memcmp(again, bytes, STAMP_SIZE) == 0);
}
