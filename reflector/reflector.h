/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/reflector.h – the branch box: serve + store + fetch, composed.
 *
 * Everything it needs from outside is given: a loop (the kernel's or a simulated one), the two
 * doors, who it is, where its parents are.  daemon.c opens files and sockets; tests/sim runs the
 * same code in a world of its own.
 */
#pragma once

#include "net/ethtool_netlink.h"
#include "net/tls.h"
#include "store/catalogue.h"
#include "store/chunk_store.h"
#include "transfer/line.h"
#include "transfer/serve.h"

struct reflector;

struct reflector_options {
    struct loop *loop;
    struct chunk_store *store;   /* borrowed */
    struct catalogue *catalogue; /* borrowed */
    struct upstream_place parents[UPSTREAM_PLACES_MAX];
    size_t parent_count;
    struct tls_context *dial_tls; /* towards the parent   */
    struct tls_context *tree_tls; /* for those downstream */
    const char *listen_address;
    uint16_t listen_port;           /* 0: any */
    const struct digest *trust_pin; /* SHA-256 of trust file 1, from the token */
    const char *device;             /* own name, for status */
    /* To renew the own certificate in time: the one in use and a request for its key, both copied;
     * NULL: a world without certificates.  renewed() puts the next one to use. */
    const char *certificate_pem, *csr_pem;
    void (*renewed)(void *arg, const char *certificate_pem);
    void *renewed_arg;
    const char *site;
    bool has_beacon;                /* it may be found on its own links */
    struct own_addresses addresses; /* for rules by subnet; none: a world without */
    /* Can this machine be woken?  wake_ability_ask(), by a job; NULL: a world without cards. */
    struct alb_status (*ask_wake)(uint32_t link, struct wake_ability *out);
    uint64_t memory_cache_bytes;       /* 0: 64 MiB */
    uint64_t max_pending_bytes;        /* verified but not yet stored; 0: 64 MiB */
    uint64_t window_bytes;             /* credit towards the parent; 0: 4 MiB */
    enum line_kind line;               /* what leads to the parents; AUTO at first */
    uint64_t lan_rate_bps;             /* to those below, all together, on the wire; 0: no limit */
    uint64_t wan_down_bps, wan_up_bps; /* of that line, at most; 0: whatever it carries */
    uint32_t packet_overhead;          /* bytes that a line adds to each IP packet */
    size_t max_sessions;               /* downstream; 0: 4,096 */
    const char *const *pins;           /* borrowed: LAYER@VERSION, never dropped from the store */
    size_t pin_count;
};

/* IO, CORRUPT (kept trust does not verify), INVALID (address). */
ALB_MUST_USE struct alb_status reflector_start(const struct reflector_options *options,
                                               struct reflector **out);
/* Finish what is open, then stopped(arg); at the latest after 5 s. */
void reflector_stop(struct reflector *r, loop_fn stopped, void *arg);
struct reflector *reflector_free(struct reflector *r);

uint16_t reflector_port(const struct reflector *r);

struct reflector_figures {
    struct supply_stats supply;
    struct serve_stats serve;
    struct keeper_stats keeper;
    struct upstream_figures upstream;
    struct chunk_store_stats store;
    double albedo; /* share of the chunk bytes served downstream that did not cross the WAN, 0…1 */
    double crossing_ratio; /* chunk body bytes received ÷ stored size of the distinct chunks kept */
};
void reflector_figures(struct reflector *r, struct reflector_figures *out);
