/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_vigil.c – any bytes as an order to sleep or to stay awake, and as the body of one that
 * the hub signed; what is read comes back the same. */
/* LINKS: wire base */
#include "base/alloc.h"
#include "base/pack.h"
#include "fuzz/target.h"
#include "fuzz/trusted.h"
#include "wire/vigil.h"

const struct fuzz_bound fuzz_bound = {.fixed = 256 << 10, .per_byte = 400};

static void read_order(const void *bytes, size_t size, const struct trust *t)
{
    struct vigil_order o;
    struct buf again;

    if (alb_failed(vigil_order_decode(bytes, size, t, &o)))
        return;
    buf_init(&again, VIGIL_ORDER_BYTES_MAX);
    alb_assert(!alb_failed(vigil_order_encode(&o, &HUB, &again)));
    alb_assert(buf_size(&again) == size && memcmp(buf_peek(&again), bytes, size) == 0);
    buf_release(&again);
}

static void read_body(const uint8_t *bytes, size_t size, const struct trust *t)
{
    struct buf body, sealed;

    if (size > VIGIL_ORDER_BYTES_MAX / 2)
        return;
    buf_init(&body, VIGIL_ORDER_BYTES_MAX);
    buf_init(&sealed, VIGIL_ORDER_BYTES_MAX);
    alb_assert(!alb_failed(buf_append(&body, bytes, size)));
    alb_assert(!alb_failed(signed_seal("vigil", VIGIL_ORDER_FORMAT, &body, &HUB, 1, &sealed)));
    read_order(buf_peek(&sealed), buf_size(&sealed), t);
    buf_release(&body);
    buf_release(&sealed);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    struct trust_delegation d;
    struct trust t;

    make_trust(&t, &d);
    read_order(bytes, size, &t);
    read_body(bytes, size, &t);
}
