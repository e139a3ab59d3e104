/* SPDX-License-Identifier: Apache-2.0 */
/* hub/hub.h – the data centre's end of the tree: serve + publish, composed.
 *
 * Everything it needs from outside is given: a loop (the kernel's or a simulated one), the two
 * doors, its keys.  main.c opens files and sockets; tests/sim runs the same code in a world of its
 * own, without a CA and with hub_admit() in place of enrolment.
 */
#pragma once

#include "base/crypto.h"
#include "hub/delta_maker.h"
#include "hub/wake.h"
#include "net/tls.h"
#include "store/catalogue.h"
#include "store/chunk_store.h"
#include "transfer/roster.h"
#include "transfer/serve.h"
#include "wire/nearby.h"

struct hub;

struct hub_options {
    struct loop *loop;
    struct chunk_store *store;                   /* borrowed */
    struct catalogue *catalogue;                 /* borrowed */
    const char *org;                             /* borrowed, as are the texts below */
    const struct sign_secret *online_key;        /* signs heads, grants, revocations; borrowed */
    const char *ca_key_pem, *ca_certificate_pem; /* NULL: nobody can enrol */
    struct tls_context *tree_tls, *admin_tls;
    const char *listen_address;
    uint16_t listen_port;      /* 0: any */
    const char *admin_address; /* NULL: no admin port */
    uint16_t admin_port;
    /* By which the tree port is reached, said to those who ask who is nearby; may be none. */
    struct nearby_hub places[NEARBY_HUB_MAX];
    size_t place_count;
    uint64_t memory_cache_bytes; /* 0: supply.h's default */
    uint64_t max_pending_bytes;  /* verified but not yet stored; 0: 128 MiB */
    size_t max_sessions;         /* 0: serve.h's default */
    uint64_t link_bps;           /* what may leave by the tree port, and come; 0: no limit */
    uint32_t packet_overhead;    /* bytes that the line adds to each IP packet            */
    unsigned delta_versions;     /* versions back that delta sets are made from; 0: none  */
    /* Another online key: may a trust file name this one (NULL: none but online_key)?  Once it is
     * named the hub must be stopped and started with it. */
    bool (*is_next_key)(void *arg, const struct sign_public *key);
    void (*key_named)(void *arg);
    void *key_arg;
    uint64_t (*worst_lag_ns)(struct loop *loop); /* for status; NULL: a simulated loop has no lag */
};

/* Blocks on the catalogue.  IO, CORRUPT (kept trust does not verify), INVALID (org, address),
 * REFUSED (the kept trust file names another organisation or hub key). */
ALB_MUST_USE struct alb_status hub_start(const struct hub_options *options, struct hub **out);
/* Finish what is open, then stopped(arg); at the latest after 5 s. */
void hub_stop(struct hub *h, loop_fn stopped, void *arg);
/* After hub_stop() told: what still runs then keeps pointing at store and catalogue. */
struct hub *hub_free(struct hub *h);

uint16_t hub_port(const struct hub *h);
uint16_t hub_admin_port(const struct hub *h); /* 0: none */

struct hub_figures {
    uint64_t lost_chunks; /* that a version needs, found since the start and not healed */
    struct serve_stats serve;
    struct supply_stats supply;
    struct keeper_stats keeper;
    struct roster_figures roster;
    struct hub_wake_figures wake;
    struct hub_delta_figures deltas;
    size_t open_uploads;
    uint64_t published;                   /* versions since the start */
    uint64_t enrolled, revoked;           /* devices since the start */
    uint64_t pulls_applied, pulls_failed; /* told of since the start, each counted once */
};
void hub_figures(const struct hub *h, struct hub_figures *out);

/* ---- without a network: the simulator and tests; these block on both doors ------------------- */

/* The next trust file, as TRUST_PUT takes it. */
ALB_MUST_USE struct alb_status hub_install_trust(struct hub *h, const void *bytes, size_t size);
/* A device record, as enrolment would write it.  `layers`: prefixes, comma-separated; "" is all. */
ALB_MUST_USE struct alb_status hub_admit(struct hub *h, const struct identity *who,
                                         const char *site, const char *layers);

/* Stop believing it, as REVOKE does.  NOT_FOUND. */
ALB_MUST_USE struct alb_status hub_revoke_local(struct hub *h, const char *device);

struct hub_publication {
    const void *record; /* the signed version record */
    size_t record_size;
    struct chunk *const *chunks; /* root object, lists M and C, in any order; borrowed */
    size_t chunk_count;
    bool hold; /* do not make it current */
};
/* Stores the chunks and commits the record, with every check of UPLOAD_END except that the manifest
 * is not opened. */
ALB_MUST_USE struct alb_status hub_publish_local(struct hub *h, const struct hub_publication *p);
