/* SPDX-License-Identifier: Apache-2.0 */
/* net/netlink_view.c – from hints that something changed to one call that says what.
 *
 *     stir ──250 ms──> source reads ──> take: now ──carriers lost under 2 s are held──> tell
 *
 * The wait is from the first hint, not the last: under a steady stream of them the picture is still
 * read four times a second.  After a read comes a rest nine times as long as it kept the loop, so
 * that no machine, however large its tables, gives more than a tenth of itself to this.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/units.h"
#include "net/netlink_impl.h"

#define SETTLE_NS (250 * NS_PER_MS)
#define FLAP_NS (2 * NS_PER_S)

/* ---- carriers -------------------------------------------------------------------------------- */

static bool was_usable(const struct netlink_view *v, uint32_t index)
{
    const struct net_link *told = net_picture_link(&v->told, index);

    return told != NULL && net_link_is_usable(told);
}

/* Who lost its carrier when; `hold` is set to the moment the first of them is believed. */
static void hold_carriers(struct netlink_view *v)
{
    const uint64_t now_ns = loop_now_ns(v->loop);
    uint64_t first_ns = UINT64_MAX;

    for (size_t i = 0; i < v->now.link_count; i++) {
        struct net_link *l = &v->now.links[i];

        l->carrier_is_held = false;
        if (l->has_carrier || !l->is_up) {
            l->lost_ns = 0;
            continue;
        }
        l->lost_ns = l->lost_ns == 0 ? now_ns : l->lost_ns;
        l->carrier_is_held = was_usable(v, l->index) && now_ns < l->lost_ns + FLAP_NS;
        if (l->carrier_is_held && l->lost_ns + FLAP_NS < first_ns)
            first_ns = l->lost_ns + FLAP_NS;
    }
    if (first_ns == UINT64_MAX)
        timer_stop(&v->hold);
    else
        timer_set(&v->hold, first_ns);
}

/* What was just read does not know since when. */
static void keep_losses(const struct net_picture *before, struct net_picture *fresh)
{
    for (size_t i = 0; i < fresh->link_count; i++) {
        const struct net_link *l = net_picture_link(before, fresh->links[i].index);

        fresh->links[i].lost_ns = l == NULL ? 0 : l->lost_ns;
    }
}

/* ---- telling --------------------------------------------------------------------------------- */

/* Once for each part, until all of it is kept again. */
static void warn_of_cuts(struct netlink_view *v)
{
    if ((v->now.cut & ~v->told.cut) != 0)
        log_event(LOG_WARN, "netlink.cut",
                  "links=%zu addresses=%zu routes=%zu neighbours=%zu what=\"more than is kept\"",
                  v->now.link_count, v->now.address_count, v->now.route_count,
                  v->now.neighbour_count);
    v->told.cut = v->now.cut;
}

/* The view may be gone afterwards. */
static void tell(struct netlink_view *v)
{
    hold_carriers(v);
    warn_of_cuts(v);
    const unsigned parts = v->is_told ? net_picture_changes(&v->told, &v->now) : (unsigned)NET_ALL;

    if (parts == 0)
        return;
    net_picture_copy(&v->told, &v->now);
    v->is_told = true;
    v->changed(v->arg, parts);
}

static void settle_later(struct netlink_view *v)
{
    const uint64_t at_ns = loop_now_ns(v->loop) + SETTLE_NS;

    if (!timer_is_set(&v->settle))
        timer_set(&v->settle, at_ns > v->rest_until_ns ? at_ns : v->rest_until_ns);
}

static void read_now(struct netlink_view *v)
{
    v->read = v->stirred;
    v->stirred = 0;
    v->source->ops->read(v->source, v->read);
}

static void on_settle(void *arg)
{
    struct netlink_view *v = arg;

    if (v->read != 0)
        return; /* netlink_view_take() sets it again */
    if (v->stirred != 0)
        read_now(v);
    else
        tell(v); /* neighbours only */
}

static void on_hold(void *arg)
{
    tell(arg);
}

/* ---- what sources say ------------------------------------------------------------------------ */

void netlink_view_stir(struct netlink_view *v, unsigned parts)
{
    if (parts == 0)
        return;
    v->stirred |= parts;
    settle_later(v);
}

void netlink_view_overrun(struct netlink_view *v)
{
    v->overruns++;
    netlink_view_stir(v, NET_READABLE);
}

void netlink_view_neighbours_moved(struct netlink_view *v)
{
    /* What is being read may be from before; who was not kept may find room now. */
    if (((v->read | v->now.cut) & NET_NEIGHBOURS) != 0)
        v->stirred |= NET_NEIGHBOURS;
    settle_later(v);
}

void netlink_view_take(struct netlink_view *v, unsigned parts, uint64_t spent_ns,
                       struct net_picture *fresh)
{
    if ((parts & NET_LINKS) != 0)
        keep_losses(&v->now, fresh);
    net_picture_move(&v->now, fresh, parts);
    v->read = 0;
    v->rest_until_ns = loop_now_ns(v->loop) + NETLINK_REST_FACTOR * spent_ns;
    if (v->stirred != 0)
        settle_later(v);
    tell(v);
}

/* ---- birth, death, questions ----------------------------------------------------------------- */

struct alb_status netlink_view_open(struct loop *loop, netlink_view_fn changed, void *arg,
                                    struct netlink_view **out)
{
    struct netlink_view *v = xalloc(sizeof(*v));

    v->loop = loop;
    v->changed = changed;
    v->arg = arg;
    timer_init(&v->settle, loop, on_settle, v);
    timer_init(&v->hold, loop, on_hold, v);
    struct alb_status st = loop->ops->open_netlink(loop, v, &v->source);
    if (alb_failed(st)) {
        free(v);
        return st;
    }
    v->stirred = NET_READABLE;
    read_now(v);
    *out = v;
    return ALB_STATUS_OK;
}

static void bury(void *arg)
{
    struct netlink_view *v = arg;

    net_picture_release(&v->now);
    net_picture_release(&v->told);
    free(v);
}

struct netlink_view *netlink_view_close(struct netlink_view *v)
{
    if (v == NULL)
        return NULL;
    timer_stop(&v->settle);
    timer_stop(&v->hold);
    v->source->ops->close(v->source);
    loop_bury(v->loop, bury, v); /* changed() may be what calls us */
    return NULL;
}

const struct net_picture *netlink_view_peek(const struct netlink_view *v)
{
    return &v->now;
}

unsigned netlink_view_overruns(const struct netlink_view *v)
{
    return v->overruns;
}

struct alb_status netlink_view_reach(struct netlink_view *v, const struct net_ip *to,
                                     struct net_way *out)
{
    return v->source->ops->reach(v->source, to, out);
}
