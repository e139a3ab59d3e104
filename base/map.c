/* SPDX-License-Identifier: Apache-2.0 */
/* base/map.c – linear probing; removal shifts entries back, so there are no tombstones. */
#include "base/map.h"

#include "base/alloc.h"
#include "base/crypto.h"

enum { FIRST_CAPACITY = 16, KIND_TEXT = 255 };

static size_t home_of(const struct map *m, const struct chunk_key *key)
{
    return (size_t)chunk_key_hash(key) & (m->capacity - 1);
}

/* The slot that holds the key, or the empty one where it would go; one is always empty. */
static struct map_slot *slot_of(const struct map *m, const struct chunk_key *key)
{
    size_t i = home_of(m, key);

    while (m->slots[i].key.kind != 0 && !chunk_key_equal(&m->slots[i].key, key))
        i = (i + 1) & (m->capacity - 1);
    return &m->slots[i];
}

static void grow(struct map *m)
{
    struct map old = *m;

    m->capacity = old.capacity == 0 ? FIRST_CAPACITY : 2 * old.capacity;
    m->slots = xcalloc(m->capacity, sizeof *m->slots);
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].key.kind != 0)
            *slot_of(m, &old.slots[i].key) = old.slots[i];
    free(old.slots);
}

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_release(struct map *m)
{
    free(m->slots);
    map_init(m);
}

void *map_get(const struct map *m, const struct chunk_key *key)
{
    return m->count == 0 ? NULL : slot_of(m, key)->value;
}

void *map_put(struct map *m, const struct chunk_key *key, void *value)
{
    struct map_slot *slot;
    void *old;

    alb_assert(value != NULL && key->kind != 0);
    if (4 * (m->count + 1) > 3 * m->capacity)
        grow(m);
    slot = slot_of(m, key);
    old = slot->value;
    if (old == NULL) {
        slot->key = *key;
        m->count++;
    }
    slot->value = value;
    return old;
}

/* Fill the hole from the run behind it: an entry may move up when its home is not between the
 * hole and itself (cyclically). */
static void close_hole(struct map *m, size_t hole)
{
    size_t mask = m->capacity - 1;

    for (size_t i = (hole + 1) & mask; m->slots[i].key.kind != 0; i = (i + 1) & mask) {
        size_t home = home_of(m, &m->slots[i].key);

        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole] = (struct map_slot){0};
}

void *map_remove(struct map *m, const struct chunk_key *key)
{
    struct map_slot *slot;
    void *old;

    if (m->count == 0)
        return NULL;
    slot = slot_of(m, key);
    old = slot->value;
    if (old == NULL)
        return NULL;
    close_hole(m, (size_t)(slot - m->slots));
    m->count--;
    return old;
}

void map_each(const struct map *m, bool (*fn)(void *arg, const struct chunk_key *key, void *value),
              void *arg)
{
    for (size_t i = 0; i < m->capacity; i++)
        if (m->slots[i].key.kind != 0 && !fn(arg, &m->slots[i].key, m->slots[i].value))
            return;
}

struct chunk_key map_text_key(const char *text)
{
    struct chunk_key key = {.kind = KIND_TEXT};

    sha256(text, strlen(text), &key.digest);
    return key;
}
