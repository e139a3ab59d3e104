/* SPDX-License-Identifier: Apache-2.0 */
/* net/gate.c – the gate that is always open. */
#include "net/gate.h"

/* NOLINTNEXTLINE(readability-non-const-parameter): struct gate_ops says what it takes */
static size_t open_ask(struct gate *g, size_t want, uint64_t now_ns, uint64_t *retry_ns)
{
    (void)g;
    (void)now_ns;
    (void)retry_ns;
    return want;
}

static void open_spent(struct gate *g, size_t bytes, uint64_t now_ns)
{
    (void)g;
    (void)bytes;
    (void)now_ns;
}

static const struct gate_ops open_ops = {.ask = open_ask, .spent = open_spent};

void gate_init_open(struct gate *g)
{
    *g = (struct gate){.ops = &open_ops};
}
