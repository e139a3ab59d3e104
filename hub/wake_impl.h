/* SPDX-License-Identifier: Apache-2.0 */
/* hub/wake_impl.h – what the hub's files about waking share. */
#pragma once

#include "hub/hub_impl.h"
#include "hub/prefetch.h"
#include "hub/wake.h"
#include "hub/wake_job.h"
#include "transfer/roster.h"

enum {
    WAKE_WATCHERS_MAX = 8,   /* of a job: requests that wait for something to change */
    WAKE_CONTENTS_MAX = 256, /* sites of one job whose content is seen to */
    WAKE_GUARD_MEMOS = 64,
};

/* How a machine is woken, by what it said of itself. */
struct wake_sleeper {
    char device[64], site[64]; /* site: where it was last; "": at none that is known */
    struct site_mac macs[WAKE_ORDER_MACS_MAX];
    size_t mac_count;
    struct announce_address addresses[WAKE_ORDER_ADDRESSES_MAX];
    size_t address_count;
    struct site_mac gateways[ANNOUNCE_GATEWAYS_MAX];
    size_t gateway_count;
    enum wake_result preset; /* it cannot be woken at all; `why` */
    char why[WAKE_WHY_MAX];
    bool is_again;    /* it came since it was woken last */
    bool has_it;      /* what it would be woken for, by what it told last */
    unsigned content; /* of the job's contents, if it waits for one */
    bool owes_sleep;  /* it was woken, and is to be told that it may sleep again */
};

/* What machines are woken for, if anything. */
struct wake_errand {
    char layer[NAME_MAX_SIZE]; /* "": nothing */
    char version[NAME_MAX_SIZE];
    struct digest root;
    bool sleeps_after;
};

enum wake_content_state {
    WAKE_CONTENT_STRAIGHT, /* no reflector there: each fetches for itself */
    WAKE_CONTENT_COMING,
    WAKE_CONTENT_HELD,
    WAKE_CONTENT_FAILED,
};

/* … and whether that is at a site yet. */
struct wake_content {
    struct hub_wake *wake;
    struct prefetch_user user; /* while COMING */
    char site[64], reflector[64];
    enum wake_content_state state;
    struct prefetch_report last; /* as it was heard last */
    char why[WAKE_WHY_MAX];
    size_t machines; /* that wait for it */
    uint64_t change;
};

struct wake_watcher {
    struct hub_wake *wake;
    struct serve_request *rq;
    uint64_t after;
    struct timer timer;
    TAILQ_ENTRY(wake_watcher) link;
};

/* One job. */
struct hub_wake {
    struct hub_wakes *all;
    char id[WAKE_ID_SIZE];
    struct identity by;
    char site[64]; /* "": devices were named */
    int64_t begun_wall_s;
    struct wake_job *core;
    struct wake_sleeper *sleepers; /* owned; by the core's index */
    struct wake_errand errand;
    struct wake_content *contents; /* owned */
    size_t content_count;
    size_t owed;           /* of the sleepers: owes_sleep */
    uint64_t owed_from_ns; /* when the first of them came, or the last was told */
    uint8_t password[WAKE_ORDER_PASSWORD_MAX];
    uint8_t password_size;
    struct timer timer;
    bool is_over; /* recorded, and no longer active */
    uint64_t told_change;
    TAILQ_HEAD(, wake_watcher) watchers;
    size_t watcher_count;
    TAILQ_ENTRY(hub_wake) link;
};

/* Who wakes those of one subnet, for a second: so that not all of a site is looked through for each
 * machine of it. */
struct guard_memo {
    char site[64], guard[64];
    struct announce_address address; /* of the sleeper it was looked for */
    uint64_t until_ns;
};

struct hub_wakes {
    struct hub *hub;
    struct roster_listener listener;
    TAILQ_HEAD(, hub_wake) jobs; /* the oldest first */
    struct guard_memo memos[WAKE_GUARD_MEMOS];
    size_t next_memo;
    size_t job_count, sleeper_count;
    uint64_t minute_ns; /* when the current one began */
    unsigned asks;      /* in it */
    struct hub_wake_figures figures;
};

/* ---- wake.c */
struct hub_wake *hub_wake_find(const struct hub_wakes *w, const char *id);
/* Something about it changed, or must be done: look at it in the loop's next turn. */
void hub_wake_touch(struct hub_wake *k);

/* ---- wake_ask.c: a request became a job; `sleepers` is taken */
struct wake_wish {
    char site[64];
    struct wake_job_options options;
    struct wake_errand errand;
    uint8_t password[WAKE_ORDER_PASSWORD_MAX];
    uint8_t password_size;
    struct wake_sleeper *sleepers;
    size_t count;
};
/* FULL: say what `why` says. */
ALB_MUST_USE struct alb_status hub_wake_begin(struct hub_wakes *w, const char *id,
                                              const struct identity *by, struct wake_wish *wish,
                                              char why[LEDGER_WHY_SIZE]);

/* How it is woken, and whether it need be, by what it told when it was here last. */
struct presence;
void hub_wake_learn(struct wake_sleeper *s, const struct presence *p, int64_t now_wall_s,
                    const struct wake_errand *errand, bool has_password);

/* ---- wake_content.c: what machines are woken for is brought to their sites first */
/* Holds those that must wait.  FULL. */
ALB_MUST_USE struct alb_status hub_wake_contents_begin(struct hub_wake *k);
/* What is there lets its machines go, what failed gives them up. */
void hub_wake_contents_look(struct hub_wake *k);
uint64_t hub_wake_contents_next_ns(const struct hub_wake *k); /* UINT64_MAX: never by itself */
void hub_wake_contents_end(struct hub_wake *k);               /* nobody waits any more */
void hub_wake_contents_show(const struct hub_wake *k, struct json_writer *w);

/* ---- wake_guard.c: who wakes it now; NULL: nobody.  Borrowed until the roster changes. */
const struct roster_entry *hub_wake_guard(struct hub_wake *k, size_t index);

/* ---- wake_show.c */
void hub_wake_show(const struct hub_wake *k, uint64_t after, struct json_writer *w);
void hub_wake_answer(const struct hub_wake *k, uint64_t after, struct serve_request *rq);
/* Tell those who wait, if anything changed. */
void hub_wake_tell(struct hub_wake *k);
void hub_wake_answer_watchers(struct hub_wake *k); /* … whether it did or not */
void hub_wake_forget_watchers(struct hub_wake *k);
/* Write its end down. */
void hub_wake_record_end(const struct hub_wake *k);
/* It was written down, and then there was no room for it. */
void hub_wake_record_refused(struct hub *h, const char *id);
/* On a worker. */
ALB_MUST_USE struct alb_status hub_wake_record_begin(struct catalogue *c, const char *id,
                                                     const char *by, int64_t at_wall_s,
                                                     const char *site, size_t machines);
