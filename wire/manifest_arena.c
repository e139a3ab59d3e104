/* SPDX-License-Identifier: Apache-2.0 */
/* wire/manifest_arena.c – bump allocation in blocks, and growing arrays, against one budget. */
#include "wire/manifest_arena.h"

#include <limits.h>

#include "base/alloc.h"

/* The smallest entries (a hard link of seven bytes, a slice of one) take some forty times their
 * bytes as structs; the rest of the factor pays for their paths. */
enum {
    BUDGET_FACTOR = 64,
    BUDGET_LEAST = 64 << 10,
    BLOCK_LEAST = 4 << 10,
    BLOCK_MOST = 1 << 20,
    FIRST_MEMBERS = 16
};

struct block {
    struct block *before; /* owned */
};

struct manifest_arena {
    struct block *last; /* owned */
    char *at;           /* free bytes of the last block */
    size_t left;
    size_t block_size;
    uint64_t budget;
    bool over_budget;
    bool no_memory;
};

struct manifest_arena *arena_new(size_t input_size)
{
    struct manifest_arena *a = try_alloc(sizeof *a);
    size_t block_size = input_size < BLOCK_MOST ? 2 * input_size : BLOCK_MOST;

    if (a == NULL)
        return NULL;
    *a = (struct manifest_arena){
        .block_size = block_size < BLOCK_LEAST ? BLOCK_LEAST : block_size,
        .budget = (uint64_t)input_size * BUDGET_FACTOR + BUDGET_LEAST,
    };
    return a;
}

struct manifest_arena *arena_free(struct manifest_arena *a)
{
    if (a == NULL)
        return NULL;
    while (a->last != NULL) {
        struct block *before = a->last->before;

        free(a->last);
        a->last = before;
    }
    free(a);
    return NULL;
}

static bool charge(struct manifest_arena *a, size_t size)
{
    if (size > a->budget)
        a->over_budget = true;
    if (a->over_budget || a->no_memory)
        return false;
    a->budget -= size;
    return true;
}

static char *new_block(struct manifest_arena *a, size_t size)
{
    struct block *b;

    if (size > SIZE_MAX - sizeof *b || !charge(a, sizeof *b + size))
        return NULL;
    b = try_alloc(sizeof *b + size);
    if (b == NULL) {
        a->no_memory = true;
        return NULL;
    }
    b->before = a->last;
    a->last = b;
    return (char *)(b + 1);
}

void *arena_take(struct manifest_arena *a, size_t size, size_t align)
{
    size_t skip = (size_t)(-(uintptr_t)a->at & (align - 1));
    char *taken;

    if (size > a->block_size / 4)
        return new_block(a, size); /* large: a block of its own, the current one stays in use */
    if (a->at == NULL || skip + size > a->left) {
        char *fresh = new_block(a, a->block_size);

        if (fresh == NULL)
            return NULL;
        a->at = fresh;
        a->left = a->block_size;
        skip = 0;
    }
    taken = a->at + skip;
    a->at = taken + size;
    a->left -= skip + size;
    return taken;
}

void *arena_grow(struct manifest_arena *a, void *array, size_t *capacity, size_t need,
                 size_t member_size)
{
    size_t members = *capacity + *capacity / 2;
    void *grown;

    if (need <= *capacity)
        return array;
    if (members < FIRST_MEMBERS)
        members = FIRST_MEMBERS;
    if (members < need)
        members = need;
    if (members > SIZE_MAX / member_size || !charge(a, (members - *capacity) * member_size))
        return NULL;
    grown = try_realloc(array, members * member_size);
    if (grown == NULL)
        a->no_memory = true;
    else
        *capacity = members;
    return grown;
}

struct alb_status arena_status(const struct manifest_arena *a)
{
    if (a->over_budget)
        return alb_fail(ALB_CORRUPT, "a manifest asks for far more memory than its size allows");
    if (a->no_memory)
        return alb_fail(ALB_FULL, "no memory for a manifest");
    return ALB_STATUS_OK;
}
