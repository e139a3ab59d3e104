/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/fetch_queue.c – groups in a ring, rests in a few lists that are each in order. */
#include "transfer/fetch_queue.h"

#include <stdio.h>

#include "base/alloc.h"
#include "chunk/codec.h"
#include "wire/batch.h"

#define REST_FIRST_NS (500 * NS_PER_MS)
#define REST_MOST_NS (30 * NS_PER_S)

struct fetch_group {
    struct chunk_key key;
    struct want_list wants;
    TAILQ_ENTRY(fetch_group) link;
};

void fetch_queue_init(struct fetch_queue *q, struct loop *loop)
{
    *q = (struct fetch_queue){.loop = loop};
    map_init(&q->groups);
    TAILQ_INIT(&q->turns);
    for (size_t i = 0; i < FETCH_RESTS; i++)
        TAILQ_INIT(&q->rests[i]);
}

static void drop_group(struct fetch_queue *q, struct fetch_group *g)
{
    TAILQ_REMOVE(&q->turns, g, link);
    map_remove(&q->groups, &g->key);
    free(g);
}

void fetch_queue_release(struct fetch_queue *q)
{
    while (!TAILQ_EMPTY(&q->turns))
        drop_group(q, TAILQ_FIRST(&q->turns));
    map_release(&q->groups);
    q->ready = q->resting = 0;
}

static struct fetch_group *group_of(struct fetch_queue *q, const struct where *where)
{
    char hex[DIGEST_HEX_SIZE], text[NAME_MAX_SIZE + DIGEST_HEX_SIZE + 16];

    snprintf(text, sizeof text, "%s %s %d", digest_hex(&where->root, hex), where->layer,
             (int)where->list);
    const struct chunk_key key = map_text_key(text);
    struct fetch_group *g = map_get(&q->groups, &key);
    if (g != NULL)
        return g;
    g = xalloc(sizeof *g);
    g->key = key;
    TAILQ_INIT(&g->wants);
    map_put(&q->groups, &key, g);
    TAILQ_INSERT_TAIL(&q->turns, g, link);
    return g;
}

void fetch_queue_add(struct fetch_queue *q, struct want *want)
{
    TAILQ_INSERT_TAIL(&group_of(q, &want->where)->wants, want, link);
    q->ready++;
}

void fetch_queue_put_back(struct fetch_queue *q, struct want *want)
{
    TAILQ_INSERT_HEAD(&group_of(q, &want->where)->wants, want, link);
    q->ready++;
}

/* ---- rests ---------------------------------------------------------------------------------- */

void fetch_queue_rest(struct fetch_queue *q, struct want *want)
{
    size_t length = want->failures > 0 ? want->failures - 1 : 0;

    if (length >= FETCH_RESTS)
        length = FETCH_RESTS - 1;
    uint64_t rest_ns = REST_FIRST_NS << length;
    if (rest_ns > REST_MOST_NS)
        rest_ns = REST_MOST_NS;
    /* With the last one that rests as long when that fits: what failed together is asked for
     * together, and the list stays in order. */
    uint64_t now_ns = loop_now_ns(q->loop);
    uint64_t least_ns = now_ns + rest_ns - rest_ns / 4;
    const struct want *last = TAILQ_LAST(&q->rests[length], want_list);
    if (last != NULL && last->retry_ns >= least_ns)
        want->retry_ns = last->retry_ns;
    else
        want->retry_ns = loop_random_between(q->loop, least_ns, now_ns + rest_ns + rest_ns / 4);
    TAILQ_INSERT_TAIL(&q->rests[length], want, link);
    q->resting++;
}

uint64_t fetch_queue_wake(struct fetch_queue *q)
{
    uint64_t now_ns = loop_now_ns(q->loop), next_ns = 0;
    struct want *want;

    for (size_t i = 0; i < FETCH_RESTS; i++) {
        while ((want = TAILQ_FIRST(&q->rests[i])) != NULL && want->retry_ns <= now_ns) {
            TAILQ_REMOVE(&q->rests[i], want, link);
            q->resting--;
            fetch_queue_add(q, want);
        }
        if (want != NULL && (next_ns == 0 || want->retry_ns < next_ns))
            next_ns = want->retry_ns;
    }
    return next_ns;
}

/* ---- taking --------------------------------------------------------------------------------- */

uint64_t fetch_queue_most_bytes(const struct want *want)
{
    uint64_t raw = want->where.raw_bytes != 0 ? want->where.raw_bytes : CHUNK_RAW_MAX;

    /* zstd's worst case is 1/256 and a few bytes for each of its blocks; and the item's head. */
    return raw + raw / 128 + 1024 + BATCH_ITEM_OVERHEAD;
}

/* To the end of the line, or out of it when nobody of it waits any more. */
static void end_turn(struct fetch_queue *q, struct fetch_group *g)
{
    if (TAILQ_EMPTY(&g->wants)) {
        drop_group(q, g);
        return;
    }
    TAILQ_REMOVE(&q->turns, g, link);
    TAILQ_INSERT_TAIL(&q->turns, g, link);
}

const struct fetch_group *fetch_queue_next(const struct fetch_queue *q, const struct fetch_group *g,
                                           const struct want **first)
{
    g = g == NULL ? TAILQ_FIRST(&q->turns) : TAILQ_NEXT(g, link);
    if (g != NULL)
        *first = TAILQ_FIRST(&g->wants);
    return g;
}

static struct fetch_group *whose_turn(const struct fetch_queue *q)
{
    struct fetch_group *g;

    TAILQ_FOREACH(g, &q->turns, link)
    if (q->may_ask == NULL || q->may_ask(q->may_ask_arg, TAILQ_FIRST(&g->wants)))
        return g;
    return NULL;
}

const struct want *fetch_queue_peek(const struct fetch_queue *q)
{
    const struct fetch_group *g = whose_turn(q);

    return g == NULL ? NULL : TAILQ_FIRST(&g->wants);
}

size_t fetch_queue_take(struct fetch_queue *q, struct want **out, size_t max_count,
                        uint64_t max_bytes)
{
    struct fetch_group *g = whose_turn(q);
    struct want *want;
    uint64_t bytes = 0;
    size_t count = 0;

    if (g == NULL)
        return 0;
    while (count < max_count && (want = TAILQ_FIRST(&g->wants)) != NULL) {
        bytes += fetch_queue_most_bytes(want);
        if (count > 0 && bytes > max_bytes)
            break;
        TAILQ_REMOVE(&g->wants, want, link);
        q->ready--;
        out[count++] = want;
    }
    end_turn(q, g);
    return count;
}

static size_t take_abandoned_of(struct fetch_queue *q, struct fetch_group *g, struct want **out,
                                size_t max_count)
{
    struct want *next;
    size_t count = 0;

    for (struct want *w = TAILQ_FIRST(&g->wants); w != NULL && count < max_count; w = next) {
        next = TAILQ_NEXT(w, link);
        if (!TAILQ_EMPTY(&w->waiters))
            continue;
        TAILQ_REMOVE(&g->wants, w, link);
        q->ready--;
        out[count++] = w;
    }
    return count;
}

size_t fetch_queue_take_abandoned(struct fetch_queue *q, struct want **out, size_t max_count)
{
    struct fetch_group *next;
    size_t count = 0;

    for (struct fetch_group *g = TAILQ_FIRST(&q->turns); g != NULL; g = next) {
        next = TAILQ_NEXT(g, link);
        count += take_abandoned_of(q, g, out + count, max_count - count);
        if (TAILQ_EMPTY(&g->wants))
            drop_group(q, g);
    }
    return count;
}

static size_t take_list(struct want_list *list, struct want **out, size_t max_count)
{
    struct want *want;
    size_t count = 0;

    while (count < max_count && (want = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, want, link);
        out[count++] = want;
    }
    return count;
}

size_t fetch_queue_take_any(struct fetch_queue *q, struct want **out, size_t max_count)
{
    struct fetch_group *g;
    size_t count = 0;

    while (count < max_count && (g = TAILQ_FIRST(&q->turns)) != NULL) {
        count += take_list(&g->wants, out + count, max_count - count);
        if (TAILQ_EMPTY(&g->wants))
            drop_group(q, g);
    }
    q->ready -= count;
    const size_t ready = count;
    for (size_t i = 0; i < FETCH_RESTS; i++)
        count += take_list(&q->rests[i], out + count, max_count - count);
    q->resting -= count - ready;
    return count;
}
