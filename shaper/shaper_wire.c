/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/shaper_wire.c – packets' headers beside their payload. */
#include "shaper/shaper_wire.h"

#include <string.h>

#include "net/stream.h"

enum {
    TCP_HEADERS = 20 + 12,
    IPV4_HEADER = 20,
    IPV6_HEADER = 40,
    FULL_PACKET = 1448,
    ACK_EVERY = 2
};

static uint64_t headers(const char *address, uint32_t overhead_bytes)
{
    static const char mapped[] = "[::ffff:"; /* IPv4 on a socket that takes both */
    bool is_six = address[0] == '[' && strncmp(address, mapped, sizeof mapped - 1) != 0;
    uint64_t ip = is_six ? IPV6_HEADER : IPV4_HEADER;

    return TCP_HEADERS + ip + overhead_bytes;
}

static uint64_t packets_for(uint64_t bytes)
{
    return (bytes + FULL_PACKET - 1) / FULL_PACKET;
}

uint64_t wire_sent(const struct path_figures *f, const char *address, uint32_t overhead_bytes)
{
    uint64_t bytes = f->path_sent_bytes;
    uint64_t packets = f->segments_sent;

    if (bytes == 0)
        bytes = f->wire_sent_bytes + f->retransmitted * FULL_PACKET;
    if (packets == 0)
        packets = packets_for(bytes) + packets_for(f->wire_received_bytes) / ACK_EVERY;
    bytes += f->unsent_bytes;
    packets += packets_for(f->unsent_bytes);
    return bytes + packets * headers(address, overhead_bytes);
}

uint64_t wire_received(const struct path_figures *f, const char *address, uint32_t overhead_bytes)
{
    uint64_t packets = f->segments_received;

    if (packets == 0)
        packets = packets_for(f->wire_received_bytes) + packets_for(f->wire_sent_bytes) / ACK_EVERY;
    return f->wire_received_bytes + packets * headers(address, overhead_bytes);
}
