/* SPDX-License-Identifier: Apache-2.0 */
/* wire/record.c – version records and heads: what a publisher introduces, what the hub selects. */
#include "wire/record.h"

#include "base/alloc.h"
#include "wire/fields.h"
#include "wire/root.h"
#include "wire/signed.h"

enum { RECORD_FORMAT = 1, HEAD_FORMAT = 1 };

/* ---- version record ---- */

static const char *const RECORD_UNKNOWN[FIELD_NUMBERS] = FIELD_TEXTS("version record");
static const struct field_row RECORD_ROWS[] = {
    {1, FIELD_ID, offsetof(struct version_record, org), NULL, NULL},
    {2, FIELD_LAYER, offsetof(struct version_record, layer), NULL, NULL},
    {3, FIELD_VERSION, offsetof(struct version_record, version), NULL, NULL},
    {4, FIELD_NUMBER, offsetof(struct version_record, sequence), NULL, NULL},
    {5, FIELD_BYTES32, offsetof(struct version_record, root), NULL, NULL},
    {6, FIELD_NUMBER, offsetof(struct version_record, root_bytes), NULL, NULL},
    {7, FIELD_NUMBER, offsetof(struct version_record, content_bytes), NULL, NULL},
    {8, FIELD_NUMBER, offsetof(struct version_record, entries), NULL, NULL},
    {9, FIELD_NUMBER, offsetof(struct version_record, flags), NULL, NULL},
    {10, FIELD_TIME, offsetof(struct version_record, made_wall_s), NULL, NULL},
};
static const struct field_table RECORD_TABLE = {RECORD_UNKNOWN,
                                                "a version record lacks a field it must have",
                                                RECORD_ROWS, ALB_COUNT(RECORD_ROWS)};

static struct alb_status record_check(const struct version_record *r)
{
    if (r->sequence == 0)
        return alb_fail(ALB_INVALID, "versions of a layer are numbered from 1");
    if (r->root_bytes == 0 || r->root_bytes > ROOT_OBJECT_MAX)
        return alb_fail(ALB_INVALID, "a version record's root object is empty or over 4 MiB");
    if (r->entries == 0)
        return alb_fail(ALB_INVALID, "a version record says its tree has no entry");
    if ((r->flags & ~(uint64_t)RECORD_DEVICES) != 0)
        return alb_fail(ALB_INVALID, "a version record has a flag that this program does not know");
    return ALB_STATUS_OK;
}

struct alb_status record_encode(const struct version_record *r, const struct sign_secret *publisher,
                                struct buf *out)
{
    struct alb_status st = record_check(r);
    struct buf body;

    if (alb_failed(st))
        return st;
    buf_init(&body, SIGNED_MAX);
    st = fields_encode(&RECORD_TABLE, r, &body);
    if (!alb_failed(st))
        st = signed_seal("version", RECORD_FORMAT, &body, publisher, 1, out);
    buf_release(&body);
    return st;
}

static struct alb_status record_judge(const struct version_record *r, const struct signed_view *v,
                                      const struct trust *trust)
{
    struct alb_status st = signed_check(v, &r->publisher);

    if (alb_failed(st))
        return st;
    if (strcmp(r->org, trust->org) != 0)
        return alb_fail(ALB_REFUSED, "the version record is another organisation's");
    if (!trust_allows(trust, r->layer, &r->publisher))
        return alb_fail(ALB_REFUSED, "the version record is signed by a key that the trust file "
                                     "does not let publish this layer");
    return ALB_STATUS_OK;
}

struct alb_status record_decode(const void *bytes, size_t size, const struct trust *trust,
                                struct version_record *out)
{
    struct version_record r = {.sequence = 0};
    struct signed_view v;
    struct alb_status st = signed_open(bytes, size, "version", RECORD_FORMAT, &v);

    if (alb_failed(st))
        return st;
    if (v.signature_count != 1)
        return alb_fail(ALB_CORRUPT, "a version record has exactly one signature");
    st = fields_decode(&RECORD_TABLE, v.body, v.body_size, &r);
    if (alb_failed(st))
        return st;
    st = record_check(&r);
    if (alb_failed(st))
        return (struct alb_status){ALB_CORRUPT, 0, st.what};
    r.publisher = v.signatures[0].key;
    if (trust != NULL)
        st = record_judge(&r, &v, trust);
    if (!alb_failed(st))
        *out = r;
    return st;
}

/* ---- head ---- */

static const char *const HEAD_UNKNOWN[FIELD_NUMBERS] = FIELD_TEXTS("head");
static const struct field_row HEAD_ROWS[] = {
    {1, FIELD_ID, offsetof(struct head, org), NULL, NULL},
    {2, FIELD_LAYER, offsetof(struct head, layer), NULL, NULL},
    {3, FIELD_NUMBER, offsetof(struct head, sequence), NULL, NULL},
    {4, FIELD_BYTES32, offsetof(struct head, record), NULL, NULL},
    {5, FIELD_TIME, offsetof(struct head, issued_wall_s), NULL, NULL},
    {6, FIELD_TIME, offsetof(struct head, expires_wall_s), NULL, NULL},
};
static const struct field_table HEAD_TABLE = {HEAD_UNKNOWN, "a head lacks a field it must have",
                                              HEAD_ROWS, ALB_COUNT(HEAD_ROWS)};

static struct alb_status head_check(const struct head *h)
{
    if (h->sequence == 0)
        return alb_fail(ALB_INVALID, "heads of a layer are numbered from 1");
    if (h->expires_wall_s <= h->issued_wall_s)
        return alb_fail(ALB_INVALID, "a head expires before it is issued");
    return ALB_STATUS_OK;
}

struct alb_status head_encode(const struct head *h, const struct sign_secret *hub, struct buf *out)
{
    struct alb_status st = head_check(h);
    struct buf body;

    if (alb_failed(st))
        return st;
    buf_init(&body, SIGNED_MAX);
    st = fields_encode(&HEAD_TABLE, h, &body);
    if (!alb_failed(st))
        st = signed_seal("head", HEAD_FORMAT, &body, hub, 1, out);
    buf_release(&body);
    return st;
}

struct alb_status head_decode(const void *bytes, size_t size, const struct trust *trust,
                              struct head *out)
{
    struct head h = {.sequence = 0};
    struct signed_view v;

    if (trust == NULL)
        return alb_fail(ALB_REFUSED, "there is no trust file yet to judge a head by");
    struct alb_status st = signed_open_by(bytes, size, "head", HEAD_FORMAT, &trust->hub_key, &v);
    if (alb_failed(st))
        return st;
    st = fields_decode(&HEAD_TABLE, v.body, v.body_size, &h);
    if (alb_failed(st))
        return st;
    st = head_check(&h);
    if (alb_failed(st))
        return (struct alb_status){ALB_CORRUPT, 0, st.what};
    if (strcmp(h.org, trust->org) != 0)
        return alb_fail(ALB_REFUSED, "the head is another organisation's");
    *out = h;
    return ALB_STATUS_OK;
}
