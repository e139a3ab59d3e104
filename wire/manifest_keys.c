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
    free(l->furthest);
    free(l->wholes);
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
    struct manifest_arena *a = l->arena;
    void *keys = arena_grow(a, l->keys, &l->keys_capacity, need, sizeof *l->keys);
    void *furthest = arena_grow(a, l->furthest, &l->furthest_capacity, need, sizeof *l->furthest);
    void *wholes = arena_grow(a, l->wholes, &l->wholes_capacity, need, sizeof *l->wholes);

    /* What was refused is still where it was. */
    l->keys = keys != NULL ? keys : l->keys;
    l->furthest = furthest != NULL ? furthest : l->furthest;
    l->wholes = wholes != NULL ? wholes : l->wholes;
    return keys != NULL && furthest != NULL && wholes != NULL && grow_slots(l);
}

bool key_list_note(struct key_list *l, const struct chunk_key *key, uint32_t end, bool whole,
                   bool *contradiction)
{
    uint32_t *slot;
    size_t i;

    if (!make_room(l))
        return false;
    slot = slot_of(l, key);
    if (*slot == 0) {
        l->keys[l->count] = *key;
        l->furthest[l->count] = 0;
        l->wholes[l->count] = 0;
        *slot = (uint32_t)++l->count;
    }
    i = *slot - 1;
    if (whole && l->wholes[i] == 0)
        l->wholes[i] = end;
    if (end > l->furthest[i])
        l->furthest[i] = end;
    *contradiction =
        l->wholes[i] != 0 && (l->furthest[i] > l->wholes[i] || (whole && end != l->wholes[i]));
    return !*contradiction;
}
