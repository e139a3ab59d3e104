/* SPDX-License-Identifier: Apache-2.0 */
/* support/wire_fixture.h – keys, sample objects and short assertions for the tests of wire/. */
#pragma once

#include "base/alloc.h"
#include "wire/record.h"
#include "wire/signed.h"
#include "wire/trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define assert_ok(st) assert_says(st, ALB_OK, "")
#define assert_says(st, expected_code, text)                                                       \
    do {                                                                                           \
        struct alb_status said_ = (st);                                                            \
        assert_string_equal(said_.what, text);                                                     \
        assert_int_equal(said_.code, expected_code);                                               \
    } while (0)

/* Root 1 … 9, hub 10, publishers 20 … */
enum { ROOT_1 = 1, ROOT_2 = 2, ROOT_3 = 3, HUB = 10, PUBLISHER = 20, STRANGER = 30 };

static inline struct sign_secret secret_of(int who)
{
    struct sign_secret s;

    memset(s.seed, who, sizeof s.seed);
    return s;
}

static inline struct sign_public public_of(int who)
{
    struct sign_secret s = secret_of(who);
    struct sign_public p;

    sign_public_of(&s, &p);
    return p;
}

/* Trust file 1 of "acme": two of three roots, one publisher for "base". */
static inline void trust_sample(struct trust *t, struct trust_delegation *delegation)
{
    *delegation = (struct trust_delegation){.prefix = "base", .key = public_of(PUBLISHER)};
    *t = (struct trust){
        .org = "acme",
        .version = 1,
        .issued_wall_s = 1700000000,
        .threshold = 2,
        .root_count = 3,
        .roots = {public_of(ROOT_1), public_of(ROOT_2), public_of(ROOT_3)},
        .hub_key = public_of(HUB),
        .delegations = delegation,
        .delegation_count = 1,
    };
}

static inline struct version_record record_sample(void)
{
    struct version_record r = {
        .org = "acme",
        .layer = "base/debian-12",
        .version = "2026.01",
        .sequence = 7,
        .root_bytes = 4321,
        .content_bytes = 123456789,
        .entries = 1000,
        .flags = RECORD_DEVICES,
        .made_wall_s = 1700000100,
    };

    memset(&r.root, 0xaa, sizeof r.root);
    return r;
}

static inline struct head head_sample(void)
{
    struct head h = {
        .org = "acme",
        .layer = "base/debian-12",
        .sequence = 9,
        .issued_wall_s = 1700000200,
        .expires_wall_s = 1700000200 + HEAD_LIFETIME_S,
    };

    memset(&h.record, 0xbb, sizeof h.record);
    return h;
}

/* Replace the body of signed bytes and sign anew: what a key holder with another program could
 * make. */
static inline void reseal(struct buf *sealed, const char *kind, unsigned version,
                          const struct buf *body, int who)
{
    struct sign_secret secret = secret_of(who);

    buf_clear(sealed);
    assert_ok(signed_seal(kind, version, body, &secret, 1, sealed));
}

/* The body of sealed bytes, appended to `body`. */
static inline void body_of(const struct buf *sealed, const char *kind, struct buf *body)
{
    struct signed_view v;

    assert_ok(signed_open(buf_peek(sealed), buf_size(sealed), kind, 1, &v));
    assert_ok(buf_append(body, v.body, v.body_size));
}
