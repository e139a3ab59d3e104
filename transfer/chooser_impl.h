/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/chooser_impl.h – what the chooser's files share: candidates, scouts, the state. */
#pragma once

#include "base/buf.h"
#include "transfer/chooser.h"
#include "wire/here.h"
#include "wire/nearby.h"

enum { CHOOSER_SCOUTS = 2, CHOOSER_BEACONS_MAX = 16, CHOOSER_WORDS = 160 };

/* Beside choice_candidate: what the choice itself does not ask for. */
struct chooser_candidate {
    enum reflector_state listed;  /* as the list had it */
    bool is_expected;             /* the list names its device */
    char serial[SERIAL_HEX_SIZE]; /* of the certificate it showed last; "": none */
    bool is_being_asked;
    unsigned failures;            /* to answer a scout, in a row              */
    unsigned session_failures;    /* to let us in, in a row                   */
    uint64_t no_session_until_ns; /* … so its answers do not count until then */
    uint64_t answered_ns;         /* last; 0: never                           */
    uint32_t sessions, max_sessions;
    uint64_t down_bps;
    int64_t cut_off_since_s;
    char line_state[16];
    char words[CHOOSER_WORDS]; /* its own for a refusal, or what failed */
};

/* One question to one candidate, on a connection of its own. */
struct scout {
    struct chooser *chooser;
    struct upstream_place place;
    struct http_session *session; /* NULL: at rest */
    struct http_call *call;
    struct buf answer;
    unsigned status, asked;
    uint64_t sent_ns, best_us;
    struct timer deadline;
};

/* Its record in the catalogue: "HOST PORT" of the last that was up. */
#define CHOOSER_MEMORY "upstream/last"

struct chooser {
    struct chooser_options options;
    struct upstream *upstream;
    struct upstream_listener listener;
    struct choice_candidate facts[CHOICE_MAX];
    struct chooser_candidate more[CHOICE_MAX];
    size_t count;
    struct choice choice; /* the last decision */
    struct site_terms terms;
    struct nearby list; /* a copy; .holders NULL and no hub: there is none */
    struct upstream_place beacons[CHOOSER_BEACONS_MAX];
    size_t beacon_count;
    struct upstream_place remembered; /* port 0: nobody */
    struct net_place place;
    struct scout scouts[CHOOSER_SCOUTS];
    struct timer soon, settle, hesitate, look, refresh;
    bool is_new_place, is_waiting, is_moving, was_lan;
    uint64_t return_after_ns, returned_ns, moved_ns, moves;
    uint64_t quiet_since_ns; /* 0: it is not quiet */
    /* Of the one we hold. */
    struct upstream_request *asking;
    uint64_t asking_ns;
    /* While chunks are under way. */
    uint64_t brought_bytes, wire_bytes, silent_since_ns; /* bytes: when the silence began */
    bool has_asked_silent, is_mute;                      /* mute: it did not answer that either */
};

/* chooser.c */
void chooser_decide_soon(struct chooser *c);
size_t chooser_held(const struct chooser *c);           /* index or CHOICE_NONE */
bool chooser_is_near(const struct choice_candidate *c); /* on our LAN, as far as is known */
/* What was said of `i` by the certificate it shows. */
void chooser_judge(struct chooser *c, size_t i, const struct identity *id);
bool chooser_is_out(const struct choice_candidate *c); /* … so nothing is asked of it */
/* `i` answered; `here` NULL: a program that does not know the question. */
void chooser_note_good(struct chooser *c, size_t i, const struct here *here, uint64_t latency_us);
void chooser_note_bad(struct chooser *c, size_t i, const char *words);
uint64_t chooser_jittered(struct chooser *c, uint64_t ns, unsigned percent);

/* chooser_held.c */
extern const struct upstream_listener chooser_listener;
/* Ask the upstream itself, on its control connection. */
void chooser_ask_held(struct chooser *c, uint64_t timeout_ns);
void chooser_refresh(void *chooser); /* time to ask it again                            */
void chooser_look(void *chooser);    /* while something is under way: does it come?     */

/* chooser_gather.c */
void chooser_gather(struct chooser *c);         /* candidates anew, facts kept */
void chooser_rank(struct chooser *c, size_t i); /* whose place it is became known */
size_t chooser_find(const struct chooser *c, const struct upstream_place *place);
void chooser_drop_list(struct chooser *c);
/* At which places, and how near, a machine at `place` finds them: fills `out`. */
size_t chooser_candidates(const struct chooser *c, const struct net_place *place,
                          struct choice_candidate *out, struct chooser_candidate *more);

/* chooser_scout.c */
void scout_init(struct scout *s, struct chooser *c);
void scout_release(struct scout *s);
/* False: all of them are out. */
bool scout_send(struct chooser *c, size_t i);
void scouts_recall(struct chooser *c);
