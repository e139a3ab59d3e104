/* SPDX-License-Identifier: Apache-2.0 */
/* wire/manifest_keys.c – the distinct keys of a manifest: an open-addressing table of indices. */
#include "wire/manifest_keys.h"

#include "base/alloc.h"
#include "base/crypto.h"

enum { FIRST_SLOTS = 64 };

void key_list_init(struct key_list *l, struct manifest_arena *arena)
{
    *l = (struct key_list){.arena = arena};
    random_bytes(l->seed, sizeof l->seed);
}

void key_list_release(struct key_list *l)
{
    free(l->keys);
    free(l->sizes);
    free(l->slots);
    *l = (struct key_list){.count = 0};
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static size_t home_of(const struct key_list *l, const struct chunk_key *key)
{
    uint64_t part[4];

    memcpy(part, key->digest.bytes, sizeof part);
    return (size_t)(fold(part[0] ^ l->seed[0], part[1] ^ l->seed[1]) ^
                    fold(part[2] ^ l->seed[2], part[3] ^ l->seed[3] ^ key->kind)) &
           (l->slot_count - 1);
}

/* The slot that holds the key's index, or the empty one where it would go. */
static uint32_t *slot_of(const struct key_list *l, const struct chunk_key *key)
{
    size_t i = home_of(l, key);

    while (l->slots[i] != 0 && !chunk_key_equal(&l->keys[l->slots[i] - 1], key))
        i = (i + 1) & (l->slot_count - 1);
    return &l->slots[i];
}

/* Twice the slots, so that at most half are taken. */
static bool grow_slots(struct key_list *l)
{
    size_t wanted = l->slot_count == 0 ? FIRST_SLOTS : 2 * l->slot_count;
    void *slots;

    if (2 * (l->count + 1) <= l->slot_count)
        return true;
    slots = arena_grow(l->arena, l->slots, &l->slot_count, wanted, sizeof *l->slots);
    if (slots == NULL)
        return false;
    l->slots = slots;
    memset(l->slots, 0, l->slot_count * sizeof *l->slots);
    for (size_t i = 0; i < l->count; i++)
        *slot_of(l, &l->keys[i]) = (uint32_t)(i + 1);
    return true;
}

static bool make_room(struct key_list *l)
{
    size_t need = l->count + 1;
    void *keys = arena_grow(l->arena, l->keys, &l->keys_capacity, need, sizeof *l->keys);
    void *sizes;

    if (keys == NULL)
        return false;
    l->keys = keys;
    sizes = arena_grow(l->arena, l->sizes, &l->sizes_capacity, need, sizeof *l->sizes);
    if (sizes == NULL)
        return false;
    l->sizes = sizes;
    return grow_slots(l);
}

bool key_list_note(struct key_list *l, const struct chunk_key *key, uint32_t end, bool whole,
                   bool *contradiction)
{
    struct key_size *size;
    uint32_t *slot;

    if (!make_room(l))
        return false;
    slot = slot_of(l, key);
    if (*slot == 0) {
        l->keys[l->count] = *key;
        l->sizes[l->count] = (struct key_size){0, 0};
        *slot = (uint32_t)++l->count;
    }
    size = &l->sizes[*slot - 1];
    if (whole && size->whole == 0)
        size->whole = end;
    if (end > size->furthest)
        size->furthest = end;
    *contradiction =
        size->whole != 0 && (size->furthest > size->whole || (whole && end != size->whole));
    return !*contradiction;
}
