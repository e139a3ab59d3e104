/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/upstream.h – the parent: found, called, greeted, and called again when the line drops.
 *
 * Two connections: *control* (small questions, events down) and *data* (chunks).  Both are greeted
 * with the read grant (POST /v1/session); a missing, refused or half-spent grant is asked for
 * first, and one that becomes half-spent on a line that holds is renewed on it.  A grant that does
 * not verify may be signed by a newer hub key than we know: the next trust files are asked for
 * (upstream_use_trust()), then the grant once more.  When either
 * connection dies, or both are not up within a minute, both are closed and made again, after a
 * back-off that doubles from 250 ms to 10 s with ± 50 % jitter and begins anew only after 10 s of
 * being up; at the next place of the list when this one did not come up.  Whoever waits, waits: a
 * request made here is sent when the line is back, until its own deadline; one that is broken off
 * alone is sent again a little later, three times.
 *
 * While the wan asks for it (random loss holds a single connection back) up to three more data
 * connections are opened, greeted and used.  Large bodies go up on one of their own, open while
 * there are some.  The line does not hang on any of these.
 *
 * A parent with many children says over how many seconds they should come (`spread_s`, at most
 * 60): a line that was lost is dialled anew after a part of it, unless chunks or an answer are
 * waited for, or are asked for meanwhile.
 *
 * Somebody who chooses (chooser.h) moves it to another parent: upstream_move().
 *
 * When the parent ends the events (we were too slow for it), they are asked for again, and "trust",
 * "revoked", "layers", "policy", "override", "states" and "nearby" are told once, since they may
 * have been missed.
 */
#pragma once

#include <sys/queue.h>

#include "base/buf.h"
#include "net/http.h"
#include "net/loop.h"

struct upstream;
struct wan;
struct upstream_request;

enum { UPSTREAM_PLACES_MAX = 8, UPSTREAM_HOST_SIZE = 256 };

/* "albedo-proto: 1", which every call to a parent carries (wire/routes.h). */
extern const struct http_header proto_header;

struct upstream_place {
    char host[UPSTREAM_HOST_SIZE];
    uint16_t port;
};

/* "hub.example.org:7443", "[2001:db8::5]:7443": for people and logs. */
struct upstream_place_text {
    char text[UPSTREAM_HOST_SIZE + 8];
};
struct upstream_place_text upstream_place_text(const struct upstream_place *place);

struct upstream_options {
    struct loop *loop;
    struct upstream_place places[UPSTREAM_PLACES_MAX];
    size_t place_count;
    struct tls_context *tls; /* borrowed */
    uint64_t window_bytes;   /* credit of the data connection; 0: 4 MiB */
    struct wan *wan;         /* whose connections these are; borrowed; NULL: nobody's */
    struct gate *gate;       /* without a wan: what leaves towards the parent; NULL: open */
    bool wants_grant;        /* ask for one and present it               */
    bool wants_events;
    const void *grant; /* the last one, copied; may be NULL        */
    size_t grant_size;
    int64_t grant_renew_wall_s; /* ask for a new one from then on         */
    void *arg;
    /* A new grant came: judge it; OK keeps it and sets when to renew. */
    struct alb_status (*granted)(void *arg, const uint8_t *bytes, size_t size,
                                 int64_t *renew_wall_s);
    /* One event line from the parent, without its newline. */
    void (*event)(void *arg, const char *line);
};

struct upstream *upstream_new(const struct upstream_options *options);
/* Every request and listener must be gone or cancelled; the sessions are closed. */
struct upstream *upstream_free(struct upstream *u);

/* Who judges grants; set by authority_follow(). */
struct upstream_trust {
    uint64_t (*next)(void *arg); /* number of the trust file that is wanted */
    struct alb_status (*take)(void *arg, const uint8_t *bytes, size_t size);
    bool (*has_revoked)(void *arg, const char *serial); /* NULL: nobody knows */
    void *arg;
};
void upstream_use_trust(struct upstream *u, const struct upstream_trust *trust); /* NULL: nobody */
/* Is the certificate with that serial known not to count any more? */
bool upstream_has_revoked(const struct upstream *u, const char *serial);

struct upstream_listener {
    void (*up)(struct upstream_listener *l); /* both connections are greeted */
    void (*down)(struct upstream_listener *l);
    /* Being called, it failed, or turned us away (upstream_figures() says why); or NULL. */
    void (*failed)(struct upstream_listener *l);
    void (*asked)(struct upstream_listener *l); /* chunks are about to be asked for; or NULL */
    TAILQ_ENTRY(upstream_listener) link;
};
void upstream_listen(struct upstream *u, struct upstream_listener *l);
void upstream_unlisten(struct upstream *u, struct upstream_listener *l);
bool upstream_is_up(const struct upstream *u);
/* Who the parent is by its connection number `i`, the data connection first; NULL: there are not so
 * many.  A parent may show several certificates, while it renews its own. */
const struct identity *upstream_parent(const struct upstream *u, size_t i);
/* The data connection, of several the one on which the least is outstanding; NULL while down.  Ask
 * again for each call. */
struct http_session *upstream_data(struct upstream *u);
/* Is the line a WAN, as far as is known? */
bool upstream_is_wan(const struct upstream *u);
/* Data connections that may be used now. */
size_t upstream_data_count(const struct upstream *u);
/* When our own gates last kept back what one of the data connections would have brought (now, when
 * they still do); 0: never. */
uint64_t upstream_held_until_ns(const struct upstream *u);
/* NULL while down; from upstream_listener.up() to down() it is the same one. */
struct http_session *upstream_control(struct upstream *u);
/* Hang up and start over: the line is suspected dead. */
void upstream_suspect(struct upstream *u, struct alb_status why);

/* Hang up, if need be, and call that place instead, at once and from now on only that.  Whoever
 * listens hears down() and up(); requests, and what was being fetched, are asked again there.  The
 * place that it has already: nothing happens while it is up, else it is called now. */
void upstream_move(struct upstream *u, const struct upstream_place *place);
/* Hang up, if need be, and call nobody until upstream_move(): nobody may serve us now, as the words
 * say. */
void upstream_wait(struct upstream *u, const char *words);
/* While it is quiet, upstream_data() is NULL: what is under way ends, and nothing new is begun. */
void upstream_quiet(struct upstream *u, bool is_quiet);
/* Are answers with chunks, or large bodies, under way? */
bool upstream_is_busy(const struct upstream *u);
/* Body bytes that the data connections of this line brought so far. */
uint64_t upstream_brought_bytes(const struct upstream *u);
/* All bytes that its data connections of now received, those of a TLS record that is still coming
 * (16 KiB, of which no body byte is seen before the last one) among them. */
uint64_t upstream_wire_bytes(const struct upstream *u);
/* Who knows whether somebody else should be asked for what this parent lacks; NULL: nobody. */
void upstream_use_others(struct upstream *u, bool (*lacks)(void *arg), void *arg);
/* The parent lacks something: true, it is worth asking for again in a moment. */
bool upstream_lacks(struct upstream *u);
/* The place that is used or tried now. */
const struct upstream_place *upstream_at(const struct upstream *u);

struct upstream_answer {
    struct alb_status
        st;          /* OK for 2xx; else by the answer's status, or TIMEOUT, or REFUSED …      */
    unsigned status; /* HTTP status, 0 when none came                                         */
    const uint8_t *body; /* borrowed */
    size_t size;
    const char *message; /* the parent's words for a refusal; "" when none */
};
typedef void (*upstream_done)(void *arg, const struct upstream_answer *answer);

struct upstream_ask {
    const char *method;
    const char *path;
    const void *body; /* copied */
    size_t body_size;
    bool body_stays;     /* not copied: the caller keeps it until told, or cancelled */
    size_t expect_bytes; /* most the answer may be */
    uint64_t timeout_ns; /* 0: 60 s */
    bool fail_when_down; /* CLOSED at once, not waiting for the line, once a first dial failed */
    /* Nobody waits for it: soon after the line came up it is kept back, until a moment of this
     * child's own within what the parent says (`spread_s`): not all of its children ask at once. */
    bool may_wait;
    /* A large body, shaped like all bulk: it travels on the upload connection, and the timeout
     * counts from when it last moved or our own gate let go of it. */
    bool is_bulk;
};
/* done() comes from the loop, exactly once, unless cancelled. */
struct upstream_request *upstream_request(struct upstream *u, const struct upstream_ask *ask,
                                          upstream_done done, void *arg);
void upstream_cancel(struct upstream_request *r);

struct upstream_figures {
    bool is_up;
    char place[UPSTREAM_HOST_SIZE + 8]; /* "host:port" being used or tried */
    char why_down[256];                 /* the parent's own words, if it refused us in words */
    enum alb_code down_code;            /* of why_down; OK while up, or before the first failure */
    int64_t refused_until_wall_s;       /* as it said when it refused us, by its clock; 0: not */
    uint64_t since_ns;                  /* of being up or down */
    uint64_t dials, losses;
    uint64_t body_received, body_sent; /* DATA bytes, both connections, all sessions so far */
};
void upstream_figures(struct upstream *u, struct upstream_figures *out);
