/* SPDX-License-Identifier: Apache-2.0 */
/* wire/probe.c – the probe's 68 bytes. */
#include "wire/probe.h"

#include <string.h>

#include "base/crypto.h"
#include "base/pack.h"

enum { COVERED_SIZE = PROBE_PACKET_SIZE - PROBE_MAC_SIZE };
#define BPS_PER_STEP UINT64_C(1000)

static void make_mac(const uint8_t *covered, const uint8_t *key, struct digest *out)
{
    hmac_sha256(key, PROBE_KEY_SIZE, covered, COVERED_SIZE, out);
}

static uint32_t steps_of(uint64_t bps)
{
    const uint64_t steps = bps / BPS_PER_STEP;

    return steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX;
}

void probe_packet_seal(const struct probe_packet *p, const uint8_t key[PROBE_KEY_SIZE],
                       uint8_t out[PROBE_PACKET_SIZE])
{
    struct digest mac;
    uint8_t room[PROBE_PACKET_SIZE]; /* a buf that never has to ask for memory */
    struct buf bytes = {.bytes = room, .capacity = sizeof(room), .limit = COVERED_SIZE};
    struct pack w;

    pack_init(&w, &bytes);
    pack_u8(&w, PROBE_VERSION);
    pack_u8(&w, (uint8_t)p->kind);
    pack_u16(&w, p->flows);
    pack_bytes(&w, p->id, PROBE_ID_SIZE);
    pack_u32(&w, p->sequence);
    pack_u64(&w, p->sent_ns);
    pack_u64(&w, p->received_ns);
    pack_u32(&w, p->held_ns);
    pack_u32(&w, p->epoch);
    pack_u32(&w, steps_of(p->aggregate_bps));
    struct alb_status st = pack_finish(&w);
    alb_assert(!alb_failed(st) && buf_size(&bytes) == COVERED_SIZE);
    make_mac(room, key, &mac);
    memcpy(out, room, COVERED_SIZE);
    memcpy(out + COVERED_SIZE, mac.bytes, PROBE_MAC_SIZE);
}

static bool says_nothing(const struct probe_packet *p)
{
    return p->flows == 0 && p->received_ns == 0 && p->epoch == 0 && p->aggregate_bps == 0;
}

struct alb_status probe_packet_read(const void *bytes, size_t size, struct probe_packet *out)
{
    struct probe_packet p = {.kind = PROBE_REQUEST};
    struct unpack r;

    unpack_init(&r, bytes, size);
    if (size > 0 && unpack_u8(&r) != PROBE_VERSION)
        return alb_fail(ALB_INVALID, "a probe of a version that this program does not know");
    if (size != PROBE_PACKET_SIZE)
        return alb_fail(ALB_CORRUPT, "a probe that is not 68 bytes long");
    uint8_t kind = unpack_u8(&r);
    p.flows = unpack_u16(&r);
    memcpy(p.id, unpack_bytes(&r, PROBE_ID_SIZE), PROBE_ID_SIZE);
    p.sequence = unpack_u32(&r);
    p.sent_ns = unpack_u64(&r);
    p.received_ns = unpack_u64(&r);
    p.held_ns = unpack_u32(&r);
    p.epoch = unpack_u32(&r);
    p.aggregate_bps = unpack_u32(&r) * BPS_PER_STEP;
    if (kind != PROBE_REQUEST && kind != PROBE_REPLY)
        return alb_fail(ALB_CORRUPT, "a probe that is neither request nor reply");
    p.kind = kind == PROBE_REQUEST ? PROBE_REQUEST : PROBE_REPLY;
    if (p.kind == PROBE_REQUEST && !says_nothing(&p))
        return alb_fail(ALB_CORRUPT, "a probe request that holds what only replies do");
    *out = p;
    return ALB_STATUS_OK;
}

bool probe_packet_is_authentic(const uint8_t bytes[PROBE_PACKET_SIZE],
                               const uint8_t key[PROBE_KEY_SIZE])
{
    struct digest mac;

    make_mac(bytes, key, &mac);
    return bytes_same_secret(mac.bytes, bytes + COVERED_SIZE, PROBE_MAC_SIZE);
}
