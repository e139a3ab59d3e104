/* SPDX-License-Identifier: Apache-2.0 */
/* wire/delta_record.c – the hub's word that a delta set leads from one root to another. */
#include "wire/delta_set.h"

#include "base/alloc.h"
#include "wire/fields.h"
#include "wire/signed.h"

enum { RECORD_FORMAT = 1, LIST_FORMAT = 1 };
static const char KIND[] = "delta";
static const char DOMAIN[] = "albedo delta ";

static const char *const UNKNOWN[FIELD_NUMBERS] = FIELD_TEXTS("delta record");
static const struct field_row ROWS[] = {
    {1, FIELD_ID, offsetof(struct delta_set_record, org), NULL, NULL},
    {2, FIELD_LAYER, offsetof(struct delta_set_record, layer), NULL, NULL},
    {3, FIELD_BYTES32, offsetof(struct delta_set_record, from), NULL, NULL},
    {4, FIELD_BYTES32, offsetof(struct delta_set_record, to), NULL, NULL},
    {5, FIELD_BYTES32, offsetof(struct delta_set_record, set), NULL, NULL},
    {6, FIELD_NUMBER, offsetof(struct delta_set_record, root_bytes), NULL, NULL},
    {7, FIELD_NUMBER, offsetof(struct delta_set_record, bytes), NULL, NULL},
    {8, FIELD_TIME, offsetof(struct delta_set_record, made_wall_s), NULL, NULL},
};
static const struct field_table TABLE = {UNKNOWN, "a delta record lacks a field it must have", ROWS,
                                         ALB_COUNT(ROWS)};

static struct alb_status check(const struct delta_set_record *r)
{
    if (digest_equal(&r->from, &r->to))
        return alb_fail(ALB_INVALID, "a delta record leads from a root to itself");
    if (r->root_bytes == 0 || r->root_bytes > ROOT_OBJECT_MAX)
        return alb_fail(ALB_INVALID, "a delta record's root object is empty or over 4 MiB");
    if (r->bytes == 0)
        return alb_fail(ALB_INVALID, "a delta record says its set has no bytes");
    return ALB_STATUS_OK;
}

struct alb_status delta_set_record_encode(const struct delta_set_record *r,
                                          const struct sign_secret *hub, struct buf *out)
{
    struct alb_status st = check(r);
    struct buf body;

    if (alb_failed(st))
        return st;
    buf_init(&body, SIGNED_MAX);
    st = fields_encode(&TABLE, r, &body);
    if (!alb_failed(st))
        st = signed_seal(KIND, RECORD_FORMAT, &body, hub, 1, out);
    buf_release(&body);
    return st;
}

struct alb_status delta_set_record_decode(const void *bytes, size_t size, const struct trust *trust,
                                          struct delta_set_record *out)
{
    struct delta_set_record r = {.bytes = 0};
    struct signed_view v;

    if (trust == NULL)
        return alb_fail(ALB_REFUSED, "there is no trust file yet to judge a delta record by");
    if (size > DELTA_SET_RECORD_MAX)
        return alb_fail(ALB_CORRUPT, "a delta record is larger than 2 KiB");
    struct alb_status st = signed_open_by(bytes, size, KIND, RECORD_FORMAT, &trust->hub_key, &v);
    if (!alb_failed(st))
        st = fields_decode(&TABLE, v.body, v.body_size, &r);
    if (alb_failed(st))
        return st;
    st = check(&r);
    if (alb_failed(st))
        return (struct alb_status){ALB_CORRUPT, 0, st.what};
    if (strcmp(r.org, trust->org) != 0)
        return alb_fail(ALB_REFUSED, "the delta record is another organisation's");
    *out = r;
    return ALB_STATUS_OK;
}

bool delta_set_is_record(const void *bytes, size_t size)
{
    return size >= sizeof DOMAIN - 1 && memcmp(bytes, DOMAIN, sizeof DOMAIN - 1) == 0;
}

/* ---- lists ---- */

struct alb_status delta_set_list_encode(const struct delta_set_list *l, struct buf *out)
{
    struct pack p;

    if (l->count > DELTA_SET_LIST_MAX)
        return alb_fail(ALB_INVALID, "a list of delta sets has more than 16");
    pack_init(&p, out);
    pack_u8(&p, LIST_FORMAT);
    pack_varint(&p, l->count);
    for (size_t i = 0; i < l->count; i++)
        pack_run(&p, l->bytes[i], l->sizes[i]);
    return pack_finish(&p);
}

struct alb_status delta_set_list_decode(const void *bytes, size_t size, struct delta_set_list *out)
{
    struct delta_set_list l = {.count = 0};
    struct unpack u;

    unpack_init(&u, bytes, size);
    if (unpack_u8(&u) != LIST_FORMAT)
        unpack_fail(&u, "list of delta sets format is not known to this program");
    l.count = (size_t)unpack_bounded(&u, DELTA_SET_LIST_MAX);
    for (size_t i = 0; i < l.count; i++)
        l.bytes[i] = unpack_run(&u, DELTA_SET_RECORD_MAX, &l.sizes[i]);
    struct alb_status st = unpack_finish(&u);
    if (!alb_failed(st))
        *out = l;
    return st;
}

struct alb_status delta_set_list_judge(const void *bytes, size_t size, const struct trust *trust,
                                       const char *layer, const struct digest *to)
{
    struct delta_set_list l;
    struct delta_set_record r;
    uint64_t last = 0;
    struct alb_status st = delta_set_list_decode(bytes, size, &l);

    for (size_t i = 0; !alb_failed(st) && i < l.count; i++) {
        st = delta_set_record_decode(l.bytes[i], l.sizes[i], trust, &r);
        if (alb_failed(st))
            return st;
        if (strcmp(r.layer, layer) != 0 || !digest_equal(&r.to, to))
            return alb_fail(ALB_CORRUPT, "a list of delta sets has one of another target");
        if (r.bytes < last)
            return alb_fail(ALB_CORRUPT, "a list of delta sets has not the smallest first");
        last = r.bytes;
    }
    return st;
}
