/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/probe.h – how long does a small packet take, now?  Who asks, and who answers.
 *
 * The asker sends a datagram 20 times a second while bulk flows, 10 times while it has yielded, 50
 * times while a queue is suspected and once when idle; each gives a sample or a loss.  Where UDP is
 * blocked it asks its owner for PINGs on the control connection instead, and tries UDP again now
 * and then.
 *
 *     TRYING ──answer──> UDP ──silent 3 s, but a PING is answered──> PING ──UDP answers──> UDP
 *       └──── no answer in 3 s ──────────────────────────────────────^
 *
 * A probe is lost when no answer came within max(3 × rtt, 1 s); the answer may still come and is
 * then a sample with `is_late`.  While UDP has never been answered nothing is called lost: what is
 * blocked is no congestion.
 *
 * The answerer is a socket at the tree port's number.  It knows askers by tickets: a random id and
 * the key of a control connection, given over that connection and gone with it.  To everybody else
 * it is silent.  It answers each sequence number of a ticket once, with as many bytes as it got, to
 * whatever address the request came from (addresses change behind NATs), at most 100 times a
 * second for each ticket.
 *
 * What an answerer that lies can cause: wrong times in samples, hence transfers from itself that
 * are too slow, or too fast within their limits; a round trip is never shorter than 0 nor longer
 * than it was.  What somebody on the way without the key can cause: loss and delay, as ever.
 *
 * Probes pass no gate, being what the gates are set by.  What they cost, to be charged by whoever
 * keeps accounts: PROBE_WIRE_SIZE each, both ways.
 */
#pragma once

#include "net/datagram.h"
#include "wire/probe.h"

enum { PROBE_WIRE_SIZE = PROBE_PACKET_SIZE + 28 /* IPv4 and UDP; with IPv6 20 more */ };

/* ---- asking ---------------------------------------------------------------------------------- */

struct probe;

enum probe_pace { PROBE_IDLE, PROBE_YIELDED, PROBE_ACTIVE, PROBE_ALERT };
enum probe_mode { PROBE_TRYING, PROBE_UDP, PROBE_PING };

struct probe_sample {
    uint64_t sent_ns, at_ns; /* loop_now_ns()                                 */
    uint64_t rtt_ns;         /* without what the other side held it           */
    bool has_owd;            /* PINGs have none                               */
    int64_t owd_down_ns;     /* there → here: differences of two clocks, only */
    int64_t owd_up_ns;       /* here → there: their changes mean anything     */
    bool is_late;            /* it was called lost before                     */
    uint64_t aggregate_bps;  /* the answerer's, wire/probe.h; PINGs: 0        */
    uint16_t flows;
};

/* All from the loop; the probe may be freed in any of them.  NULL ones are not called. */
struct probe_ops {
    void (*sample)(void *arg, const struct probe_sample *s);
    void (*lost)(void *arg, uint64_t sent_ns);
    /* A clock jumped, here or there (suspend, or another process answers): forget base delays. */
    void (*forget)(void *arg);
    void (*mode)(void *arg, enum probe_mode mode);
    /* Send a PING and call probe_take_ping() when it is answered.  Never while one is out, unless
     * that was called lost. */
    void (*ping)(void *arg);
};

struct probe_options {
    struct loop *loop;
    const struct datagram_peer *to; /* copied; NULL: no UDP there, PINGs only */
    uint8_t id[PROBE_ID_SIZE];
    uint8_t key[PROBE_KEY_SIZE];
    const struct probe_ops *ops; /* borrowed */
    void *arg;
};

/* Begins at once, at PROBE_IDLE's pace.  A socket that cannot be had is as if UDP were blocked. */
struct probe *probe_new(const struct probe_options *options);
struct probe *probe_free(struct probe *p); /* returns NULL */
void probe_set_pace(struct probe *p, enum probe_pace pace);
/* The PING that ops->ping() sent took this long. */
void probe_take_ping(struct probe *p, uint64_t rtt_ns);
const char *probe_mode_name(enum probe_mode mode);

struct probe_figures {
    enum probe_mode mode;
    uint64_t sent, answered, lost, late; /* late ones are counted in `lost` too          */
    uint64_t wrong;                      /* not ours, spoofed, doubled, another version  */
    uint64_t forgets;
    uint64_t rtt_ns; /* smoothed (1/8); 0: none yet */
};
void probe_figures(const struct probe *p, struct probe_figures *out);

/* ---- answering ------------------------------------------------------------------------------- */

struct probe_responder;
struct probe_ticket;

struct probe_responder_options {
    struct loop *loop;
    const char *address; /* "0.0.0.0" … */
    uint16_t port;       /* the tree port's number; 0: any */
    size_t max_tickets;  /* 0: 4,096 */
};

/* As datagram_open(): then there is no UDP here, which costs accuracy and nothing else. */
ALB_MUST_USE struct alb_status probe_responder_open(const struct probe_responder_options *options,
                                                    struct probe_responder **out);
struct probe_responder *probe_responder_close(struct probe_responder *r); /* returns NULL */
uint16_t probe_responder_port(const struct probe_responder *r);
/* What replies say of our own sending from now on (sister flows are nobody's foreground). */
void probe_responder_tell(struct probe_responder *r, uint64_t aggregate_bps, uint16_t flows);
/* How many askers reported, since then, a queue of that length on the way to them?  They may lie;
 * what follows from it must be harmless. */
size_t probe_responder_queued(const struct probe_responder *r, uint64_t least_ns,
                              uint64_t since_ns);

/* FULL.  The ticket must be freed by whoever got it; after probe_responder_close() that is fine
 * too. */
ALB_MUST_USE struct alb_status probe_ticket_new(struct probe_responder *r,
                                                const uint8_t key[PROBE_KEY_SIZE],
                                                struct probe_ticket **out);
struct probe_ticket *probe_ticket_free(struct probe_ticket *t); /* returns NULL */
const uint8_t *probe_ticket_id(const struct probe_ticket *t);   /* PROBE_ID_SIZE bytes */

/* fn(arg) whenever one of its probes was answered: both have crossed the line beside all gates. */
void probe_ticket_on_answered(struct probe_ticket *t, loop_fn fn, void *arg);

struct probe_responder_figures {
    size_t tickets;
    uint64_t answered;
    uint64_t strangers; /* unknown id, wrong MAC, wrong form or version */
    uint64_t repeated;  /* a sequence number seen before, or too old    */
    uint64_t too_many;  /* beyond a ticket's rate                       */
    uint64_t unsent;    /* the socket had no room                       */
};
void probe_responder_figures(const struct probe_responder *r, struct probe_responder_figures *out);
