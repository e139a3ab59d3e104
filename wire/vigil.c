/* SPDX-License-Identifier: Apache-2.0 */
/* wire/vigil.c – the signed order to sleep again, or to stay awake: fields, bounds, envelope. */
#include "wire/vigil.h"

#include "base/alloc.h"
#include "wire/fields.h"
#include "wire/signed.h"

static void put_version(struct pack *p, const void *object)
{
    const struct vigil_order *o = object;

    pack_string(p, o->layer);
    pack_string(p, o->version);
}

static void get_version(struct unpack *u, void *object)
{
    struct vigil_order *o = object;

    unpack_string(u, o->layer, sizeof o->layer);
    unpack_string(u, o->version, sizeof o->version);
}

static const char *const UNKNOWN[FIELD_NUMBERS] = FIELD_TEXTS("vigil order");
static const struct field_row ROWS[] = {
    {1, FIELD_ID, offsetof(struct vigil_order, org), NULL, NULL},
    {2, FIELD_ID, offsetof(struct vigil_order, device), NULL, NULL},
    {3, FIELD_NUMBER, offsetof(struct vigil_order, number), NULL, NULL},
    {4, FIELD_TIME, offsetof(struct vigil_order, issued_wall_s), NULL, NULL},
    {5, FIELD_TIME, offsetof(struct vigil_order, expires_wall_s), NULL, NULL},
    {6, FIELD_NUMBER, offsetof(struct vigil_order, kind), NULL, NULL},
    {7, FIELD_TIME, offsetof(struct vigil_order, begun_wall_s), NULL, NULL},
    {8, FIELD_TIME, offsetof(struct vigil_order, until_wall_s), NULL, NULL},
    {9, FIELD_OWN, 0, put_version, get_version},
};
static const struct field_table TABLE = {UNKNOWN, "a vigil order lacks a field it must have", ROWS,
                                         ALB_COUNT(ROWS)};

static struct alb_status names_check(const struct vigil_order *o)
{
    const bool is_sleep = o->kind == VIGIL_SLEEP;

    if (o->kind != VIGIL_SLEEP && o->kind != VIGIL_STAY && o->kind != VIGIL_LEAVE)
        return alb_fail(ALB_INVALID, "a vigil order asks for what this program does not know");
    if (!is_sleep && (o->layer[0] != '\0' || o->version[0] != '\0'))
        return alb_fail(ALB_INVALID, "a vigil order to stay names a layer");
    if (is_sleep &&
        (alb_failed(layer_name_check(o->layer)) || alb_failed(version_name_check(o->version))))
        return alb_fail(ALB_INVALID, "a vigil order to sleep names no version");
    return ALB_STATUS_OK;
}

static struct alb_status order_check(const struct vigil_order *o)
{
    if (o->expires_wall_s <= o->issued_wall_s ||
        o->expires_wall_s - o->issued_wall_s > VIGIL_ORDER_LIFE_S)
        return alb_fail(ALB_INVALID, "a vigil order is to be heard within a minute");
    if (o->until_wall_s < o->issued_wall_s || o->until_wall_s - o->issued_wall_s > VIGIL_MOST_S)
        return alb_fail(ALB_INVALID, "a vigil order holds for a day at most");
    return names_check(o);
}

struct alb_status vigil_order_encode(const struct vigil_order *o, const struct sign_secret *hub,
                                     struct buf *out)
{
    struct alb_status st = order_check(o);
    struct buf body;

    if (alb_failed(st))
        return st;
    buf_init(&body, VIGIL_ORDER_BYTES_MAX);
    st = fields_encode(&TABLE, o, &body);
    if (!alb_failed(st))
        st = signed_seal("vigil", VIGIL_ORDER_FORMAT, &body, hub, 1, out);
    buf_release(&body);
    return st;
}

struct alb_status vigil_order_decode(const void *bytes, size_t size, const struct trust *trust,
                                     struct vigil_order *out)
{
    struct vigil_order o = {.kind = 0};
    struct signed_view v;

    if (trust == NULL)
        return alb_fail(ALB_REFUSED, "there is no trust file yet to judge a vigil order by");
    if (size > VIGIL_ORDER_BYTES_MAX)
        return alb_fail(ALB_CORRUPT, "a vigil order has more than 1 KiB");
    struct alb_status st =
        signed_open_by(bytes, size, "vigil", VIGIL_ORDER_FORMAT, &trust->hub_key, &v);
    if (!alb_failed(st))
        st = fields_decode(&TABLE, v.body, v.body_size, &o);
    if (alb_failed(st))
        return st;
    st = order_check(&o);
    if (alb_failed(st))
        return (struct alb_status){ALB_CORRUPT, 0, st.what};
    if (strcmp(o.org, trust->org) != 0)
        return alb_fail(ALB_REFUSED, "the vigil order is another organisation's");
    *out = o;
    return ALB_STATUS_OK;
}
