/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/wake.h – what wakes a machine, and who is woken when.
 *
 * Of those that wake others; whether a machine can be woken at all, net/ethtool_netlink.h asks it.
 *
 * A wake pattern is six bytes ff, then the sleeper's MAC sixteen times, then its SecureOn password
 * if it has one; a sleeping network card looks for it anywhere in a frame.  So it is sent in every
 * way that may reach one: as Ethernet frames of type 0x0842, to all and to the MAC itself (needs
 * CAP_NET_RAW; without it the rest must do), by UDP broadcast to ports 7 and 9, and over IPv6 to
 * all machines on the link.  255.255.255.255 is enough: on the link it is the same frame as a
 * subnet's own broadcast.  Nobody answers, and frames get lost: each wake is sent three times.
 *
 * The queue says who is next.  It spaces the machines that begin to wake, one every 1/rate s and
 * never two at once, so that neither the fuses of a floor nor the hub that all of them will ask are
 * met by a herd; bounds what waits; and lets a machine be asked for again only after a while.
 * Pure: no clock, no socket.  Who may ask, and whether it woke, is for the owner to know.
 *
 *     wake_queue_add(q, &target, now);       REFUSED, FULL: say so to whoever asked
 *     timer at wake_queue_next_ns(q)
 *     while (wake_queue_take(q, now, &due))
 *         st = wake_send(loop, &due.target);
 */
#pragma once

#include "net/net_picture.h"
#include "net/raw_frame.h"

#include "base/units.h"

enum {
    WAKE_PASSWORD_MOST = 6, /* SecureOn: 6 bytes; some cards take 4, as a dotted address */
    WAKE_PATTERN_MOST = 6 + 16 * NET_MAC_SIZE + WAKE_PASSWORD_MOST,
    WAKE_ETHERTYPE = 0x0842,
    WAKE_SENDS = 3, /* at 0, 100 ms and 1 s: lost to a burst, lost to a port that just came up */
    WAKE_WAYS = 6,  /* frames for each send */
    WAKE_WAITING_MOST = 4096, /* machines of one branch                              */
    WAKE_REMEMBERED = 4096,   /* the last ones woken, so that they are not woken again */
    WAKE_RATE_DEFAULT = 20,   /* machines a second                                   */
    WAKE_RATE_MOST = 1000,
};
/* A machine takes minutes to start.  Where more than WAKE_REMEMBERED are woken in that time, the
 * first of them are forgotten sooner: at WAKE_RATE_DEFAULT after 205 s, at the most after 4 s. */
#define WAKE_AGAIN_NS (300 * NS_PER_S)

struct wake_target {
    uint8_t mac[NET_MAC_SIZE]; /* as enrolled; never from a request            */
    uint32_t link;             /* where it sleeps                              */
    uint8_t password[WAKE_PASSWORD_MOST];
    uint8_t password_size; /* 0, 4 or 6 */
};

/* Bytes written to `out`, which holds WAKE_PATTERN_MOST. */
size_t wake_pattern(const struct wake_target *t, uint8_t *out);

/* The frame that goes the `way`-th way (0 to WAKE_WAYS − 1); `pattern` is borrowed. */
void wake_frame(const struct wake_target *t, unsigned way, const uint8_t *pattern, size_t size,
                struct raw_frame *out);
/* All of them, once, now.  OK when one went: a link without IPv6, or a program without CAP_NET_RAW,
 * is no failure.  Else why the first could not. */
ALB_MUST_USE struct alb_status wake_send(struct loop *loop, const struct wake_target *t);

/* ---- who is next ----------------------------------------------------------------------------- */

struct wake_due {
    struct wake_target target; /* wipe() it when it has been sent, for its password */
    unsigned attempt;          /* 0, 1, 2 */
    bool is_last;
};

struct wake_queue;

struct wake_queue *wake_queue_new(unsigned rate); /* machines a second, 1 to WAKE_RATE_MOST */
struct wake_queue *wake_queue_free(struct wake_queue *q); /* returns NULL */
/* Joins the end.  OK too when it waits or is being woken already.  REFUSED: it was woken less than
 * WAKE_AGAIN_NS ago, and is still among the last WAKE_REMEMBERED; FULL: WAKE_WAITING_MOST wait;
 * INVALID: no machine has such a MAC, or no card such a password. */
ALB_MUST_USE struct alb_status wake_queue_add(struct wake_queue *q, const struct wake_target *t,
                                              uint64_t now_ns);
/* It is awake (it was heard), or nobody wants it any more: no frame of it is due after this.
 * False: it was not there. */
bool wake_queue_drop(struct wake_queue *q, const uint8_t mac[NET_MAC_SIZE]);
/* That it was woken a moment ago is forgotten: whoever asks knows better. */
void wake_queue_forget(struct wake_queue *q, const uint8_t mac[NET_MAC_SIZE]);
/* Begin nobody before then; repeats go on. */
void wake_queue_hold(struct wake_queue *q, uint64_t until_ns);
/* The next one due; false: nobody is, now. */
bool wake_queue_take(struct wake_queue *q, uint64_t now_ns, struct wake_due *out);
uint64_t wake_queue_next_ns(const struct wake_queue *q); /* UINT64_MAX: nothing waits */
size_t wake_queue_waiting(const struct wake_queue *q);   /* not begun yet              */
