/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/nearby_book.h – who can serve this machine where it is: the hub's signed list of its
 * site (wire/nearby.h), asked for, judged, kept.
 *
 *     nearby_book_where(): it moved ──> do we know that place? ──> the list kept for it, at once
 *            │                                                          └─> listeners: changed()
 *            └──> GET /v1/nearby?address=…&gateway=… ──> site, signed list ──> judged, kept ──^
 *     event "nearby", the line is up, the list is half spent ──^
 *
 * Lists of the last places are kept ("nearby/SITE", and "nearby-places": which gateway or subnet is
 * which site), so that a machine that is carried back, or starts without a hub, knows its
 * reflectors.  A kept list is used however old it is, and says so.
 *
 * Everything here is called on the loop, but for nearby_book_open(), which blocks.
 */
#pragma once

#include <sys/queue.h>

#include "net/net_place.h"
#include "transfer/authority.h"
#include "transfer/nearby_shelf.h"

struct json_writer;
struct nearby_book;
struct upstream;

struct nearby_book_options {
    struct loop *loop;
    struct authority *authority; /* borrowed */
    struct catalogue *catalogue; /* borrowed, outlives the loop's last jobs; NULL: nothing kept */
    const char *site;            /* of its certificate, for where no place is known; copied; "" */
    /* It may be far from that site: behind a tunnel (net_place.has_vpn) only a gateway or a subnet
     * of the directory says where it is. */
    bool roams;
    struct nearby_shelf *shelf; /* borrowed: where the lists are; NULL: one of its own */
};
/* Lists of a shelf of its own: a machine is at few places. */
enum { NEARBY_BOOK_LISTS = 16 };
/* Whoever hears an event, or is back on the line and has a list, asks within this. */
#define NEARBY_BOOK_JITTER_NS (10 * NS_PER_S)

/* Blocking: reads what is kept. */
struct nearby_book *nearby_book_open(const struct nearby_book_options *options);
/* Listeners must be gone. */
struct nearby_book *nearby_book_close(struct nearby_book *b);

/* Ask `u`: now, whenever it comes up, on events, and before the list is spent. */
void nearby_book_follow(struct nearby_book *b, struct upstream *u);
/* Where the machine is; the same place again changes nothing.  Until it is said, and with NULL, the
 * site of its certificate counts. */
void nearby_book_where(struct nearby_book *b, const struct net_place *place);
/* True when `line` is an event "nearby …": it is being asked for, if it concerns this place. */
bool nearby_book_hear(struct nearby_book *b, const char *line);
/* The trust file changed: what was refused may be good now. */
void nearby_book_refresh(struct nearby_book *b);

/* The list of the place it is at, as far as known; NULL: none.  Borrowed until changed(). */
const struct nearby *nearby_book_peek(const struct nearby_book *b);
/* Which site that is, and why. */
const struct nearby_head *nearby_book_head(const struct nearby_book *b);
/* Is the list past its end, or only the kept one of this place, with nobody asked since? */
bool nearby_book_is_stale(const struct nearby_book *b);

struct nearby_listener {
    /* From the loop: list, site or staleness is another.  It may listen and unlisten. */
    void (*changed)(struct nearby_listener *l);
    TAILQ_ENTRY(nearby_listener) link;
};
void nearby_book_listen(struct nearby_book *b, struct nearby_listener *l);
void nearby_book_unlisten(struct nearby_book *b, struct nearby_listener *l);

/* As an object "nearby" of a status: site, by what, number, dates, holders. */
void nearby_book_show(const struct nearby_book *b, struct json_writer *w);
