/* SPDX-License-Identifier: Apache-2.0 */
/* support/probe_rig.h – an asker and an answerer of probes at the two ends of a simulated link. */
#pragma once

#include "shaper/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/units.h"
#include "sim/world.h"

enum { PORT = 7443, STRANGE_PORT = 5555, SAMPLES_MAX = 4096, HEARD_MAX = 512 };
#define DELAY_NS (20 * NS_PER_MS)
#define RATE_BPS UINT64_C(8000000)

struct rig {
    struct world *world;
    struct world_link *link;
    struct loop *hub, *box;
    struct probe_responder *responder;
    struct probe_ticket *ticket;
    struct probe *probe;
    struct datagram *meddler; /* on the box's node, a socket of somebody else */
    struct datagram_peer door;
    uint8_t key[PROBE_KEY_SIZE];
    struct probe_sample samples[SAMPLES_MAX];
    size_t sample_count;
    unsigned lost, forgets, pings, modes[3], heard;
    uint8_t heard_bytes[HEARD_MAX];
    size_t heard_size;
    uint64_t ping_rtt_ns; /* 0: nobody answers PINGs */
    struct timer pong;
    bool frees_in_sample, frees_in_lost, frees_in_forget, frees_in_mode;
};

static inline void drop(struct rig *r)
{
    r->probe = probe_free(r->probe);
}

static inline void on_sample(void *arg, const struct probe_sample *s)
{
    struct rig *r = arg;

    if (r->sample_count < SAMPLES_MAX)
        r->samples[r->sample_count++] = *s;
    if (r->frees_in_sample)
        drop(r);
}

static inline void on_lost(void *arg, uint64_t sent_ns)
{
    struct rig *r = arg;

    (void)sent_ns;
    r->lost++;
    if (r->frees_in_lost)
        drop(r);
}

static inline void on_forget(void *arg)
{
    struct rig *r = arg;

    r->forgets++;
    if (r->frees_in_forget)
        drop(r);
}

static inline void on_mode(void *arg, enum probe_mode mode)
{
    struct rig *r = arg;

    r->modes[mode]++;
    if (r->frees_in_mode)
        drop(r);
}

static inline void on_pong(void *arg)
{
    struct rig *r = arg;

    if (r->probe != NULL)
        probe_take_ping(r->probe, r->ping_rtt_ns);
}

static inline void on_ping(void *arg)
{
    struct rig *r = arg;

    r->pings++;
    if (r->ping_rtt_ns != 0)
        timer_set_in(&r->pong, r->ping_rtt_ns);
}

static const struct probe_ops rig_ops = {
    .sample = on_sample, .lost = on_lost, .forget = on_forget, .mode = on_mode, .ping = on_ping};

static inline void on_heard(void *arg, const void *bytes, size_t size,
                            const struct datagram_peer *from, uint64_t at_ns)
{
    struct rig *r = arg;

    (void)from;
    (void)at_ns;
    r->heard++;
    memcpy(r->heard_bytes, bytes, size);
    r->heard_size = size;
}

static inline void open_responder(struct rig *r)
{
    const struct probe_responder_options options = {
        .loop = r->hub, .address = "0.0.0.0", .port = PORT, .max_tickets = 3};

    assert_false(alb_failed(probe_responder_open(&options, &r->responder)));
    assert_false(alb_failed(probe_ticket_new(r->responder, r->key, &r->ticket)));
}

static inline void close_responder(struct rig *r)
{
    r->responder = probe_responder_close(r->responder);
    r->ticket = probe_ticket_free(r->ticket);
}

static inline int make_rig(void **state)
{
    struct rig *r = xalloc(sizeof(*r));
    struct world_link *via[1];

    r->world = world_new(7);
    r->hub = world_add_node(r->world, "hub", NULL);
    r->box = world_add_node(r->world, "box", NULL);
    r->link = world_add_link(r->world, "hub--box", RATE_BPS, DELAY_NS);
    via[0] = r->link;
    world_route(r->world, r->hub, r->box, via, 1);
    memset(r->key, 9, sizeof(r->key));
    timer_init(&r->pong, r->box, on_pong, r);
    open_responder(r);
    const struct stream line = {.loop = r->box, .address = "hub:1"};
    assert_true(datagram_peer_of(&line, PORT, &r->door));
    const struct datagram_options other = {
        .address = "0.0.0.0", .port = STRANGE_PORT, .got = on_heard, .arg = r};
    assert_false(alb_failed(datagram_open(r->box, &other, &r->meddler)));
    *state = r;
    return 0;
}

static inline int drop_rig(void **state)
{
    struct rig *r = *state;

    timer_stop(&r->pong);
    drop(r);
    datagram_close(r->meddler);
    close_responder(r);
    world_free(r->world);
    free(r);
    return 0;
}

static inline void begin(struct rig *r, enum probe_pace pace)
{
    struct probe_options o = {.loop = r->box, .to = &r->door, .ops = &rig_ops, .arg = r};

    memcpy(o.id, probe_ticket_id(r->ticket), PROBE_ID_SIZE);
    memcpy(o.key, r->key, PROBE_KEY_SIZE);
    r->probe = probe_new(&o);
    probe_set_pace(r->probe, pace);
}

static inline void run_s(struct rig *r, double s)
{
    world_run(r->world, world_now_ns(r->world) + (uint64_t)(s * (double)NS_PER_S));
}

static inline struct probe_responder_figures answerer(const struct rig *r)
{
    struct probe_responder_figures f;

    probe_responder_figures(r->responder, &f);
    return f;
}

static inline struct probe_figures asker(const struct rig *r)
{
    struct probe_figures f;

    probe_figures(r->probe, &f);
    return f;
}

/* From a socket that is not the asker's. */
static inline void rig_meddle(struct rig *r, const void *bytes, size_t size)
{
    assert_false(alb_failed(datagram_send(r->meddler, bytes, size, &r->door)));
    run_s(r, 0.2);
}

static inline void rig_seal_request(const struct rig *r, uint32_t sequence,
                                    uint8_t out[PROBE_PACKET_SIZE])
{
    struct probe_packet p = {.kind = PROBE_REQUEST, .sequence = sequence, .sent_ns = 5};

    memcpy(p.id, probe_ticket_id(r->ticket), PROBE_ID_SIZE);
    probe_packet_seal(&p, r->key, out);
}
