/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/scavenger.c – our own law in the table of laws. */
#include "base/alloc.h"
#include "fluid/ours.h"

static void *make(const struct law_options *options)
{
    struct law *l = xcalloc(1, sizeof(*l));
    law_init(l, options);
    return l;
}

static struct law_verdict tick(void *state, uint64_t now_ns)
{
    return law_tick(state, now_ns);
}

static uint64_t next_ns(const void *state)
{
    return law_next_ns(state);
}

static void on_sample(void *state, const struct law_sample *s)
{
    law_on_sample(state, s);
}

static void on_lost(void *state, uint64_t now_ns)
{
    law_on_lost(state, now_ns);
}

static void on_granted(void *state, uint64_t bytes, uint64_t now_ns)
{
    law_on_granted(state, bytes, now_ns);
}

static void on_delivered(void *state, uint64_t bytes, uint64_t now_ns)
{
    law_on_delivered(state, bytes, now_ns);
}

static void on_stamp(void *state, const struct law_stamp *s, uint64_t now_ns)
{
    law_on_stamp(state, s, now_ns);
}

static void on_hole(void *state, uint64_t now_ns)
{
    law_on_hole(state, now_ns);
}

const struct fluid_law fluid_scavenger = {
    .name = "albedo",
    .make = make,
    .tick = tick,
    .next_ns = next_ns,
    .on_sample = on_sample,
    .on_lost = on_lost,
    .on_granted = on_granted,
    .on_delivered = on_delivered,
    .on_stamp = on_stamp,
    .on_hole = on_hole,
};
