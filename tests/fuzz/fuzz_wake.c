/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_wake.c – any bytes as an order to wake, as the targets of a signed one, as what a guard
 * says of it; what is read comes back the same. */
/* LINKS: wire base */
#include "base/alloc.h"
#include "base/pack.h"
#include "fuzz/target.h"
#include "fuzz/trusted.h"
#include "wire/wake.h"

const struct fuzz_bound fuzz_bound = {.fixed = 256 << 10, .per_byte = 400};

static void read_order(const void *bytes, size_t size, const struct trust *t)
{
    AUTO_FREE struct wake_order *o = xalloc(sizeof *o);
    struct buf again;

    if (alb_failed(wake_order_decode(bytes, size, t, o)))
        return;
    buf_init(&again, WAKE_ORDER_BYTES_MAX);
    alb_assert(!alb_failed(wake_order_encode(o, &HUB, &again)));
    alb_assert(buf_size(&again) == size && memcmp(buf_peek(&again), bytes, size) == 0);
    buf_release(&again);
}

/* The input as the targets of an order that the hub signed. */
static void read_targets(const uint8_t *bytes, size_t size, const struct trust *t)
{
    static const char HEAD[] = "\x81\4acme\x82\2g1\x83\2w1\x84\1\1\x85\1\0\x86\1\2\x87";
    struct buf body, sealed;
    struct pack p;

    if (size > WAKE_ORDER_BYTES_MAX / 2)
        return;
    buf_init(&body, WAKE_ORDER_BYTES_MAX);
    buf_init(&sealed, WAKE_ORDER_BYTES_MAX);
    pack_init(&p, &body);
    pack_bytes(&p, HEAD, sizeof HEAD - 1);
    pack_varint(&p, size);
    pack_bytes(&p, bytes, size);
    alb_assert(!alb_failed(pack_finish(&p)));
    alb_assert(!alb_failed(signed_seal("wake", WAKE_ORDER_FORMAT, &body, &HUB, 1, &sealed)));
    read_order(buf_peek(&sealed), buf_size(&sealed), t);
    buf_release(&body);
    buf_release(&sealed);
}

static void read_report(const uint8_t *bytes, size_t size)
{
    AUTO_FREE struct wake_report *r = xalloc(sizeof *r), *back = xalloc(sizeof *back);
    struct buf again;

    if (alb_failed(wake_report_decode(bytes, size, r)))
        return;
    buf_init(&again, 16 << 10);
    alb_assert(!alb_failed(wake_report_encode(r, &again)));
    alb_assert(!alb_failed(wake_report_decode(buf_peek(&again), buf_size(&again), back)));
    alb_assert(back->number == r->number && back->told_count == r->told_count);
    for (size_t i = 0; i < r->told_count; i++)
        alb_assert(r->told[i].word == back->told[i].word &&
                   strcmp(r->told[i].why, back->told[i].why) == 0);
    buf_release(&again);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    struct trust_delegation d;
    struct trust t;

    make_trust(&t, &d);
    read_order(bytes, size, &t);
    read_targets(bytes, size, &t);
    read_report(bytes, size);
}
