/* SPDX-License-Identifier: Apache-2.0 */
/* support/policy_stage.h – a policy book with a trust file of its own, and rules put in force. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "store/ram.h"
#include "transfer/policy_book.h"

struct policy_stage { /* zeroed: there is none */
    struct loop *loop;
    struct sign_secret root_key, hub_key;
    struct catalogue *catalogue;
    struct authority *authority;
    struct policy_book *book;
    uint64_t number;
};

static inline void policy_stage_set(struct policy_stage *p, const char *text)
{
    const struct policy_seal seal = {.org = "acme",
                                     .number = ++p->number,
                                     .issued_wall_s = loop_wall_s(p->loop),
                                     .text = text,
                                     .text_size = strlen(text)};
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    assert_int_equal(policy_seal_encode(POLICY_RULES, &seal, &p->hub_key, &bytes).code, ALB_OK);
    assert_int_equal(
        policy_book_take(p->book, POLICY_RULES, buf_peek(&bytes), buf_size(&bytes)).code, ALB_OK);
    buf_release(&bytes);
}

static inline void policy_stage_override(struct policy_stage *p, const struct policy_overrides *o)
{
    struct policy_seal seal = {
        .org = "acme", .number = ++p->number, .issued_wall_s = loop_wall_s(p->loop)};
    struct buf text, bytes;

    buf_init(&text, POLICY_BYTES_MAX);
    buf_init(&bytes, SIGNED_MAX);
    assert_int_equal(policy_overrides_encode(o, &text).code, ALB_OK);
    seal.text = (const char *)buf_peek(&text);
    seal.text_size = buf_size(&text);
    assert_int_equal(policy_seal_encode(POLICY_OVERRIDES, &seal, &p->hub_key, &bytes).code, ALB_OK);
    assert_int_equal(
        policy_book_take(p->book, POLICY_OVERRIDES, buf_peek(&bytes), buf_size(&bytes)).code,
        ALB_OK);
    buf_release(&bytes);
    buf_release(&text);
}

static inline void policy_stage_open(struct policy_stage *p, struct loop *loop, const char *text)
{
    struct trust trust = {.org = "acme", .version = 1, .threshold = 1, .root_count = 1};
    struct authority_options options = {.loop = loop};
    struct buf bytes;

    *p = (struct policy_stage){.loop = loop};
    memset(p->root_key.seed, 1, sizeof p->root_key.seed);
    memset(p->hub_key.seed, 2, sizeof p->hub_key.seed);
    p->catalogue = options.catalogue = ram_catalogue_new(&(struct ram_options){0});
    assert_int_equal(authority_open(&options, &p->authority).code, ALB_OK);
    sign_public_of(&p->root_key, &trust.roots[0]);
    sign_public_of(&p->hub_key, &trust.hub_key);
    buf_init(&bytes, SIGNED_MAX);
    assert_int_equal(trust_encode(&trust, &p->root_key, 1, &bytes).code, ALB_OK);
    assert_int_equal(authority_add_trust(p->authority, buf_peek(&bytes), buf_size(&bytes)).code,
                     ALB_OK);
    buf_release(&bytes);
    p->book = policy_book_open(&(struct policy_book_options){
        .loop = loop, .authority = p->authority, .reads_at_once = true});
    policy_stage_set(p, text);
}

/* Before the world ends, and run it once more: jobs are let go of. */
static inline void policy_stage_close(struct policy_stage *p)
{
    policy_book_close(p->book);
    authority_close(p->authority);
}

/* After the world. */
static inline void policy_stage_release(struct policy_stage *p)
{
    if (p->catalogue != NULL)
        catalogue_close(p->catalogue);
}
