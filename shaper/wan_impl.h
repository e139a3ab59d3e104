/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/wan_impl.h – what the wan's files share: its two halves and its members. */
#pragma once

#include <sys/queue.h>

#include "shaper/wan.h"

enum {
    WAN_NOTES = 32,        /* decisions remembered for `explain` */
    WAN_RECENT_SLOTS = 10, /* tenths of a second                 */
};

/* Bytes of the last second, by tenths. */
struct wan_recent {
    uint64_t bytes[WAN_RECENT_SLOTS];
    uint64_t slot; /* number of the newest: its time / 100 ms */
};

/* One way over the line. */
struct wan_half {
    struct wan *wan;
    enum wan_way way;
    struct law law;
    struct law_verdict verdict;
    struct policy_terms terms;
    struct shaper *shaper;
    struct tree_node *control, *bulk;
    struct tree_node *probes; /* a leaf, for them and for what control brings: they pass beside the
                                 gates, and count all the same */
    bool is_near;             /* nearer than a WAN can be: it does not give way */
    uint64_t line_bps;        /* the link's ceiling, on the wire      */
    uint64_t bulk_bps;        /* the bulk node's ceiling, on the wire */
    uint64_t delivered_bytes;
    struct wan_recent recent;
    struct wan_note notes[WAN_NOTES];
    size_t note_count; /* ever; the newest is (note_count - 1) % WAN_NOTES */
};

struct wan_member {
    struct wan *wan;
    struct http_session *session;
    enum wan_traffic traffic;
    bool is_uploading, is_off;
    bool is_up_bulk;       /* which leaf `up` is: bulk while it uploads, unless that is off */
    uint64_t window_bytes; /* as last set */
    uint64_t spread_bps;   /* … of what leaves */
    unsigned number;       /* for the law: one of its streams */
    struct shaper_leaf down, up;
    struct gate credit_gate, stream_gate; /* bulk: the law hears of it, then the leaf decides */
    uint64_t received_bytes, acked_bytes; /* as last looked at */
    uint64_t out_of_order;
    uint64_t granted_bytes[WAN_WAYS], delivered_bytes[WAN_WAYS];
    TAILQ_ENTRY(wan_member) link;
};

struct wan {
    struct wan_options options;
    struct wan_half halves[WAN_WAYS];
    TAILQ_HEAD(, wan_member) members;
    struct timer tick;
    enum probe_pace pace;
    bool is_by_ping;
    bool is_said_near;
    uint64_t active_ns; /* when bulk last moved, or wanted to */
};

/* wan_member.c */
void wan_member_look(struct wan_member *m, uint64_t now_ns);
/* What is the member's share of the window, its quantum and frames, now? */
void wan_member_apply(struct wan_member *m);
/* wan.c: something happened that the law may answer. */
void wan_hear(struct wan *w);
/* These crossed the line beside the gates. */
void wan_charge(struct wan_half *h, uint64_t wire_bytes);
void wan_moved(struct wan_half *h, uint64_t bytes, uint64_t now_ns);
