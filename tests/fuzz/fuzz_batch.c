/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_batch.c – any bytes as a request, as items, as positions, as an upload. */
/* LINKS: wire base */
#include "base/alloc.h"
#include "fuzz/target.h"
#include "wire/batch.h"

const struct fuzz_bound fuzz_bound = {.fixed = 16 << 10, .per_byte = 16};

static void as_request(const uint8_t *bytes, size_t size)
{
    AUTO_FREE struct batch_request *r = xalloc(sizeof *r);
    struct buf again;

    if (alb_failed(batch_request_decode(bytes, size, r)))
        return;
    alb_assert(batch_request_items(r) <= BATCH_ITEMS_MAX);
    buf_init(&again, BATCH_REQUEST_MAX);
    alb_assert(!alb_failed(batch_request_encode(r, &again)));
    alb_assert(buf_size(&again) == size && memcmp(buf_peek(&again), bytes, size) == 0);
    buf_release(&again);
}

/* What is an item when all is there is one as well when it comes byte by byte. */
static void as_items(const uint8_t *bytes, size_t size)
{
    struct batch_item item, slow_item;
    struct buf in, slow;
    size_t used = 1;

    buf_init(&in, size);
    buf_init(&slow, size);
    alb_assert(!alb_failed(buf_append(&in, bytes, size)));
    while (!alb_failed(batch_item_next(&in, 100, &item, &used)) && used > 0) {
        size_t got = 0;

        buf_clear(&slow);
        while (got == 0 && buf_size(&slow) < used) {
            alb_assert(!alb_failed(buf_append(&slow, buf_peek(&in) + buf_size(&slow), 1)));
            alb_assert(!alb_failed(batch_item_next(&slow, 100, &slow_item, &got)));
        }
        alb_assert(got == used && slow_item.position == item.position);
        buf_consume(&in, used);
    }
    buf_release(&in);
    buf_release(&slow);
}

static void as_runs(const uint8_t *bytes, size_t size)
{
    struct batch_run *runs;
    struct buf again;
    size_t count;

    if (alb_failed(runs_decode(bytes, size, UINT32_MAX, &runs, &count)))
        return;
    buf_init(&again, size);
    alb_assert(!alb_failed(runs_encode(runs, count, &again)));
    alb_assert(buf_size(&again) == size && memcmp(buf_peek(&again), bytes, size) == 0);
    buf_release(&again);
    free(runs);
}

static void as_upload(const uint8_t *bytes, size_t size)
{
    struct upload_open u;
    struct buf again;

    if (alb_failed(upload_open_decode(bytes, size, &u)))
        return;
    buf_init(&again, size);
    alb_assert(!alb_failed(upload_open_encode(&u, &again)));
    alb_assert(buf_size(&again) == size && memcmp(buf_peek(&again), bytes, size) == 0);
    buf_release(&again);
}

static void as_upload_answer(const uint8_t *bytes, size_t size)
{
    struct upload_answer a;
    struct buf again;

    if (alb_failed(upload_answer_decode(bytes, size, UINT32_MAX, &a)))
        return;
    buf_init(&again, size);
    alb_assert(!alb_failed(upload_answer_encode(&a, &again)));
    alb_assert(buf_size(&again) == size && memcmp(buf_peek(&again), bytes, size) == 0);
    buf_release(&again);
    upload_answer_release(&a);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    as_request(bytes, size);
    as_items(bytes, size);
    as_runs(bytes, size);
    as_upload(bytes, size);
    as_upload_answer(bytes, size);
}
