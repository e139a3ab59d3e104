/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/reflector_impl.h – what the reflector's own files share. */
#pragma once

#include "base/log_limit.h"
#include "reflector/grant_memo.h"
#include "reflector/reflector.h"
#include "transfer/announcer.h"
#include "transfer/arrivals.h"
#include "transfer/branches.h"
#include "transfer/chooser.h"
#include "transfer/nearby_book.h"
#include "transfer/feed_revoked.h"
#include "transfer/own_grant.h"
#include "transfer/policy_book.h"
#include "transfer/prefetch.h"
#include "transfer/renewal.h"
#include "transfer/waker.h"
#include "wire/json.h"

/* Requests under way, so that they can be answered when the reflector stops. */
TAILQ_HEAD(grant_asks, grant_ask);
TAILQ_HEAD(status_asks, status_ask);
TAILQ_HEAD(renew_asks, renew_ask);

/* The parent's list of layers, asked for once however many ask here (layers.c). */
TAILQ_HEAD(layers_waiters, layers_waiter);
struct layers_list {
    struct layers_waiters waiters;
    struct upstream_request *asking;
    struct json_doc *doc; /* the last list that came, or as it was kept; NULL: none */
    uint64_t asked_ns;    /* when it came; 0: it is only the kept one               */
    struct timer soon;    /* so that the one that is kept is not old                */
};

TAILQ_HEAD(told_waits, told_wait);

/* What an operator has it do (states.c, wipe.c). */
struct reflector_duty {
    struct state_entry entry; /* as the list has it; all zero: it accepts */
    uint32_t max_sessions, load_percent;
    bool is_wiping, is_wiped; /* since that was asked for */
    struct wipe *wipe;        /* on a worker; NULL: none  */
    struct timer wipe_again;
};

/* What the parent says of itself (above.c). */
struct reflector_above {
    struct here parent; /* device "": not known */
    struct upstream_request *asking;
    bool ask_again;
    struct timer ask_soon, say_soon;
};

struct reflector {
    struct reflector_options options;
    uint64_t started_ns;
    struct branches *branches;
    struct authority *authority;
    struct policy_book *policy;
    struct line *line;
    struct chooser *chooser;
    struct upstream *upstream;
    struct upstream_listener on_line;
    struct keeper *keeper;
    struct supply *supply;
    struct record_book *records;
    struct root_book *roots;
    struct serve *serve;
    struct feed *feed;
    struct reflector_cache *cache; /* cache.c; NULL: a store that drops nothing */
    struct {                       /* heal.c */
        struct heal *heal;         /* under way; NULL: nothing is */
        uint64_t chunks, bytes, failed, unnamed;
    } healing;
    struct listener *listener;
    struct roster *roster; /* who is behind this box */
    struct announcer *announcer;
    struct waker *waker;           /* wake.c */
    struct prefetcher *prefetcher; /* wake.c */
    TAILQ_HEAD(, woke_relay) woke_relays;
    size_t woke_relay_count;
    struct reflector_self *self; /* roster.c: what it tells of itself */
    struct beacon *beacon;       /* NULL: it is silent on its links   */
    struct own_grant grant;
    struct grant_asks grant_asks;
    struct grant_memos grant_memos;
    struct log_limit grant_lines; /* of those given, or not, while the parent is away */
    struct status_asks status_asks;
    struct renew_asks renew_asks;
    struct grant_memos renew_memos; /* who asked for a certificate a moment ago */
    struct renewal *renewal;        /* NULL without a certificate */
    struct layers_list layers;
    struct reflector_nearby *nearby;
    struct arrivals arrivals; /* for siblings */
    struct reflector_siblings *siblings;
    struct reflector_duty duty;
    struct reflector_above above;
    struct told_book *told;
    struct told_waits told_waits;
    struct timer stop_timer;
    uint64_t drain_until_ns;
    loop_fn stopped;
    void *stopped_arg;
};

void reflector_stop_turn(void *reflector);

/* grant.c: read grants for those behind this box.  close answers whoever still waits. */
void reflector_open_grants(struct reflector *r);
void reflector_close_grants(struct reflector *r);
void reflector_forget_grants(struct reflector *r); /* trust or revocations changed */
void reflector_handle_grant(void *reflector, struct serve_request *rq);

/* renew.c: its own certificate, and what devices behind it ask for theirs. */
ALB_MUST_USE struct alb_status reflector_open_renewals(struct reflector *r);
void reflector_close_renewals(struct reflector *r);
void reflector_handle_renew(void *reflector, struct serve_request *rq);

/* states.c: what an operator has it do; at start as kept, then whenever the list changes. */
void reflector_open_states(struct reflector *r);
void reflector_close_states(struct reflector *r);
void reflector_obey_states(struct reflector *r);
/* What its site says of max_sessions and load; 0: nothing. */
void reflector_set_terms(struct reflector *r, uint32_t max_sessions, uint32_t load_percent);
void reflector_show_state(const struct reflector *r, struct json_writer *w);
/* wipe.c: store and content records go, until they are gone. */
void reflector_start_wipe(struct reflector *r);
void reflector_stop_wipe(struct reflector *r);

/* beacon.c: being found on its own links. */
void reflector_open_beacon(struct reflector *r);
void reflector_close_beacon(struct reflector *r); /* says goodbye; twice is fine */
void reflector_beacon_moved(struct reflector *r, const struct net_picture *now);
void reflector_beacon_obey(struct reflector *r, enum reflector_state state);

/* above.c: who is above it, and since when all of them are cut off from the hub; GET /v1/here. */
void reflector_open_above(struct reflector *r);
void reflector_close_above(struct reflector *r);
/* The line came up, or the parent says that something changed. */
void reflector_ask_above(struct reflector *r);
void reflector_say_here(struct reflector *r); /* something of it changed here */
void reflector_here(const struct reflector *r, struct here *out);
void reflector_handle_here(void *reflector, struct serve_request *rq);
const char *reflector_line_word(const struct reflector *r); /* "up", "down", "paused", … */
/* 0: it can be seen from here that the hub is there. */
int64_t reflector_cut_off_since_wall_s(const struct reflector *r,
                                       const struct upstream_figures *up);

/* nearby.c: who can serve those who ask here, and this box itself. */
void reflector_open_nearby(struct reflector *r);
void reflector_close_nearby(struct reflector *r);
struct nearby_book *reflector_nearby_book(const struct reflector *r);
void reflector_nearby_moved(struct reflector *r, const struct net_place *place);
void reflector_hear_nearby(struct reflector *r, const char *line); /* an event, of whatever kind */
void reflector_doubt_nearby(struct reflector *r);                  /* the line came up           */
void reflector_refresh_nearby(struct reflector *r);                /* the trust file changed     */
void reflector_handle_nearby(void *reflector, struct serve_request *rq);

/* sibling.c: other reflectors of this site on its LAN; behind nearby and roster. */
void reflector_open_siblings(struct reflector *r);
void reflector_close_siblings(struct reflector *r);
void reflector_look_siblings(struct reflector *r); /* the list, or our links, may be others */
struct sibling *reflector_beside(void *reflector); /* who is asked before the parent; NULL */
void reflector_arrived(void *reflector, const struct where *where);
void reflector_handle_arrivals(void *reflector, struct serve_request *rq);
void reflector_show_siblings(const struct reflector *r, struct json_writer *w);

/* layers.c */
void reflector_record_kept(void); /* for record_keep(): where tests end the program */
void reflector_open_layers(struct reflector *r);   /* blocking: start-up */
void reflector_forget_layers(struct reflector *r); /* an event says they changed */
void reflector_close_layers(struct reflector *r);
void reflector_handle_layers(void *reflector, struct serve_request *rq);

/* told.c: what became of pulls */
void reflector_open_told(struct reflector *r); /* blocking: start-up */
void reflector_close_told(struct reflector *r);
void reflector_handle_told(void *reflector, struct serve_request *rq);
void reflector_show_told(const struct reflector *r, struct json_writer *w);

/* roster.c: who is behind this box; opened behind the serve, closed after it, before the line. */
void reflector_open_roster(struct reflector *r);
void reflector_leave(struct reflector *r); /* the last words */
void reflector_close_roster(struct reflector *r);
/* State or terms are others: told at once, as far as they change what it says of itself. */
void reflector_look_roster(struct reflector *r);
/* "for DEVICE …": handed on, or for this box itself; false: another line. */
bool reflector_hear_for(struct reflector *r, const char *line);
/* Its own links, as they are now; NULL: nobody can say. */
const struct net_picture *reflector_picture(void *reflector);

/* wake.c: machines beside it that are woken; behind the roster. */
void reflector_open_wake(struct reflector *r);
void reflector_close_wake(struct reflector *r);
void reflector_handle_woke(void *reflector, struct serve_request *rq);
void reflector_handle_prefetched(void *reflector, struct serve_request *rq);

/* cache.c: room ahead of need, pins; behind the roots, closed before them. */
void reflector_open_cache(struct reflector *r);
void reflector_close_cache(struct reflector *r);
/* heal.c: at most CACHE_BAD_MOST chunks that were found damaged are fetched anew; one call at a
 * time (healing.heal). */
void reflector_heal(struct reflector *r, const struct chunk_key *keys, size_t count);
void reflector_stop_healing(struct reflector *r);

/* report.c: what it tells people */
void reflector_open_reports(struct reflector *r);
void reflector_close_reports(struct reflector *r);
void reflector_handle_status(void *reflector, struct serve_request *rq);
