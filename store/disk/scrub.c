/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/scrub.c – what is kept is read again, a little at a time, before somebody needs it.
 *
 *     the next keys behind the last one → each read and compared with its check value → what is bad
 *     leaves the index, as does what points at a segment that is gone → where it ended is noted
 */
#include "base/alloc.h"
#include "store/disk/store_parts.h"

enum { PAGE = 32 };

/* An entry that an index older than its segments kept. */
static void forget(struct segment_store *d, const struct chunk_key *key,
                   const struct index_entry *e)
{
    pthread_mutex_lock(&d->write_lock);
    if (!store_has_record(d, e))
        store_forget_entry(d, key, e);
    pthread_mutex_unlock(&d->write_lock);
}

static void remember_bad(struct segment_store *d, const struct chunk_key *key)
{
    pthread_mutex_lock(&d->write_lock);
    if (d->bad_count < CACHE_BAD_MOST)
        d->bad[d->bad_count++] = *key;
    pthread_mutex_unlock(&d->write_lock);
}

static void look_at(struct segment_store *d, struct index_scrub *now, const struct chunk_key *key,
                    const struct index_entry *listed)
{
    struct index_entry e;
    struct segment *segment;
    struct chunk *chunk = NULL;
    struct alb_status st = store_hold_record(d, key, &e, &segment);
    if (st.code == ALB_NOT_FOUND)
        forget(d, key, listed);
    if (alb_failed(st))
        return;
    st = segment_read(segment, key, e.offset, e.size, &chunk);
    segment_drop(segment);
    chunk_unref(chunk);
    now->chunks++;
    now->bytes += e.size;
    if (st.code != ALB_CORRUPT && st.code != ALB_IO)
        return;
    now->bad++;
    store_note_damage(d, key, &e, st);
    remember_bad(d, key);
}

static struct alb_status look_on(struct segment_store *d, struct index_scrub *now, uint64_t bytes)
{
    struct chunk_key keys[PAGE];
    struct index_entry entries[PAGE];
    uint64_t until = now->bytes + bytes;
    size_t count = PAGE;
    while (count == PAGE && now->bytes < until) {
        const struct chunk_key after = now->after;
        struct alb_status st = index_list(d->index, &after, PAGE, keys, entries, &count);
        if (alb_failed(st))
            return st;
        for (size_t i = 0; i < count; i++)
            look_at(d, now, &keys[i], &entries[i]);
        if (count > 0)
            now->after = keys[count - 1];
    }
    if (count < PAGE) { /* all of it; the next call begins anew */
        now->after = (struct chunk_key){.kind = 0};
        now->rounds++;
    }
    return ALB_STATUS_OK;
}

struct alb_status store_scrub(struct chunk_store *s, uint64_t bytes, bool *is_round_over)
{
    struct segment_store *d = ALB_CONTAINER(s, struct segment_store, base);
    struct index_scrub now = d->scrub; /* nobody else writes it */
    struct alb_status st = look_on(d, &now, bytes);
    *is_round_over = now.rounds > d->scrub.rounds;
    pthread_mutex_lock(&d->write_lock);
    d->scrub = now;
    pthread_mutex_unlock(&d->write_lock);
    return alb_failed(st) ? st : index_put_scrub(d->index, &now);
}

size_t store_take_bad(struct chunk_store *s, struct chunk_key keys[CACHE_BAD_MOST])
{
    struct segment_store *d = ALB_CONTAINER(s, struct segment_store, base);
    pthread_mutex_lock(&d->write_lock);
    size_t count = d->bad_count;
    memcpy(keys, d->bad, count * sizeof(*keys));
    d->bad_count = 0;
    pthread_mutex_unlock(&d->write_lock);
    return count;
}
