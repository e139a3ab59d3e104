/* SPDX-License-Identifier: Apache-2.0 */
/* wire/subnets.c – subnets, sorted and each within what is around it. */
#include "wire/subnets.h"

#include <stdlib.h>

#include "base/alloc.h"

#define NO_OUTER SIZE_MAX

struct range {
    struct policy_subnet subnet; /* first: sorted by it               */
    size_t outer;                /* the narrowest range around this one */
};

struct subnet_index {
    struct range *ranges;
    size_t count;
};

int subnet_order(const void *a, const void *b)
{
    const struct policy_subnet *left = a, *right = b;
    const int order = memcmp(left->address, right->address, sizeof left->address);

    return order != 0 ? order : (int)left->bits - (int)right->bits;
}

bool subnet_holds(const struct policy_subnet *s, const uint8_t address[16])
{
    const size_t whole = s->bits / 8;
    const uint8_t mask = (uint8_t)(0xff00U >> s->bits % 8);

    return memcmp(s->address, address, whole) == 0 &&
           (mask == 0 || ((s->address[whole] ^ address[whole]) & mask) == 0);
}

bool subnet_is_of_kind(const struct policy_subnet *s, const uint8_t address[16])
{
    static const uint8_t V4[12] = {[10] = 0xff, [11] = 0xff};

    return s->bits >= 8 * sizeof V4 || memcmp(address, V4, sizeof V4) != 0;
}

static void nest(struct subnet_index *x)
{
    size_t inner = NO_OUTER;

    for (size_t i = 0; i < x->count; i++) {
        while (inner != NO_OUTER &&
               !subnet_holds(&x->ranges[inner].subnet, x->ranges[i].subnet.address))
            inner = x->ranges[inner].outer;
        x->ranges[i].outer = inner;
        inner = i;
    }
}

struct subnet_index *subnet_index_new(const struct policy_subnet *list, size_t count)
{
    struct subnet_index *x = xalloc(sizeof *x);

    x->ranges = xcalloc(count + 1, sizeof *x->ranges);
    x->count = count;
    for (size_t i = 0; i < count; i++)
        x->ranges[i].subnet = list[i];
    qsort(x->ranges, count, sizeof *x->ranges, subnet_order);
    nest(x);
    return x;
}

struct subnet_index *subnet_index_free(struct subnet_index *x)
{
    if (x == NULL)
        return NULL;
    free(x->ranges);
    free(x);
    return NULL;
}

static const struct policy_subnet *find(const struct subnet_index *x, const uint8_t address[16])
{
    size_t low = 0, high = x->count;

    while (low < high) { /* the first that begins behind the address */
        const size_t middle = low + (high - low) / 2;

        if (memcmp(x->ranges[middle].subnet.address, address, 16) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = low == 0 ? NO_OUTER : low - 1; i != NO_OUTER; i = x->ranges[i].outer)
        if (subnet_holds(&x->ranges[i].subnet, address))
            return subnet_is_of_kind(&x->ranges[i].subnet, address) ? &x->ranges[i].subnet : NULL;
    return NULL;
}

const struct policy_subnet *subnet_index_find(const struct subnet_index *x,
                                              const uint8_t (*addresses)[16], size_t count,
                                              size_t *which)
{
    const struct policy_subnet *narrowest = NULL;

    for (size_t i = 0; i < count; i++) {
        const struct policy_subnet *s = find(x, addresses[i]);

        if (s == NULL || (narrowest != NULL && s->bits <= narrowest->bits))
            continue;
        narrowest = s;
        if (which != NULL)
            *which = i;
    }
    return narrowest;
}
