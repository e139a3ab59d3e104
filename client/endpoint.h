/* SPDX-License-Identifier: Apache-2.0 */
/* client/endpoint.h – fetch + apply, composed: the parts of an endpoint that talk to the tree.
 *
 * Given from outside: a loop (the kernel's or a simulated one), a small catalogue, who it is and
 * where its upstreams are.  It has no chunk store; chunks go through memory into the puller's sink.
 */
#pragma once

#include "client/whereabouts.h"
#include "net/tls.h"
#include "transfer/chooser.h"
#include "transfer/line.h"
#include "transfer/nearby_book.h"
#include "transfer/own_grant.h"
#include "transfer/policy_book.h"
#include "transfer/root_book.h"

struct endpoint;

struct endpoint_options {
    struct loop *loop;
    struct catalogue *catalogue;                        /* borrowed; NULL: memory only */
    struct upstream_place parents[UPSTREAM_PLACES_MAX]; /* to choose among, with the next */
    size_t parent_count;
    struct upstream_place hub; /* port 0: none, or one of the parents, for all we know */
    struct tls_context *dial_tls;
    const char *device;             /* borrowed */
    const struct digest *trust_pin; /* of trust file 1; NULL: as the catalogue has it */
    enum line_kind line;            /* what leads to the parents */
    const char *site;               /* ours, to the policy; borrowed */
    struct own_addresses addresses; /* for rules by subnet; none: a world without */
    bool stays;                     /* with its only parent, whatever lists say */
    bool looks_around;  /* where it is (client/whereabouts.h); `addresses` are then kept current */
    bool allow_metered; /* scavenge over a modem, too */
    uint64_t memory_bytes; /* for chunks passing through; 0: 4 MiB */
    /* An event came from the parent, and was taken here; may be NULL. */
    void (*heard)(void *arg, const char *line);
    void (*changed)(void *arg); /* upstream, place or list are others; may be NULL */
    void (*seen)(void *arg);    /* links or neighbours; may be NULL */
    void *arg;
};

/* Blocking start-up reads.  CORRUPT: the kept trust does not verify. */
ALB_MUST_USE struct alb_status endpoint_start(const struct endpoint_options *options,
                                              struct endpoint **out);
struct endpoint *endpoint_free(struct endpoint *e);

/* Borrowed, for a puller. */
struct authority *endpoint_authority(struct endpoint *e);
struct record_book *endpoint_records(struct endpoint *e);
struct root_book *endpoint_roots(struct endpoint *e);
struct supply *endpoint_supply(struct endpoint *e);
struct upstream *endpoint_upstream(struct endpoint *e);
struct line *endpoint_line(struct endpoint *e);
struct chooser *endpoint_chooser(struct endpoint *e);
struct nearby_book *endpoint_nearby(struct endpoint *e);
/* The machine is there (now): who serves it there is asked and chosen. */
void endpoint_moved(struct endpoint *e, const struct net_place *place);
const struct policy_book *endpoint_policy(struct endpoint *e);
/* NULL unless it looks around. */
struct whereabouts *endpoint_whereabouts(struct endpoint *e);
/* What the bytes to the upstream go through, now. */
enum net_nature endpoint_way(const struct endpoint *e);
/* "place", "way", "nearby" and "choice" as members of the object being written. */
void endpoint_show_way(struct endpoint *e, struct json_writer *w);
/* Is there a read grant?  Without one the parent answers as if nothing existed. */
bool endpoint_has_grant(const struct endpoint *e);
/* Until when it holds; 0: there is none. */
int64_t endpoint_grant_expires_wall_s(const struct endpoint *e);
