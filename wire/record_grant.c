/* SPDX-License-Identifier: Apache-2.0 */
/* wire/record_grant.c – read grants and revocation lists: who may read, and who no longer. */
#include "base/alloc.h"
#include "wire/fields.h"
#include "wire/record.h"
#include "wire/signed.h"

enum { GRANT_FORMAT = 1, REVOCATIONS_FORMAT = 1, SERIAL_SIZE = 41 };

/* ---- grant ---- */

static int text_compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void put_prefixes(struct pack *p, const void *object)
{
    const struct grant *g = object;

    for (size_t i = 0; i < g->prefix_count; i++)
        pack_string(p, g->prefixes[i]);
}

static void get_prefixes(struct unpack *u, void *object)
{
    struct grant *g = object;

    while (unpack_left(u) > 0) {
        if (g->prefix_count == GRANT_PREFIXES_MAX) {
            unpack_fail(u, "a grant has more than 256 prefixes");
            return;
        }
        unpack_string(u, g->prefixes[g->prefix_count++], NAME_MAX_SIZE);
    }
}

static const char *const GRANT_UNKNOWN[FIELD_NUMBERS] = FIELD_TEXTS("read grant");
static const struct field_row GRANT_ROWS[] = {
    {1, FIELD_ID, offsetof(struct grant, org), NULL, NULL},
    {2, FIELD_ID, offsetof(struct grant, device), NULL, NULL},
    {3, FIELD_SITE, offsetof(struct grant, site), NULL, NULL},
    {4, FIELD_TIME, offsetof(struct grant, issued_wall_s), NULL, NULL},
    {5, FIELD_TIME, offsetof(struct grant, expires_wall_s), NULL, NULL},
    {6, FIELD_OWN, 0, put_prefixes, get_prefixes},
};
static const struct field_table GRANT_TABLE = {
    GRANT_UNKNOWN, "a read grant lacks a field it must have", GRANT_ROWS, ALB_COUNT(GRANT_ROWS)};

static struct alb_status grant_check(const struct grant *g)
{
    if (g->expires_wall_s <= g->issued_wall_s)
        return alb_fail(ALB_INVALID, "a grant expires before it is issued");
    if (g->prefix_count > GRANT_PREFIXES_MAX)
        return alb_fail(ALB_INVALID, "a grant has more than 256 prefixes");
    for (size_t i = 0; i < g->prefix_count; i++) {
        struct alb_status st = ALB_STATUS_OK;

        if (g->prefixes[i][0] != '\0')
            st = layer_name_check(g->prefixes[i]);
        if (alb_failed(st))
            return st;
        if (i > 0 && strcmp(g->prefixes[i - 1], g->prefixes[i]) >= 0)
            return alb_fail(ALB_INVALID, "a grant's prefixes are not in ascending order");
    }
    return ALB_STATUS_OK;
}

struct alb_status grant_encode(const struct grant *g, const struct sign_secret *hub,
                               struct buf *out)
{
    AUTO_FREE struct grant *sorted = xalloc(sizeof *sorted);
    struct alb_status st;
    struct buf body;

    *sorted = *g;
    if (g->prefix_count <= GRANT_PREFIXES_MAX)
        qsort(sorted->prefixes, g->prefix_count, NAME_MAX_SIZE, text_compare);
    st = grant_check(sorted);
    if (alb_failed(st))
        return st;
    buf_init(&body, SIGNED_MAX);
    st = fields_encode(&GRANT_TABLE, sorted, &body);
    if (!alb_failed(st))
        st = signed_seal("grant", GRANT_FORMAT, &body, hub, 1, out);
    buf_release(&body);
    return st;
}

struct alb_status grant_decode(const void *bytes, size_t size, const struct trust *trust,
                               struct grant *out)
{
    AUTO_FREE struct grant *g = xalloc(sizeof *g);
    struct signed_view v;

    if (trust == NULL)
        return alb_fail(ALB_REFUSED, "there is no trust file yet to judge a read grant by");
    struct alb_status st = signed_open_by(bytes, size, "grant", GRANT_FORMAT, &trust->hub_key, &v);
    if (alb_failed(st))
        return st;
    st = fields_decode(&GRANT_TABLE, v.body, v.body_size, g);
    if (alb_failed(st))
        return st;
    st = grant_check(g);
    if (alb_failed(st))
        return (struct alb_status){ALB_CORRUPT, 0, st.what};
    if (strcmp(g->org, trust->org) != 0)
        return alb_fail(ALB_REFUSED, "the grant is another organisation's");
    *out = *g;
    return ALB_STATUS_OK;
}

bool grant_covers(const struct grant *g, const char *layer)
{
    for (size_t i = 0; i < g->prefix_count; i++)
        if (layer_is_under(layer, g->prefixes[i]))
            return true;
    return false;
}

/* ---- revocation list ---- */

static void put_serials(struct pack *p, const void *object)
{
    const struct revocations *r = object;

    for (size_t i = 0; i < r->count; i++)
        pack_string(p, r->serials[i]);
}

/* Spelled in at least two bytes each, which bounds what is allocated. */
static void get_serials(struct unpack *u, void *object)
{
    struct revocations *r = object;
    size_t most = unpack_left(u) / 2;

    r->serials = try_alloc(most * sizeof *r->serials);
    if (r->serials == NULL) {
        unpack_fail(u, "no memory for a revocation list");
        return;
    }
    while (unpack_left(u) > 0) {
        if (r->count == most) {
            unpack_fail(u, "a serial number in a revocation list is empty");
            return;
        }
        unpack_string(u, r->serials[r->count++], SERIAL_SIZE);
    }
}

static const char *const REVOCATIONS_UNKNOWN[FIELD_NUMBERS] = FIELD_TEXTS("revocation list");
static const struct field_row REVOCATIONS_ROWS[] = {
    {1, FIELD_ID, offsetof(struct revocations, org), NULL, NULL},
    {2, FIELD_NUMBER, offsetof(struct revocations, number), NULL, NULL},
    {3, FIELD_TIME, offsetof(struct revocations, issued_wall_s), NULL, NULL},
    {4, FIELD_OWN, 0, put_serials, get_serials},
};
static const struct field_table REVOCATIONS_TABLE = {REVOCATIONS_UNKNOWN,
                                                     "a revocation list lacks a field it must have",
                                                     REVOCATIONS_ROWS, ALB_COUNT(REVOCATIONS_ROWS)};

static struct alb_status serials_check(const struct revocations *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const char *serial = r->serials[i];

        if (serial[0] == '\0')
            return alb_fail(ALB_INVALID, "a serial number in a revocation list is empty");
        if (serial[strspn(serial, "0123456789abcdef")] != '\0')
            return alb_fail(ALB_INVALID, "a serial number is not lower-case hexadecimal");
        if (i > 0 && strcmp(r->serials[i - 1], serial) >= 0)
            return alb_fail(ALB_INVALID, "a revocation list's serial numbers are not in order");
    }
    return ALB_STATUS_OK;
}

struct alb_status revocations_encode(const struct revocations *r, const struct sign_secret *hub,
                                     struct buf *out)
{
    struct alb_status st = serials_check(r);
    struct buf body;

    if (alb_failed(st))
        return st;
    buf_init(&body, SIGNED_MAX);
    st = fields_encode(&REVOCATIONS_TABLE, r, &body);
    if (!alb_failed(st))
        st = signed_seal("revocations", REVOCATIONS_FORMAT, &body, hub, 1, out);
    buf_release(&body);
    return st;
}

struct alb_status revocations_decode(const void *bytes, size_t size, const struct trust *trust,
                                     struct revocations *out)
{
    struct revocations r = {.number = 0};
    struct signed_view v;

    if (trust == NULL)
        return alb_fail(ALB_REFUSED, "there is no trust file yet to judge a revocation list by");
    struct alb_status st =
        signed_open_by(bytes, size, "revocations", REVOCATIONS_FORMAT, &trust->hub_key, &v);
    if (alb_failed(st))
        return st;
    st = fields_decode(&REVOCATIONS_TABLE, v.body, v.body_size, &r);
    if (!alb_failed(st)) {
        st = serials_check(&r);
        if (alb_failed(st))
            st.code = ALB_CORRUPT;
    }
    if (!alb_failed(st) && strcmp(r.org, trust->org) != 0)
        st = alb_fail(ALB_REFUSED, "the revocation list is another organisation's");
    if (alb_failed(st))
        revocations_release(&r);
    else
        *out = r;
    return st;
}

void revocations_release(struct revocations *r)
{
    free(r->serials);
    *r = (struct revocations){.number = 0};
}

bool revocations_has(const struct revocations *r, const char *serial)
{
    return r->count > 0 &&
           bsearch(serial, r->serials, r->count, sizeof *r->serials, text_compare) != NULL;
}
