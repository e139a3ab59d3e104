/* SPDX-License-Identifier: Apache-2.0 */
/* sim/scenario_play.c – builds a scenario's world, keeps its time-table, judges what was expected.
 *
 *     build → start programs → (events, and a look each tenth of a second) → judge → stop
 */
#include "sim/scenario.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/units.h"
#include "sim/world.h"

enum { CHAIN_MAX = SCENARIO_SITES_MAX + 1, STOP_S = 60, NAME_SIZE = 2 * SCENARIO_WORD_SIZE + 16 };
#define LAN_RATE_BPS (UINT64_C(1000000000) / 8)
#define LAN_DELAY_NS (NS_PER_MS / 10)
#define LOOK_NS (NS_PER_S / 10)

/* An event or an expectation, with who plays it: what a world_at() is given. */
struct cue {
    struct cue *next;
    struct play *play;
    const struct scenario_event *event;
};

struct verdict {
    struct verdict *next;
    const struct scenario_expectation *expectation;
    uint64_t met_ns;                /* UINT64_MAX: not (yet) */
    uint64_t most, last, second_ns; /* in a second, so far; the count when this one began */
};

struct play {
    const struct scenario *scenario;
    const struct scenario_ops *ops;
    void *arg;
    FILE *out;
    struct world *world;
    struct loop *site_loops[SCENARIO_SITES_MAX];
    struct world_link *lans[SCENARIO_SITES_MAX];
    struct loop **endpoint_loops;
    struct cue *cues;
    struct verdict *verdicts;
    uint64_t end_ns;
};

/* ---- the world ------------------------------------------------------------------------------- */

static size_t index_of(const struct play *p, const struct scenario_site *site)
{
    return (size_t)(site - p->scenario->sites);
}

static struct world_link *own_link(const struct play *p, const struct scenario_site *site)
{
    char name[NAME_SIZE];

    (void)snprintf(name, sizeof(name), "%s--%s", site->parent->name, site->name);
    return world_find_link(p->world, name);
}

static const struct scenario_site *site_of_link(const struct play *p, const char *link)
{
    for (size_t i = 1; i < p->scenario->site_count; i++)
        if (world_find_link(p->world, link) == own_link(p, &p->scenario->sites[i]))
            return &p->scenario->sites[i];
    return NULL;
}

/* Routes from every ancestor of `site` to a node below it; `tail` is that node's own last link. */
static void route_from_ancestors(struct play *p, const struct scenario_site *site,
                                 struct loop *node, struct world_link *tail)
{
    struct world_link *chain[CHAIN_MAX];
    size_t at = CHAIN_MAX;

    if (tail != NULL) {
        chain[--at] = tail;
        world_route(p->world, p->site_loops[index_of(p, site)], node, &chain[at], CHAIN_MAX - at);
    }
    for (; site->parent != NULL; site = site->parent) {
        chain[--at] = own_link(p, site);
        world_route(p->world, p->site_loops[index_of(p, site->parent)], node, &chain[at],
                    CHAIN_MAX - at);
    }
}

void scenario_serial(const char *device, char *out, size_t size)
{
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];

    sha256(device, strlen(device), &digest);
    (void)snprintf(out, size, "%.32s", digest_hex(&digest, hex));
}

static struct identity identity_of(enum role role, const char *device)
{
    struct identity id = {.role = role, .org = "sim", .expires_wall_s = INT64_MAX};

    (void)snprintf(id.device, sizeof(id.device), "%.*s", (int)sizeof(id.device) - 1, device);
    scenario_serial(id.device, id.serial, sizeof(id.serial));
    return id;
}

static void build_site(struct play *p, const struct scenario_site *site)
{
    size_t i = index_of(p, site);
    struct identity id = identity_of(site->parent == NULL ? ROLE_HUB : ROLE_REFLECTOR, site->name);
    char name[NAME_SIZE];

    p->site_loops[i] = world_add_node(p->world, site->name, &id);
    route_from_ancestors(p, site, p->site_loops[i], NULL);
    (void)snprintf(name, sizeof(name), "%s--lan", site->name);
    p->lans[i] = world_add_link(p->world, name, LAN_RATE_BPS, LAN_DELAY_NS);
}

static void build_endpoints(struct play *p, const struct scenario_site *site)
{
    for (unsigned n = 0; n < site->endpoints; n++) {
        char name[NAME_SIZE];

        (void)snprintf(name, sizeof(name), "%.50s-%u", site->name, n + 1);
        struct identity id = identity_of(ROLE_ENDPOINT, name);
        struct loop *loop = world_add_node(p->world, name, &id);
        p->endpoint_loops[site->first_endpoint + n] = loop;
        route_from_ancestors(p, site, loop, p->lans[index_of(p, site)]);
    }
}

static void build(struct play *p)
{
    const struct scenario *s = p->scenario;

    p->world = world_new(s->seed);
    p->endpoint_loops = xcalloc(s->endpoints + 1, sizeof(struct loop *));
    for (const struct scenario_link *l = s->links; l != NULL; l = l->next)
        world_link_set_loss(world_add_link(p->world, l->name, l->rate_bps, l->delay_ns),
                            l->loss_per_million);
    for (size_t i = 0; i < s->site_count; i++)
        build_site(p, &s->sites[i]);
    for (size_t i = 0; i < s->site_count; i++)
        build_endpoints(p, &s->sites[i]);
}

static void start(struct play *p)
{
    const struct scenario *s = p->scenario;

    p->ops->start_hub(p->arg, p->site_loops[0]);
    for (size_t i = 1; i < s->site_count; i++)
        p->ops->start_reflector(p->arg, &s->sites[i], p->site_loops[i]);
    for (size_t i = 0; i < s->site_count; i++)
        for (unsigned n = 0; n < s->sites[i].endpoints; n++) {
            unsigned e = s->sites[i].first_endpoint + n;

            p->ops->start_endpoint(p->arg, &s->sites[i], e, p->endpoint_loops[e]);
        }
}

/* ---- the time-table -------------------------------------------------------------------------- */

static void want(struct play *p, const struct scenario_event *e)
{
    unsigned first = e->site == NULL ? 0 : e->site->first_endpoint;
    unsigned count = e->site == NULL ? p->scenario->endpoints : e->site->endpoints;

    for (unsigned i = 0; i < count; i++)
        p->ops->want(p->arg, first + i, e->name);
}

static void set_link(struct play *p, const char *name, bool is_up)
{
    if (name[0] != '\0') {
        world_link_set_up(world_find_link(p->world, name), is_up);
        return;
    }
    for (size_t i = 1; i < p->scenario->site_count; i++)
        world_link_set_up(own_link(p, &p->scenario->sites[i]), is_up);
}

static void on_cue(void *arg)
{
    const struct cue *c = arg;
    struct play *p = c->play;
    const struct scenario_event *e = c->event;

    switch (e->act) {
    case ACT_PUBLISH: p->ops->publish(p->arg, e->name, e->size); return;
    case ACT_WANT: want(p, e); return;
    case ACT_REVOKE: p->ops->revoke(p->arg, e->name); return;
    case ACT_LINK_DOWN: set_link(p, e->name, false); return;
    case ACT_LINK_UP: set_link(p, e->name, true); return;
    case ACT_DIE: p->ops->die(p->arg, e->site); return;
    case ACT_REVIVE: p->ops->revive(p->arg, e->site); return;
    }
    alb_unreachable();
}

static void prolong(struct play *p, uint64_t at_ns)
{
    if (at_ns > p->end_ns)
        p->end_ns = at_ns;
}

static void add_cues(struct play *p)
{
    for (const struct scenario_event *e = p->scenario->events; e != NULL; e = e->next) {
        struct cue *c = xalloc(sizeof(*c));

        *c = (struct cue){p->cues, p, e};
        p->cues = c;
        prolong(p, e->at_ns);
        world_at(p->world, e->at_ns, on_cue, c);
    }
}

static void on_deadline(void *arg);

static void add_verdicts(struct play *p)
{
    struct verdict **at = &p->verdicts;

    for (const struct scenario_expectation *e = p->scenario->expectations; e != NULL; e = e->next) {
        struct verdict *v = xalloc(sizeof(*v));

        *v = (struct verdict){.expectation = e, .met_ns = UINT64_MAX};
        *at = v;
        at = &v->next;
        prolong(p, e->by_ns);
        world_at(p->world, e->by_ns, on_deadline, p);
    }
}

/* ---- judging --------------------------------------------------------------------------------- */

static bool every_endpoint_has(const struct play *p, const char *layer)
{
    for (unsigned i = 0; i < p->scenario->endpoints; i++)
        if (!p->ops->has(p->arg, i, layer))
            return false;
    return true;
}

/* Those that become true at some time. */
static bool is_so_now(const struct play *p, const struct scenario_expectation *e)
{
    switch (e->measure) {
    case MEASURE_HAS: return every_endpoint_has(p, e->name);
    case MEASURE_CUT_OFF: return p->ops->is_cut_off(p->arg, e->name);
    case MEASURE_OUT: return p->ops->is_out(p->arg, e->name);
    case MEASURE_CROSSING:
    case MEASURE_CROSSINGS:
    case MEASURE_WIRE:
    case MEASURE_SESSIONS:
    case MEASURE_REQUESTS:
    case MEASURE_QUEUEING: return false;
    }
    alb_unreachable();
}

static uint64_t count_of(const struct play *p, enum scenario_measure measure)
{
    return measure == MEASURE_SESSIONS ? p->ops->hub_sessions(p->arg)
                                       : p->ops->hub_requests(p->arg);
}

/* Seconds are counted from the one that was asked for on. */
static void count_second(const struct play *p, struct verdict *v)
{
    const struct scenario_expectation *e = v->expectation;
    const uint64_t now_ns = world_now_ns(p->world);

    if ((e->measure != MEASURE_SESSIONS && e->measure != MEASURE_REQUESTS) || now_ns < e->by_ns)
        return;
    const uint64_t count = count_of(p, e->measure);
    if (v->second_ns != 0 && now_ns - v->second_ns < NS_PER_S)
        return;
    if (v->second_ns != 0 && count - v->last > v->most)
        v->most = count - v->last;
    v->last = count;
    v->second_ns = now_ns;
}

static void look(struct play *p)
{
    for (struct verdict *v = p->verdicts; v != NULL; v = v->next)
        count_second(p, v);
    for (struct verdict *v = p->verdicts; v != NULL; v = v->next)
        if (v->met_ns == UINT64_MAX && world_now_ns(p->world) <= v->expectation->by_ns &&
            is_so_now(p, v->expectation))
            v->met_ns = world_now_ns(p->world);
}

/* At a deadline that is no whole second. */
static void on_deadline(void *arg)
{
    look(arg);
}

static void say(const struct play *p, const struct verdict *v, bool is_met, const char *text)
{
    fprintf(p->out, "%s %s:%u: %s\n", is_met ? "ok    " : "FAILED", p->scenario->file,
            v->expectation->line, text);
}

static bool judge_has(const struct play *p, const struct verdict *v)
{
    char text[SCENARIO_ERROR_SIZE], by[UNITS_TEXT_SIZE], at[UNITS_TEXT_SIZE];
    bool is_met = v->met_ns != UINT64_MAX;
    unsigned have = 0;

    for (unsigned i = 0; i < p->scenario->endpoints; i++)
        have += p->ops->has(p->arg, i, v->expectation->name);
    format_duration(v->expectation->by_ns, by);
    if (is_met)
        (void)snprintf(text, sizeof(text), "every endpoint has %s at %s (by %s)",
                       v->expectation->name, format_duration(v->met_ns, at), by);
    else
        (void)snprintf(text, sizeof(text), "every endpoint has %s by %s: %u of %u in the end",
                       v->expectation->name, by, have, p->scenario->endpoints);
    say(p, v, is_met, text);
    return is_met;
}

static bool judge_out(const struct play *p, const struct verdict *v, const char *what)
{
    char text[SCENARIO_ERROR_SIZE], by[UNITS_TEXT_SIZE];
    bool is_met = v->met_ns != UINT64_MAX;

    (void)snprintf(text, sizeof(text), "%s is %s by %s%s", v->expectation->name, what,
                   format_duration(v->expectation->by_ns, by), is_met ? "" : ": it was not");
    say(p, v, is_met, text);
    return is_met;
}

static bool judge_ratio(const struct play *p, const struct verdict *v)
{
    const struct scenario_expectation *e = v->expectation;
    const struct scenario_site *site = site_of_link(p, e->name);
    bool is_wire = e->measure == MEASURE_WIRE;
    char text[SCENARIO_ERROR_SIZE];

    if (site == NULL) {
        say(p, v, false, "no site's own link: the ratio has no meaning there");
        return false;
    }
    uint64_t needed = p->ops->needed_bytes(p->arg, site);
    uint64_t crossed = is_wire ? world_link_bytes(own_link(p, site), WORLD_DOWN)
                               : p->ops->crossed_bytes(p->arg, site);
    double ratio = needed == 0 ? 0 : (double)crossed / (double)needed;
    bool is_met = needed > 0 && ratio <= e->most;
    (void)snprintf(text, sizeof(text), "%s ratio %s = %.4f (at most %g): %llu of %llu bytes",
                   is_wire ? "wire" : "crossing", e->name, ratio, e->most,
                   (unsigned long long)crossed, (unsigned long long)needed);
    say(p, v, is_met, text);
    return is_met;
}

/* Of all of them the worst is told. */
static bool judge_crossings(const struct play *p, const struct verdict *v)
{
    const struct scenario_site *worst = NULL;
    char text[SCENARIO_ERROR_SIZE];
    double most = 0;

    for (size_t i = 1; i < p->scenario->site_count; i++) {
        const struct scenario_site *site = &p->scenario->sites[i];
        const uint64_t needed = p->ops->needed_bytes(p->arg, site);
        const uint64_t crossed = p->ops->crossed_bytes(p->arg, site);
        const double ratio = needed == 0 ? 0 : (double)crossed / (double)needed;
        if (worst == NULL || ratio > most) {
            worst = site;
            most = ratio;
        }
    }
    const bool is_met = most > 0 && most <= v->expectation->most;
    (void)snprintf(text, sizeof(text),
                   "crossing ratio of every site: at worst %.4f, of %s (at most %g)", most,
                   worst == NULL ? "none" : worst->name, v->expectation->most);
    say(p, v, is_met, text);
    return is_met;
}

static bool judge_count(const struct play *p, const struct verdict *v, const char *what)
{
    const struct scenario_expectation *e = v->expectation;
    const bool is_met = v->second_ns != 0 && (double)v->most <= e->most;
    char text[SCENARIO_ERROR_SIZE];

    (void)snprintf(text, sizeof(text), "%llu %s in a second at the hub (at most %.0f)",
                   (unsigned long long)v->most, what, e->most);
    say(p, v, is_met, text);
    return is_met;
}

static bool judge_queueing(const struct play *p, const struct verdict *v)
{
    const struct scenario_expectation *e = v->expectation;
    uint64_t p95_ns = world_link_queueing_p95_ns(world_find_link(p->world, e->name), WORLD_DOWN);
    char text[SCENARIO_ERROR_SIZE], is[UNITS_TEXT_SIZE], most[UNITS_TEXT_SIZE];

    (void)snprintf(text, sizeof(text), "queueing delay %s p95 = %s (at most %s)", e->name,
                   format_duration(p95_ns, is), format_duration((uint64_t)e->most, most));
    say(p, v, (double)p95_ns <= e->most, text);
    return (double)p95_ns <= e->most;
}

static bool judge(const struct play *p, const struct verdict *v)
{
    switch (v->expectation->measure) {
    case MEASURE_HAS: return judge_has(p, v);
    case MEASURE_CUT_OFF: return judge_out(p, v, "cut off");
    case MEASURE_OUT: return judge_out(p, v, "out");
    case MEASURE_CROSSING:
    case MEASURE_WIRE: return judge_ratio(p, v);
    case MEASURE_QUEUEING: return judge_queueing(p, v);
    case MEASURE_CROSSINGS: return judge_crossings(p, v);
    case MEASURE_SESSIONS: return judge_count(p, v, "sessions");
    case MEASURE_REQUESTS: return judge_count(p, v, "requests");
    }
    alb_unreachable();
}

/* ---- one play -------------------------------------------------------------------------------- */

static void play_release(struct play *p)
{
    while (p->cues != NULL) {
        struct cue *c = p->cues;
        p->cues = c->next;
        free(c);
    }
    while (p->verdicts != NULL) {
        struct verdict *v = p->verdicts;
        p->verdicts = v->next;
        free(v);
    }
    free(p->endpoint_loops);
    world_free(p->world);
}

static void run(struct play *p)
{
    for (uint64_t now_ns = 0; now_ns < p->end_ns; now_ns += LOOK_NS) {
        world_run(p->world, now_ns);
        look(p);
    }
    world_run(p->world, p->end_ns);
    look(p);
}

unsigned scenario_play(const struct scenario *s, const struct scenario_ops *ops, void *arg,
                       FILE *out)
{
    struct play p = {.scenario = s, .ops = ops, .arg = arg, .out = out};
    unsigned failed = 0;

    build(&p);
    start(&p);
    add_cues(&p);
    add_verdicts(&p);
    run(&p);
    for (const struct verdict *v = p.verdicts; v != NULL; v = v->next)
        failed += !judge(&p, v);
    ops->stop(arg);
    world_run(p.world, world_now_ns(p.world) + STOP_S * NS_PER_S);
    ops->released(arg);
    play_release(&p);
    return failed;
}
