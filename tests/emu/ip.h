/* SPDX-License-Identifier: Apache-2.0 */
/* emu/ip.h – what a router reads and changes in an IPv4 header: the flow, and the ECN field. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A hash of addresses, protocol and (TCP and UDP, unless it is a fragment) ports, mixed with
 * `seed`.  Packets that are no IPv4 are one flow. */
uint64_t ip_flow_hash(const uint8_t *packet, uint32_t bytes, uint64_t seed);

/* Set "congestion experienced" if the sender said that it understands it; false: it did not. */
bool ip_mark(uint8_t *packet, uint32_t bytes);

/* Clear the ECN field, as some middle boxes do. */
void ip_clear_ecn(uint8_t *packet, uint32_t bytes);
