/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/ours.h – a scavenging download: credit paced by a law, carried by pipes, watched by probes.
 *
 * What the programs do with a loop and sockets, done here with the packet model: credit goes up as
 * packets, the sender sends at once what is granted, the probe is a packet both ways.  The law is
 * one of a table, so that others can stand in its place.
 */
#pragma once

#include "fluid/world.h"
#include "shaper/law.h"

struct pipe;
enum { OURS_SESSIONS = 8, OURS_PROBES = 256 };

struct fluid_law { /* `state` is what make() returned */
    const char *name;
    void *(*make)(const struct law_options *options);
    struct law_verdict (*tick)(void *state, uint64_t now_ns);
    uint64_t (*next_ns)(const void *state);
    void (*on_sample)(void *state, const struct law_sample *sample);
    void (*on_lost)(void *state, uint64_t now_ns);
    void (*on_granted)(void *state, uint64_t bytes, uint64_t now_ns);
    void (*on_delivered)(void *state, uint64_t bytes, uint64_t now_ns);
    void (*on_stamp)(void *state, const struct law_stamp *stamp, uint64_t now_ns);
    void (*on_hole)(void *state, uint64_t now_ns);
};
extern const struct fluid_law fluid_scavenger, fluid_ledbat;

struct ours {
    unsigned index;
    const struct fluid_law *law;
    void *state;
    struct law_verdict verdict;
    struct pipe *pipes[OURS_SESSIONS * 4];
    unsigned sessions, per_session; /* pipes of session s: s, s + sessions, … */
    unsigned turn;
    uint64_t granted, delivered, session_bytes[OURS_SESSIONS], session_before[OURS_SESSIONS];
    uint64_t grant_ns, probe_ns, start_ns, stop_ns;
    double demand_bps; /* 0: as much as there is */
    bool owd, told_aggregate;
    double drift; /* of the sender's clock, s/s */
    uint64_t probe_number, probe_answered, probe_sent_ns[OURS_PROBES];
    bool probe_open[OURS_PROBES];
};

/* `sessions` downloads under one controller, from `start_s` on. */
struct ours *ours_new(struct world *w, const struct fluid_law *law, unsigned sessions,
                      double start_s);
struct ours *ours_free(struct ours *o);
uint64_t ours_next_ns(const struct ours *o);
void ours_run(struct world *w, struct ours *o);
void ours_on_credit(struct world *w, struct ours *o, const struct packet *p);
void ours_on_probe(struct world *w, struct ours *o, const struct packet *p);
void ours_on_delivered(struct world *w, struct ours *o, struct pipe *p, uint64_t bytes);
void ours_on_hole(struct world *w, struct ours *o);
