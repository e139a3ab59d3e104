/* SPDX-License-Identifier: Apache-2.0 */
/* net/ethtool_netlink.h – can this machine be woken through a link at all?
 *
 * Of a machine that is to sleep; who wakes others, and when, is shaper/wake.h.
 *
 * Asked of the link's driver by ethtool's netlink (Linux 5.6 and later; before that: UNKNOWN).
 * The driver may sleep and take milliseconds, so: from a job, or at start-up.  What the driver
 * says is necessary, not enough: the firmware's setup ("wake on LAN", "ErP"), the power state the
 * machine was left in and the switch's port have their say, and nobody can ask them.
 */
#pragma once

#include "net/net_picture.h"

#include "base/status.h"

/* Why a link may wake its machine; bits as in the kernel's WAKE_*. */
enum wake_mode {
    WAKE_ON_PHY = 1 << 0,       /* the carrier comes back        */
    WAKE_ON_UNICAST = 1 << 1,   /* any frame to it               */
    WAKE_ON_MULTICAST = 1 << 2, /* any                           */
    WAKE_ON_BROADCAST = 1 << 3, /* any                           */
    WAKE_ON_ARP = 1 << 4,       /* somebody asks for its address */
    WAKE_ON_MAGIC = 1 << 5,     /* a wake frame: what we send    */
    WAKE_ON_SECURE = 1 << 6,    /* one with the right password   */
    WAKE_ON_FILTER = 1 << 7,
};

enum wake_answer {
    WAKE_READY,     /* a wake frame wakes it                                                 */
    WAKE_SECURED,   /* a wake frame with the right SecureOn password does                    */
    WAKE_OFF,       /* the driver could, but is not set to (`ethtool -s LINK wol g`)         */
    WAKE_CANNOT,    /* no such thing in this link: virtual, wireless, or an old card         */
    WAKE_UNASKABLE, /* it takes CAP_NET_ADMIN to know: the answer may hold a password        */
    WAKE_UNKNOWN,   /* the kernel has no ethtool netlink                                     */
};

struct wake_ability {
    enum wake_answer answer;
    uint32_t supported, active; /* enum wake_mode, with READY, SECURED and OFF */
};

/* NOT_FOUND: there is no such link; IO: anything else, logged by whoever asked. */
ALB_MUST_USE struct alb_status wake_ability_ask(uint32_t link, struct wake_ability *out);
/* "can be woken", "wake frames are switched off (ethtool -s LINK wol g)" …: for people. */
const char *wake_answer_text(enum wake_answer answer);
const char *wake_answer_name(enum wake_answer answer); /* "ready", "secured" …: for JSON */

/* ---- the bytes; pure ------------------------------------------------------------------------- */

enum { ETHTOOL_REQUEST_SIZE = 96, GENETLINK_FAMILY_NONE = 0 };

size_t genetlink_build_family(void *out, const char *name, uint32_t seq);
/* The number of the family that the datagram tells; NOT_FOUND: there is none of that name. */
ALB_MUST_USE struct alb_status genetlink_parse_family(const void *bytes, size_t size, uint32_t seq,
                                                      uint16_t *out);
size_t ethtool_build_wake(void *out, uint16_t family, uint32_t link, uint32_t seq);
/* CORRUPT: it is no answer to that request. */
ALB_MUST_USE struct alb_status ethtool_parse_wake(const void *bytes, size_t size, uint32_t seq,
                                                  struct wake_ability *out);
