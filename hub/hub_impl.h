/* SPDX-License-Identifier: Apache-2.0 */
/* hub/hub_impl.h – what the hub's own files share. */
#pragma once

#include "hub/damage.h"
#include "base/log_limit.h"
#include "hub/device.h"
#include "hub/hub.h"
#include "hub/ledger.h"
#include "hub/task.h"
#include "hub/upload.h"
#include "transfer/branches.h"
#include "transfer/feed_revoked.h"
#include "transfer/policy_book.h"
#include "transfer/roster.h"

enum { HUB_ANSWER_MAX = 64 << 20 };

struct hub {
    struct hub_options options;
    struct sign_public online_public;
    uint64_t started_ns;
    struct branches *branches;
    struct ledger ledger; /* constant once started: jobs may use it */
    struct authority *authority;
    struct policy_book *policy;
    struct sites *sites; /* owned, the loop's; NULL: there is no directory (sites.h) */
    struct hub_nearby *nearby;
    struct keeper *keeper;
    struct supply *supply;
    struct record_book *records;
    struct root_book *roots;
    struct feed *feed;
    struct serve *serve, *admin;
    struct listener *listener, *admin_listener;
    struct hub_wakes *wakes;           /* owned: machines being woken (wake.h) */
    struct hub_deltas *deltas;         /* owned: delta sets in the making (delta_maker.h) */
    struct hub_prefetches *prefetches; /* owned: versions reflectors are to hold (prefetch.h) */
    struct hub_vigils *vigils;         /* owned: machines that stay awake (vigil.h) */
    struct roster *roster;             /* who is there now (roster.h) */
    struct hub_presences *presences;   /* … and what is kept of it    */
    struct hub_tasks tasks;
    struct uploads uploads;
    struct digest *bearers; /* owned: hashes of the admin port's tokens */
    size_t bearer_count;
    struct timer upkeep;
    uint64_t renewed_ns;                /* when heads were last looked through */
    struct log_limit wrong_token_lines; /* of the ordered lane, where enrolling happens */
    bool is_renewing, is_dying, is_buried;
    uint64_t published, enrolled, revoked;
    uint64_t told_applied, told_failed; /* pulls */
    struct damage damage;
    struct scrub scrub;
    struct timer stop_timer;
    loop_fn stopped;
    void *stopped_arg;
};

/* A task ended, or the keeper became idle: somebody may be waiting for that. */
void hub_maybe_idle(struct hub *h);

/* publish.c: versions, heads */
void hub_handle_upload_end(void *hub, struct serve_request *rq);
void hub_handle_version(void *hub, struct serve_request *rq);
void hub_handle_promote(void *hub, struct serve_request *rq);
/* Sign old heads anew, in a job. */
void hub_renew_heads(struct hub *h);

/* grants.c */
void hub_handle_grant(void *hub, struct serve_request *rq);

/* trust.c, revoke.c */
void hub_handle_trust_put(void *hub, struct serve_request *rq);
ALB_MUST_USE struct alb_status hub_load_trust(struct hub *h); /* blocking, at start */
void hub_handle_revoke(void *hub, struct serve_request *rq);

/* renew.c: the next certificate; and, for enrolment too, a certificate for d->device in d->role:
 * serial, key, dates and PEM are set in `d`.  Workers may call it. */
void hub_handle_renew(void *hub, struct serve_request *rq);
ALB_MUST_USE struct alb_status hub_certify(const struct hub *h, const char *csr_pem,
                                           int64_t now_wall_s, struct device_record *d);

/* told.c: what became of pulls; show: as members of a device's open object, from a worker */
void hub_handle_told(void *hub, struct serve_request *rq);
void hub_told_show(struct catalogue *c, const char *device, struct json_writer *w);

/* enrol.c, tokens.c */
void hub_handle_enrol(void *hub, struct serve_request *rq);
void hub_handle_token(void *hub, struct serve_request *rq);

/* report.c, metrics.c, explain.c */
void hub_handle_explain(void *hub, struct serve_request *rq);
/* A version that names the chunk; `path` is of the first of its files that use it, "" if none. */
struct hub_needing {
    const char *layer, *version, *path;
    bool is_current;
    uint64_t files;
};
/* `is_all`: there are no others; else a version could not be looked into. */
typedef void (*hub_needing_fn)(struct hub *h, const struct chunk_key *key,
                               const struct hub_needing *needing, size_t count, bool is_all);
/* Look into every version there is, in the background; told from the loop unless the hub ends. */
void hub_find_needing(struct hub *h, const struct chunk_key *key, hub_needing_fn found);
void hub_handle_layers(void *hub, struct serve_request *rq);
void hub_handle_devices(void *hub, struct serve_request *rq);
void hub_handle_status(void *hub, struct serve_request *rq);
void hub_handle_metrics(void *hub, struct serve_request *rq);

/* bearer.c: the admin port's tokens */
bool hub_bearer_is_right(void *hub, const char *token);
ALB_MUST_USE struct alb_status hub_load_bearers(struct hub *h); /* blocking, at start */
