/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/arrivals.c – a ring of places, cut into batches. */
#include "transfer/arrivals.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

void arrivals_release(struct arrivals *a)
{
    free(a->ring);
    *a = (struct arrivals){.ring = NULL};
}

void arrivals_add(struct arrivals *a, const struct where *where)
{
    if (a->ring == NULL)
        a->ring = xcalloc(ARRIVALS_MOST, sizeof *a->ring);
    a->ring[++a->last % ARRIVALS_MOST] = *where;
}

static bool is_same_list(const struct where *a, const struct where *b)
{
    return a->list == b->list && digest_equal(&a->root, &b->root) &&
           strcmp(a->layer, b->layer) == 0;
}

static int compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Ascending and each once: what was evicted may have come twice. */
static void fill(struct arrivals_answer *out, const struct where *of, uint32_t *positions,
                 size_t count)
{
    size_t kept = 0;

    qsort(positions, count, sizeof *positions, compare);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || positions[kept - 1] != positions[i])
            positions[kept++] = positions[i];
    memcpy(out->came.layer, of->layer, sizeof out->came.layer);
    out->came.root = of->root;
    out->came.list = of->list;
    struct alb_status st = batch_request_set(&out->came, positions, kept);
    alb_assert(!alb_failed(st)); /* ascending, and no more than a batch holds */
    out->has_some = true;
}

void arrivals_after(const struct arrivals *a, uint64_t since,
                    bool (*may_read)(const void *arg, const char *layer), const void *arg,
                    struct arrivals_answer *out)
{
    const uint64_t gone = a->last > ARRIVALS_MOST ? a->last - ARRIVALS_MOST : 0;
    const struct where *of = NULL;
    uint32_t positions[BATCH_ITEMS_MAX];
    size_t count = 0;

    if (since > a->last) /* the asker's number is of before our start */
        since = 0;
    *out = (struct arrivals_answer){.has_lost = since < gone};
    out->next = since < gone ? gone : since;
    while (out->next < a->last && count < BATCH_ITEMS_MAX) {
        const struct where *at = &a->ring[(out->next + 1) % ARRIVALS_MOST];
        const bool is_for_him = may_read == NULL || may_read(arg, at->layer);
        if (is_for_him && of != NULL && !is_same_list(of, at))
            break;
        if (is_for_him) {
            of = at;
            positions[count++] = at->position;
        }
        out->next++;
    }
    if (count > 0)
        fill(out, of, positions, count);
}
