/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_signed.c – no prefix and no bit of a signed object can be changed unnoticed. */
/* LINKS: wire base */
#include "base/alloc.h"
#include "support/gen.h"
#include "wire/record.h"
#include "wire/signed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

enum { ROUNDS = 6, FLIPS = 1500 };

struct world {
    struct gen gen;
    struct sign_secret hub, publisher, roots[3];
    struct trust trust;
    struct trust_delegation delegations[5];
    struct grant grant, grant_out;
};

static int64_t a_time(struct gen *g)
{
    return (int64_t)gen_below(g, UINT64_C(1) << 40) - 1000;
}

static void a_key(struct gen *g, struct sign_secret *secret, struct sign_public *key)
{
    gen_bytes(g, secret->seed, sizeof secret->seed);
    sign_public_of(secret, key);
}

static void make_world(struct world *w)
{
    struct trust *t = &w->trust;

    *t = (struct trust){.org = "acme", .version = 1 /* the first: nothing is before */};
    t->issued_wall_s = a_time(&w->gen);
    t->root_count = gen_range(&w->gen, 1, 3);
    t->threshold = (uint32_t)gen_range(&w->gen, 1, t->root_count);
    for (size_t i = 0; i < t->root_count; i++)
        a_key(&w->gen, &w->roots[i], &t->roots[i]);
    a_key(&w->gen, &w->hub, &t->hub_key);
    t->delegations = w->delegations;
    t->delegation_count = gen_range(&w->gen, 1, 5);
    for (size_t i = 0; i < t->delegation_count; i++) {
        a_key(&w->gen, &w->publisher, &w->delegations[i].key);
        snprintf(w->delegations[i].prefix, NAME_MAX_SIZE, "%s%zu", i > 2 ? "" : "base/x", i);
    }
    w->delegations[t->delegation_count - 1].prefix[0] = '\0'; /* the last key may all */
}

/* ---- each kind: make one, read one ---- */

static void make_trust(struct world *w, struct buf *out)
{
    assert_false(alb_failed(trust_encode(&w->trust, w->roots, w->trust.threshold, out)));
}

static struct alb_status read_trust(struct world *w, const uint8_t *bytes, size_t size)
{
    struct trust t;
    struct alb_status st = trust_decode(bytes, size, NULL, NULL, &t);

    (void)w;
    if (!alb_failed(st))
        trust_release(&t);
    return st;
}

static void make_record(struct world *w, struct buf *out)
{
    struct version_record r = {.org = "acme", .layer = "base/debian-12", .version = "1.0"};

    r.sequence = gen_skewed(&w->gen, UINT64_MAX - 1) + 1;
    gen_bytes(&w->gen, &r.root, sizeof r.root);
    r.root_bytes = gen_range(&w->gen, 1, 1000000);
    r.content_bytes = gen_skewed(&w->gen, UINT64_MAX);
    r.entries = gen_range(&w->gen, 1, 1000000);
    r.flags = gen_below(&w->gen, 2);
    r.made_wall_s = a_time(&w->gen);
    assert_false(alb_failed(record_encode(&r, &w->publisher, out)));
}

static struct alb_status read_record(struct world *w, const uint8_t *bytes, size_t size)
{
    struct version_record r;

    return record_decode(bytes, size, &w->trust, &r);
}

static void make_head(struct world *w, struct buf *out)
{
    struct head h = {.org = "acme", .layer = "app", .sequence = 1 + gen_below(&w->gen, 1000)};

    gen_bytes(&w->gen, &h.record, sizeof h.record);
    h.issued_wall_s = a_time(&w->gen);
    h.expires_wall_s = h.issued_wall_s + HEAD_LIFETIME_S;
    assert_false(alb_failed(head_encode(&h, &w->hub, out)));
}

static struct alb_status read_head(struct world *w, const uint8_t *bytes, size_t size)
{
    struct head h;

    return head_decode(bytes, size, &w->trust, &h);
}

static void make_grant(struct world *w, struct buf *out)
{
    struct grant *g = &w->grant;

    *g = (struct grant){.org = "acme", .device = "d", .site = "s"};
    g->issued_wall_s = a_time(&w->gen);
    g->expires_wall_s = g->issued_wall_s + 1;
    g->prefix_count = gen_below(&w->gen, 10);
    for (size_t i = 0; i < g->prefix_count; i++)
        snprintf(g->prefixes[i], NAME_MAX_SIZE, "app/%zu", 9 - i);
    assert_false(alb_failed(grant_encode(g, &w->hub, out)));
}

static struct alb_status read_grant(struct world *w, const uint8_t *bytes, size_t size)
{
    return grant_decode(bytes, size, &w->trust, &w->grant_out);
}

static void make_revocations(struct world *w, struct buf *out)
{
    char serials[9][41];
    struct revocations r = {.org = "acme", .number = gen_u64(&w->gen), .serials = serials};

    r.count = gen_below(&w->gen, 9);
    for (size_t i = 0; i < r.count; i++)
        snprintf(serials[i], sizeof serials[i], "%zx%08x", i, (unsigned)gen_u64(&w->gen));
    assert_false(alb_failed(revocations_encode(&r, &w->hub, out)));
}

static struct alb_status read_revocations(struct world *w, const uint8_t *bytes, size_t size)
{
    struct revocations r;
    struct alb_status st = revocations_decode(bytes, size, &w->trust, &r);

    if (!alb_failed(st))
        revocations_release(&r);
    return st;
}

static const struct kind {
    void (*make)(struct world *w, struct buf *out);
    struct alb_status (*read)(struct world *w, const uint8_t *bytes, size_t size);
} KINDS[] = {
    {make_trust, read_trust}, {make_record, read_record},           {make_head, read_head},
    {make_grant, read_grant}, {make_revocations, read_revocations},
};

/* ---- the law ---- */

static void check_kind(struct world *w, const struct kind *k)
{
    struct buf b;

    buf_init(&b, SIGNED_MAX);
    k->make(w, &b);
    assert_string_equal(k->read(w, buf_peek(&b), buf_size(&b)).what, "");
    for (size_t i = 0; i < buf_size(&b); i++)
        assert_true(alb_failed(k->read(w, buf_peek(&b), i)));
    for (size_t i = 0; i < FLIPS; i++) {
        size_t bit = gen_below(&w->gen, 8 * buf_size(&b));

        b.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_true(alb_failed(k->read(w, buf_peek(&b), buf_size(&b))));
        b.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (size_t i = 0; i < ALB_COUNT(KINDS); i++) /* and it is nothing else */
        assert_int_equal(alb_failed(KINDS[i].read(w, buf_peek(&b), buf_size(&b))), &KINDS[i] != k);
    buf_release(&b);
}

static void what_is_signed_cannot_be_changed(void **state)
{
    struct world *w = xalloc(sizeof *w);

    (void)state;
    gen_init_from_env(&w->gen);
    for (unsigned n = 0; n < ROUNDS; n++) {
        make_world(w);
        for (size_t i = 0; i < ALB_COUNT(KINDS); i++)
            check_kind(w, &KINDS[i]);
    }
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_cannot_be_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
