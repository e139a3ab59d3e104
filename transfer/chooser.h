/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/chooser.h – who serves us: candidates collected, asked, chosen (choice.h), moved to.
 *
 *     signed list, beacons, configured places ──> candidates ──> scouts (two at once) ──> facts
 *                                                     upstream's ups and downs ──> facts │
 *                                    upstream_move() <── choice_decide() <───────────────┘
 *
 * A scout is a connection of its own: TLS, the certificate looked at, GET /v1/here twice (state,
 * load, who is above it; the quicker one is the latency), closed.  Scouts go out at the start, when
 * the upstream is lost, refuses or hangs, when the machine was carried elsewhere, when a list or
 * beacon names somebody new who could be better, and then towards better ones that were lost every
 * 60 s, doubling up to 10 min, ± 25 %.
 *
 * The upstream is given one place at a time; while that is the best there is, redialling it is the
 * upstream's own business.  A parent that is up stays the parent as choice.h says.  Silence of a
 * holder on our LAN (CHOOSER_HANG_NS without a byte while something is under way) has it asked at
 * once, with the others on the LAN beside it: if it does not answer within CHOOSER_ANSWER_NS and
 * another one there does, all that is under way is asked of that one.  Never across a WAN, and not
 * while anything trickles: slow is not dead.
 *
 * The last one that was up rests in the catalogue ("upstream/last") and is called first at the next
 * start, before anybody is asked.
 *
 * Everything here is called on the loop, but for chooser_new(), which reads the catalogue.
 */
#pragma once

#include "net/net_place.h"
#include "transfer/choice.h"

struct catalogue;
struct chooser;
struct json_writer;
struct nearby; /* wire/nearby.h */

#define CHOOSER_HANG_NS (3 * UINT64_C(1000000000))
#define CHOOSER_ANSWER_NS (2 * UINT64_C(1000000000))

struct chooser_options {
    struct loop *loop;
    struct tls_context *tls;     /* to dial with; borrowed; NULL in a simulated world */
    struct catalogue *catalogue; /* borrowed, must outlive the loop's last jobs; NULL: forgets */
    const char *device;          /* our own name: never our upstream; borrowed */
    /* A reflector: its own site's reflectors and beacons are no parents for it, and the terms of
     * its site do not bar it from the hub. */
    bool is_reflector;
    struct upstream_place places[UPSTREAM_PLACES_MAX]; /* configured */
    size_t place_count;
    struct upstream_place
        hub; /* known to be the hub's, whether a list says so or not; port 0: none */
    void *arg;
    void (*changed)(void *arg); /* another was chosen, it came up, or nobody is; NULL: who cares */
};

struct chooser *chooser_new(const struct chooser_options *options);
struct chooser *chooser_free(struct chooser *c); /* before the upstream; NULL is fine */

/* The place to make the upstream with: the last good one, else the first by rank. */
const struct upstream_place *chooser_first(const struct chooser *c);
/* From then on it is moved by nobody else. */
void chooser_use_upstream(struct chooser *c, struct upstream *u);

/* Copied.  NULL: there is none (any more). */
void chooser_set_list(struct chooser *c, const struct nearby *list);
/* Places on our own link: "10.1.0.5", 7443. */
void chooser_set_beacons(struct chooser *c, const struct upstream_place *places, size_t count);
/* The machine is somewhere else: everything is measured anew, and nothing holds us. */
void chooser_moved(struct chooser *c, const struct net_place *place);
/* What the upstream lacks is perhaps elsewhere: true, it will be asked again there soon; false,
 * there is nobody else. */
bool chooser_lacks(struct chooser *c);

/* The upstream says that what it answers to GET /v1/here is another now (event "here"). */
void chooser_hear(struct chooser *c);
/* Does the upstream stand in our own branch, as far as is known? */
bool chooser_is_lan(const struct chooser *c);
/* The whole decision as an object "choice" of a status: what `albedo explain upstream` shows. */
void chooser_show(const struct chooser *c, struct json_writer *w);
/* The same for a machine at another place, without asking anybody. */
void chooser_what_if(const struct chooser *c, const struct net_place *place, struct json_writer *w);
