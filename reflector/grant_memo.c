/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/grant_memo.c – a map and a queue. */
#include "reflector/grant_memo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/units.h"

#define GRANTED_NS (30 * NS_PER_S)
#define REFUSED_NS (5 * NS_PER_S)

void grant_memos_init(struct grant_memos *m)
{
    map_init(&m->by_device);
    TAILQ_INIT(&m->all);
}

static void drop(struct grant_memos *m, struct grant_memo *memo)
{
    TAILQ_REMOVE(&m->all, memo, link);
    (void)map_remove(&m->by_device, &memo->key);
    free(memo->bytes);
    free(memo);
}

void grant_memos_forget(struct grant_memos *m)
{
    while (!TAILQ_EMPTY(&m->all))
        drop(m, TAILQ_FIRST(&m->all));
}

void grant_memos_release(struct grant_memos *m)
{
    grant_memos_forget(m);
    map_release(&m->by_device);
}

const struct grant_memo *grant_memos_find(struct grant_memos *m, const char *device,
                                          uint64_t now_ns)
{
    const struct chunk_key key = map_text_key(device);
    struct grant_memo *memo = map_get(&m->by_device, &key);

    if (memo == NULL || now_ns < memo->until_ns)
        return memo;
    drop(m, memo);
    return NULL;
}

static struct grant_memo *add(struct grant_memos *m, const char *device, uint64_t until_ns)
{
    const struct chunk_key key = map_text_key(device);
    struct grant_memo *memo = map_get(&m->by_device, &key);

    if (memo != NULL)
        drop(m, memo);
    if (m->by_device.count >= GRANT_MEMOS_MAX)
        drop(m, TAILQ_FIRST(&m->all));
    memo = xalloc(sizeof *memo);
    *memo = (struct grant_memo){.key = key, .until_ns = until_ns};
    (void)map_put(&m->by_device, &key, memo);
    TAILQ_INSERT_TAIL(&m->all, memo, link);
    return memo;
}

void grant_memos_grant(struct grant_memos *m, const char *device, const void *bytes, size_t size,
                       uint64_t now_ns)
{
    struct grant_memo *memo = add(m, device, now_ns + GRANTED_NS);

    memo->bytes = memcpy(xalloc(size), bytes, size);
    memo->size = size;
}

void grant_memos_refuse(struct grant_memos *m, const char *device, struct alb_status st,
                        const char *message, uint64_t now_ns)
{
    struct grant_memo *memo = add(m, device, now_ns + REFUSED_NS);

    memo->st = st;
    (void)snprintf(memo->message, sizeof memo->message, "%s", message);
}
