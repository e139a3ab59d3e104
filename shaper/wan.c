/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/wan.c – what is known of the line goes to the law; what it decides goes to the budgets.
 */
#include "shaper/wan.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/units.h"
#include "shaper/shaper_wire.h"
#include "shaper/wan_impl.h"

enum {
    WINDOW_DEFAULT = 4 << 20,
};
/* Bulk that rested so long is no bulk: the law and the probe rest too. */
#define ACTIVE_NS (3 * NS_PER_S)
#define RECENT_SLOT_NS (NS_PER_S / WAN_RECENT_SLOTS)

static const char *const way_names[] = {[WAN_DOWN] = "down", [WAN_UP] = "up"};

static void on_tick(void *arg);
static void apply(struct wan_half *h);
static void take_terms(struct wan_half *h, const struct policy_terms *terms);

/* ---- birth and death ------------------------------------------------------------------------- */

static struct node_terms node_of(uint64_t ceiling_bps, enum tree_class class)
{
    return (struct node_terms){.ceiling_bps = ceiling_bps, .class = class};
}

static void half_open(struct wan_half *h, struct wan *w, enum wan_way way)
{
    const struct wan_options *o = &w->options;
    const uint64_t line = o->ceiling_bps[way] != 0 ? o->ceiling_bps[way] : TREE_UNLIMITED;
    const struct node_terms control = node_of(TREE_UNLIMITED, TREE_URGENT);
    const struct node_terms bulk = node_of(TREE_UNLIMITED, TREE_SCAVENGER);

    h->wan = w;
    h->way = way;
    h->shaper =
        shaper_new(o->loop, &(struct shaper_options){.link = {.ceiling_bps = line},
                                                     .packet_overhead_bytes = o->packet_overhead});
    h->control = shaper_node_new(h->shaper, NULL, &control);
    h->bulk = shaper_node_new(h->shaper, NULL, &bulk);
    h->probes = shaper_node_new(h->shaper, h->control, &control);
    h->bulk_bps = TREE_UNLIMITED;
    h->line_bps = line;
    h->terms.action.mode = o->is_shaped ? POLICY_MODE_SCAVENGE : POLICY_FULL;
    law_init(&h->law, &(struct law_options){.now_ns = loop_now_ns(o->loop)});
    take_terms(h, &h->terms);
}

struct wan *wan_new(const struct wan_options *options)
{
    struct wan *w = xalloc(sizeof *w);

    w->options = *options;
    if (w->options.window_bytes == 0)
        w->options.window_bytes = WINDOW_DEFAULT;
    TAILQ_INIT(&w->members);
    timer_init(&w->tick, options->loop, on_tick, w);
    half_open(&w->halves[WAN_DOWN], w, WAN_DOWN);
    half_open(&w->halves[WAN_UP], w, WAN_UP);
    return w;
}

struct wan *wan_free(struct wan *w)
{
    if (w == NULL)
        return NULL;
    alb_assert(TAILQ_EMPTY(&w->members));
    timer_stop(&w->tick);
    for (size_t i = 0; i < WAN_WAYS; i++) {
        struct wan_half *h = &w->halves[i];
        shaper_node_free(h->shaper, h->probes);
        shaper_node_free(h->shaper, h->control);
        shaper_node_free(h->shaper, h->bulk);
        shaper_free(h->shaper);
    }
    free(w);
    return NULL;
}

bool wan_is_shaped(const struct wan *w)
{
    return w->options.is_shaped;
}

/* ---- terms ----------------------------------------------------------------------------------- */

static uint64_t lower(uint64_t a_bps, uint64_t b_bps)
{
    if (a_bps == 0 || b_bps == 0)
        return a_bps + b_bps;
    return a_bps < b_bps ? a_bps : b_bps;
}

/* The law counts bodies. */
static uint64_t body_bps(uint64_t wire_bps)
{
    return wire_bps / WIRE_ESTIMATE * WIRE_ONE;
}

static enum law_hold hold_of(enum policy_profile profile)
{
    switch (profile) {
    case POLICY_HARVEST: return LAW_HOLD_HARVEST;
    case POLICY_INVISIBLE: return LAW_HOLD_INVISIBLE;
    case POLICY_PROFILE_UNSET:
    case POLICY_BALANCED: return LAW_HOLD_NORMAL;
    }
    alb_unreachable();
}

static struct law_terms law_terms_of(const struct wan_half *h)
{
    const struct policy_action *a = &h->terms.action;
    const uint64_t line = h->wan->options.ceiling_bps[h->way];
    struct law_terms t = {.ceiling_percent = a->percent, .hold = hold_of(a->profile)};

    if (a->mode == POLICY_OFF) {
        t.off = true;
        return t;
    }
    t.ceiling_bps = body_bps(lower(policy_absolute_bps(a), line));
    t.floor_bps = body_bps(a->floor_bps);
    t.max_queue_ns = a->max_queue_ms * NS_PER_MS;
    t.insist = a->mode != POLICY_MODE_SCAVENGE || h->is_near;
    t.crowd = h->way == WAN_DOWN ? h->wan->options.crowd : 0; /* nobody stamps what we send */
    return t;
}

static void take_terms(struct wan_half *h, const struct policy_terms *terms)
{
    struct law_terms t;

    h->terms = *terms;
    t = law_terms_of(h);
    law_set_terms(&h->law, &t, loop_now_ns(h->wan->options.loop));
}

void wan_set_terms(struct wan *w, enum wan_way way, const struct policy_terms *terms)
{
    take_terms(&w->halves[way], terms);
    wan_hear(w);
}

/* ---- deciding -------------------------------------------------------------------------------- */

/* Of the bulk members' estimates, the mean. */
static uint64_t wire_per_1024(const struct wan_half *h)
{
    const struct wan_member *m;
    uint64_t sum = 0, count = 0;

    TAILQ_FOREACH(m, &h->wan->members, link)
    if (h->way == WAN_DOWN ? m->traffic == WAN_BULK : m->is_uploading) {
        sum += h->way == WAN_DOWN ? m->down.wire_per_1024 : m->up.wire_per_1024;
        count++;
    }
    return count > 0 ? sum / count : WIRE_ESTIMATE;
}

/* What policy and configuration allow the line, whatever the law says: on the wire, exact.  OFF is
 * bulk's alone, or nobody would hear that it is over. */
static uint64_t line_bps(const struct wan_half *h)
{
    const struct policy_action *a = &h->terms.action;
    const uint64_t own = h->wan->options.ceiling_bps[h->way];
    const uint64_t limit =
        a->mode == POLICY_OFF ? own : lower(policy_limit_bps(a, h->verdict.capacity_bps), own);

    return limit != 0 ? limit : TREE_UNLIMITED;
}

static uint64_t law_bps(const struct wan_half *h)
{
    const uint64_t rate = h->verdict.rate_bps;

    if (rate == LAW_UNLIMITED)
        return TREE_UNLIMITED;
    /* Where the line's limit is the rate, that is kept exactly by the line. */
    if (h->verdict.state == LAW_CAPPED && line_bps(h) != TREE_UNLIMITED)
        return TREE_UNLIMITED;
    return rate * wire_per_1024(h) / WIRE_ONE;
}

/* What the law makes of a way that carries nothing would push out what it made of the last pull. */
static bool is_at_rest(const struct wan_half *h)
{
    const uint64_t slot = loop_now_ns(h->wan->options.loop) / RECENT_SLOT_NS;

    return slot - h->recent.slot >= WAN_RECENT_SLOTS && h->verdict.state != LAW_OFF;
}

static void note(struct wan_half *h, const struct law_verdict *before)
{
    const struct law_verdict *v = &h->verdict;
    char text[LAW_TEXT_SIZE], rate[UNITS_TEXT_SIZE];

    if ((v->state == before->state && v->reason == before->reason) || is_at_rest(h))
        return;
    h->notes[h->note_count++ % WAN_NOTES] =
        (struct wan_note){.at_ns = loop_now_ns(h->wan->options.loop), .verdict = *v};
    if (v->state == before->state)
        return;
    log_event(LOG_DEBUG, "wan.law", "line=%s way=%s state=%s rate=\"%s\" why=\"%s\"",
              h->wan->options.name, way_names[h->way], law_state_name(v->state),
              v->rate_bps == LAW_UNLIMITED ? "no limit" : format_rate(v->rate_bps, rate),
              law_reason_text(v, text, sizeof text));
}

/* What is on this machine or its LAN has no line in between that others could want; and the delays
 * of a busy processor, against so small a base, would look like their queue. */
static void look_how_near(struct wan_half *h)
{
    const uint64_t base_ns = h->verdict.base_rtt_ns, near_ns = h->wan->options.near_ns;
    const bool is_near =
        h->wan->is_said_near || (base_ns != 0 && base_ns < (h->is_near ? 2 * near_ns : near_ns));

    if (is_near == h->is_near)
        return;
    h->is_near = is_near;
    take_terms(h, &h->terms);
    if (h->way == WAN_DOWN && h->wan->options.near != NULL)
        h->wan->options.near(h->wan->options.arg, is_near);
}

void wan_say_near(struct wan *w, bool is_near)
{
    w->is_said_near = is_near;
    for (size_t i = 0; i < WAN_WAYS && w->options.is_shaped; i++)
        look_how_near(&w->halves[i]);
    wan_hear(w);
}

static void decide(struct wan_half *h, uint64_t now_ns)
{
    const struct law_verdict before = h->verdict;

    look_how_near(h);
    h->verdict = law_tick(&h->law, now_ns);
    note(h, &before);
    apply(h);
}

static void apply(struct wan_half *h)
{
    const uint64_t line = line_bps(h), bps = law_bps(h);

    if (line != h->line_bps) {
        h->line_bps = line;
        shaper_node_set_terms(h->shaper, shaper_link(h->shaper),
                              &(struct node_terms){.ceiling_bps = line});
    }
    if (bps != h->bulk_bps) {
        const struct node_terms terms = node_of(bps, TREE_SCAVENGER);
        h->bulk_bps = bps;
        shaper_node_set_terms(h->shaper, h->bulk, &terms);
    }
}

static void set_pace(struct wan *w, enum probe_pace pace)
{
    if (w->pace == pace)
        return;
    w->pace = pace;
    if (w->options.pace != NULL)
        w->options.pace(w->options.arg, pace);
}

/* Twenty probes a second are 1 % of 2 Mbit/s; there ten must do. */
static bool is_thin(const struct wan *w)
{
    enum { THIN_BPS = 3000000 };
    const struct law_verdict *v = &w->halves[WAN_DOWN].verdict;

    return v->state != LAW_START && v->capacity_bps != 0 && v->capacity_bps < THIN_BPS;
}

/* As often as the law that wants it most often asks for, within what the line can spare. */
static enum probe_pace pace_now(const struct wan *w)
{
    const uint64_t down_ns = w->halves[WAN_DOWN].verdict.probe_period_ns;
    const uint64_t up_ns = w->halves[WAN_UP].verdict.probe_period_ns;
    const uint64_t period_ns = up_ns < down_ns ? up_ns : down_ns;
    enum probe_pace pace = PROBE_ALERT;

    if (period_ns > 75 * NS_PER_MS)
        pace = PROBE_YIELDED;
    else if (period_ns > 35 * NS_PER_MS)
        pace = PROBE_ACTIVE;
    return is_thin(w) && pace > PROBE_YIELDED ? (enum probe_pace)(pace - 1) : pace;
}

static bool is_active(const struct wan *w, uint64_t now_ns)
{
    return w->active_ns != 0 && now_ns - w->active_ns < ACTIVE_NS;
}

static void look_at_all(struct wan *w, uint64_t now_ns)
{
    struct wan_member *m;

    TAILQ_FOREACH(m, &w->members, link)
    wan_member_look(m, now_ns);
}

static void arm(struct wan *w, uint64_t now_ns)
{
    uint64_t at_ns = law_next_ns(&w->halves[WAN_DOWN].law);
    const uint64_t up_ns = law_next_ns(&w->halves[WAN_UP].law);

    if (up_ns < at_ns)
        at_ns = up_ns;
    timer_set(&w->tick, at_ns > now_ns ? at_ns : now_ns);
}

void wan_hear(struct wan *w)
{
    const uint64_t now_ns = loop_now_ns(w->options.loop);
    struct wan_member *m;

    look_at_all(w, now_ns);
    decide(&w->halves[WAN_DOWN], now_ns);
    decide(&w->halves[WAN_UP], now_ns);
    TAILQ_FOREACH(m, &w->members, link)
    wan_member_apply(m);
    if (!w->options.is_shaped || !is_active(w, now_ns)) {
        set_pace(w, PROBE_IDLE);
        timer_stop(&w->tick);
        return;
    }
    set_pace(w, pace_now(w));
    arm(w, now_ns);
}

static void on_tick(void *arg)
{
    wan_hear(arg);
}

/* ---- what passes ----------------------------------------------------------------------------- */

void wan_moved(struct wan_half *h, uint64_t bytes, uint64_t now_ns)
{
    struct wan_recent *r = &h->recent;
    const uint64_t slot = now_ns / RECENT_SLOT_NS;

    for (unsigned i = 0; r->slot < slot && i < WAN_RECENT_SLOTS; i++)
        r->bytes[++r->slot % WAN_RECENT_SLOTS] = 0;
    r->slot = slot;
    r->bytes[slot % WAN_RECENT_SLOTS] += bytes;
}

static uint64_t recent_bps(const struct wan_half *h, uint64_t now_ns)
{
    const uint64_t slot = now_ns / RECENT_SLOT_NS;
    uint64_t bytes = 0;

    for (uint64_t i = 1; i < WAN_RECENT_SLOTS; i++) /* not the one that is not over */
        if (slot - i <= h->recent.slot && h->recent.slot - (slot - i) < WAN_RECENT_SLOTS)
            bytes += h->recent.bytes[(slot - i) % WAN_RECENT_SLOTS];
    return bytes * 8 * WAN_RECENT_SLOTS / (WAN_RECENT_SLOTS - 1);
}

/* ---- what is measured ------------------------------------------------------------------------ */

void wan_charge(struct wan_half *h, uint64_t wire_bytes)
{
    if (wire_bytes > 0)
        tree_leaf_charge(h->probes, wire_bytes, loop_now_ns(h->wan->options.loop));
}

static void charge_probe(struct wan *w, enum wan_way way)
{
    if (!w->is_by_ping)
        wan_charge(&w->halves[way], PROBE_WIRE_SIZE + w->options.packet_overhead);
}

static void on_sample(void *arg, const struct probe_sample *s)
{
    struct wan *w = arg;

    charge_probe(w, WAN_DOWN);
    charge_probe(w, WAN_UP);
    const struct law_sample down = {
        .at_ns = s->at_ns, .rtt_ns = s->rtt_ns, .owd_ns = s->has_owd ? s->owd_down_ns : LAW_NO_OWD};
    const struct law_sample up = {
        .at_ns = s->at_ns, .rtt_ns = s->rtt_ns, .owd_ns = s->has_owd ? s->owd_up_ns : LAW_NO_OWD};

    law_on_sample(&w->halves[WAN_DOWN].law, &down);
    law_on_sample(&w->halves[WAN_UP].law, &up);
    wan_hear(w);
}

static void on_lost(void *arg, uint64_t sent_ns)
{
    struct wan *w = arg;
    const uint64_t now_ns = loop_now_ns(w->options.loop);

    (void)sent_ns;
    charge_probe(w, WAN_UP);
    for (size_t i = 0; i < WAN_WAYS; i++)
        law_on_lost(&w->halves[i].law, now_ns);
    wan_hear(w);
}

static void on_forget(void *arg)
{
    struct wan *w = arg;
    const uint64_t now_ns = loop_now_ns(w->options.loop);

    for (size_t i = 0; i < WAN_WAYS; i++)
        law_on_path_change(&w->halves[i].law, now_ns);
    wan_hear(w);
}

static void on_mode(void *arg, enum probe_mode mode)
{
    ((struct wan *)arg)->is_by_ping = mode == PROBE_PING;
}

const struct probe_ops wan_probe_ops = {
    .sample = on_sample, .lost = on_lost, .forget = on_forget, .mode = on_mode};

/* ---- explained ------------------------------------------------------------------------------- */

void wan_figures(const struct wan *w, enum wan_way way, struct wan_figures *out)
{
    const struct wan_half *h = &w->halves[way];
    const struct wan_member *m;
    struct node_figures node;

    tree_node_figures(shaper_link(h->shaper), &node);
    *out = (struct wan_figures){.is_shaped = w->options.is_shaped,
                                .terms = h->terms,
                                .verdict = h->verdict,
                                .line_bps = w->options.ceiling_bps[way],
                                .rate_bps = h->bulk_bps < h->line_bps ? h->bulk_bps : h->line_bps,
                                .wire_bytes = node.granted_bytes,
                                .bulk_bytes = h->delivered_bytes,
                                .recent_bps = recent_bps(h, loop_now_ns(w->options.loop))};
    TAILQ_FOREACH(m, &w->members, link)
    out->members++;
}

bool wan_note_at(const struct wan *w, enum wan_way way, size_t back, struct wan_note *out)
{
    const struct wan_half *h = &w->halves[way];

    if (back >= h->note_count || back >= WAN_NOTES)
        return false;
    *out = h->notes[(h->note_count - 1 - back) % WAN_NOTES];
    return true;
}

bool wan_may_upload(const struct wan *w)
{
    return w->halves[WAN_UP].verdict.state != LAW_OFF;
}

unsigned wan_connections(const struct wan *w)
{
    const unsigned n = w->halves[WAN_DOWN].verdict.connections;

    return n > 0 ? n : 1;
}
