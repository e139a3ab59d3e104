/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_delta_set.c – any bytes are no part of a delta set, or one that is spelled alike again.
 */
/* LINKS: wire base */
#include "base/alloc.h"
#include "fuzz/target.h"
#include "fuzz/trusted.h"
#include "wire/delta_set.h"
#include "wire/signed.h"

const struct fuzz_bound fuzz_bound = {.fixed = 256 << 10, .per_byte = 96};

/* Unknown fields at the end were skipped. */
static void check_again(const struct buf *again, const uint8_t *bytes, size_t size)
{
    alb_assert(buf_size(again) <= size);
    alb_assert(memcmp(buf_peek(again), bytes, buf_size(again)) == 0);
}

static void read_root(const uint8_t *bytes, size_t size)
{
    struct delta_set_root r;
    struct buf again;

    if (alb_failed(delta_set_root_decode(bytes, size, &r)))
        return;
    buf_init(&again, ROOT_OBJECT_MAX);
    alb_assert(!alb_failed(delta_set_root_encode(&r, &again)));
    check_again(&again, bytes, size);
    delta_set_root_release(&r);
    buf_release(&again);
}

static void read_index(const uint8_t *bytes, size_t size)
{
    struct delta_set_index x;
    struct buf again;

    if (alb_failed(delta_set_index_decode(bytes, size, &x)))
        return;
    for (size_t i = 0; i < x.piece_count; i++)
        alb_assert(x.pieces[i].blob < x.blob_count &&
                   x.pieces[i].at + x.pieces[i].length <= x.pieces[i].target_size);
    buf_init(&again, DELTA_SET_INDEX_MAX);
    alb_assert(!alb_failed(delta_set_index_encode(&x, &again)));
    check_again(&again, bytes, size);
    delta_set_index_release(&x);
    buf_release(&again);
}

/* The body of a record, signed by the hub: a fuzzer cannot forge that. */
static void read_record(const uint8_t *bytes, size_t size, const struct trust *t)
{
    struct delta_set_record r;
    struct signed_view v;
    struct buf body, sealed;

    alb_ignore(delta_set_record_decode(bytes, size, t, &r), "only a crash counts");
    if (alb_failed(signed_open(bytes, size, "delta", 1, &v)))
        return;
    buf_init(&body, SIGNED_MAX);
    buf_init(&sealed, SIGNED_MAX);
    alb_assert(!alb_failed(buf_append(&body, v.body, v.body_size)));
    alb_assert(!alb_failed(signed_seal("delta", 1, &body, &HUB, 1, &sealed)));
    if (!alb_failed(delta_set_record_decode(buf_peek(&sealed), buf_size(&sealed), t, &r)))
        alb_assert(!digest_equal(&r.from, &r.to) && r.bytes > 0);
    buf_release(&body);
    buf_release(&sealed);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    struct delta_set_list l = {.count = 0};
    struct trust_delegation d;
    struct trust t;

    if (size > SIGNED_MAX / 2)
        return;
    make_trust(&t, &d);
    read_root(bytes, size);
    read_index(bytes, size);
    read_record(bytes, size, &t);
    if (alb_failed(delta_set_list_decode(bytes, size, &l)))
        return;
    for (size_t i = 0; i < l.count; i++)
        read_record(l.bytes[i], l.sizes[i], &t);
    alb_ignore(delta_set_list_judge(bytes, size, &t, "base", &(struct digest){{0}}),
               "only a crash counts");
}
