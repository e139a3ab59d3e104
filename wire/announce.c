/* SPDX-License-Identifier: Apache-2.0 */
/* wire/announce.c – announcements copied, compared and written. */
#include "wire/announce.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "wire/announce_words.h"
#include "wire/json.h"

const char *const announce_wake_words[ANNOUNCE_WAKE_WORDS] = {
    "phy", "unicast", "multicast", "broadcast", "arp", "magic", "secureon", "filter"};

static const char *const GOES[] = {[ANNOUNCE_STAYS] = "",
                                   [ANNOUNCE_BYE] = "bye",
                                   [ANNOUNCE_SLEEP] = "sleep",
                                   [ANNOUNCE_LOST] = "lost"};

const char *announce_goes_word(enum announce_goes goes)
{
    return GOES[goes];
}

/* ---- one block: the struct, its lists by falling alignment, its texts ------------------------ */

static size_t texts_size(const struct announce *a)
{
    size_t size = 0;

    for (size_t i = 0; i < a->layer_count; i++)
        size += strlen(a->layers[i].layer) + strlen(a->layers[i].version) + 2;
    return size;
}

static void *put(uint8_t **at, const void *from, size_t size)
{
    uint8_t *to = *at;

    if (size == 0)
        return NULL;
    memcpy(to, from, size);
    *at += size;
    return to;
}

static void put_layers(uint8_t **at, const struct announce *a, struct announce *to,
                       struct announce_layer *layers)
{
    for (size_t i = 0; i < a->layer_count; i++) {
        layers[i].layer = put(at, a->layers[i].layer, strlen(a->layers[i].layer) + 1);
        layers[i].version = put(at, a->layers[i].version, strlen(a->layers[i].version) + 1);
    }
    to->layers = layers;
}

struct announce *announce_copy(const struct announce *a)
{
    const size_t serves = a->serves == NULL ? 0 : sizeof *a->serves,
                 layers = a->layer_count * sizeof *a->layers,
                 addresses = a->place.address_count * sizeof *a->place.addresses,
                 gateways = a->place.gateway_count * sizeof *a->place.gateways,
                 cards = a->card_count * sizeof *a->cards;
    struct announce *to =
        xalloc(sizeof *to + serves + layers + addresses + gateways + cards + texts_size(a));
    uint8_t *at = (uint8_t *)(to + 1);

    *to = *a;
    to->serves = put(&at, a->serves, serves);
    struct announce_layer *own = put(&at, a->layers, layers);
    to->place.addresses = put(&at, a->place.addresses, addresses);
    to->place.gateways = put(&at, a->place.gateways, gateways);
    to->cards = put(&at, a->cards, cards);
    put_layers(&at, a, to, own);
    return to;
}

/* ---- comparing: member by member, since padding is not told ---------------------------------- */

static bool is_same_address(const struct announce_address *a, const struct announce_address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0 && a->bits == b->bits;
}

static bool is_same_card(const struct announce_card *a, const struct announce_card *b)
{
    return memcmp(&a->mac, &b->mac, sizeof a->mac) == 0 && strcmp(a->link, b->link) == 0 &&
           a->is_known == b->is_known && (!a->is_known || a->wake == b->wake);
}

bool announce_is_same_place(const struct announce *a, const struct announce *b)
{
    const struct announce_place *p = &a->place, *q = &b->place;

    if (strcmp(p->site, q->site) != 0 || p->by != q->by || p->is_metered != q->is_metered ||
        strcmp(p->nature, q->nature) != 0 || p->address_count != q->address_count ||
        p->gateway_count != q->gateway_count || a->card_count != b->card_count)
        return false;
    for (size_t i = 0; i < p->address_count; i++)
        if (!is_same_address(&p->addresses[i], &q->addresses[i]))
            return false;
    for (size_t i = 0; i < p->gateway_count; i++)
        if (memcmp(&p->gateways[i], &q->gateways[i], sizeof p->gateways[i]) != 0)
            return false;
    for (size_t i = 0; i < a->card_count; i++)
        if (!is_same_card(&a->cards[i], &b->cards[i]))
            return false;
    return true;
}

static bool is_same_serves(const struct announce_serves *a, const struct announce_serves *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (a->at_count != b->at_count || a->state != b->state || a->sessions != b->sessions ||
        a->max_sessions != b->max_sessions || a->load_percent != b->load_percent ||
        a->disk_free_bytes != b->disk_free_bytes || a->down_bps != b->down_bps ||
        a->cut_off_since_wall_s != b->cut_off_since_wall_s)
        return false;
    for (size_t i = 0; i < a->at_count; i++)
        if (strcmp(a->at[i].host, b->at[i].host) != 0 || a->at[i].port != b->at[i].port)
            return false;
    return true;
}

static bool is_same_layer(const struct announce_layer *a, const struct announce_layer *b)
{
    return a->sequence == b->sequence && strcmp(a->layer, b->layer) == 0 &&
           strcmp(a->version, b->version) == 0;
}

bool announce_is_same_layers(const struct announce *a, const struct announce *b)
{
    if (a->layer_count != b->layer_count)
        return false;
    for (size_t i = 0; i < a->layer_count; i++)
        if (!is_same_layer(&a->layers[i], &b->layers[i]))
            return false;
    return true;
}

bool announce_is_same(const struct announce *a, const struct announce *b)
{
    if (strcmp(a->device, b->device) != 0 || a->is_reflector != b->is_reflector ||
        a->goes != b->goes || strcmp(a->upstream, b->upstream) != 0 ||
        a->upstream_is_hub != b->upstream_is_hub || !announce_is_same_layers(a, b))
        return false;
    return is_same_serves(a->serves, b->serves) && announce_is_same_place(a, b);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_address(const struct announce_address *a, struct json_writer *w)
{
    struct policy_subnet subnet = {.bits = a->bits};
    char text[64];

    memcpy(subnet.address, a->bytes, sizeof subnet.address);
    json_text(w, NULL, site_subnet_text(&subnet, text));
}

static void write_place(const struct announce_place *p, struct json_writer *w)
{
    char text[18];

    json_object_begin(w, "place");
    json_text(w, "site", p->site);
    json_text(w, "by", nearby_by_word(p->by));
    json_array_begin(w, "addresses");
    for (size_t i = 0; i < p->address_count; i++)
        write_address(&p->addresses[i], w);
    json_end(w);
    json_array_begin(w, "gateways");
    for (size_t i = 0; i < p->gateway_count; i++)
        json_text(w, NULL, site_mac_text(&p->gateways[i], text));
    json_end(w);
    json_text(w, "nature", p->nature);
    json_bool(w, "metered", p->is_metered);
    json_end(w);
}

static void write_card(const struct announce_card *c, struct json_writer *w)
{
    char text[18];

    json_object_begin(w, NULL);
    json_text(w, "mac", site_mac_text(&c->mac, text));
    json_text(w, "link", c->link);
    if (c->is_known) {
        json_array_begin(w, "wake");
        for (unsigned bit = 0; bit < ANNOUNCE_WAKE_WORDS; bit++)
            if ((c->wake >> bit & 1) != 0)
                json_text(w, NULL, announce_wake_words[bit]);
        json_end(w);
    }
    json_end(w);
}

static void write_serves(const struct announce_serves *s, struct json_writer *w)
{
    char text[64];

    json_object_begin(w, "serves");
    json_array_begin(w, "at");
    for (size_t i = 0; i < s->at_count; i++)
        json_text(w, NULL, nearby_address_text(&s->at[i], text));
    json_end(w);
    json_text(w, "state", reflector_state_word(s->state));
    json_number(w, "sessions", s->sessions);
    json_number(w, "max_sessions", s->max_sessions);
    json_number(w, "load_percent", s->load_percent);
    json_number(w, "disk_free", s->disk_free_bytes);
    json_number(w, "down_bps", s->down_bps);
    json_signed(w, "cut_off_since", s->cut_off_since_wall_s);
    json_end(w);
}

static void write_layers(const struct announce *a, struct json_writer *w)
{
    json_array_begin(w, "layers");
    for (size_t i = 0; i < a->layer_count; i++) {
        json_object_begin(w, NULL);
        json_text(w, "layer", a->layers[i].layer);
        json_number(w, "sequence", a->layers[i].sequence);
        json_text(w, "version", a->layers[i].version);
        json_end(w);
    }
    json_end(w);
}

static void write_rest(const struct announce *a, struct json_writer *w)
{
    write_place(&a->place, w);
    json_array_begin(w, "cards");
    for (size_t i = 0; i < a->card_count; i++)
        write_card(&a->cards[i], w);
    json_end(w);
    if (a->serves != NULL)
        write_serves(a->serves, w);
    if (a->upstream[0] != '\0') {
        json_object_begin(w, "upstream");
        json_text(w, "device", a->upstream);
        json_text(w, "kind", a->upstream_is_hub ? "hub" : "reflector");
        json_end(w);
    }
    if (a->layer_count > 0)
        write_layers(a, w);
}

void announce_write(const struct announce *a, const char *key, struct json_writer *w)
{
    json_object_begin(w, key);
    json_text(w, "device", a->device);
    json_text(w, "role", a->is_reflector ? "reflector" : "endpoint");
    json_signed(w, "since", a->since_wall_s);
    if (a->goes != ANNOUNCE_STAYS)
        json_text(w, "goes", announce_goes_word(a->goes));
    else
        write_rest(a, w);
    json_end(w);
}
