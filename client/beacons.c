/* SPDX-License-Identifier: Apache-2.0 */
/* client/beacons.c – from links to a browser, and from the browser to the chooser. */
#include "client/beacons.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "net/netlink.h"

/* As many as anybody could try. */
enum { PLACES_MOST = 16 };

struct beacons {
    struct loop *loop;
    struct chooser *chooser;
    struct upstream *upstream;
    struct upstream_listener listener;
    struct netlink_view *view;
    struct beacon_browser *browser;
};

static void on_changed(void *arg)
{
    const struct beacons *b = arg;
    struct upstream_place places[PLACES_MOST];
    const size_t count = beacon_browser_places(b->browser, places, PLACES_MOST);

    log_event(LOG_INFO, "beacons.heard", "places=%zu first=%s", count,
              count > 0 ? places[0].host : "");
    chooser_set_beacons(b->chooser, places, count);
}

static void on_moved(void *arg, unsigned parts)
{
    const struct beacons *b = arg;

    if ((parts & (NET_LINKS | NET_ADDRESSES)) != 0)
        beacon_browser_follow(b->browser, netlink_view_peek(b->view));
}

static void on_up(struct upstream_listener *l)
{
    (void)l;
}

static void on_down(struct upstream_listener *l)
{
    struct beacons *b = ALB_CONTAINER(l, struct beacons, listener);

    beacon_browser_ask(b->browser);
}

static struct alb_status look_around(struct beacons *b, const struct digest *pin)
{
    const struct beacon_browser_options options = {
        .loop = b->loop, .pin = pin, .arg = b, .changed = on_changed};
    struct alb_status st = beacon_browser_open(&options, &b->browser);

    if (!alb_failed(st))
        st = netlink_view_open(b->loop, on_moved, b, &b->view);
    return st;
}

struct beacons *beacons_open(struct loop *loop, const struct digest *pin, struct chooser *chooser,
                             struct upstream *upstream)
{
    struct beacons *b = xalloc(sizeof *b);

    b->loop = loop;
    b->chooser = chooser;
    b->upstream = upstream;
    struct alb_status st = look_around(b, pin);
    if (alb_failed(st)) {
        log_status(LOG_INFO, "beacons.none", st,
                   "what=\"reflectors are found by the hub's list and the configuration alone\"");
        beacon_browser_close(b->browser);
        free(b);
        return NULL;
    }
    b->listener = (struct upstream_listener){.up = on_up, .down = on_down};
    upstream_listen(upstream, &b->listener);
    return b;
}

struct beacons *beacons_close(struct beacons *b)
{
    if (b == NULL)
        return NULL;
    upstream_unlisten(b->upstream, &b->listener);
    netlink_view_close(b->view);
    beacon_browser_close(b->browser);
    loop_bury(b->loop, free, b);
    return NULL;
}
