/* SPDX-License-Identifier: Apache-2.0 */
/* client/whereabouts.c – what the kernel tells of this machine, handed to those who act by it. */
#include "client/whereabouts.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "wire/json.h"

struct whereabouts {
    struct whereabouts_options options;
    struct netlink_view *view; /* NULL: the kernel does not tell */
    struct net_place place;
    bool has_place;
};

/* Through which link; NULL: nobody knows (a name, no route, no view). */
static const struct net_link *way_to(const struct whereabouts *w, const struct upstream_place *to)
{
    struct net_way way;
    struct net_ip ip;

    if (w->view == NULL || !net_ip_parse(to->host, &ip) ||
        alb_failed(netlink_view_reach(w->view, &ip, &way)))
        return NULL;
    return net_picture_link(netlink_view_peek(w->view), way.link);
}

/* The preferred way out, where the way itself is not known. */
enum net_nature whereabouts_way(const struct whereabouts *w, const struct upstream_place *to)
{
    const struct net_link *link = way_to(w, to);

    if (link != NULL)
        return link->nature;
    return w->has_place ? w->place.nature : NET_WIRED;
}

/* ---- the machine's place --------------------------------------------------------------------- */

/* A gateway's MAC that only becomes known is no move. */
static bool has_moved(const struct net_place *before, const struct net_place *now)
{
    if (before->address_count != now->address_count || before->link != now->link ||
        memcmp(before->addresses, now->addresses, now->address_count * sizeof now->addresses[0]) !=
            0)
        return true;
    return before->gateway_count > 0 && now->gateway_count > 0 &&
           memcmp(before->gateways[0], now->gateways[0], NET_MAC_SIZE) != 0;
}

static void keep_addresses(struct whereabouts *w)
{
    struct own_addresses *own = w->options.addresses;

    _Static_assert((int)OWN_ADDRESSES_MAX == (int)NET_PLACE_ADDRESSES, "all of them fit");
    own->count = w->place.address_count;
    memcpy(own->list, w->place.addresses, sizeof own->list);
}

static void on_moved(void *arg, unsigned parts)
{
    struct whereabouts *w = arg;
    const struct net_place before = w->place;

    (void)parts;
    w->options.seen(w->options.arg);
    net_place_of(netlink_view_peek(w->view), &w->place);
    if (w->has_place && net_place_is_same(&before, &w->place))
        return;
    const bool is_other = !w->has_place || has_moved(&before, &w->place);
    if (w->has_place && is_other)
        log_event(LOG_INFO, "place.moved", "addresses=%zu gateways=%zu nature=%s",
                  w->place.address_count, w->place.gateway_count, net_nature_name(w->place.nature));
    w->has_place = true;
    keep_addresses(w);
    w->options.moved(w->options.arg, &w->place, is_other);
}

/* ---- birth and death ------------------------------------------------------------------------- */

struct whereabouts *whereabouts_new(const struct whereabouts_options *options)
{
    struct whereabouts *w = xalloc(sizeof *w);

    *w = (struct whereabouts){.options = *options};
    struct alb_status st = netlink_view_open(options->loop, on_moved, w, &w->view);
    if (alb_failed(st))
        log_status(LOG_WARN, "place.unknown", st, "next=\"the site of the certificate counts\"");
    return w;
}

struct whereabouts *whereabouts_free(struct whereabouts *w)
{
    if (w == NULL)
        return NULL;
    w->view = w->view == NULL ? NULL : netlink_view_close(w->view);
    loop_bury(w->options.loop, free, w);
    return NULL;
}

/* ---- shown ----------------------------------------------------------------------------------- */

const struct net_place *whereabouts_place(const struct whereabouts *w)
{
    return w->has_place ? &w->place : NULL;
}

const struct net_picture *whereabouts_picture(const struct whereabouts *w)
{
    return w->view == NULL ? NULL : netlink_view_peek(w->view);
}

static void put_address(const uint8_t bytes[16], struct json_writer *json)
{
    static const uint8_t V4[12] = {[10] = 0xff, [11] = 0xff};
    struct net_ip ip = {.size = 16};
    char text[NET_IP_TEXT_SIZE];

    if (memcmp(bytes, V4, sizeof V4) == 0)
        ip.size = 4;
    memcpy(ip.bytes, bytes + 16 - ip.size, ip.size);
    json_text(json, NULL, net_ip_format(&ip, text));
}

static void put_gateway(const uint8_t m[NET_MAC_SIZE], struct json_writer *json)
{
    char text[18];

    snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4],
             m[5]);
    json_text(json, NULL, text);
}

void whereabouts_put_place(const struct net_place *place, struct json_writer *json)
{
    json_object_begin(json, "place");
    json_text(json, "nature", place->link == 0 ? "" : net_nature_name(place->nature));
    json_bool(json, "has_vpn", place->has_vpn);
    json_array_begin(json, "addresses");
    for (size_t i = 0; i < place->address_count; i++)
        put_address(place->addresses[i], json);
    json_end(json);
    json_array_begin(json, "gateways");
    for (size_t i = 0; i < place->gateway_count; i++)
        put_gateway(place->gateways[i], json);
    json_end(json);
    json_end(json);
}
