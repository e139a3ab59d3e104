/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/wan.h – the line to the parents: what may come down it, what may go up, and why.
 *
 * All connections over one line are members of one wan, whatever they carry: they share its two
 * budgets and its two controllers (shaper/law.h), one each way.  A wan knows four things: what the
 * configuration allows of the line, what the policy says now, what the law makes of the delay it
 * measures, and how many bytes wait.
 *
 *     policy, configuration ──> terms ──┐
 *     probes, PINGs, stamps ──> law ────┴─> rate R, window W
 *                                            │
 *     down: a member's credit gate <── tree ─┤   what others may send us
 *     up:   a member's stream gate <── tree ─┘   every byte that leaves, answers and credit too
 *
 * A *control* member carries small questions and what keeps connections alive: it goes before
 * everything and never yields, but it counts.  A *bulk* member takes what the law leaves.  An
 * *upload* member is bulk upwards; the few words that answer it come down as control's do.
 *
 * A line that is not shaped (a LAN) has no law; its budgets are those of policy and configuration.
 */
#pragma once

#include "net/http_pace.h"
#include "shaper/law.h"
#include "shaper/policy.h"
#include "shaper/probe.h"
#include "shaper/shaper.h"

struct wan;
struct wan_member;

enum wan_way { WAN_DOWN, WAN_UP, WAN_WAYS };
enum wan_traffic { WAN_CONTROL, WAN_BULK, WAN_UPLOAD };

struct wan_options {
    struct loop *loop;
    bool is_shaped;                 /* a law governs it: see above                            */
    uint64_t ceiling_bps[WAN_WAYS]; /* of the configuration, bits on the wire; 0: none        */
    uint64_t window_bytes;          /* most credit outstanding, whatever the law says; 0: 4 MiB */
    uint64_t near_ns; /* whoever is nearer than that, there and back, is no WAN; 0: all are  */
    unsigned crowd;   /* so many of our kind may share it, if no sender tells; 0: none */
    uint32_t packet_overhead; /* bytes that the line adds to an IP packet and that count */
    const char *name;         /* for the log; borrowed */
    /* How often to measure, from now on; may be NULL. */
    void (*pace)(void *arg, enum probe_pace pace);
    /* It turned out to be near, or not to be after all; may be NULL.  Not the moment to set terms.
     */
    void (*near)(void *arg, bool is_near);
    void *arg;
};

struct wan *wan_new(const struct wan_options *options);
struct wan *wan_free(struct wan *w); /* members are gone; NULL is fine */
bool wan_is_shaped(const struct wan *w);

/* What the policy says from now on; in force for the next byte. */
void wan_set_terms(struct wan *w, enum wan_way way, const struct policy_terms *terms);

/* Somebody knows that it leads to the own LAN, whatever delay is measured (a radio has a WAN's);
 * or takes that back.  `near` is told later. */
void wan_say_near(struct wan *w, bool is_near);

/* A connection over the line takes part.  Its session must have been made with is_paced when it is
 * bulk on a shaped line, so that nothing comes that was not granted.  Detach before the session's
 * last callback returns. */
struct wan_member *wan_attach(struct wan *w, struct http_session *session,
                              enum wan_traffic traffic);
struct wan_member *wan_detach(struct wan_member *m); /* returns NULL; NULL is fine */

/* What measures the delay (shaper/probe.h) tells it to these, with the wan as its argument. */
extern const struct probe_ops wan_probe_ops;

/* Its bodies go up now (or no more): then what it sends is bulk, too, not only what it receives. */
void wan_member_uploads(struct wan_member *m, bool is_uploading);
/* May bodies be begun or gone on with now?  False while the policy says off: whoever makes them
 * asks before each piece and looks again a little later; answers, credit and PINGs leave all the
 * same. */
bool wan_may_upload(const struct wan *w);

/* ---- explained ---- */

struct wan_figures {
    bool is_shaped;
    struct policy_terms terms;
    struct law_verdict verdict; /* without a law: state CAPPED or OFF as the terms are */
    uint64_t line_bps;          /* the configuration's ceiling; 0: none                */
    uint64_t rate_bps;          /* bulk body bytes may come (go) at; LAW_UNLIMITED     */
    uint64_t wire_bytes;        /* that passed, headers included                        */
    uint64_t bulk_bytes;        /* body bytes of bulk members                          */
    uint64_t recent_bps;        /* of bulk, over the last second                       */
    size_t members;
};
void wan_figures(const struct wan *w, enum wan_way way, struct wan_figures *out);
/* A decision that changed something, the newest first: false when there is none so far back. */
struct wan_note {
    uint64_t at_ns;
    struct law_verdict verdict;
};
bool wan_note_at(const struct wan *w, enum wan_way way, size_t back, struct wan_note *out);
/* The connections that the law asks for; 1 unless random loss holds one back. */
unsigned wan_connections(const struct wan *w);
