/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/announcer_pieces.c – from a picture of the machine to what is announced of it. */
#include <stdio.h>
#include <string.h>

#include "transfer/announcer.h"

/* As a mapped address; false: it has none. */
static bool mapped(const struct net_ip *ip, uint8_t out[16])
{
    static const uint8_t V4[12] = {[10] = 0xff, [11] = 0xff};

    if (ip->size == 16)
        memcpy(out, ip->bytes, 16);
    if (ip->size == 4) {
        memcpy(out, V4, sizeof V4);
        memcpy(out + sizeof V4, ip->bytes, 4);
    }
    return ip->size != 0;
}

/* Of a peer's prefix the machine itself is no part: it is alone at its end. */
static uint8_t bits_of(const struct net_picture *p, const uint8_t address[16])
{
    uint8_t other[16];

    for (size_t i = 0; i < p->address_count; i++) {
        const struct net_address *a = &p->addresses[i];

        if (a->peer.size == 0 && mapped(&a->ip, other) && memcmp(address, other, 16) == 0)
            return (uint8_t)(a->prefix + (a->ip.size == 4 ? 96 : 0));
    }
    return 128;
}

void announcer_place_of(const struct net_picture *p, const struct net_place *place,
                        struct announcer_place *room, struct announce_place *out)
{
    out->address_count = 0;
    out->gateway_count = 0;
    for (size_t i = 0; i < place->address_count && i < ANNOUNCE_ADDRESSES_MAX; i++) {
        struct announce_address *a = &room->addresses[out->address_count++];
        memcpy(a->bytes, place->addresses[i], sizeof a->bytes);
        a->bits = bits_of(p, a->bytes);
    }
    for (size_t i = 0; i < place->gateway_count && i < ANNOUNCE_GATEWAYS_MAX; i++)
        memcpy(room->gateways[out->gateway_count++].bytes, place->gateways[i], NET_MAC_SIZE);
    out->addresses = room->addresses;
    out->gateways = room->gateways;
    (void)snprintf(out->nature, sizeof out->nature, "%s",
                   place->link == 0 ? "" : net_nature_name(place->nature));
}

static bool is_group(const uint8_t mac[NET_MAC_SIZE])
{
    static const uint8_t NONE[NET_MAC_SIZE] = {0};

    return (mac[0] & 1) != 0 || memcmp(mac, NONE, sizeof NONE) == 0;
}

size_t announcer_cards_of(const struct net_picture *p, struct announce_card out[ANNOUNCE_CARDS_MAX],
                          uint32_t links[ANNOUNCE_CARDS_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < p->link_count && count < ANNOUNCE_CARDS_MAX; i++) {
        const struct net_link *l = &p->links[i];
        const bool is_card = l->nature == NET_WIRED || l->nature == NET_WIRELESS;

        if (!is_card || !l->has_mac || is_group(l->mac))
            continue;
        if (links != NULL)
            links[count] = l->index;
        struct announce_card *c = &out[count++];
        *c = (struct announce_card){.is_known = false};
        memcpy(c->mac.bytes, l->mac, sizeof c->mac.bytes);
        (void)snprintf(c->link, sizeof c->link, "%s", l->name);
    }
    return count;
}

size_t announcer_size_of(const struct announce *one)
{
    size_t size = 640; /* names of members, numbers, commas */

    size += one->place.address_count * 52 + one->place.gateway_count * 20 + one->card_count * 160;
    size += one->serves == NULL ? 0 : 320 + one->serves->at_count * 64;
    for (size_t i = 0; i < one->layer_count; i++)
        size += 64 + strlen(one->layers[i].layer) + strlen(one->layers[i].version);
    return size;
}
