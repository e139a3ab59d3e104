/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/roster.h – who is there now, where, and through which child: a parent's book of those
 * below it.
 *
 *     child's POST /v1/announce ──> roster_take(via = the child) ──> entries ──> listeners
 *     child's last session ended ──> roster_lost(via) ──5 s──> all behind it are gone
 *     "for DEVICE REST" ──> roster_say() ──> to the child behind which DEVICE is
 *
 * Several children may claim one device: it moved, and the old one has not noticed.  The claim of a
 * device that speaks for itself goes before those of others about it; of two of a kind the one with
 * the later `since` (the device's own clock, and never believed to be ahead of ours), of equal ones
 * the one that came last.  Up to ROSTER_CLAIMS are remembered: when the best one goes, the next
 * holds.  So nothing flaps: a parent that repeats an old claim changes nothing.
 *
 * What a child says of others is a claim; a reflector that lies can have devices appear behind it
 * and gets what is sent to them, which is signed and for them alone (PROTOCOL §11).
 *
 * Loop-only.  Memory is bounded by the number of devices and by what one child may claim.
 */
#pragma once

#include <sys/queue.h>

#include "net/identity.h"
#include "net/loop.h"
#include "transfer/feed.h"
#include "wire/announce.h"

struct roster;
struct json_writer;
struct serve;

enum {
    ROSTER_HUB_DEVICES = 65536,
    ROSTER_REFLECTOR_DEVICES = 4096,
    ROSTER_CLAIMS = 3, /* of one device */
};
#define ROSTER_LOST_NS (5 * NS_PER_S)

struct roster_options {
    struct loop *loop;
    size_t max_devices; /* claims of one device count one each */
    size_t max_via;     /* behind one child; 0: a quarter of max_devices, at least 64 */
    const char *self;   /* this program's device, which nobody else may claim; "" or NULL at a hub.
                           Borrowed */
};
struct roster *roster_new(const struct roster_options *options);
struct roster *roster_free(struct roster *r); /* listeners hear nothing */

struct roster_entry {
    const struct announce *announce; /* owned; its device, role, place, cards, serves, layers … */
    char via[64];                    /* the child; the device itself when it is one */
    uint64_t seen_ns;                /* when it was last spoken of */
};
/* Borrowed until the loop's next turn or change; NULL: it is not here. */
const struct roster_entry *roster_find(const struct roster *r, const char *device);
/* False stops.  `site` NULL: all; "": those that know of none.  Nothing may change meanwhile. */
typedef bool (*roster_visit)(void *arg, const struct roster_entry *e);
void roster_each(const struct roster *r, const char *site, roster_visit visit, void *arg);
/* May `who`, a child, speak for `device`?  It is that itself, or a reflector it is behind. */
bool roster_speaks_for(const struct roster *r, const struct identity *who, const char *device);
/* All that are reached through this child. */
void roster_each_via(const struct roster *r, const char *via, roster_visit visit, void *arg);

struct roster_figures {
    size_t devices, reflectors, children, claims;
    uint64_t bodies, refused, full, contested, came, went;
};
void roster_figures(const struct roster *r, struct roster_figures *out);
/* As an object "roster" of a status. */
void roster_show(const struct roster *r, struct json_writer *w);

/* ---- being told ---- */

enum roster_news { ROSTER_CAME, ROSTER_CHANGED, ROSTER_WENT };
struct roster_listener {
    /* `e` is whole, also of who went (announce->goes says how); `before`, of who changed, what was
     * said before, else NULL.  The roster must not be changed from here. */
    void (*told)(struct roster_listener *l, enum roster_news news, const struct roster_entry *e,
                 const struct announce *before);
    TAILQ_ENTRY(roster_listener) link;
};
void roster_listen(struct roster *r, struct roster_listener *l);
void roster_unlisten(struct roster *r, struct roster_listener *l);

/* ---- what children say ---- */

/* How a body is to be taken. */
enum roster_scope {
    ROSTER_SOME,      /* these changed */
    ROSTER_ALL_BEGIN, /* a part of all there is behind the child; more comes */
    ROSTER_ALL,       /* the rest of it: who was named in no part is gone */
};
/* A body of `via`, whose certificate says `role`.  REFUSED: an endpoint spoke of somebody else, or
 * somebody of this program itself; INVALID: it cannot be read (nothing was taken in both cases).
 * FULL: what was known is up to date, not all that is new was taken. */
ALB_MUST_USE struct alb_status roster_take(struct roster *r, const char *via, enum role role,
                                           enum roster_scope scope, const void *bytes, size_t size);
/* The child's last session ended: unless it speaks again within ROSTER_LOST_NS, it and all behind
 * it are gone. */
void roster_lost(struct roster *r, const char *via);
/* How many are claimed through that child, itself included. */
size_t roster_count_via(const struct roster *r, const char *via);
/* Answer POST /v1/announce at `s`, and hear from it whose sessions ended. */
void roster_serve(struct roster *r, struct serve *s);

/* ---- what is said to one device ---- */

/* "for DEVICE REST" to the child behind which the device is.  NOT_FOUND: it is not here; CLOSED:
 * the child does not listen at present.  `rest` has at most ROSTER_REST_MAX bytes, no newline. */
enum { ROSTER_REST_MAX = FEED_LINE_MAX - 80 };
ALB_MUST_USE struct alb_status roster_say(const struct roster *r, struct feed *f,
                                          const char *device, const char *rest);
/* What an event line is to a program called `self`. */
enum roster_line {
    ROSTER_OTHER_LINE, /* no "for …" */
    ROSTER_PASSED,     /* for somebody else: said on to whom it may concern, or dropped */
    ROSTER_FOR_ME,     /* *rest, borrowed from `line` */
};
/* `r` and `f` may be NULL: an endpoint has nobody below. */
enum roster_line roster_hear(const struct roster *r, struct feed *f, const char *self,
                             const char *line, const char **rest);
