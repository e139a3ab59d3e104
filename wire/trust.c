/* SPDX-License-Identifier: Apache-2.0 */
/* wire/trust.c – the trust file: its fields, its rules, and who must have signed it. */
#include "wire/trust.h"

#include "base/alloc.h"
#include "wire/fields.h"
#include "wire/signed.h"

enum { TRUST_FORMAT = 1, LEAST_DELEGATION = 1 + SIGN_PUBLIC_SIZE };

/* ---- rows ---- */

static void put_roots(struct pack *p, const void *object)
{
    const struct trust *t = object;

    pack_varint(p, t->threshold);
    for (size_t i = 0; i < t->root_count; i++)
        pack_bytes(p, t->roots[i].bytes, SIGN_PUBLIC_SIZE);
}

static void get_roots(struct unpack *u, void *object)
{
    struct trust *t = object;

    t->threshold = (uint32_t)unpack_bounded(u, TRUST_ROOTS_MAX);
    while (unpack_left(u) > 0) {
        const uint8_t *key = unpack_bytes(u, SIGN_PUBLIC_SIZE);

        if (key == NULL)
            return;
        if (t->root_count == TRUST_ROOTS_MAX) {
            unpack_fail(u, "a trust file has more than 16 root keys");
            return;
        }
        memcpy(t->roots[t->root_count++].bytes, key, SIGN_PUBLIC_SIZE);
    }
}

static void put_delegations(struct pack *p, const void *object)
{
    const struct trust *t = object;

    for (size_t i = 0; i < t->delegation_count; i++) {
        pack_string(p, t->delegations[i].prefix);
        pack_bytes(p, t->delegations[i].key.bytes, SIGN_PUBLIC_SIZE);
    }
}

static void get_delegations(struct unpack *u, void *object)
{
    struct trust *t = object;
    size_t most = unpack_left(u) / LEAST_DELEGATION;

    if (most > TRUST_DELEGATIONS_MAX)
        most = TRUST_DELEGATIONS_MAX;
    t->delegations = xcalloc(most, sizeof *t->delegations);
    while (unpack_left(u) > 0) {
        struct trust_delegation d = {0};
        const uint8_t *key;

        unpack_string(u, d.prefix, sizeof d.prefix);
        key = unpack_bytes(u, SIGN_PUBLIC_SIZE);
        if (key == NULL)
            return;
        if (t->delegation_count == most) {
            unpack_fail(u, "a trust file has more than 1024 delegations");
            return;
        }
        memcpy(d.key.bytes, key, SIGN_PUBLIC_SIZE);
        t->delegations[t->delegation_count++] = d;
    }
}

static const char *const UNKNOWN[FIELD_NUMBERS] = FIELD_TEXTS("trust file");
static const struct field_row ROWS[] = {
    {1, FIELD_ID, offsetof(struct trust, org), NULL, NULL},
    {2, FIELD_NUMBER, offsetof(struct trust, version), NULL, NULL},
    {3, FIELD_TIME, offsetof(struct trust, issued_wall_s), NULL, NULL},
    {4, FIELD_OWN, 0, put_roots, get_roots},
    {5, FIELD_BYTES32, offsetof(struct trust, hub_key), NULL, NULL},
    {6, FIELD_OWN, 0, put_delegations, get_delegations},
};
static const struct field_table TABLE = {UNKNOWN, "a trust file lacks a field it must have", ROWS,
                                         ALB_COUNT(ROWS)};

/* ---- rules ---- */

static int delegation_compare(const void *a, const void *b)
{
    const struct trust_delegation *x = a, *y = b;
    int order = strcmp(x->prefix, y->prefix);

    return order != 0 ? order : memcmp(x->key.bytes, y->key.bytes, SIGN_PUBLIC_SIZE);
}

static struct alb_status roots_check(const struct trust *t)
{
    if (t->version == 0)
        return alb_fail(ALB_INVALID, "trust files are numbered from 1");
    if (t->root_count == 0 || t->root_count > TRUST_ROOTS_MAX)
        return alb_fail(ALB_INVALID, "a trust file has 1 to 16 root keys");
    if (t->threshold == 0 || t->threshold > t->root_count)
        return alb_fail(ALB_INVALID, "a trust file's threshold is from 1 to its root keys' number");
    for (size_t i = 0; i < t->root_count; i++) {
        for (size_t j = 0; j < i; j++)
            if (sign_public_equal(&t->roots[i], &t->roots[j]))
                return alb_fail(ALB_INVALID, "a trust file names a root key twice");
        if (sign_public_equal(&t->roots[i], &t->hub_key))
            return alb_fail(ALB_INVALID, "a root key must not be the hub's online key");
    }
    return ALB_STATUS_OK;
}

static struct alb_status delegations_check(const struct trust *t)
{
    if (t->delegation_count > TRUST_DELEGATIONS_MAX)
        return alb_fail(ALB_INVALID, "a trust file has more than 1024 delegations");
    for (size_t i = 0; i < t->delegation_count; i++) {
        const struct trust_delegation *d = &t->delegations[i];
        struct alb_status st = ALB_STATUS_OK;

        if (d->prefix[0] != '\0')
            st = layer_name_check(d->prefix);
        if (alb_failed(st))
            return st;
        if (i > 0 && delegation_compare(d - 1, d) >= 0)
            return alb_fail(ALB_INVALID, "delegations are not in ascending order");
        if (sign_public_equal(&d->key, &t->hub_key))
            return alb_fail(ALB_INVALID, "a publisher's key must not be the hub's online key");
    }
    return ALB_STATUS_OK;
}

static struct alb_status rules_check(const struct trust *t)
{
    struct alb_status st = roots_check(t);

    return alb_failed(st) ? st : delegations_check(t);
}

/* ---- writing ---- */

struct alb_status trust_encode(const struct trust *t, const struct sign_secret *secrets,
                               size_t secret_count, struct buf *out)
{
    AUTO_FREE struct trust_delegation *sorted = xcalloc(t->delegation_count, sizeof *sorted);
    struct trust copy = *t;
    struct buf body;
    struct alb_status st;

    if (t->delegation_count > 0) {
        memcpy(sorted, t->delegations, t->delegation_count * sizeof *sorted);
        qsort(sorted, t->delegation_count, sizeof *sorted, delegation_compare);
    }
    copy.delegations = sorted;
    st = rules_check(&copy);
    if (alb_failed(st))
        return st;
    buf_init(&body, SIGNED_MAX);
    st = fields_encode(&TABLE, &copy, &body);
    if (!alb_failed(st))
        st = signed_seal("trust", TRUST_FORMAT, &body, secrets, secret_count, out);
    buf_release(&body);
    return st;
}

/* ---- reading ---- */

static struct alb_status decode(const void *bytes, size_t size, struct signed_view *view,
                                struct trust *out)
{
    struct trust t = {.version = 0};
    struct alb_status st = signed_open(bytes, size, "trust", TRUST_FORMAT, view);

    if (!alb_failed(st))
        st = fields_decode(&TABLE, view->body, view->body_size, &t);
    if (!alb_failed(st)) {
        st = rules_check(&t);
        if (alb_failed(st))
            st.code = ALB_CORRUPT; /* nobody typed it here */
    }
    if (alb_failed(st))
        trust_release(&t);
    else
        *out = t;
    return st;
}

struct alb_status trust_decode_unchecked(const void *bytes, size_t size, struct trust *out)
{
    struct signed_view view;

    return decode(bytes, size, &view, out);
}

static bool is_root(const struct trust *t, const struct sign_public *key)
{
    for (size_t i = 0; t != NULL && i < t->root_count; i++)
        if (sign_public_equal(&t->roots[i], key))
            return true;
    return false;
}

/* Each signature that is there must be a root key's and verify:
 * a file has no room for other bytes. */
static struct alb_status signatures_check(const struct signed_view *v, const struct trust *t,
                                          const struct trust *before)
{
    for (size_t i = 0; i < v->signature_count; i++) {
        const struct sign_public *key = &v->signatures[i].key;
        struct alb_status st = signed_check(v, key);

        if (alb_failed(st))
            return st;
        if (!is_root(t, key) && !is_root(before, key))
            return alb_fail(ALB_REFUSED, "a trust file is signed by a key that is no root key");
    }
    if (signed_count(v, t->roots, t->root_count) < t->threshold)
        return alb_fail(ALB_REFUSED,
                        "a trust file is signed by fewer of its root keys than its threshold");
    if (before != NULL && signed_count(v, before->roots, before->root_count) < before->threshold)
        return alb_fail(ALB_REFUSED, "a trust file is signed by fewer root keys of the version "
                                     "before than that one's threshold");
    return ALB_STATUS_OK;
}

/* Is it the next of the chain, or the first that is pinned? */
static struct alb_status succession_check(const struct trust *t, const struct trust *before,
                                          const struct digest *pin, const struct digest *digest)
{
    if (before == NULL && t->version != 1)
        return alb_fail(ALB_INVALID, "the first trust file to believe must be version 1");
    if (before == NULL && pin != NULL && !digest_equal(pin, digest))
        return alb_fail(ALB_REFUSED, "the trust file is not the one the token was made for");
    if (before == NULL)
        return ALB_STATUS_OK;
    if (strcmp(t->org, before->org) != 0)
        return alb_fail(ALB_REFUSED, "the trust file is another organisation's");
    if (before->version == UINT64_MAX || t->version != before->version + 1)
        return alb_fail(ALB_INVALID, "the trust file is not the version after the one held here");
    return ALB_STATUS_OK;
}

struct alb_status trust_decode(const void *bytes, size_t size, const struct trust *before,
                               const struct digest *pin, struct trust *out)
{
    struct signed_view view;
    struct digest digest;
    struct trust t;
    struct alb_status st = decode(bytes, size, &view, &t);

    if (alb_failed(st))
        return st;
    sha256(bytes, size, &digest);
    st = succession_check(&t, before, pin, &digest);
    if (!alb_failed(st))
        st = signatures_check(&view, &t, before);
    if (alb_failed(st))
        trust_release(&t);
    else
        *out = t;
    return st;
}

void trust_release(struct trust *t)
{
    free(t->delegations);
    *t = (struct trust){.version = 0};
}

bool trust_allows(const struct trust *t, const char *layer, const struct sign_public *key)
{
    for (size_t i = 0; i < t->delegation_count; i++)
        if (sign_public_equal(&t->delegations[i].key, key) &&
            layer_is_under(layer, t->delegations[i].prefix))
            return true;
    return false;
}
