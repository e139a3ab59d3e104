/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_arrivals.c – any bytes as what a sibling says came to it. */
/* LINKS: wire base */
#include "base/alloc.h"
#include "fuzz/target.h"
#include "wire/arrivals.h"

const struct fuzz_bound fuzz_bound = {.fixed = 64 << 10, .per_byte = 4};

void fuzz_one(const uint8_t *bytes, size_t size)
{
    AUTO_FREE struct arrivals_answer *a = xalloc(sizeof *a);
    AUTO_FREE struct arrivals_answer *back = xalloc(sizeof *back);
    struct buf out;

    if (alb_failed(arrivals_decode(bytes, size, a)))
        return;
    buf_init(&out, ARRIVALS_BYTES_MAX);
    alb_assert(!alb_failed(arrivals_encode(a, &out)));
    alb_assert(!alb_failed(arrivals_decode(buf_peek(&out), buf_size(&out), back)));
    alb_assert(back->next == a->next && back->has_lost == a->has_lost &&
               back->has_some == a->has_some);
    alb_assert(!a->has_some || batch_request_items(&a->came) == batch_request_items(&back->came));
    buf_release(&out);
}
