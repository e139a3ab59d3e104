/* SPDX-License-Identifier: Apache-2.0 */
/* wire/nearby.h – who can serve a machine at a site: a short list that the hub signs for each site.
 *
 * Reflectors of the site come first, in the order of its directory entry, then those of the site
 * above it, and so on up the tree; the hub is last.  A list says who may be asked, by what address,
 * and what an operator decided about him; load and health are not in it: whoever wants to know asks
 * the holder.  It is relayed and kept as it was signed.  FORMAT.md, "Nearby", describes it.
 *
 * A list is believed as long as its hub key is; past its end it is a hint, since certificates are
 * what is trusted.  Numbers only grow, over all sites of a hub; a higher one takes the place of a
 * lower one of the same site.
 */
#pragma once

#include "wire/signed.h"
#include "wire/sites.h"
#include "wire/states.h"
#include "wire/trust.h"

enum {
    NEARBY_FORMAT = 1,
    NEARBY_HOLDERS_MAX = 32,
    NEARBY_AT_MAX = 8,        /* addresses of one holder  */
    NEARBY_SUBNETS_MAX = 8,   /* of one holder            */
    NEARBY_HUB_MAX = 8,       /* places of the hub        */
    NEARBY_ADDRESS_SIZE = 46, /* of an IP address as text */
    NEARBY_HOST_SIZE = 256,
    NEARBY_BYTES_MAX = 64 << 10, /* signed */
    NEARBY_LIFETIME_S = 7 * 24 * 3600,
    NEARBY_ABOVE_MAX = SITES_DEPTH_MAX,
};

struct nearby_address {
    char host[NEARBY_ADDRESS_SIZE]; /* without brackets */
    uint16_t port;
};

struct nearby_holder {
    char device[64], site[64];
    unsigned depth; /* 0: at the list's own site; 1: at the one above; … */
    unsigned order; /* among those of its site, the preferred one 0      */
    enum reflector_state state;
    struct nearby_address at[NEARBY_AT_MAX];
    size_t at_count;                                  /* 0: it never said where it can be reached */
    struct policy_subnet subnets[NEARBY_SUBNETS_MAX]; /* of its own links; .site is not used      */
    size_t subnet_count;
};

struct nearby_hub {
    char host[NEARBY_HOST_SIZE];
    uint16_t port;
};

struct nearby {
    char org[NAME_MAX_SIZE];
    char site[64];                    /* "": of whoever is at no known site */
    char above[NEARBY_ABOVE_MAX][64]; /* its parent, that one's parent, …   */
    size_t above_count;
    uint64_t number;
    int64_t issued_wall_s, expires_wall_s;
    struct site_terms terms;       /* `use` is never UNSET */
    struct nearby_holder *holders; /* owned; by depth, then order */
    size_t holder_count;
    struct nearby_hub hub[NEARBY_HUB_MAX];
    size_t hub_count; /* 0: the hub does not know its own names */
};

/* Of a zeroed struct, too. */
void nearby_release(struct nearby *n);

/* INVALID: out of bounds, or a text that breaks its rule. */
ALB_MUST_USE struct alb_status nearby_encode(const struct nearby *n, const struct sign_secret *hub,
                                             struct buf *out);
/* Signature, organisation, format and bounds.  REFUSED when `trust` is NULL, or the list is another
 * organisation's; CORRUPT when anybody but the hub's online key signed it.  Whether it is over, and
 * its number, are the caller's to judge. */
ALB_MUST_USE struct alb_status nearby_decode(const void *bytes, size_t size,
                                             const struct trust *trust, struct nearby *out);
/* The same but for number and dates? */
bool nearby_says_the_same(const struct nearby *a, const struct nearby *b);
/* Of what it says, number and dates left out. */
void nearby_digest(const struct nearby *n, struct digest *out);
/* "10.1.0.5:7443", "[2001:db8::5]:7443": an address and a port.  INVALID. */
ALB_MUST_USE struct alb_status nearby_address_parse(const char *text, struct nearby_address *out);
const char *nearby_address_text(const struct nearby_address *a, char out[64]);
/* As members of the object being written, for people and programs that do not verify: explain. */
struct json_writer;
void nearby_show(const struct nearby *n, struct json_writer *w);

/* ---- GET /v1/nearby?address=A,…&gateway=MAC,…&site=S&after=N: where is that, and who is there?
 * What place and site say nothing about is left out. ---- */

enum { NEARBY_ASK_ADDRESSES = 12, NEARBY_ASK_GATEWAYS = 8 };

struct nearby_question {
    uint8_t addresses[NEARBY_ASK_ADDRESSES][16]; /* IPv4 as ::ffff:a.b.c.d */
    size_t address_count;
    struct site_mac gateways[NEARBY_ASK_GATEWAYS]; /* the preferred one first */
    size_t gateway_count;
    char site[64];  /* where the place is unknown: the asker's own; "": it has none */
    uint64_t after; /* the number of the list that it has; 0: none */
};
/* Path and query. */
ALB_MUST_USE struct alb_status nearby_question_write(const struct nearby_question *q,
                                                     struct buf *out);
/* From the values of the query, "" for one that is not there.  INVALID says which is wrong. */
ALB_MUST_USE struct alb_status nearby_question_read(const char *addresses, const char *gateways,
                                                    const char *site, const char *after,
                                                    struct nearby_question *out);

/* ---- an answer to GET /v1/nearby: one line that says of which site, and why; behind it the list,
 * or nothing when the asker's (?after=N) is the newest ---- */

enum nearby_by {
    NEARBY_BY_NONE,       /* nobody knows where that is      */
    NEARBY_BY_CONFIGURED, /* the site that the asker named   */
    NEARBY_BY_SUBNET,     /* the narrowest around an address */
    NEARBY_BY_GATEWAY,    /* the MAC of a default gateway    */
};
const char *nearby_by_word(enum nearby_by by); /* none, configured, subnet, gateway */

struct nearby_head {
    char site[64]; /* "": none */
    enum nearby_by by;
    char what[64]; /* the subnet or the MAC that decided; "" for the others */
    bool is_stale; /* a reflector that was cut off from the hub said it     */
};
/* "nearby SITE BY WHAT fresh|stale\n", with - for what is empty. */
ALB_MUST_USE struct alb_status nearby_head_write(const struct nearby_head *h, struct buf *out);
/* *used: its bytes, newline included.  INVALID. */
ALB_MUST_USE struct alb_status nearby_head_read(const void *bytes, size_t size,
                                                struct nearby_head *out, size_t *used);
