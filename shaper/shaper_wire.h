/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/shaper_wire.h – what a connection has cost its link so far, from what the kernel says.
 *
 * Pure.  Payload below TLS, sent again included, and the headers of every packet: 20 bytes of TCP,
 * 12 of its time stamps, 20 of IPv4 or 40 of IPv6, and `overhead_bytes` of the link.  What has not
 * left yet is counted as if it had.  Figures the kernel does not give are filled in from full
 * packets, and for receiving from one acknowledgement for two of them.
 */
#pragma once

#include <stdint.h>

struct path_figures;

/* What so many body bytes take on the wire, until a connection has told: 1.058, TLS, TCP and IP. */
enum { WIRE_ONE = 1024, WIRE_ESTIMATE = 1083 };
static inline uint64_t wire_estimate(uint64_t body_bytes)
{
    return body_bytes * WIRE_ESTIMATE / WIRE_ONE;
}

/* `address` is the other side's as a stream has it: IPv6 in brackets. */
uint64_t wire_sent(const struct path_figures *f, const char *address, uint32_t overhead_bytes);
uint64_t wire_received(const struct path_figures *f, const char *address, uint32_t overhead_bytes);
