/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/line.c – policy, probe and wan put together. */
#include "transfer/line_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/units.h"

/* ---- what the policy says -------------------------------------------------------------------- */

static uint8_t side_of(const struct line *l)
{
    return l->is_wan && !l->is_near ? POLICY_WAN : POLICY_LAN;
}

/* On a LAN nobody has to give way unless somebody said so. */
static void take_terms(struct line *l, enum wan_way way)
{
    struct policy_terms terms = l->watch[way].terms;

    if (side_of(l) == POLICY_LAN && terms.source == POLICY_BY_DEFAULT)
        terms.action.mode = POLICY_FULL;
    if (way == WAN_DOWN && l->jobs != NULL)
        terms = layer_jobs_terms(l->jobs, &terms);
    if (l->is_spared && terms.action.mode == POLICY_MODE_SCAVENGE && terms.action.floor_bps == 0)
        terms.action.mode = POLICY_OFF;
    wan_set_terms(l->wan, way, &terms);
}

static void down_changed(struct policy_watch *watch)
{
    take_terms(ALB_CONTAINER(watch, struct line, watch[WAN_DOWN]), WAN_DOWN);
}

static void up_changed(struct policy_watch *watch)
{
    take_terms(ALB_CONTAINER(watch, struct line, watch[WAN_UP]), WAN_UP);
}

static void follow_policy(struct line *l, enum wan_way way)
{
    const struct own_addresses *own = l->options.addresses;
    struct policy_watch *watch = &l->watch[way];

    if (l->options.policy == NULL)
        return;
    watch->place = (struct policy_place){.site = l->options.site,
                                         .addresses = own == NULL ? NULL : own->list,
                                         .address_count = own == NULL ? 0 : own->count,
                                         .device = l->options.device,
                                         .direction = way == WAN_DOWN ? POLICY_DOWN : POLICY_UP,
                                         .side = side_of(l),
                                         .class = POLICY_SCAVENGER};
    watch->changed = way == WAN_DOWN ? down_changed : up_changed;
    policy_book_watch(l->options.policy, watch);
    take_terms(l, way);
}

static void jobs_changed(void *arg)
{
    take_terms(arg, WAN_DOWN);
}

static void follow_jobs(struct line *l)
{
    if (l->options.policy == NULL)
        return;
    l->jobs = layer_jobs_new(&(struct layer_jobs_options){.loop = l->options.loop,
                                                          .policy = l->options.policy,
                                                          .place = l->watch[WAN_DOWN].place,
                                                          .changed = jobs_changed,
                                                          .arg = l});
    take_terms(l, WAN_DOWN);
}

/* The rules of the WAN are none of a LAN's: those of its own are asked.  Other addresses may be in
 * other rules' subnets. */
static void move(void *arg)
{
    struct line *l = arg;
    const struct own_addresses *own = l->options.addresses;

    for (int way = 0; way < WAN_WAYS; way++) {
        policy_book_unwatch(l->options.policy, &l->watch[way]);
        l->watch[way].place.side = side_of(l);
        l->watch[way].place.address_count = own == NULL ? 0 : own->count;
        policy_book_watch(l->options.policy, &l->watch[way]);
    }
    layer_jobs_move(l->jobs, &l->watch[WAN_DOWN].place);
    take_terms(l, WAN_DOWN);
    take_terms(l, WAN_UP);
}

/* ---- how far it is --------------------------------------------------------------------------- */

static void set_pace(void *arg, enum probe_pace pace)
{
    const struct line *l = arg;

    if (l->probe != NULL)
        path_probe_set_pace(l->probe, pace);
}

static void is_near(void *arg, bool is_near)
{
    struct line *l = arg;

    l->is_near = is_near;
    if (l->options.policy != NULL)
        timer_set_in(&l->move, 0);
}

/* ---- birth and death ------------------------------------------------------------------------- */

/* No line to another place is that short: light in glass covers fifty kilometres, there and back,
 * and every modem and router on the way takes its part. */
#define NEAR_NS (NS_PER_MS / 2)

static bool is_this_machine(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           strncmp(host, "127.", 4) == 0;
}

static bool leads_to_a_wan(const struct line_options *o)
{
    if (o->kind != LINE_IS_AUTO)
        return o->kind == LINE_IS_WAN;
    for (size_t i = 0; i < o->place_count; i++)
        if (!is_this_machine(o->places[i].host))
            return true;
    return false;
}

struct line *line_new(const struct line_options *options)
{
    struct line *l = xalloc(sizeof *l);

    l->options = *options;
    timer_init(&l->move, options->loop, move, l);
    l->is_wan = leads_to_a_wan(options);
    snprintf(l->name, sizeof l->name, "%s", upstream_place_text(&options->places[0]).text);
    l->wan = wan_new(&(struct wan_options){.loop = options->loop,
                                           .is_shaped = l->is_wan,
                                           .ceiling_bps = {options->down_bps, options->up_bps},
                                           .window_bytes = options->window_bytes,
                                           .near_ns = options->kind == LINE_IS_AUTO ? NEAR_NS : 0,
                                           .crowd = options->crowd,
                                           .packet_overhead = options->packet_overhead,
                                           .name = l->name,
                                           .pace = set_pace,
                                           .near = is_near,
                                           .arg = l});
    follow_policy(l, WAN_DOWN);
    follow_policy(l, WAN_UP);
    follow_jobs(l);
    return l;
}

void line_use_upstream(struct line *l, struct upstream *upstream)
{
    if (l->options.policy != NULL)
        policy_book_follow(l->options.policy, upstream);
    if (l->is_wan)
        l->probe = path_probe_new(&(struct path_probe_options){
            .loop = l->options.loop, .upstream = upstream, .ops = &wan_probe_ops, .arg = l->wan});
}

void line_addresses_changed(struct line *l)
{
    if (l->options.policy != NULL)
        timer_set_in(&l->move, 0);
}

void line_leads_to(struct line *l, const struct upstream_place *place, bool is_lan)
{
    snprintf(l->name, sizeof l->name, "%s", upstream_place_text(place).text);
    if (l->options.kind == LINE_IS_AUTO)
        wan_say_near(l->wan, is_lan);
}

void line_spare(struct line *l, bool is_spared)
{
    if (is_spared == l->is_spared)
        return;
    l->is_spared = is_spared;
    take_terms(l, WAN_DOWN);
    take_terms(l, WAN_UP);
}

bool line_is_spared(const struct line *l)
{
    return l->is_spared;
}

void line_stop(struct line *l)
{
    if (l == NULL)
        return;
    l->probe = path_probe_free(l->probe);
    timer_stop(&l->move);
    l->jobs = layer_jobs_free(l->jobs);
    for (size_t i = 0; i < WAN_WAYS && l->options.policy != NULL; i++)
        policy_book_unwatch(l->options.policy, &l->watch[i]);
    l->options.policy = NULL;
}

struct line *line_free(struct line *l)
{
    if (l == NULL)
        return NULL;
    line_stop(l);
    wan_free(l->wan);
    free(l);
    return NULL;
}

struct wan *line_wan(struct line *l)
{
    return l->wan;
}

struct layer_jobs *line_jobs(struct line *l)
{
    return l->jobs;
}
