/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/pipe.h – a TCP connection as far as it matters here: windows, losses, order.
 *
 * Segments are numbered, transmissions too; a segment is lost when three later transmissions were
 * acknowledged, or when nothing comes back in time.  What arrives behind a hole is kept and not
 * handed up (head-of-line blocking).  Congestion control is CUBIC with HyStart or BBR's first
 * version, by their papers, in outline.
 */
#pragma once

#include "fluid/world.h"

enum congestion { CUBIC, BBR };
enum { PIPE_RING = 1 << 14 };
#define PIPE_ENDLESS (UINT64_MAX / 2)

struct segment { /* by its number */
    uint32_t size;
    bool acked, queued; /* queued: waits to be sent again */
    bool arrived;       /* the receiver's side */
    uint64_t tx;        /* its newest transmission */
};

struct transmission {
    uint64_t seq, sent_ns, delivered, delivered_ns;
    bool done, limited;
};

struct bbr {
    double rate_bps[10]; /* the best of each of ten rounds */
    unsigned round, flat_rounds, phase;
    double best_before;
    uint64_t round_end, phase_ns, probe_ns, probe_until_ns;
    bool filled, drained;
};

struct pipe {
    unsigned index, session; /* number in the world; which of a controller's sessions */
    enum direction direction;
    enum congestion congestion;
    struct ours *ours;                        /* told of what arrives; may be NULL */
    uint64_t limit;                           /* bytes the application has given to send */
    uint64_t given;                           /* of which so many are in segments */
    uint64_t next_seq, edge_seq, resend_from; /* next new; first not acknowledged */
    uint64_t next_tx, edge_tx, acked_tx, recovery_tx;
    unsigned in_flight, resend_count;
    double cwnd, ssthresh; /* segments */
    double w_max, cubic_k, epoch_cwnd;
    uint64_t epoch_ns;
    double srtt_s, min_rtt_s;
    uint64_t min_rtt_ns;
    unsigned hystart_samples;
    double hystart_least_s;
    uint64_t hystart_end;
    uint64_t pace_ns, heard_ns, rto_ns, timer_ns;
    unsigned timeouts;
    uint64_t delivered_ns;
    uint64_t retransmitted, acked_bytes;
    uint64_t received_seq, received_bytes; /* the receiver: first missing; handed up */
    unsigned unacked;
    uint64_t ack_due_ns, ack_tx;
    struct bbr bbr;
    struct web *web;
    uint64_t stop_ns;
    struct segment segments[PIPE_RING];
    struct transmission transmissions[PIPE_RING];
};

/* Bytes flow in `direction` once the limit is raised.  The world owns it. */
struct pipe *pipe_new(struct world *w, enum direction direction, enum congestion congestion);
struct pipe *pipe_free(struct pipe *p);
void pipe_give(struct world *w, struct pipe *p, uint64_t bytes);
/* No new bytes from now on. */
void pipe_stop(struct pipe *p);
/* A fresh connection: the window and all that was learned begin anew. */
void pipe_reconnect(struct world *w, struct pipe *p);
void pipe_on_data(struct world *w, struct pipe *p, const struct packet *packet);
void pipe_on_ack(struct world *w, struct pipe *p, const struct packet *packet);
void pipe_on_timer(struct world *w, struct pipe *p);

/* fluid/congestion.c */
void congestion_begin(struct world *w, struct pipe *p);
void congestion_acked(struct world *w, struct pipe *p, const struct transmission *t, double rtt_s);
void congestion_lost(struct world *w, struct pipe *p);
void congestion_timeout(struct pipe *p);
double congestion_pace_bps(const struct pipe *p); /* 0: not paced */
double congestion_window(const struct world *w, const struct pipe *p);

/* fluid/web.c: pages of three sizes, a second of thought between them */
enum { WEB_SIZES = 3, WEB_KEPT = 512 };
struct web {
    uint64_t think_ns, due_ns, began_ns, target;
    unsigned next;
    double took_s[WEB_SIZES][WEB_KEPT];
    unsigned count[WEB_SIZES];
    double from_s;
};
void web_begin(struct world *w, struct pipe *p, double think_s);
void web_on_timer(struct world *w, struct pipe *p);
void web_on_delivered(struct world *w, struct pipe *p);
double web_percentile(struct web *web, unsigned size, double share);
