/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_announce.c – any bytes as a body of announcements, and as one of them; what is read
 * comes back the same. */
/* LINKS: wire base */
#include <stdlib.h>

#include "base/alloc.h"
#include "fuzz/target.h"
#include "wire/announce.h"
#include "wire/json.h"

/* A device is 400 bytes, written in forty; its draft 4 KiB, one at a time; a body 72 KiB. */
const struct fuzz_bound fuzz_bound = {.fixed = 1 << 20, .per_byte = 400};

static void write_and_read(const struct announce *a)
{
    struct json_writer *w = json_writer_new();
    struct announce *back = NULL;
    struct buf text;

    buf_init(&text, ANNOUNCE_ONE_MAX);
    announce_write(a, NULL, w);
    alb_assert(!alb_failed(json_writer_finish(w, &text)));
    alb_assert(!alb_failed(announce_read(buf_peek(&text), buf_size(&text), &back)));
    alb_assert(a->goes == back->goes && a->since_wall_s == back->since_wall_s);
    alb_assert(a->goes != ANNOUNCE_STAYS || announce_is_same(a, back));
    free(back);
    buf_release(&text);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    struct announce_body *b = NULL;
    struct announce *one = NULL;

    if (!alb_failed(announce_decode(bytes, size, &b)))
        for (size_t i = 0; i < b->device_count; i++)
            write_and_read(b->devices[i]);
    announce_body_free(b);
    if (alb_failed(announce_read(bytes, size, &one)))
        return;
    write_and_read(one);
    free(one);
}
