/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_states.c – any bytes as a list of reflectors' states, and as what a parent says of
 * itself; what is read comes back the same. */
/* LINKS: wire base */
#include "base/alloc.h"
#include "fuzz/target.h"
#include "wire/here.h"

/* An entry is 400 bytes, written in two brackets at least; lists of JSON cost more than their
 * text. */
const struct fuzz_bound fuzz_bound = {.fixed = 2 << 20, .per_byte = 400};

static void write_and_read(const struct states *s)
{
    struct states back;
    struct buf text;

    buf_init(&text, 1 << 20);
    if (!alb_failed(states_encode(s, &text))) {
        alb_assert(!alb_failed(states_decode(buf_peek(&text), buf_size(&text), &back)));
        alb_assert(back.count == s->count);
        for (size_t i = 0; i < s->count; i++) {
            alb_assert(states_find(&back, s->list[i].device) == &back.list[i]);
            alb_assert(back.list[i].state == s->list[i].state);
        }
        states_release(&back);
    }
    buf_release(&text);
}

static void read_here(const uint8_t *bytes, size_t size)
{
    AUTO_FREE struct here *h = xalloc(sizeof *h), *back = xalloc(sizeof *back);
    struct buf text;

    if (alb_failed(here_decode(bytes, size, h)))
        return;
    buf_init(&text, HERE_BYTES_MAX);
    if (!alb_failed(here_encode(h, &text))) {
        alb_assert(!alb_failed(here_decode(buf_peek(&text), buf_size(&text), back)));
        alb_assert(back->state == h->state && back->takes_new == h->takes_new);
        alb_assert(here_leads_to(back, h->device));
    }
    buf_release(&text);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    struct states s;

    if (!alb_failed(states_decode(bytes, size, &s))) {
        write_and_read(&s);
        states_release(&s);
    }
    read_here(bytes, size);
}
