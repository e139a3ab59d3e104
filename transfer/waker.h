/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/waker.h – the guard's side of waking: orders judged, frames sent, told what became of.
 *
 *     "for US wake ORDER" ──> waker_hear() ──> signed by the hub? for us? in time? new?
 *          each machine: on a link of ours? ──> wake_queue ──> wake_send() ──> POST /v1/woke
 *
 * A reflector and an agent are guards.  Nothing is woken but what a signed order names, on a link
 * on which we have an address in a subnet of the sleeper's; each order is obeyed once.  What we
 * will not do is refused with a word that reaches the operator; only what the hub did not sign is
 * merely logged.  A clock that lags is moved forward by orders (authority_saw_time()), so that old
 * ones stay old; one that is ahead by a minute refuses all, and says so.
 *
 * Bounded: WAKER_REMEMBERED orders in a minute, the queue of shaper/wake.h, WAKER_WATCHED machines
 * looked for among neighbours, WAKER_REPORTS reports under way.
 */
#pragma once

#include "net/net_picture.h"
#include "transfer/authority.h"
#include "wire/wake.h"

enum { WAKER_REMEMBERED = 512, WAKER_WATCHED = 256, WAKER_REPORTS = 32 };

struct waker;
struct waker_options {
    struct loop *loop;
    struct authority *authority; /* borrowed, as is the next */
    struct upstream *upstream;
    const char *device; /* ours; borrowed */
    unsigned rate;      /* machines a second; 0: WAKE_RATE_DEFAULT */
    /* Our links as they are now, borrowed until the next turn; NULL: we cannot know. */
    const struct net_picture *(*picture)(void *arg);
    void *arg;
};
struct waker *waker_new(const struct waker_options *options);
struct waker *waker_free(struct waker *w); /* before the upstream; NULL is fine */

/* What follows "for US " in an event line.  False: it is not about waking. */
bool waker_hear(struct waker *w, const char *rest);
/* The picture changed: somebody who was woken may be among the neighbours. */
void waker_look(struct waker *w);

struct waker_figures {
    uint64_t orders, refused_orders; /* those that were not ours, or not in time */
    uint64_t machines, frames_failed, seen;
    size_t waiting;
};
void waker_figures(const struct waker *w, struct waker_figures *out);
struct json_writer;
/* As an object "wake" of a status. */
void waker_show(const struct waker *w, struct json_writer *j);
