/* SPDX-License-Identifier: Apache-2.0 */
/* wire/announce.h – what devices tell their parent of themselves and of those behind them: where
 * they are, how they are woken, whom they serve.
 *
 * The body of POST /v1/announce, JSON; PROTOCOL §11 describes it.  Unknown members are ignored, and
 * so are not handed on.  An announcement is a claim, bounded and well-formed, no more: who made it
 * is for transfer/roster.h to judge.
 */
#pragma once

#include "wire/nearby.h"

enum {
    ANNOUNCE_BODY_MAX = 256 << 10,
    ANNOUNCE_ONE_MAX = 24 << 10, /* one device, as JSON, everything at its bound */
    ANNOUNCE_DEVICES_MAX = 1024, /* in one body; as many may be gone */
    ANNOUNCE_ADDRESSES_MAX = 16,
    ANNOUNCE_GATEWAYS_MAX = 8,
    ANNOUNCE_CARDS_MAX = 8,
    ANNOUNCE_AT_MAX = NEARBY_AT_MAX,
    ANNOUNCE_LAYERS_MAX = 32,
    ANNOUNCE_LINK_SIZE = 16,
};

/* The end of a device's presence, in its own words; lost without one. */
enum announce_goes { ANNOUNCE_STAYS, ANNOUNCE_BYE, ANNOUNCE_SLEEP, ANNOUNCE_LOST };

struct announce_address {
    uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t bits;      /* of its subnet, of the 128 */
};

struct announce_place {
    char site[64]; /* "": at none that it knows */
    enum nearby_by by;
    char nature[12]; /* of the preferred way out: "wired", "vpn" … (net_nature_name()); or "" */
    bool is_metered;
    const struct announce_address *addresses;
    size_t address_count;
    const struct site_mac *gateways; /* of default gateways, the preferred one first */
    size_t gateway_count;
};

struct announce_card { /* by which it may be woken */
    struct site_mac mac;
    char link[ANNOUNCE_LINK_SIZE];
    bool is_known; /* whether the next line is */
    uint8_t wake;  /* what it wakes by, now: bits as enum wake_mode (net/ethtool_netlink.h) */
};

struct announce_serves { /* of a reflector */
    struct nearby_address at[ANNOUNCE_AT_MAX];
    size_t at_count;
    enum reflector_state state;
    uint64_t sessions, max_sessions; /* max 0: not said */
    uint64_t load_percent;           /* 0–100 */
    uint64_t disk_free_bytes;
    uint64_t down_bps;            /* of its line; 0: not known */
    int64_t cut_off_since_wall_s; /* 0: it is not */
};

struct announce_layer {
    const char *layer, *version; /* version "": none is applied or complete */
    uint64_t sequence;
};

/* Plain data; what its pointers lead to is the maker's.  One from announce_copy() or a body is one
 * block of memory, ended by free(). */
struct announce {
    char device[64];
    bool is_reflector;    /* else an endpoint */
    int64_t since_wall_s; /* when it came to the parent it has, by its own clock */
    enum announce_goes goes;
    struct announce_place place;
    const struct announce_card *cards;
    size_t card_count;
    const struct announce_serves *serves; /* NULL: nobody */
    char upstream[64];                    /* the parent's name; "": not known */
    bool upstream_is_hub;
    const struct announce_layer *layers;
    size_t layer_count;
};

struct announce *announce_copy(const struct announce *a);
/* Does it say the same of the device (`since` aside)? */
bool announce_is_same(const struct announce *a, const struct announce *b);
/* The same place and cards: what is kept of a device that sleeps. */
bool announce_is_same_place(const struct announce *a, const struct announce *b);
bool announce_is_same_layers(const struct announce *a, const struct announce *b);
const char *announce_goes_word(enum announce_goes goes); /* "", "bye", "sleep", "lost" */

struct announce_body {
    struct announce *devices[ANNOUNCE_DEVICES_MAX]; /* owned; who takes one leaves NULL */
    size_t device_count;
    char gone[ANNOUNCE_DEVICES_MAX][64];
    size_t gone_count;
};

/* INVALID names the first thing that is wrong; nothing is taken then. */
ALB_MUST_USE struct alb_status announce_decode(const void *bytes, size_t size,
                                               struct announce_body **out);
struct announce_body *announce_body_free(struct announce_body *b); /* NULL is fine */

/* As an object `key` of a document: an element of "devices", or what is kept of somebody. */
void announce_write(const struct announce *a, const char *key, struct json_writer *w);
/* Such an object, alone.  INVALID.  `out` is the caller's to free(). */
ALB_MUST_USE struct alb_status announce_read(const void *bytes, size_t size, struct announce **out);
