/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/beacon.c – found on its own links (transfer/beacon.h), while it takes newcomers. */
#include "transfer/beacon.h"

#include "base/log.h"
#include "reflector/reflector_impl.h"

void reflector_open_beacon(struct reflector *r)
{
    const struct reflector_options *o = &r->options;

    if (!o->has_beacon)
        return;
    struct alb_status st = beacon_open(&(struct beacon_options){.loop = o->loop,
                                                                .pin = o->trust_pin,
                                                                .device = o->device,
                                                                .address = o->listen_address,
                                                                .port = reflector_port(r)},
                                       &r->beacon);
    if (alb_failed(st))
        log_status(LOG_WARN, "reflector.beacon", st,
                   "what=\"endpoints find this box by the hub's list and their configuration\"");
}

void reflector_beacon_moved(struct reflector *r, const struct net_picture *now)
{
    if (r->beacon != NULL)
        beacon_follow(r->beacon, now);
}

/* Drained or disabled, whoever asked would only be sent away. */
void reflector_beacon_obey(struct reflector *r, enum reflector_state state)
{
    if (r->beacon != NULL)
        beacon_set_open(r->beacon, state == REFLECTOR_ACCEPT || state == REFLECTOR_SUSPEND);
}

void reflector_close_beacon(struct reflector *r)
{
    r->beacon = beacon_close(r->beacon);
}
