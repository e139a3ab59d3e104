/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/branches.h – those below: what may be sent to each branch, and what each may send.
 *
 *     port ── everything ── link ── branch (a site, by WAN or LAN) ── device ── connection
 *
 * once down and once up, and WAN and LAN apart.  Every connection of a port passes here, so what
 * the policy says of a site holds for the sum of all that crosses its line, through however many
 * reflectors and endpoints, and what it says of a device for the sum of its connections; what it
 * says of a link (or globally) for the sum of all its branches (of all there are).  Each sum holds
 * by itself: an earlier rule for one site does not take it out of its link's, but an operator's
 * `go` does.  Which device a connection is of is known when one of that device shows its grant;
 * before that it counts against the link alone.  A device's branch is the site that its grant names
 * if the policy has it, else the one in whose subnet it is.  Limits are in bytes on the wire.
 *
 * OFF is no limit here: a parent that fell silent would be taken for dead.  It goes on answering,
 * but begins to send no chunk (branch_is_off()); the other side, which knows the policy too, takes
 * no more than what is under way.
 */
#pragma once

#include "net/http_pace.h"
#include "shaper/shaper.h"
#include "transfer/policy_book.h"

struct branches;
struct branch_member;
struct json_writer;

enum branch_way { BRANCH_DOWN, BRANCH_UP, BRANCH_WAYS };

struct branches_options {
    struct loop *loop;
    uint64_t link_bps;          /* all together, each way, on the wire; 0: no limit  */
    uint32_t packet_overhead;   /* bytes that the link adds to each IP packet        */
    struct policy_book *policy; /* borrowed, outlives it; NULL: no limits by policy */
    const char *own_site;       /* those of it are on the LAN; NULL: nobody is (a hub); borrowed */
    /* Whether the connection of `owner` may be sent chunks may have changed; may be NULL. */
    void (*changed)(void *arg, void *owner);
    void *arg;
};

struct branches *branches_new(const struct branches_options *options);
struct branches *branches_free(struct branches *b); /* members are gone; NULL is fine */

/* A connection from below; its stream's gate and its credit's are set.  Leave before its session
 * goes. */
struct branch_member *branch_enter(struct branches *b, struct http_session *session, void *owner);
/* Its grant told who it is.  Again is fine. */
void branch_place(struct branch_member *m, const char *site, const char *device);
/* It gets chunks: what it is sent from now on goes after everybody's answers, events and PINGs. */
void branch_takes_bulk(struct branch_member *m); /* NULL is fine */
/* A datagram of `bytes` in IP passed beside its connection, and counts as if it had not. */
void branch_charge(struct branch_member *m, enum branch_way way, size_t bytes); /* NULL is fine */
void branch_leave(struct branch_member *m);                                     /* NULL is fine */
/* Does the policy let it have no chunks of `layer` now?  What it said is believed for a second.
 * NULL: no. */
bool branch_is_off(struct branch_member *m, const char *layer);
/* What it said last.  NULL: no. */
bool branch_was_off(const struct branch_member *m);

/* What serve_stamp.c sums up in each of its looks, so that those of one site hear of each other:
 * bytes sent to a member lately, and whether it is the first connection of its device. */
void branch_add_bulk(struct branch_member *m, uint64_t look, uint64_t bytes, bool is_device);
/* The sums of the member's site in that look: 0 of another look, of no site, of NULL. */
struct branch_bulk {
    uint64_t bytes;
    size_t devices;
};
struct branch_bulk branch_bulk(const struct branch_member *m, uint64_t look);

/* Each branch with its limits and sums, as an array "sites" of a status, and what is together of
 * each link, and of everything (a link without a name), as "links". */
void branches_show(const struct branches *b, struct json_writer *w);
