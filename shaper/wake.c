/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/wake.c – the bytes that wake a machine, and the ways they are sent. */
#include "shaper/wake.h"

#include <string.h>

#include "base/alloc.h"
#include "base/crypto.h"

enum { SYNC_SIZE = 6, MAC_REPEATS = 16 };

size_t wake_pattern(const struct wake_target *t, uint8_t *out)
{
    uint8_t *at = out;

    alb_assert(t->password_size <= WAKE_PASSWORD_MOST);
    memset(at, 0xff, SYNC_SIZE);
    at += SYNC_SIZE;
    for (unsigned i = 0; i < MAC_REPEATS; i++, at += NET_MAC_SIZE)
        memcpy(at, t->mac, NET_MAC_SIZE);
    memcpy(at, t->password, t->password_size);
    return (size_t)(at - out) + t->password_size;
}

void wake_frame(const struct wake_target *t, unsigned way, const uint8_t *pattern, size_t size,
                struct raw_frame *out)
{
    static const struct {
        enum raw_way way;
        bool is_to_all;
        uint16_t port;
    } WAYS[WAKE_WAYS] = {
        {RAW_ETHER, true, 0},
        {RAW_ETHER, false, 0}, /* a switch may keep broadcasts from ports that sleep */
        {RAW_UDP, true, RAW_PORT_DISCARD},
        {RAW_UDP, true, RAW_PORT_ECHO},
        {RAW_UDP6, true, RAW_PORT_DISCARD}, /* only where the card lets 33:33:00:00:00:01 wake it */
        {RAW_UDP6, true, RAW_PORT_ECHO},
    };

    alb_assert(way < WAKE_WAYS);
    *out = (struct raw_frame){.link = t->link,
                              .way = WAYS[way].way,
                              .ethertype = WAKE_ETHERTYPE,
                              .port = WAYS[way].port,
                              .bytes = pattern,
                              .size = size};
    if (WAYS[way].is_to_all)
        memset(out->to_mac, 0xff, NET_MAC_SIZE);
    else
        memcpy(out->to_mac, t->mac, NET_MAC_SIZE);
}

struct alb_status wake_send(struct loop *loop, const struct wake_target *t)
{
    uint8_t pattern[WAKE_PATTERN_MOST];
    const size_t size = wake_pattern(t, pattern);
    struct alb_status failure = ALB_STATUS_OK;
    unsigned sent = 0;

    for (unsigned way = 0; way < WAKE_WAYS; way++) {
        struct raw_frame frame;

        wake_frame(t, way, pattern, size, &frame);
        struct alb_status st = raw_frame_send(loop, &frame);
        if (!alb_failed(st))
            sent++;
        else if (!alb_failed(failure))
            failure = st;
    }
    wipe(pattern, sizeof(pattern)); /* it may end in a password */
    return sent != 0 ? ALB_STATUS_OK : failure;
}
