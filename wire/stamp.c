/* SPDX-License-Identifier: Apache-2.0 */
/* wire/stamp.c – the stamp's 32 bytes. */
#include "wire/stamp.h"

#include <string.h>

#include "base/pack.h"

#define BPS_PER_STEP UINT64_C(1000)

static uint32_t steps_of(uint64_t bps)
{
    const uint64_t steps = bps / BPS_PER_STEP;

    return steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX;
}

void sender_stamp_encode(const struct sender_stamp *s, uint8_t out[STAMP_SIZE])
{
    uint8_t room[STAMP_SIZE + 1]; /* a buf that never has to ask for memory, with its zero */
    struct buf bytes = {.bytes = room, .capacity = sizeof(room), .limit = STAMP_SIZE};
    struct pack w;

    pack_init(&w, &bytes);
    pack_u8(&w, STAMP_VERSION);
    pack_u8(&w, (uint8_t)(s->flags & STAMP_FLAGS));
    pack_u16(&w, s->flows);
    pack_u32(&w, steps_of(s->aggregate_bps));
    pack_u64(&w, s->sent_ns);
    pack_u64(&w, s->cumulative_bytes);
    pack_u64(&w, s->retransmitted);
    struct alb_status st = pack_finish(&w);
    alb_assert(!alb_failed(st) && buf_size(&bytes) == STAMP_SIZE);
    memcpy(out, room, STAMP_SIZE);
}

struct alb_status sender_stamp_decode(const void *bytes, size_t size, struct sender_stamp *out)
{
    struct sender_stamp s = {.flags = 0};
    struct unpack r;

    unpack_init(&r, bytes, size);
    if (size > 0 && unpack_u8(&r) != STAMP_VERSION)
        return alb_fail(ALB_INVALID, "a stamp of a version that this program does not know");
    if (size != STAMP_SIZE)
        return alb_fail(ALB_CORRUPT, "a stamp that is not 32 bytes long");
    s.flags = unpack_u8(&r);
    s.flows = unpack_u16(&r);
    s.aggregate_bps = unpack_u32(&r) * BPS_PER_STEP;
    s.sent_ns = unpack_u64(&r);
    s.cumulative_bytes = unpack_u64(&r);
    s.retransmitted = unpack_u64(&r);
    if ((s.flags & ~(unsigned)STAMP_FLAGS) != 0)
        return alb_fail(ALB_CORRUPT, "a stamp with flags that this program does not know");
    *out = s;
    return ALB_STATUS_OK;
}
