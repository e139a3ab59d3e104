/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/line.h – the line to the parents, complete: its wan, measured, ruled by the policy.
 *
 *     policy_book ──terms──> wan <──samples── path_probe
 *          └──> layer_jobs ───^^──connections── upstream
 *
 * Made before the upstream, which takes its connections to line_wan(); told of it afterwards.
 */
#pragma once

#include "net/own_address.h"
#include "shaper/wan.h"
#include "transfer/policy_book.h"
#include "transfer/upstream.h"

struct json_writer;
struct layer_jobs;
struct line;

/* What leads to the parents. */
enum line_kind {
    LINE_IS_AUTO, /* a WAN, unless every parent is this machine itself, or it is half a
                     millisecond away at most */
    LINE_IS_WAN,
    LINE_IS_LAN
};

struct line_options {
    struct loop *loop;
    const struct upstream_place *places; /* the parents; the first names the line; borrowed */
    size_t place_count;
    enum line_kind kind;
    uint64_t down_bps, up_bps; /* of the configuration, on the wire; 0: none */
    uint64_t window_bytes;     /* most credit outstanding; 0: 4 MiB          */
    uint32_t packet_overhead;
    unsigned crowd; /* so many of our kind may share the line, if no sender tells; 0: none */
    struct policy_book *policy; /* borrowed, outlives it; NULL: scavenge without limits */
    const char *site, *device;  /* who we are, to the policy; borrowed */
    const struct own_addresses *addresses; /* of this machine; borrowed; NULL: not known */
};

struct line *line_new(const struct line_options *options);
/* The upstream that was made with line_wan(): measured from now on, and the policy follows it. */
void line_use_upstream(struct line *l, struct upstream *upstream);
/* The addresses that it was given are others now. */
void line_addresses_changed(struct line *l);
/* The upstream was moved: that is whom it leads to.  `is_lan`: a LAN to rules and law, whatever
 * delay is measured; else what is measured says so.  Counts where the kind is AUTO. */
void line_leads_to(struct line *l, const struct upstream_place *place, bool is_lan);
/* It costs money: what may scavenge (no rule says more) waits from now on. */
void line_spare(struct line *l, bool is_spared);
bool line_is_spared(const struct line *l);
/* Neither measured nor ruled any more: before the policy book and the upstream go. */
void line_stop(struct line *l);         /* NULL is fine */
struct line *line_free(struct line *l); /* after line_stop() and the upstream; NULL is fine */
struct wan *line_wan(struct line *l);
/* The layers on it, for who fetches over it; gone after line_stop().  NULL: there is no policy. */
struct layer_jobs *line_jobs(struct line *l);

/* Does the policy stop a layer (NULL: all) on this line now, and until when?  `beyond`: on the WAN
 * behind it, of the branch's reflector; false of a line that is a WAN itself. */
bool line_hold(const struct line *l, enum wan_way way, const char *layer, bool beyond,
               struct policy_hold *out);

/* Everything known of it, as an object "line" of a status: what `albedo explain rate` shows. */
void line_show(const struct line *l, struct json_writer *w);
