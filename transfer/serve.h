/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/serve.h – answering: who may ask what, and the answers every holder gives alike.
 *
 * One `serve` stands behind one port.  For each request it finds the row of wire/routes.def (none:
 * 404), checks the certificate against the revocation list and the role against the row (nobody
 * known: 401, another role: 403), bounds the body, and calls the row's handler.  What a hub and a
 * reflector answer alike (session, trust, revocations, heads, records, roots, chunks, events) is
 * installed by serve_install_common(); a program adds its own rows with serve_set().  A request
 * that says it speaks another version of the protocol is refused (400) before anything else; one
 * that says nothing is taken.
 *
 * A handler answers exactly once, now or later.  When the asker goes away first the answer is
 * dropped and `gone` (if set) is called so that the handler can stop working; serve_free() does the
 * same for whatever is still open, so that nothing a handler uses is needed after it.
 *
 * Who shows no certificate is hung up on after 30 s without a request, after 90 s in any case, and
 * never holds more than a quarter of the places.  Who showed one is heard until it expires.
 *
 * Memory is bounded: a device has max_device_sessions, and what its bodies and unread answers hold
 * is counted, its own and everybody's.  Who comes when there is no room is told so: 503 to its
 * first request, then the session ends.  A body must come at 4 KiB/s, or within two minutes.
 *
 * What a grant does not cover is answered exactly like what does not exist: 404, before any
 * look-up.
 */
#pragma once

#include "net/http.h"
#include "shaper/probe.h"
#include "transfer/root_book.h"
#include "wire/here.h"
#include "wire/routes.h"

struct serve;
struct branch_member;
struct branches;
struct feed;
struct json_writer;
struct serve_account;

/* What a session that gets bulk is told of its sending (serve_stamp.c); all zero: nothing yet. */
struct serve_stamping {
    bool is_bulk, is_far;
    uint64_t starved_since_ns; /* it could be sent something and nothing is ready; 0: not so */
    uint64_t starved_ns;       /* since the last look */
    uint64_t sent_bytes;       /* at the last look, below TLS */
    uint64_t recent_bytes[5];  /* of the last looks */
    uint64_t stamped_bytes, stamped_ns, stamped_retransmitted;
    unsigned stamped_flags;
};

struct serve_session { /* one connection; http_session's user */
    struct serve *serve;
    struct http_session *http;
    struct identity who;
    struct grant *grant;     /* owned; NULL: none shown. Only its prefix_count prefixes are there */
    struct batch_lane *lane; /* serve_batch.c's: items are sent one after another */
    bool is_closed;          /* lives on only for its last requests               */
    bool is_nobody;          /* no certificate, on the tree port                  */
    bool is_greeted;         /* its POST /v1/session was taken: serve_door.c      */
    const char *turned_away; /* there was no room: what its requests are told; or NULL */
    struct branch_member *member;  /* NULL: its port is not shaped, or it is closed */
    struct timer life;             /* of the last two: it ends with this                */
    struct probe_ticket *ticket;   /* owned; NULL: its path is not probed         */
    struct serve_account *account; /* the device's; NULL: no certificate          */
    uint64_t answer_bytes;         /* answered whole and not all sent                   */
    size_t spots;                  /* serve_batch.c's: positions asked for and not sent */
    struct serve_stamping stamping;
    TAILQ_HEAD(, serve_request) requests;
    TAILQ_ENTRY(serve_session) link;
};

struct serve_request {
    struct serve *serve; /* NULL once the serve is gone */
    struct serve_session *session;
    struct http_exchange *x; /* NULL once the asker is gone */
    const struct route *route;
    char rest[512]; /* what the row's '*' took, percent-decoded */
    bool is_started, is_answered;
    uint64_t body_bytes, answer_bytes;      /* its part of the session's */
    struct timer late;                      /* its body takes too long   */
    void (*gone)(struct serve_request *rq); /* may be set by the handler; it must not answer then */
    void *work;                             /* the handler's own */
    TAILQ_ENTRY(serve_request) link;
};

typedef void (*serve_handler)(void *arg, struct serve_request *rq);

struct serve_options {
    struct loop *loop;
    const char *device;          /* who we are, borrowed; NULL: no sibling is to tell us from it */
    unsigned port;               /* PORT_TREE or PORT_ADMIN */
    struct authority *authority; /* borrowed */
    struct record_book *records; /* borrowed; may be NULL on the admin port */
    struct root_book *roots;
    struct supply *supply;
    struct upstream *upstream;  /* NULL at a hub */
    struct feed *feed;          /* events down; may be NULL */
    struct branches *branches;  /* what those below may be sent, and may send; NULL: anything */
    size_t max_sessions;        /* 0: 4,096; beyond it new ones are turned away */
    size_t max_device_sessions; /* 0: 32; of one device                          */
    uint64_t max_body_bytes;    /* 0: 256 MiB; of requests that are not over     */
    uint64_t idle_timeout_ns;   /* of a session without requests; 0: none        */
    /* Admin port: is this bearer token right?  NULL: there is none. */
    bool (*bearer)(void *arg, const char *token);
    void *arg;
};

struct serve_stats {
    uint64_t requests, refused, sessions_total, items_sent, item_bytes_sent;
    uint64_t turned_away;
    uint64_t held_bytes;               /* chunks ready but not sent, now */
    uint64_t body_bytes, answer_bytes; /* as of the sessions, now        */
    size_t sessions, spots;
    size_t devices; /* with a session that was greeted */
    struct probe_responder_figures probes;
    uint64_t bulk_bps; /* of batches to devices beyond a WAN, now, below TLS; and to how many */
    size_t bulk_devices;
};

struct serve *serve_new(const struct serve_options *options);
/* Closes every session; the handlers of what is under way hear `gone` before it returns. */
struct serve *serve_free(struct serve *s);
void serve_set(struct serve *s, enum route_id route, serve_handler handler, void *arg);
void serve_install_common(struct serve *s);
/* An accept_fn (net/loop.h): arg is the serve. */
void serve_accept(void *serve, struct stream *stream);
/* From the loop: the last session of a device ended (but not when the serve itself does). */
void serve_when_left(struct serve *s, void (*left)(void *arg, const char *device), void *arg);
/* Answer probes of those with a session, at a UDP port (that of the tree port: one hole in a
 * firewall's rules).  When it cannot be had the log says so, and who asks measures by PING. */
void serve_open_probes(struct serve *s, const char *address, uint16_t port);
/* To tell what replies say; NULL: there are none. */
struct probe_responder *serve_probes(struct serve *s);
/* Finish what is open, accept nothing new; events end now. */
void serve_drain(struct serve *s);
/* The revocation list changed: close the sessions it names. */
void serve_recheck(struct serve *s);
void serve_stats(const struct serve *s, struct serve_stats *out);
/* What is held for others, as an object "held" of a status. */
void serve_show_held(const struct serve_stats *stats, struct json_writer *w);
/* How often paths were probed, as an object "probes" of a status. */
void serve_show_probes(const struct serve_stats *stats, struct json_writer *w);

/* ---- who may come (serve_door.c) ------------------------------------------------------------- */

/* What its owner says of itself; all zero: everybody may come.  Devices that are here already may
 * open more connections, except where nobody is served. */
struct serve_door {
    enum reflector_state state;
    uint32_t max_devices;    /* no more than so many have sessions; 0: no bound                 */
    uint32_t load_percent;   /* nobody new while memory or positions are used so far; 0: 100    */
    char why[STATE_WHY_MAX]; /* the operator's, of `state` */
};
/* Copied.  A state that serves nobody ends the sessions there are. */
void serve_set_door(struct serve *s, const struct serve_door *door);
/* Children are told at their greeting to come within so many seconds that no more than
 * `sessions_per_s` come in one, of as many as there ever were; 0, as at the start: they are not. */
void serve_set_spread(struct serve *s, uint32_t sessions_per_s);
/* Would a new session of a device that has none be taken?  Fills what the serve knows of `out`:
 * state, takes_new, sessions, max_sessions, load_percent, until, retry_s, why. */
void serve_here(struct serve *s, struct here *out);
/* Answer GET /v1/here; 503 to who asks for it all the time. */
void serve_answer_here(struct serve_request *rq, const struct here *here);

/* ---- for handlers --------------------------------------------------------------------------- */

/* May this session read `layer`?  Decided from the grant alone; an admin and a publisher may
 * read all. */
bool serve_may_read(const struct serve_request *rq, const char *layer);
/* The whole of a grant of which only the part in use is there: thirty kilobytes otherwise, for each
 * of thousands of sessions.  Heap. */
struct grant *serve_grant_copy(const struct grant *g);
const uint8_t *serve_body(const struct serve_request *rq, size_t *size);
void serve_answer(struct serve_request *rq, const char *content_type, const void *body,
                  size_t size);
/* The chunk itself, held until it is sent. */
void serve_answer_chunk(struct serve_request *rq, const char *content_type, struct chunk *chunk);
void serve_answer_stream(struct serve_request *rq, const char *content_type,
                         const struct http_source *source);
/* The status code follows the code: NOT_FOUND 404, REFUSED 403, INVALID 400, CONFLICT 409, FULL
 * 507, CORRUPT 422, TIMEOUT and CLOSED 503, else 500; the body is error_body JSON.  `message` says
 * what, where and what to do. */
void serve_refuse(struct serve_request *rq, enum alb_code code, const char *message);
void serve_refuse_status(struct serve_request *rq, struct alb_status st);
/* Whether a session may be sent chunks may have changed: what waited goes on.  It is what
 * branches_options.changed wants. */
void serve_branch_changed(void *arg, void *session);
/* Has this device announced less than its share of late?  (A burst of 20, then one a second; a
 * reflector 80, then four.)  Counts. */
bool serve_may_announce(struct serve_request *rq);
/* A value of the query string, percent-decoded into `out`; false when absent or too long. */
bool serve_query(const struct serve_request *rq, const char *name, char *out, size_t size);

/* Rows implemented beside (serve_batch.c, serve_records.c, serve_holds.c). */
void serve_handle_chunks(void *arg, struct serve_request *rq);
void serve_handle_chunk(void *arg, struct serve_request *rq);
void serve_handle_root(void *arg, struct serve_request *rq);
void serve_handle_record(void *arg, struct serve_request *rq);
void serve_handle_deltas(void *arg, struct serve_request *rq);
void serve_handle_head(void *arg, struct serve_request *rq);
void serve_handle_probe(void *arg, struct serve_request *rq);
void serve_handle_trust(void *arg, struct serve_request *rq);
void serve_handle_revoked(void *arg, struct serve_request *rq);
void serve_handle_session(void *arg, struct serve_request *rq);
void serve_handle_holds(void *arg, struct serve_request *rq);
void serve_handle_events(void *arg, struct serve_request *rq);
void serve_lane_resume(struct serve_session *session);
void serve_lane_release(struct serve_session *session);
