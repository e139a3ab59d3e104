/* SPDX-License-Identifier: Apache-2.0 */
/* wire/probe.h – the datagram that measures a path, byte by byte (PROTOCOL.md has the table).
 *
 * A request and its reply are of one length, so that nobody gains bytes by asking in another's
 * name, and both end in a MAC over all before it: the kind is covered, so a request is no reply.
 * Nothing here says whether a sequence number was seen before; shaper/probe.h does.
 *
 * Times are the sender's monotonic clock, whatever its zero: two programs' times are never
 * compared, only how their difference changes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

enum {
    PROBE_VERSION = 1,
    PROBE_ID_SIZE = 16,
    PROBE_KEY_SIZE = 32,
    PROBE_MAC_SIZE = 16,
    PROBE_PACKET_SIZE = 68,
};
/* Both ends of a control connection derive the key from it by this exporter (RFC 8446 §7.5). */
#define PROBE_KEY_LABEL "EXPORTER-albedo-probe-1"

enum probe_kind { PROBE_REQUEST = 1, PROBE_REPLY = 2 };

struct probe_packet {
    enum probe_kind kind;
    uint8_t id[PROBE_ID_SIZE]; /* random, given by who answers: POST /v1/probe */
    uint32_t sequence;
    uint64_t sent_ns; /* the asker's clock; a reply repeats it */
    /* A reply: from its coming until it was sent back.  A request: the queue that its asker saw
     * on the way to it last, while it takes bulk.  UINT32_MAX: that or more. */
    uint32_t held_ns;
    /* In replies; a request has zeros there. */
    uint64_t received_ns;   /* the answerer's clock                                             */
    uint32_t epoch;         /* another one: the answerer's clock may have jumped                */
    uint64_t aggregate_bps; /* what all its scavengers get, while they share its line; else 0   */
    uint16_t flows; /* how many they are                                                     */
};

void probe_packet_seal(const struct probe_packet *p, const uint8_t key[PROBE_KEY_SIZE],
                       uint8_t out[PROBE_PACKET_SIZE]);
/* Form only, the MAC is not looked at: the id says which key it takes.  CORRUPT; INVALID for
 * another version. */
ALB_MUST_USE struct alb_status probe_packet_read(const void *bytes, size_t size,
                                                 struct probe_packet *out);
/* `bytes` have been read. */
bool probe_packet_is_authentic(const uint8_t bytes[PROBE_PACKET_SIZE],
                               const uint8_t key[PROBE_KEY_SIZE]);

/* What POST /v1/probe answers, over the connection whose secret is the key; JSON. */
struct probe_invite {
    uint8_t id[PROBE_ID_SIZE];
    uint16_t port; /* UDP, at the address of the connection */
};

ALB_MUST_USE struct alb_status probe_invite_encode(const struct probe_invite *i, struct buf *out);
/* INVALID, naming the member. */
ALB_MUST_USE struct alb_status probe_invite_decode(const void *bytes, size_t size,
                                                   struct probe_invite *out);
