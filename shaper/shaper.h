/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/shaper.h – the budget tree on a loop: gates that open when it is their turn.
 *
 * One shaper is one direction of one network (what leaves towards the WAN; what may come from it;
 * the same of the LAN): its root is the link, its leaves are gates (net/gate.h).  A gate that keeps
 * back what is asked for calls when some of it may go.
 *
 *     struct shaper *up = shaper_new(loop, &(struct shaper_options){.link = {.ceiling_bps = …}});
 *     shaper_leaf_start(&leaf, up, NULL, &(struct node_terms){.ceiling_bps = TREE_UNLIMITED});
 *     stream_use_gate(stream, &leaf.gate);              // every byte that leaves
 *     shaper_leaf_watch_sent(&leaf, stream);
 * or
 *     http_session_use_credit_gate(session, &leaf.gate); // body bytes that others may send us
 *     shaper_leaf_watch_received(&leaf, session);
 *
 * Limits are in bytes on the wire.  Askers speak of what they write or grant; that is charged by an
 * estimate, and every 100 ms corrected by what the connection says was sent (or came): TLS, frames,
 * headers of packets, acknowledgements, retransmissions.  The estimate follows what was found.
 *
 * Nobody asks for what they do not use: a grant that lies idle for 100 to 200 ms is taken back.
 * Everything happens from one timer; nothing runs while nobody wants anything.
 */
#pragma once

#include <sys/queue.h>

#include "net/gate.h"
#include "net/loop.h"
#include "shaper/tree.h"

struct http_session;
struct shaper;
struct stream;

struct shaper_options {
    struct node_terms link;
    uint32_t packet_overhead_bytes; /* of the link below IP: 0: IP bytes are what is limited;
                                       14–38 Ethernet, 48 for ATM's DSL and the like         */
};

struct shaper *shaper_new(struct loop *loop, const struct shaper_options *options);
struct shaper *shaper_free(struct shaper *s); /* all leaves and nodes are gone before */

/* As in shaper/tree.h; what they change is in force at once. */
struct tree_node *shaper_link(struct shaper *s);
struct tree_node *shaper_node_new(struct shaper *s, struct tree_node *parent,
                                  const struct node_terms *terms);
struct tree_node *shaper_node_free(struct shaper *s, struct tree_node *n);
void shaper_node_set_terms(struct shaper *s, struct tree_node *n, const struct node_terms *terms);

/* One asker's gate.  The storage is the owner's; it may be bound to a stream or session of its own
 * only.  The members are the shaper's. */
struct shaper_leaf {
    struct gate gate; /* first */
    struct shaper *shaper;
    struct tree_node *node;
    struct stream *stream;        /* watched; NULL: estimates stand */
    struct http_session *session; /* … by this one, for credit      */
    uint64_t in_hand_bytes;       /* granted on the wire, not used yet */
    uint64_t awaited_bytes;       /* … and enough of it to call        */
    uint64_t charged_bytes;       /* on the wire, since it is watched; in hand excluded */
    uint64_t before_bytes;        /* measured when that began                           */
    uint64_t passed_bytes, seen_passed_bytes; /* as the asker says; at the last look    */
    uint64_t seen_bytes;                      /* measured at the last look              */
    uint32_t wire_per_1024;                   /* the estimate                           */
    bool is_asleep;                           /* not used since the last look           */
    bool is_looked_at;                        /* in the list of those to look at        */
    TAILQ_ENTRY(shaper_leaf) link;
};

/* A leaf of the tree under `parent` (NULL: the link). */
void shaper_leaf_start(struct shaper_leaf *leaf, struct shaper *s, struct tree_node *parent,
                       const struct node_terms *terms);
/* Whoever asked it has another gate now, or is gone.  A zeroed or stopped one is fine. */
void shaper_leaf_stop(struct shaper_leaf *leaf);
void shaper_leaf_set_terms(struct shaper_leaf *leaf, const struct node_terms *terms);
/* What leaves by this stream, or comes by this session's, is what counts from now on.  NULL: the
 * estimate.  They must outlive the leaf or be taken from it. */
void shaper_leaf_watch_sent(struct shaper_leaf *leaf, struct stream *stream);
void shaper_leaf_watch_received(struct shaper_leaf *leaf, struct http_session *session);
