/* SPDX-License-Identifier: Apache-2.0 */
/* net/gate.c – the gate that is always open, and who waits at one that is not. */
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

void gate_wake(struct gate *g)
{
    void (*wake)(void *wake_arg) = g->wake;

    g->wake = NULL;
    if (wake != NULL)
        wake(g->wake_arg);
}

size_t gate_ask(struct gate *g, size_t want, uint64_t now_ns, uint64_t *retry_ns)
{
    *retry_ns = now_ns;
    size_t allowed = g->ops->ask(g, want, now_ns, retry_ns);

    if (allowed > 0)
        g->wake = NULL;
    return allowed < want ? allowed : want;
}

void gate_await(struct gate *g, void (*wake)(void *wake_arg), void *wake_arg)
{
    g->wake = wake;
    g->wake_arg = wake_arg;
}

void gate_spend(struct gate *g, size_t bytes, uint64_t now_ns)
{
    g->passed_bytes += bytes;
    g->ops->spent(g, bytes, now_ns);
}

void gate_forget(struct gate *g, const void *wake_arg)
{
    if (g->wake == NULL || g->wake_arg != wake_arg)
        return;
    g->wake = NULL;
    if (g->ops->forget != NULL)
        g->ops->forget(g);
}
