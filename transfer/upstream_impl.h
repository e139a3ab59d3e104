/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/upstream_impl.h – what the upstream's files share: connections, questions, events. */
#pragma once

#include "transfer/feed.h"
#include "transfer/upstream.h"

enum { UPSTREAM_GRANT_MAX = 64 << 10, UPSTREAM_MORE_MOST = 3 };

struct upstream_link {
    struct upstream *upstream;
    struct http_session *session; /* NULL while down                          */
    struct wan_member *member;    /* its part in the wan; NULL: there is none */
    struct http_call *call;       /* the small call under way: grant or greet */
    struct buf answer;
    unsigned answer_status;
    bool is_greeted;
    bool is_leaving; /* one of `more`: closes when its calls are over */
    size_t uploads;  /* bulk requests that are under way              */
};

TAILQ_HEAD(upstream_listeners, upstream_listener);
TAILQ_HEAD(upstream_requests, upstream_request);

struct upstream {
    struct upstream_options options;
    size_t place;
    struct upstream_link control, data;
    struct upstream_link more[UPSTREAM_MORE_MOST]; /* data, too, while the law asks for it */
    struct upstream_link upload;                   /* while bodies go up                   */
    struct timer tend;
    /* busy: calls were under way, or about to be made */
    uint64_t more_not_before_ns, upload_not_before_ns, busy_ns, upload_busy_ns;
    struct buf grant;
    struct timer redial;
    struct timer patience; /* for dialling and greeting, all of it     */
    struct timer renewal;  /* while up: is the grant half-spent?       */
    unsigned failures;     /* in a row, for the back-off */
    uint64_t spread_s;     /* over how long its children should come, the parent said */
    uint64_t calm_ns;      /* until then nothing is asked that nobody waits for       */
    bool is_resting;       /* it would be called earlier if somebody waited           */
    bool is_up, has_failed, is_quiet;
    bool (*lacks)(void *arg); /* NULL: nobody knows of others */
    void *lacks_arg;
    struct alb_status why_down;
    char refusal[256];                   /* the parent's words for it, or "" */
    int64_t refused_until_s;             /* … and until when, by its clock; 0: it did not say */
    struct upstream_trust trust;         /* take NULL: nobody's */
    bool has_asked_trust, has_new_trust; /* since this line was dialled, or its grant renewed */
    bool has_asked_grant;                /* since this line was dialled                       */
    uint64_t since_ns, dials, losses, body_received, body_sent;
    struct upstream_listeners listeners;
    struct upstream_requests requests; /* sent and waiting alike */
    struct http_call *events;
    struct timer events_again; /* the parent ended them */
    bool events_broken;        /* some may have been missed */
    unsigned events_status;
    char event_line[FEED_LINE_MAX];
    size_t event_size;
};

/* upstream.c */
void upstream_dial_link(struct upstream_link *link);
void upstream_drop_link(struct upstream_link *link);
void upstream_hang_up(struct upstream *u, uint64_t redial_ns); /* and call again in so long */
/* upstream_more.c */
void upstream_init_more(struct upstream *u);
void upstream_drop_more(struct upstream *u);
bool upstream_is_more(const struct upstream_link *link); /* the line does not hang on it */
void upstream_want_upload(struct upstream *u);           /* a bulk request waits               */
/* Shook hands: is it the parent that we know? */
bool upstream_more_is_ours(const struct upstream_link *link);
void upstream_more_lost(struct upstream_link *link); /* or of no use */
/* upstream_request.c */
void upstream_send_requests(struct upstream *u);    /* a connection is greeted            */
bool upstream_is_awaited(const struct upstream *u); /* somebody waits for an answer    */
void upstream_park_requests(struct upstream *u);    /* both are lost: no calls any more   */
void upstream_drop_requests(struct upstream *u);    /* nobody will be told               */
bool upstream_has_bulk(const struct upstream *u);
/* upstream_events.c */
void upstream_start_events(struct upstream *u);
void upstream_stop_events(struct upstream *u);
void upstream_init_events(struct upstream *u);
