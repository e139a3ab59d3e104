/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/serve_impl.h – what the serve's own files share. */
#pragma once

#include "base/log_limit.h"
#include "base/map.h"
#include "transfer/serve.h"

TAILQ_HEAD(serve_sessions, serve_session);

struct serve {
    struct serve_options options;
    serve_handler handlers[ROUTE_COUNT];
    void *handler_args[ROUTE_COUNT];
    struct serve_sessions sessions;
    size_t nobodies; /* sessions without a certificate              */
    uint64_t nobodys_body_bytes;
    size_t turned_away;                          /* sessions that only hear that there is no room */
    struct map accounts;                         /* of devices: serve_limits.c */
    void (*left)(void *arg, const char *device); /* may be NULL */
    void *left_arg;
    struct log_limit full_lines, grant_lines, miss_lines;
    struct probe_responder *probes; /* owned; NULL: none */
    struct timer stamping;          /* while somebody gets bulk */
    uint64_t stamp_look_ns;         /* when the look that is set, or was last, is due */
    bool is_late;                   /* the last one: this process had no time for it  */
    uint64_t stamp_looks, steady_bps, most_steady_bps, shared_until_ns;
    bool looked_shared, is_shared; /* what devices beyond WANs share is our line */
    bool is_draining;
    struct serve_door door;
    uint32_t sessions_per_s;     /* of those that come back; 0: they are not asked to wait */
    size_t sessions_most;        /* there ever were */
    struct log_limit door_lines; /* of those turned away */
    struct serve_stats stats;
};

/* serve_limits.c: what may be held in memory for others.  A device's uploads: an opening of the
 * largest kind and a few bodies beside it.  Answers: a session's largest list and more; all of
 * them. */
enum {
    SERVE_DEVICE_BODIES_MAX = 96 << 20,
    SERVE_SESSION_ANSWERS_MAX = 16 << 20,
    SERVE_ANSWERS_MAX = 128 << 20,
    SERVE_SESSION_SPOTS_MAX = 4096, /* positions asked for and not sent: 16 full batches */
    SERVE_SPOTS_MAX = 256 << 10,    /* … on all sessions: 100 MiB                        */
    SERVE_HELD_MAX = 128 << 20,     /* chunks ready but not sent, on all sessions        */
};

/* Why a session of `who` cannot be had now, or NULL. */
const char *serve_is_full_for(const struct serve *s, const struct identity *who, bool is_nobody);
/* May one more be kept long enough to be told? */
bool serve_may_turn_away(const struct serve *s);
void serve_say_full(struct serve *s, const struct stream *stream, const char *why);
/* False: refused. */
bool serve_reserve_body(struct serve_request *rq);
/* False: the asker leaves too much unread; nothing was answered. */
bool serve_reserve_answer(struct serve_request *rq, size_t bytes);
void serve_limits_release(struct serve_request *rq);
struct serve_account *serve_account_enter(struct serve *s, const struct identity *who);
/* True: that was its last session. */
bool serve_account_leave(struct serve_account *a);
void serve_accounts_release(struct serve *s);
/* Before a look-up that may go to the parent, and when it has ended: what is not there counts
 * against the device.  False: refused. */
bool serve_miss_begin(struct serve_request *rq);
void serve_miss_end(struct serve_session *session, struct alb_status st);
/* The same for POST /v1/holds, of which a device has few under way; the end of one that its asker
 * left is a NOT_FOUND: it was asked for nothing. */
bool serve_holds_begin(struct serve_request *rq);
void serve_holds_end(struct serve_session *session, struct alb_status st);
/* Is it the first time that this account is marked with that number? */
bool serve_account_mark(struct serve_account *a, uint64_t mark);

/* A session of the account's device was greeted, or the last of those that were ended: is that its
 * first, was it its last? */
bool serve_account_greet(struct serve_account *a);
bool serve_account_part(struct serve_account *a);
bool serve_account_is_here(const struct serve_account *a);
/* May it ask for GET /v1/here once more?  Twenty at once, one a second; a reflector sixteen times
 * as often. */
bool serve_account_may_look(struct serve_account *a, uint64_t now_ns);

/* serve.c: 503 with `code`, and why and until when as `here` says. */
void serve_refuse_until(struct serve_request *rq, const char *code, const struct here *here);

/* serve_door.c: may this session be greeted, and may that request be answered now?  False: refused.
 */
bool serve_admits(struct serve_request *rq);
bool serve_is_open_for(struct serve_request *rq);
void serve_answer_greeting(struct serve_request *rq); /* over how long they should come */
void serve_note_greeted(struct serve_session *session);
void serve_note_parted(struct serve_session *session);

/* serve_stamp.c: what senders know is told to whoever paces them. */
void serve_stamp_init(struct serve *s);
/* A batch was asked for. */
void serve_stamp_begin(struct serve_session *session);
/* Something could be sent: was anything ready? */
void serve_stamp_note(struct serve_session *session, bool was_ready);
