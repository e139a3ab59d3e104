/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_told.c – any bytes as reports of pulls, and as what a hub keeps of a device's. */
/* LINKS: wire base */
#include "base/alloc.h"
#include "fuzz/target.h"
#include "wire/told.h"

const struct fuzz_bound fuzz_bound = {.fixed = 512 << 10, .per_byte = 200};

void fuzz_one(const uint8_t *bytes, size_t size)
{
    AUTO_FREE struct told *list = xcalloc(TOLD_MOST, sizeof *list);
    AUTO_FREE struct told *back = xcalloc(TOLD_MOST, sizeof *back);
    AUTO_FREE struct told_seen *seen = xalloc(sizeof *seen);
    size_t count = 0, again = 0;
    struct buf text;

    buf_init(&text, TOLD_BODY_MAX);
    if (!alb_failed(told_decode(bytes, size, list, &count))) {
        alb_assert(count > 0 && count <= TOLD_MOST);
        alb_assert(!alb_failed(told_encode(list, count, &text)));
        alb_assert(!alb_failed(told_decode(buf_peek(&text), buf_size(&text), back, &again)));
        alb_assert(again == count && back[0].number == list[0].number);
        for (size_t i = 0; i < count; i++)
            (void)told_count(seen, &list[i]);
        alb_assert(seen->applied + seen->failed <= count);
    }
    buf_clear(&text);
    *seen = (struct told_seen){.applied = 0};
    if (!alb_failed(told_seen_decode(bytes, size, seen)))
        alb_assert(!alb_failed(told_seen_encode(seen, &text)));
    buf_release(&text);
}
