/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_nearby.c – any bytes as a list of what is nearby: sealed, as its text, as the line
 * before it, as the question for it; what is read comes back the same. */
/* LINKS: wire base */
#include "base/alloc.h"
#include "base/pack.h"
#include "fuzz/target.h"
#include "fuzz/trusted.h"
#include "wire/nearby.h"

/* A holder is 900 bytes and may be written in twelve ("{}" and a comma, refused later). */
const struct fuzz_bound fuzz_bound = {.fixed = 1 << 20, .per_byte = 400};

static void read_sealed(const void *bytes, size_t size, const struct trust *t)
{
    struct nearby n, back;
    struct buf again;

    if (alb_failed(nearby_decode(bytes, size, t, &n)))
        return;
    buf_init(&again, SIGNED_MAX);
    alb_assert(!alb_failed(nearby_encode(&n, &HUB, &again)));
    alb_assert(!alb_failed(nearby_decode(buf_peek(&again), buf_size(&again), t, &back)));
    alb_assert(nearby_says_the_same(&n, &back) && n.number == back.number);
    nearby_release(&n);
    nearby_release(&back);
    buf_release(&again);
}

/* The input as the text of a list that the hub signed. */
static void read_text(const uint8_t *bytes, size_t size, const struct trust *t)
{
    struct buf body, sealed;
    struct pack p;

    buf_init(&body, SIGNED_MAX);
    buf_init(&sealed, SIGNED_MAX);
    pack_init(&p, &body);
    pack_bytes(&p, "\x81\4acme\x82", 7);
    pack_varint(&p, size);
    pack_bytes(&p, bytes, size);
    alb_assert(!alb_failed(pack_finish(&p)));
    alb_assert(!alb_failed(signed_seal("nearby", NEARBY_FORMAT, &body, &HUB, 1, &sealed)));
    read_sealed(buf_peek(&sealed), buf_size(&sealed), t);
    buf_release(&body);
    buf_release(&sealed);
}

static void read_head(const uint8_t *bytes, size_t size)
{
    struct nearby_head head;
    struct buf again;
    size_t used;

    if (alb_failed(nearby_head_read(bytes, size, &head, &used)))
        return;
    buf_init(&again, 1 << 10);
    alb_assert(used <= size && !alb_failed(nearby_head_write(&head, &again)));
    alb_assert(buf_size(&again) == used && memcmp(buf_peek(&again), bytes, used) == 0);
    buf_release(&again);
}

/* Four values of a query, a line each; what is read is asked in the same words. */
static void read_question(const uint8_t *bytes, size_t size)
{
    AUTO_FREE char *text = xstrndup((const char *)bytes, size);
    struct nearby_question q, again;
    const char *values[4] = {"", "", "", ""};
    char *rest = text;
    struct buf path;

    for (size_t i = 0; i < ALB_COUNT(values) && rest != NULL; i++)
        values[i] = strsep(&rest, "\n");
    if (alb_failed(nearby_question_read(values[0], values[1], values[2], values[3], &q)))
        return;
    buf_init(&path, 4 << 10);
    alb_assert(!alb_failed(nearby_question_write(&q, &path)) && buf_size(&path) > 0);
    alb_assert(!alb_failed(nearby_question_read("", "", q.site, values[3], &again)));
    alb_assert(strcmp(again.site, q.site) == 0 && again.after == q.after);
    buf_release(&path);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    struct trust_delegation d;
    struct trust t;

    if (size > NEARBY_BYTES_MAX)
        return;
    make_trust(&t, &d);
    read_sealed(bytes, size, &t);
    read_text(bytes, size, &t);
    read_head(bytes, size);
    read_question(bytes, size);
}
