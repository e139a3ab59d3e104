/* SPDX-License-Identifier: Apache-2.0 */
/* hub/ledger.h – what the catalogue says of layers: their versions, the last sequence, the head.
 *
 *  record/L@sha256:HEX   a version record, signed bytes, by its own digest
 *  layer/L               {last sequence, its version's name, its record's digest}: the commit point
 *  record/L@root:HEX     the same bytes by root
 *  record/L@VERSION      … and by name
 *  head/L                which record is current, signed by the hub
 *
 * They are written in this order.  Whoever swaps layer/L has published; what a crash leaves undone
 * behind it is made good by ledger_repair() at start, and by committing the same bytes again.
 *
 * Every call blocks.  Those that write belong to the ordered lane or to start-up.
 */
#pragma once

#include "store/catalogue.h"
#include "wire/record.h"

enum { LEDGER_WHY_SIZE = 384 };

struct ledger {
    struct catalogue *catalogue; /* borrowed */
    struct sign_secret key;      /* the hub's online key */
    struct trust self;           /* org and hub key only: judges our own signatures */
};

struct ledger_layer {
    uint64_t sequence; /* of the newest version; 0: there is none */
    char version[NAME_MAX_SIZE];
    struct digest record;
    uint64_t swap_version; /* the catalogue's */
};

/* Swap whatever the store's answer: UNKNOWN is looked up and tried again. */
ALB_MUST_USE struct alb_status ledger_write(struct catalogue *c, const char *name,
                                            uint64_t expected, const void *value, size_t size);

/* A layer nobody published yet is OK with sequence 0. */
ALB_MUST_USE struct alb_status ledger_layer(const struct ledger *l, const char *layer,
                                            struct ledger_layer *out);
/* A version's record; NOT_FOUND. `bytes` may be NULL. */
ALB_MUST_USE struct alb_status ledger_find(const struct ledger *l, const char *layer,
                                           const char *which, struct buf *bytes,
                                           struct version_record *out);
/* Make `bytes` the layer's newest version.  CONFLICT, with the layer's state in `why`: its sequence
 * is not the next, or the version's name is taken.  Committing the newest record again is OK. */
ALB_MUST_USE struct alb_status ledger_commit(const struct ledger *l,
                                             const struct version_record *record, const void *bytes,
                                             size_t size, char why[LEDGER_WHY_SIZE]);
/* Sign a head that makes the record of that digest current. */
ALB_MUST_USE struct alb_status ledger_select(const struct ledger *l, const char *layer,
                                             const struct digest *record, int64_t now_wall_s);
/* The head as it is; NOT_FOUND. */
ALB_MUST_USE struct alb_status ledger_head(const struct ledger *l, const char *layer,
                                           struct head *out);
/* The record it makes current; `head` may be NULL.  NOT_FOUND: nothing is current yet. */
ALB_MUST_USE struct alb_status ledger_current(const struct ledger *l, const char *layer,
                                              struct head *head, struct version_record *out);

/* ---- all of them; who asked frees `names` and `list` ---- */
struct ledger_names {
    char (*names)[NAME_MAX_SIZE];
    size_t count;
};
/* Layers that were ever published. */
ALB_MUST_USE struct alb_status ledger_layers(const struct ledger *l, struct ledger_names *out);
struct ledger_versions {
    struct version_record *list; /* the oldest first */
    size_t count;
};
/* All there are of a layer, or a failure: CORRUPT when one of them cannot be read. */
ALB_MUST_USE struct alb_status ledger_versions(const struct ledger *l, const char *layer,
                                               struct ledger_versions *out);
/* Sign heads anew that were issued longer than a day ago; calls renewed(arg, layer) for each. */
ALB_MUST_USE struct alb_status ledger_renew(const struct ledger *l, int64_t now_wall_s,
                                            void (*renewed)(void *arg, const char *layer),
                                            void *arg);
/* Finish commits that a crash interrupted. */
ALB_MUST_USE struct alb_status ledger_repair(const struct ledger *l);
