/* SPDX-License-Identifier: Apache-2.0 */
/* wire/announce_read.c – announcements from JSON: every list bounded, every word judged. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "wire/announce.h"
#include "wire/announce_words.h"

#define WRONG(what) alb_fail(ALB_INVALID, "an announcement: " what)

/* Room for one device with everything at its bound. */
struct draft {
    struct announce announce;
    struct announce_address addresses[ANNOUNCE_ADDRESSES_MAX];
    struct site_mac gateways[ANNOUNCE_GATEWAYS_MAX];
    struct announce_card cards[ANNOUNCE_CARDS_MAX];
    struct announce_serves serves;
    struct announce_layer layers[ANNOUNCE_LAYERS_MAX];
};

/* ---- values ---------------------------------------------------------------------------------- */

/* Absent, or null, is "". */
static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

/* False: it is there, and is no name.  "" when it is not there. */
static bool take_id(const json_t *object, const char *name, char out[64])
{
    const char *text = text_of(object, name);

    if (text[0] != '\0' && alb_failed(id_check(text)))
        return false;
    (void)snprintf(out, 64, "%s", text);
    return true;
}

static bool take_number(const json_t *object, const char *name, uint64_t *out)
{
    const json_t *value = json_object_get(object, name);

    if (value == NULL)
        return true;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static bool take_time(const json_t *object, const char *name, int64_t *out_wall_s)
{
    uint64_t number = (uint64_t)*out_wall_s;

    if (!take_number(object, name, &number))
        return false;
    *out_wall_s = (int64_t)number;
    return true;
}

/* A list of at most `most`; a missing one, or null, is empty. */
static bool take_list(const json_t *object, const char *name, size_t most, const json_t **out,
                      size_t *count)
{
    const json_t *value = json_object_get(object, name);

    *out = value;
    *count = json_array_size(value);
    return (value == NULL || json_is_null(value) || json_is_array(value)) && *count <= most;
}

/* Letters and the like, so that it can stand in a table of any terminal. */
static bool take_word(const json_t *object, const char *name, char *out, size_t size)
{
    const char *text = text_of(object, name);

    for (const char *c = text; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~')
            return false;
    return snprintf(out, size, "%s", text) < (int)size;
}

/* ---- place ----------------------------------------------------------------------------------- */

static bool take_address(const json_t *value, struct announce_address *out)
{
    const char *text = json_string_value(value), *slash = text == NULL ? NULL : strchr(text, '/');
    const bool is_v6 = text != NULL && strchr(text, ':') != NULL;
    const size_t size = slash == NULL ? 0 : (size_t)(slash - text);
    char address[48];
    uint64_t bits;

    if (size == 0 || size >= sizeof address)
        return false;
    memcpy(address, text, size);
    address[size] = '\0';
    if (alb_failed(site_address_parse(address, out->bytes)) ||
        alb_failed(parse_u64(slash + 1, is_v6 ? 128 : 32, &bits)))
        return false;
    static const uint8_t V4[12] = {[10] = 0xff, [11] = 0xff};
    if (is_v6 && memcmp(out->bytes, V4, sizeof V4) == 0)
        return false; /* has a spelling of its own */
    out->bits = (uint8_t)(is_v6 ? bits : bits + 96);
    return true;
}

static struct alb_status take_place(const json_t *place, struct draft *d)
{
    struct announce_place *p = &d->announce.place;
    const char *by = text_of(place, "by");
    const json_t *list;

    if (!take_id(place, "site", p->site))
        return WRONG("\"site\" is no name of a site");
    for (enum nearby_by i = NEARBY_BY_NONE; i <= NEARBY_BY_GATEWAY; i++)
        if (strcmp(by, nearby_by_word(i)) == 0)
            p->by = i;
    if (!take_word(place, "nature", p->nature, sizeof p->nature))
        return WRONG("\"nature\" is one short word");
    p->is_metered = json_is_true(json_object_get(place, "metered"));
    if (!take_list(place, "addresses", ANNOUNCE_ADDRESSES_MAX, &list, &p->address_count))
        return WRONG("\"addresses\" is a list of at most 16");
    for (size_t i = 0; i < p->address_count; i++)
        if (!take_address(json_array_get(list, i), &d->addresses[i]))
            return WRONG("an address is written 10.1.0.9/24 or 2001:db8::9/64");
    if (!take_list(place, "gateways", ANNOUNCE_GATEWAYS_MAX, &list, &p->gateway_count))
        return WRONG("\"gateways\" is a list of at most 8");
    for (size_t i = 0; i < p->gateway_count; i++) {
        const char *mac = json_string_value(json_array_get(list, i));
        if (mac == NULL || alb_failed(site_mac_parse(mac, &d->gateways[i])))
            return WRONG("a gateway is a MAC address");
    }
    p->addresses = d->addresses;
    p->gateways = d->gateways;
    return ALB_STATUS_OK;
}

/* ---- cards ----------------------------------------------------------------------------------- */

static bool take_wake(const json_t *list, struct announce_card *c)
{
    c->is_known = json_is_array(list);
    if (list != NULL && !json_is_null(list) && !c->is_known)
        return false;
    if (json_array_size(list) > 2 * ANNOUNCE_WAKE_WORDS)
        return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        for (unsigned bit = 0; word != NULL && bit < ANNOUNCE_WAKE_WORDS; bit++)
            if (strcmp(word, announce_wake_words[bit]) == 0)
                c->wake |= (uint8_t)(1U << bit);
    }
    return true;
}

static struct alb_status take_cards(const json_t *device, struct draft *d)
{
    static const struct site_mac NONE = {{0}};
    const json_t *list;

    if (!take_list(device, "cards", ANNOUNCE_CARDS_MAX, &list, &d->announce.card_count))
        return WRONG("\"cards\" is a list of at most 8");
    for (size_t i = 0; i < d->announce.card_count; i++) {
        const json_t *card = json_array_get(list, i);
        struct announce_card *c = &d->cards[i];

        if (alb_failed(site_mac_parse(text_of(card, "mac"), &c->mac)) ||
            (c->mac.bytes[0] & 1) != 0 || memcmp(&c->mac, &NONE, sizeof NONE) == 0)
            return WRONG("a card's \"mac\" is the MAC address of one machine");
        if (!take_word(card, "link", c->link, sizeof c->link))
            return WRONG("a card's \"link\" is a name of at most 15 letters");
        if (!take_wake(json_object_get(card, "wake"), c))
            return WRONG("a card's \"wake\" is a list of words, or null");
    }
    d->announce.cards = d->cards;
    return ALB_STATUS_OK;
}

/* ---- whom it serves -------------------------------------------------------------------------- */

static struct alb_status take_at(const json_t *serves, struct announce_serves *s)
{
    const json_t *list;

    if (!take_list(serves, "at", ANNOUNCE_AT_MAX, &list, &s->at_count))
        return WRONG("\"at\" is a list of at most 8");
    for (size_t i = 0; i < s->at_count; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL || alb_failed(nearby_address_parse(text, &s->at[i])))
            return WRONG("\"at\" is written 10.1.0.5:7443 or [2001:db8::5]:7443");
    }
    return ALB_STATUS_OK;
}

static struct alb_status take_serves(const json_t *device, struct draft *d)
{
    const json_t *serves = json_object_get(device, "serves");
    struct announce_serves *s = &d->serves;

    if (serves == NULL || json_is_null(serves))
        return ALB_STATUS_OK;
    if (!json_is_object(serves) || !d->announce.is_reflector)
        return WRONG("only a reflector serves anybody");
    if (text_of(serves, "state")[0] != '\0' &&
        alb_failed(reflector_state_parse(text_of(serves, "state"), &s->state)))
        return WRONG("\"state\" is accept, drain, suspend or disable");
    if (!take_number(serves, "sessions", &s->sessions) ||
        !take_number(serves, "max_sessions", &s->max_sessions) ||
        !take_number(serves, "load_percent", &s->load_percent) || s->load_percent > 100 ||
        !take_number(serves, "disk_free", &s->disk_free_bytes) ||
        !take_number(serves, "down_bps", &s->down_bps) ||
        !take_time(serves, "cut_off_since", &s->cut_off_since_wall_s))
        return WRONG("a number of \"serves\" is none, or out of bounds");
    d->announce.serves = s;
    return take_at(serves, s);
}

static struct alb_status take_upstream(const json_t *device, struct announce *a)
{
    const json_t *upstream = json_object_get(device, "upstream");

    if (!take_id(upstream, "device", a->upstream))
        return WRONG("\"upstream\" names no device");
    a->upstream_is_hub = strcmp(text_of(upstream, "kind"), "hub") == 0;
    return ALB_STATUS_OK;
}

static struct alb_status take_layers(const json_t *device, struct draft *d)
{
    const json_t *list;

    if (!take_list(device, "layers", ANNOUNCE_LAYERS_MAX, &list, &d->announce.layer_count))
        return WRONG("\"layers\" is a list of at most 32");
    for (size_t i = 0; i < d->announce.layer_count; i++) {
        const json_t *one = json_array_get(list, i);
        struct announce_layer *l = &d->layers[i];

        l->layer = text_of(one, "layer");
        l->version = text_of(one, "version");
        if (alb_failed(layer_name_check(l->layer)) ||
            (l->version[0] != '\0' && alb_failed(version_name_check(l->version))) ||
            !take_number(one, "sequence", &l->sequence))
            return WRONG("a layer is {\"layer\", \"sequence\", \"version\"}");
    }
    d->announce.layers = d->layers;
    return ALB_STATUS_OK;
}

/* ---- one device ------------------------------------------------------------------------------ */

static struct alb_status take_head(const json_t *device, struct announce *a)
{
    const char *role = text_of(device, "role"), *goes = text_of(device, "goes");

    if (!take_id(device, "device", a->device) || a->device[0] == '\0')
        return WRONG("\"device\" is missing, or no name of a device");
    a->is_reflector = strcmp(role, "reflector") == 0;
    if (!a->is_reflector && strcmp(role, "endpoint") != 0)
        return WRONG("\"role\" is reflector or endpoint");
    if (!take_time(device, "since", &a->since_wall_s))
        return WRONG("\"since\" is a time, in seconds since 1970");
    for (enum announce_goes i = ANNOUNCE_STAYS; i <= ANNOUNCE_LOST; i++)
        if (strcmp(goes, announce_goes_word(i)) == 0) {
            a->goes = i;
            return ALB_STATUS_OK;
        }
    return WRONG("\"goes\" is bye, sleep or lost");
}

static struct alb_status take_device(const json_t *device, struct announce **out)
{
    AUTO_FREE struct draft *d = xalloc(sizeof *d);
    struct alb_status st = take_head(device, &d->announce);

    if (!alb_failed(st))
        st = take_place(json_object_get(device, "place"), d);
    if (!alb_failed(st))
        st = take_cards(device, d);
    if (!alb_failed(st))
        st = take_serves(device, d);
    if (!alb_failed(st))
        st = take_upstream(device, &d->announce);
    if (!alb_failed(st))
        st = take_layers(device, d);
    if (!alb_failed(st))
        *out = announce_copy(&d->announce);
    return st;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static json_t *load(const void *bytes, size_t size)
{
    json_error_t error;
    json_t *top =
        size > ANNOUNCE_BODY_MAX ? NULL : json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &error);

    if (json_is_object(top))
        return top;
    json_decref(top);
    return NULL;
}

struct alb_status announce_read(const void *bytes, size_t size, struct announce **out)
{
    json_t *top = load(bytes, size);

    if (top == NULL)
        return WRONG("it is no JSON object");
    struct alb_status st = take_device(top, out);
    json_decref(top);
    return st;
}

struct announce_body *announce_body_free(struct announce_body *b)
{
    for (size_t i = 0; b != NULL && i < b->device_count; i++)
        free(b->devices[i]);
    free(b);
    return NULL;
}

static struct alb_status take_body(const json_t *top, struct announce_body *b)
{
    const json_t *devices, *gone;
    size_t count = 0, gone_count = 0;
    struct alb_status st = ALB_STATUS_OK;

    if (!take_list(top, "devices", ANNOUNCE_DEVICES_MAX, &devices, &count) ||
        !take_list(top, "gone", ANNOUNCE_DEVICES_MAX, &gone, &gone_count))
        return WRONG("\"devices\" and \"gone\" are lists of at most 1,024");
    for (size_t i = 0; i < count && !alb_failed(st); i++) {
        st = take_device(json_array_get(devices, i), &b->devices[i]);
        b->device_count += !alb_failed(st);
    }
    for (size_t i = 0; i < gone_count && !alb_failed(st); i++) {
        const char *name = json_string_value(json_array_get(gone, i));
        if (name == NULL || alb_failed(id_check(name)))
            return WRONG("\"gone\" has something that is no name of a device");
        (void)snprintf(b->gone[b->gone_count++], sizeof b->gone[0], "%s", name);
    }
    return st;
}

struct alb_status announce_decode(const void *bytes, size_t size, struct announce_body **out)
{
    json_t *top = load(bytes, size);

    if (top == NULL)
        return WRONG("it is no JSON object, or over 256 KiB");
    struct announce_body *b = xalloc(sizeof *b);
    struct alb_status st = take_body(top, b);
    json_decref(top);
    if (alb_failed(st))
        announce_body_free(b);
    else
        *out = b;
    return st;
}
