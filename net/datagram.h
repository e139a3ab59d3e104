/* SPDX-License-Identifier: Apache-2.0 */
/* net/datagram.h – small packets that may be lost: UDP sockets on a loop.
 *
 * For probes and nothing else: no stream of bytes, no retransmission, no gate (who sends is bound
 * by its own pace: shaper/probe.h).  Two back ends as for streams: the kernel (datagram_event.c)
 * and the simulated world (tests/sim/world_datagram.c).  Datagrams are marked like the foreground
 * (DSCP 0), since what they measure is what the foreground feels.
 *
 * Nothing blocks: what the kernel does not take at once is lost, as the network might lose it.
 */
#pragma once

#include "net/loop.h"
#include "net/resolve.h"
#include "net/stream.h"

/* Longer ones are dropped unread. */
enum { DATAGRAM_MOST = 512 };

struct datagram;

struct datagram_peer {
    struct address address;
    /* Of ours, the address it was sent to, so that an answer leaves from there although the socket
     * listens at all of them.  0 bytes: whichever the route says. */
    uint8_t here[16];
    uint8_t here_size; /* 0, 4 or 16 */
};

/* From the loop.  `at_ns`, of loop_now_ns(): when it reached this machine, as well as that is
 * known; what waited for a busy loop since then is not in it.  The datagram may be closed here. */
typedef void (*datagram_fn)(void *arg, const void *bytes, size_t size,
                            const struct datagram_peer *from, uint64_t at_ns);

struct datagram_options {
    const char *address; /* "0.0.0.0", "::" (both families) …; NULL: any that reaches `towards` */
    uint16_t port;       /* 0: any; see datagram_port() */
    const struct datagram_peer *towards; /* borrowed; read only with address NULL */
    datagram_fn got;
    void *arg;
};

/* INVALID: no IP address; IO, FULL: the system refuses (the port is taken, no descriptors). */
ALB_MUST_USE struct alb_status datagram_open(struct loop *loop,
                                             const struct datagram_options *options,
                                             struct datagram **out);
uint16_t datagram_port(const struct datagram *d);
/* FULL when it was dropped here (no room in the socket), IO when there is no way to `to`.  Whether
 * it arrives nobody says. */
ALB_MUST_USE struct alb_status datagram_send(struct datagram *d, const void *bytes, size_t size,
                                             const struct datagram_peer *to);
struct datagram *datagram_close(struct datagram *d); /* returns NULL; no call of `got` after it */

/* The host that `s` was dialled to, at another port.  False when it has no address yet. */
ALB_MUST_USE bool datagram_peer_of(const struct stream *s, uint16_t port,
                                   struct datagram_peer *out);
