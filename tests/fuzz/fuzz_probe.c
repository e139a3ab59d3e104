/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_probe.c – any bytes as a probe: refused, or written again alike but for the MAC. */
/* LINKS: wire base */
#include <string.h>

#include "fuzz/target.h"
#include "wire/probe.h"

const struct fuzz_bound fuzz_bound = {.fixed = 256 << 10, .per_byte = 200};

static void as_invite(const uint8_t *bytes, size_t size)
{
    struct probe_invite invite, again;
    struct buf text;

    if (alb_failed(probe_invite_decode(bytes, size, &invite)))
        return;
    buf_init(&text, 256);
    alb_assert(!alb_failed(probe_invite_encode(&invite, &text)));
    alb_assert(!alb_failed(probe_invite_decode(buf_peek(&text), buf_size(&text), &again)));
    alb_assert(again.port == invite.port && memcmp(again.id, invite.id, PROBE_ID_SIZE) == 0);
    buf_release(&text);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    static const uint8_t key[PROBE_KEY_SIZE] = {7};
    uint8_t again[PROBE_PACKET_SIZE];
    struct probe_packet p;

    as_invite(bytes, size);
    if (alb_failed(probe_packet_read(bytes, size, &p)))
        return;
    alb_assert(size == PROBE_PACKET_SIZE);
    probe_packet_seal(&p, key, again);
    alb_assert(memcmp(again, bytes, PROBE_PACKET_SIZE - PROBE_MAC_SIZE) == 0);
    alb_assert(probe_packet_is_authentic(again, key));
    alb_assert(probe_packet_is_authentic(bytes, key) == (memcmp(again, bytes, sizeof(again)) == 0));
}
