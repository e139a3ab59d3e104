/* SPDX-License-Identifier: Apache-2.0 */
/* hub/sites.h – the one site directory (wire/sites.h): kept, numbered, put into the policy.
 *
 *     "sites"              {"format", "number", "parts", "sha256", "by", "at"}: the commit point
 *     "sites-part/N/K"     parts of directory number N, canonical JSON, each below 1 MiB
 *
 *     LOOP request ──> WORKER read it, judge all of it, parts, head: compare-and-swap, audit;
 *                        │    policy with its sites: number + 1, signed, swapped
 *                        └──> LOOP hub_policy_in_force() ──> event to all below, answered
 *
 * Nobody but the hub reads a directory, so it is not signed; what leaves the hub is the policy,
 * which is.  A hub that died between the two writes makes the policy anew when it starts.  While
 * there is no directory, or an empty one, the sites of a policy are its own.
 */
#pragma once

#include "hub/ledger.h"
#include "wire/policy.h"
#include "wire/sites.h"

struct hub;
struct hub_task;
struct serve_request;

/* The directory as the catalogue has it. */
struct sites_record {
    struct sites *sites;  /* owned; NULL: there is none, or only its head was read */
    uint64_t number;      /* 0: none was ever set */
    struct digest sha256; /* of its canonical text */
    size_t part_count;
    uint64_t swap_version;
};
void sites_record_init(struct sites_record *r);
void sites_record_release(struct sites_record *r);

/* sites_record.c; these block. */
ALB_MUST_USE struct alb_status sites_record_read_head(const struct ledger *l,
                                                      struct sites_record *out);
ALB_MUST_USE struct alb_status sites_record_read(const struct ledger *l, struct sites_record *out);
/* Make `text` the directory after `before`.  CONFLICT: somebody else was first. */
ALB_MUST_USE struct alb_status sites_record_write(const struct ledger *l,
                                                  const struct sites_record *before,
                                                  const struct buf *text, const char *by,
                                                  int64_t now_wall_s);

/* ---- sites_member.c: who says that it is at a site ---- */

struct site_member {
    char site[64], name[64]; /* the device, or the token's ID */
    bool is_token, is_reflector;
};
struct site_members { /* devices that are not revoked, tokens that may be used; by site and name */
    struct site_member *list;
    size_t count;
};
void site_members_release(struct site_members *m);
/* Blocks. */
ALB_MUST_USE struct alb_status site_members_read(const struct ledger *l, int64_t now_wall_s,
                                                 struct site_members *out);
/* Refuses the task's directory when members are at sites that it lacks, or when it names reflectors
 * that are none, or elsewhere. */
void site_members_judge(const struct site_members *m, const struct sites *sites,
                        struct hub_task *t);
/* Sites that members name and the directory does not have. */
void site_members_add(const struct site_members *m, struct sites *sites);

/* ---- sites.c ---- */

/* At start, behind hub_load_policy(): blocks. */
ALB_MUST_USE struct alb_status hub_load_sites(struct hub *h);
/* GET /v1/sites, /v1/site-devices; POST /v1/sites-put */
void hub_handle_sites(void *hub, struct serve_request *rq);
void hub_handle_site_devices(void *hub, struct serve_request *rq);
void hub_handle_sites_put(void *hub, struct serve_request *rq);
/* On a worker: puts the directory's sites into a policy, or refuses one that says something else of
 * them. */
void hub_sites_join(struct hub_task *t, struct policy_doc *doc);
/* Loop: may somebody be at that site?  Any may while there is no directory. */
bool hub_site_is_known(const struct hub *h, const char *site);
