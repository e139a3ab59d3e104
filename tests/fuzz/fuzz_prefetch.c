/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_prefetch.c – any bytes as an order to hold a version, and as a report of one. */
/* LINKS: wire base */
#include "base/alloc.h"
#include "fuzz/target.h"
#include "wire/prefetch.h"

const struct fuzz_bound fuzz_bound = {.fixed = 256 << 10, .per_byte = 200};

static void try_order(const char *line)
{
    struct prefetch_order o, back;
    struct buf text;

    if (alb_failed(prefetch_order_read(line, &o)))
        return;
    buf_init(&text, 1024);
    alb_assert(!alb_failed(prefetch_order_write(&o, &text)));
    alb_assert(!alb_failed(prefetch_order_read(buf_text(&text), &back)));
    alb_assert(strcmp(o.id, back.id) == 0 && strcmp(o.layer, back.layer) == 0);
    buf_release(&text);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    AUTO_FREE char *line = xstrndup((const char *)bytes, size);
    struct prefetch_report r, back;
    struct buf text;

    try_order(line);
    if (alb_failed(prefetch_report_decode(bytes, size, &r)))
        return;
    buf_init(&text, PREFETCH_BODY_MAX);
    alb_assert(!alb_failed(prefetch_report_encode(&r, &text)));
    alb_assert(!alb_failed(prefetch_report_decode(buf_peek(&text), buf_size(&text), &back)));
    alb_assert(r.chunks_here == back.chunks_here && strcmp(r.why, back.why) == 0);
    buf_release(&text);
}
