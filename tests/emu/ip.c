/* SPDX-License-Identifier: Apache-2.0 */
/* emu/ip.c – a few fields of RFC 791 and RFC 3168. */
#include "emu/ip.h"

#include <string.h>

#include "emu/dice.h"

#define HEADER_BYTES 20u
#define ECN_MASK 3u /* of the second byte */
#define ECN_CE 3u
#define PROTOCOL_TCP 6u
#define PROTOCOL_UDP 17u

static bool is_ipv4(const uint8_t *packet, uint32_t bytes)
{
    return bytes >= HEADER_BYTES && packet[0] >> 4 == 4;
}

static bool has_ports(const uint8_t *packet, uint32_t bytes, uint32_t header)
{
    bool is_fragment = (packet[6] & 0x3f) != 0 || packet[7] != 0; /* more to come, or an offset */
    bool is_known = packet[9] == PROTOCOL_TCP || packet[9] == PROTOCOL_UDP;
    return is_known && !is_fragment && bytes >= header + 4;
}

uint64_t ip_flow_hash(const uint8_t *packet, uint32_t bytes, uint64_t seed)
{
    if (!is_ipv4(packet, bytes))
        return 0;
    uint64_t addresses;
    uint32_t ports = 0;
    uint32_t header = (packet[0] & 15u) * 4;
    memcpy(&addresses, packet + 12, sizeof addresses);
    if (has_ports(packet, bytes, header))
        memcpy(&ports, packet + header, sizeof ports);
    struct dice dice = {seed ^ addresses};
    dice.state = dice_bits(&dice) ^ ports ^ (uint64_t)packet[9] << 32;
    return dice_bits(&dice);
}

static uint16_t fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)(sum + (sum >> 16));
}

/* RFC 1624: the checksum follows the change of one word. */
static void ecn_set(uint8_t *packet, uint8_t ecn)
{
    uint32_t before = (uint32_t)packet[0] << 8 | packet[1];
    packet[1] = (uint8_t)((packet[1] & ~ECN_MASK) | ecn);
    uint32_t after = (uint32_t)packet[0] << 8 | packet[1];
    uint32_t sum = (uint32_t)packet[10] << 8 | packet[11];
    uint16_t updated = (uint16_t)~fold((~sum & 0xffff) + (~before & 0xffff) + after);
    packet[10] = (uint8_t)(updated >> 8);
    packet[11] = (uint8_t)updated;
}

bool ip_mark(uint8_t *packet, uint32_t bytes)
{
    if (!is_ipv4(packet, bytes) || (packet[1] & ECN_MASK) == 0)
        return false;
    ecn_set(packet, ECN_CE);
    return true;
}

void ip_clear_ecn(uint8_t *packet, uint32_t bytes)
{
    if (is_ipv4(packet, bytes) && (packet[1] & ECN_MASK) != 0)
        ecn_set(packet, 0);
}
