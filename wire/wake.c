/* SPDX-License-Identifier: Apache-2.0 */
/* wire/wake.c – the signed order to wake machines: fields, bounds, envelope. */
#include "wire/wake.h"

#include <stdio.h>

#include "base/alloc.h"
#include "wire/fields.h"
#include "wire/signed.h"

enum { FLAG_AGAIN = 1 };

/* ---- targets --------------------------------------------------------------------------------- */

static void put_target(struct pack *p, const struct wake_order_target *t)
{
    pack_string(p, t->device);
    pack_u8(p, (uint8_t)t->mac_count);
    for (size_t i = 0; i < t->mac_count; i++)
        pack_bytes(p, t->macs[i].bytes, sizeof t->macs[i].bytes);
    pack_u8(p, (uint8_t)t->address_count);
    for (size_t i = 0; i < t->address_count; i++) {
        pack_bytes(p, t->addresses[i].bytes, sizeof t->addresses[i].bytes);
        pack_u8(p, t->addresses[i].bits);
    }
    pack_run(p, t->password, t->password_size);
    pack_u8(p, t->is_again ? FLAG_AGAIN : 0);
}

static void put_targets(struct pack *p, const void *object)
{
    const struct wake_order *o = object;

    for (size_t i = 0; i < o->target_count; i++)
        put_target(p, &o->targets[i]);
}

/* A count of things of one size, each within bounds; 0 after an error. */
static size_t get_count(struct unpack *u, size_t most)
{
    const size_t count = unpack_u8(u);

    if (count >= 1 && count <= most)
        return count;
    unpack_fail(u, "a wake order names no MAC or address of a machine, or too many");
    return 0;
}

static void get_bytes(struct unpack *u, void *out, size_t size)
{
    const uint8_t *bytes = unpack_bytes(u, size);

    if (bytes != NULL)
        memcpy(out, bytes, size);
}

static void get_target(struct unpack *u, struct wake_order_target *t)
{
    size_t size = 0;

    unpack_string(u, t->device, sizeof t->device);
    t->mac_count = get_count(u, WAKE_ORDER_MACS_MAX);
    for (size_t i = 0; i < t->mac_count; i++)
        get_bytes(u, t->macs[i].bytes, sizeof t->macs[i].bytes);
    t->address_count = get_count(u, WAKE_ORDER_ADDRESSES_MAX);
    for (size_t i = 0; i < t->address_count; i++) {
        get_bytes(u, t->addresses[i].bytes, sizeof t->addresses[i].bytes);
        t->addresses[i].bits = unpack_u8(u);
    }
    const uint8_t *password = unpack_run(u, WAKE_ORDER_PASSWORD_MAX, &size);
    if (password != NULL)
        memcpy(t->password, password, size);
    t->password_size = (uint8_t)size;
    const uint8_t flags = unpack_u8(u);
    t->is_again = flags == FLAG_AGAIN;
    if (flags > FLAG_AGAIN)
        unpack_fail(u, "a wake order has a flag that this program does not know");
}

static void get_targets(struct unpack *u, void *object)
{
    struct wake_order *o = object;

    while (unpack_left(u) > 0) {
        if (o->target_count == WAKE_ORDER_TARGETS_MAX) {
            unpack_fail(u, "a wake order names more than 8 machines");
            return;
        }
        get_target(u, &o->targets[o->target_count++]);
    }
}

/* ---- the order ------------------------------------------------------------------------------- */

static const char *const UNKNOWN[FIELD_NUMBERS] = FIELD_TEXTS("wake order");
static const struct field_row ROWS[] = {
    {1, FIELD_ID, offsetof(struct wake_order, org), NULL, NULL},
    {2, FIELD_ID, offsetof(struct wake_order, guard), NULL, NULL},
    {3, FIELD_ID, offsetof(struct wake_order, job), NULL, NULL},
    {4, FIELD_NUMBER, offsetof(struct wake_order, number), NULL, NULL},
    {5, FIELD_TIME, offsetof(struct wake_order, issued_wall_s), NULL, NULL},
    {6, FIELD_TIME, offsetof(struct wake_order, expires_wall_s), NULL, NULL},
    {7, FIELD_OWN, 0, put_targets, get_targets},
};
static const struct field_table TABLE = {UNKNOWN, "a wake order lacks a field it must have", ROWS,
                                         ALB_COUNT(ROWS)};

static struct alb_status target_check(const struct wake_order_target *t)
{
    static const struct site_mac NONE;

    if (alb_failed(id_check(t->device)))
        return alb_fail(ALB_INVALID, "a wake order names no device");
    if (t->mac_count == 0 || t->mac_count > WAKE_ORDER_MACS_MAX || t->address_count == 0 ||
        t->address_count > WAKE_ORDER_ADDRESSES_MAX)
        return alb_fail(ALB_INVALID, "a wake order has 1 to 4 MACs and addresses of each machine");
    for (size_t i = 0; i < t->mac_count; i++)
        if ((t->macs[i].bytes[0] & 1) != 0 || memcmp(&t->macs[i], &NONE, sizeof NONE) == 0)
            return alb_fail(ALB_INVALID, "a wake order names a MAC that no machine has");
    for (size_t i = 0; i < t->address_count; i++)
        if (t->addresses[i].bits > 128)
            return alb_fail(ALB_INVALID, "a wake order's subnet has more than 128 bits");
    if (t->password_size != 0 && t->password_size != 4 && t->password_size != 6)
        return alb_fail(ALB_INVALID, "a SecureOn password has 4 or 6 bytes");
    return ALB_STATUS_OK;
}

static struct alb_status order_check(const struct wake_order *o)
{
    struct alb_status st = ALB_STATUS_OK;

    if (o->target_count == 0 || o->target_count > WAKE_ORDER_TARGETS_MAX)
        return alb_fail(ALB_INVALID, "a wake order names 1 to 8 machines");
    if (o->expires_wall_s <= o->issued_wall_s ||
        o->expires_wall_s - o->issued_wall_s > WAKE_ORDER_LIFE_S)
        return alb_fail(ALB_INVALID, "a wake order holds for a minute at most");
    for (size_t i = 0; i < o->target_count && !alb_failed(st); i++)
        st = target_check(&o->targets[i]);
    return st;
}

struct alb_status wake_order_encode(const struct wake_order *o, const struct sign_secret *hub,
                                    struct buf *out)
{
    struct alb_status st = order_check(o);
    struct buf body;

    if (alb_failed(st))
        return st;
    buf_init(&body, WAKE_ORDER_BYTES_MAX);
    st = fields_encode(&TABLE, o, &body);
    if (!alb_failed(st))
        st = signed_seal("wake", WAKE_ORDER_FORMAT, &body, hub, 1, out);
    buf_release(&body);
    return st;
}

struct alb_status wake_order_decode(const void *bytes, size_t size, const struct trust *trust,
                                    struct wake_order *out)
{
    AUTO_FREE struct wake_order *o = xalloc(sizeof *o);
    struct signed_view v;

    if (trust == NULL)
        return alb_fail(ALB_REFUSED, "there is no trust file yet to judge a wake order by");
    if (size > WAKE_ORDER_BYTES_MAX)
        return alb_fail(ALB_CORRUPT, "a wake order has more than 3 KiB");
    struct alb_status st =
        signed_open_by(bytes, size, "wake", WAKE_ORDER_FORMAT, &trust->hub_key, &v);
    if (!alb_failed(st))
        st = fields_decode(&TABLE, v.body, v.body_size, o);
    if (alb_failed(st))
        return st;
    st = order_check(o);
    if (alb_failed(st))
        return (struct alb_status){ALB_CORRUPT, 0, st.what};
    if (strcmp(o->org, trust->org) != 0)
        return alb_fail(ALB_REFUSED, "the wake order is another organisation's");
    *out = *o;
    return ALB_STATUS_OK;
}

void wake_job_id_make(char out[WAKE_ID_SIZE])
{
    uint8_t random[8];

    random_bytes(random, sizeof random);
    out[0] = 'w';
    bytes_hex(random, sizeof random, out + 1);
}
