/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/segment_store.c – the chunk store on disk: segments, their index, and one writer.
 *
 * A put: choose what is not here, and for which queue → room within the quota? (room.c) → a segment
 * with room → append and sync → index (append.c).
 * A get: index → hold the segment → one read → check → drop the hold.
 */

#include "store/disk/segment_store.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "store/disk/store_parts.h"

enum {
    SEGMENT_BYTES = 64 << 20,
    SEGMENT_BYTES_LEAST = 1 << 20,
    SEGMENT_BYTES_MAX = 1 << 30,
    SEGMENTS_IN_QUOTA = 128,
    SUSPECTS_MAX = 4096,
    FULL_GROUP = 8 << 20
};

static struct alb_status put_locked(struct segment_store *d, struct chunk *const *chunks,
                                    size_t count, enum put_outcome *outcomes);
static void say_whether_full(struct segment_store *d, struct alb_status st);
static struct alb_status choose(struct segment_store *d, struct chunk *const *chunks, size_t count,
                                struct group groups[EVICT_QUEUES], bool *chosen);
static struct alb_status keep_groups(struct segment_store *d, struct group groups[EVICT_QUEUES]);
static struct alb_status find(struct segment_store *d, const struct chunk_key *key,
                              struct index_entry *out);

static struct segment_store *from_base(struct chunk_store *s)
{
    return ALB_CONTAINER(s, struct segment_store, base);
}

/* ---- put ---- */

static struct alb_status put_many(struct chunk_store *s, struct chunk *const *chunks, size_t count,
                                  enum put_outcome *outcomes)
{
    struct segment_store *d = from_base(s);
    if (count == 0)
        return ALB_STATUS_OK;
    pthread_mutex_lock(&d->write_lock);
    struct alb_status st = put_locked(d, chunks, count, outcomes);
    pthread_mutex_unlock(&d->write_lock);
    return st;
}

static struct alb_status put_locked(struct segment_store *d, struct chunk *const *chunks,
                                    size_t count, enum put_outcome *outcomes)
{
    size_t queues = d->evicts ? EVICT_QUEUES : 1;
    AUTO_FREE bool *chosen = try_alloc(count * sizeof(*chosen));
    AUTO_FREE struct append *items = try_alloc(queues * count * sizeof(*items));
    struct group groups[EVICT_QUEUES] = {{.items = items}};
    if (chosen == NULL || items == NULL)
        return alb_fail(ALB_FULL, "store: memory for a group of chunks");
    for (size_t q = 0; q < queues; q++)
        groups[q].items = items + q * count;
    struct alb_status st = choose(d, chunks, count, groups, chosen);
    if (!alb_failed(st))
        st = keep_groups(d, groups);
    if (alb_failed(st) || outcomes == NULL)
        return st;
    for (size_t i = 0; i < count; i++)
        outcomes[i] = chosen[i] ? PUT_CREATED : PUT_EXISTS;
    return ALB_STATUS_OK;
}

static struct alb_status keep_groups(struct segment_store *d, struct group groups[EVICT_QUEUES])
{
    uint64_t bytes = 0;
    for (size_t q = 0; q < EVICT_QUEUES; q++)
        bytes += append_bytes(groups[q].items, groups[q].count);
    if (bytes == 0)
        return ALB_STATUS_OK;
    struct alb_status st = store_make_room(d, bytes);
    for (int q = 0; q < EVICT_QUEUES && !alb_failed(st); q++)
        if (groups[q].count > 0)
            st = store_append(d, (enum evict_queue)q, &groups[q]);
    say_whether_full(d, st);
    return st;
}

/* Once when it begins and once when it ends, however many puts there are between. */
static void say_whether_full(struct segment_store *d, struct alb_status st)
{
    struct statvfs about;
    bool is_full = st.code == ALB_FULL;
    if (is_full == d->is_full || (alb_failed(st) && !is_full))
        return;
    if (!is_full && alb_failed(store_look_for_room(d, FULL_GROUP)))
        return; /* almost full: a small group went in, the next may not */
    d->is_full = is_full;
    uint64_t free_bytes =
        statvfs(d->dir, &about) == 0 ? (uint64_t)about.f_bavail * about.f_frsize : 0;
    if (is_full)
        log_status(LOG_ERROR, "store.full", st,
                   "dir=%s free_bytes=%" PRIu64 " next=\"make room; nothing that is kept is "
                   "touched, and it goes on by itself\"",
                   d->dir, free_bytes);
    else
        log_event(LOG_INFO, "store.has_room_again", "dir=%s free_bytes=%" PRIu64, d->dir,
                  free_bytes);
}

static bool is_suspect(struct segment_store *d, const struct chunk_key *key)
{
    return map_get(&d->suspects, key) != NULL;
}

static struct group *choose_group(struct segment_store *d, const struct chunk_key *key,
                                  struct group groups[EVICT_QUEUES])
{
    uint64_t hash = chunk_key_hash(key);
    if (!d->evicts)
        return &groups[QUEUE_NEW];
    if (pins_hold(&d->pins, hash))
        return &groups[QUEUE_PINNED];
    pthread_mutex_lock(&d->evict_lock);
    enum evict_queue queue = evictor_admit(&d->evictor, hash);
    pthread_mutex_unlock(&d->evict_lock);
    return &groups[queue];
}

/* Add `chunk` to its group unless it is here, readable as far as we know. */
static struct alb_status choose_one(struct segment_store *d, const struct chunk *chunk,
                                    struct group groups[EVICT_QUEUES], bool *chosen)
{
    struct index_entry old;
    int64_t replaced = -1; /* bytes, of an entry */
    struct alb_status st = index_get(d->index, &chunk->key, &old);
    *chosen = false;
    if (alb_failed(st) && st.code != ALB_NOT_FOUND)
        return st;
    if (!alb_failed(st)) {
        if (store_has_record(d, &old) && !is_suspect(d, &chunk->key))
            return ALB_STATUS_OK;
        replaced = old.size;
    }
    struct group *g = choose_group(d, &chunk->key, groups);
    g->items[g->count++] = (struct append){
        .record = {.type = RECORD_CHUNK, .key = chunk->key, .size = chunk->size},
        .body = chunk->bytes,
    };
    g->chunks_delta += replaced < 0 ? 1 : 0;
    g->bytes_delta += chunk->size - (replaced < 0 ? 0 : replaced);
    *chosen = true;
    return ALB_STATUS_OK;
}

static struct alb_status choose(struct segment_store *d, struct chunk *const *chunks, size_t count,
                                struct group groups[EVICT_QUEUES], bool *chosen)
{
    struct alb_status st = ALB_STATUS_OK;
    struct map in_group; /* a group may name a chunk twice */
    map_init(&in_group);
    for (size_t i = 0; i < count && !alb_failed(st); i++) {
        chosen[i] = false;
        if (map_get(&in_group, &chunks[i]->key) != NULL)
            continue;
        st = choose_one(d, chunks[i], groups, &chosen[i]);
        if (chosen[i])
            map_put(&in_group, &chunks[i]->key, chunks[i]);
    }
    map_release(&in_group);
    return st;
}

/* ---- get ---- */

/* Remember that the disk would not give `key`: the next put writes it again, elsewhere.  The entry
 * stays, for the disk may yet come to its senses and a hub has no upstream. */
static void suspect(struct segment_store *d, const struct chunk_key *key)
{
    if (d->suspects.count < SUSPECTS_MAX)
        (void)map_put(&d->suspects, key, d);
    atomic_store(&d->suspect_count, d->suspects.count);
}

/* Take `key` out of the index, unless it has been written elsewhere meanwhile. */
void store_forget_entry(struct segment_store *d, const struct chunk_key *key,
                        const struct index_entry *bad)
{
    struct index_entry now;
    if (alb_failed(index_get(d->index, key, &now)) || now.segment != bad->segment ||
        now.offset != bad->offset)
        return;
    struct index_mark mark = d->mark;
    mark.chunks--;
    mark.stored_bytes -= bad->size;
    struct index_batch *b = index_batch_new();
    index_batch_remove(b, key);
    struct alb_status st = index_write(d->index, b, &mark, false);
    index_batch_free(b);
    if (alb_failed(st))
        suspect(d, key);
    else
        d->mark = mark;
}

/* A read failed for good: see to it that the chunk can be put anew. */
void store_note_damage(struct segment_store *d, const struct chunk_key *key,
                       const struct index_entry *bad, struct alb_status why)
{
    char hex[DIGEST_HEX_SIZE];
    pthread_mutex_lock(&d->write_lock);
    if (!is_suspect(d, key)) /* said once, however often it is asked for */
        log_status(LOG_WARN, "chunk.damaged", why,
                   "chunk=%s segment=%016" PRIx64 " offset=%" PRIu32, digest_hex(&key->digest, hex),
                   bad->segment, bad->offset);
    if (why.code == ALB_CORRUPT)
        store_forget_entry(d, key, bad);
    else
        suspect(d, key);
    pthread_mutex_unlock(&d->write_lock);
}

/* Where `key` is, NOT_FOUND when its segment is not (or no longer) there as far as that. */
static struct alb_status find(struct segment_store *d, const struct chunk_key *key,
                              struct index_entry *out)
{
    struct index_entry e;
    struct alb_status st = index_get(d->index, key, &e);
    if (alb_failed(st))
        return st.code == ALB_NOT_FOUND ? alb_fail(ALB_NOT_FOUND, "store: no such chunk") : st;
    if (!store_has_record(d, &e))
        return alb_fail(ALB_NOT_FOUND, "store: the chunk's segment is gone");
    *out = e;
    return ALB_STATUS_OK;
}

/* Hold the segment where `key` is.  It may be evicted between the two looks, and then the record is
 * elsewhere or gone: look again. */
struct alb_status store_hold_record(struct segment_store *d, const struct chunk_key *key,
                                    struct index_entry *e, struct segment **segment)
{
    struct alb_status st = ALB_STATUS_OK;
    for (unsigned tries = 0; tries < 4; tries++) {
        st = find(d, key, e);
        if (st.code == ALB_NOT_FOUND && d->evicts && tries < 3)
            continue;
        if (alb_failed(st))
            return st;
        st = segment_table_hold(&d->table, e->segment, segment);
        if (st.code != ALB_NOT_FOUND)
            return st;
    }
    return st;
}

static struct alb_status get(struct chunk_store *s, const struct chunk_key *key, struct chunk **out)
{
    struct segment_store *d = from_base(s);
    struct index_entry e;
    struct segment *segment;
    struct alb_status st = store_hold_record(d, key, &e, &segment);
    if (alb_failed(st))
        return st;
    st = segment_read(segment, key, e.offset, e.size, out);
    segment_drop(segment);
    if (st.code == ALB_CORRUPT || st.code == ALB_IO)
        store_note_damage(d, key, &e, st);
    if (!alb_failed(st))
        store_touch(s, key);
    return st;
}

/* ---- the rest of the door ---- */

static struct alb_status exists_many(struct chunk_store *s, const struct chunk_key *keys,
                                     size_t count, bool *has)
{
    struct segment_store *d = from_base(s);
    for (size_t i = 0; i < count; i++) {
        struct index_entry e;
        struct alb_status st = find(d, &keys[i], &e);
        if (alb_failed(st) && st.code != ALB_NOT_FOUND)
            return st;
        has[i] = !alb_failed(st);
    }
    if (atomic_load(&d->suspect_count) == 0)
        return ALB_STATUS_OK;
    pthread_mutex_lock(&d->write_lock);
    for (size_t i = 0; i < count; i++)
        has[i] = has[i] && !is_suspect(d, &keys[i]);
    pthread_mutex_unlock(&d->write_lock);
    return ALB_STATUS_OK;
}

/* The segments hear of it, too, or an index built anew would bring the chunk back. */
static struct alb_status remove_locked(struct segment_store *d, const struct chunk_key *key)
{
    struct index_entry e;
    struct alb_status st = index_get(d->index, key, &e);
    if (alb_failed(st))
        return st.code == ALB_NOT_FOUND ? ALB_STATUS_OK : st;
    struct append item = {.record = {.type = RECORD_REMOVAL, .key = *key}, .body = ""};
    struct group g = {
        .items = &item, .count = 1, .chunks_delta = -1, .bytes_delta = -(int64_t)e.size};
    enum evict_queue last = store_last_queue(d);
    st = store_append(d, last, &g);
    /* What is put from now on must be read behind it. */
    for (int q = 0; q < EVICT_QUEUES; q++)
        if (q != (int)last && d->active[q] != NULL)
            store_retire(d, (enum evict_queue)q);
    return st;
}

static struct alb_status remove_one(struct chunk_store *s, const struct chunk_key *key)
{
    struct segment_store *d = from_base(s);
    pthread_mutex_lock(&d->write_lock);
    struct alb_status st = remove_locked(d, key);
    pthread_mutex_unlock(&d->write_lock);
    return st;
}

/* A page of the index may hold entries whose segment is gone,
 * so one page may take several looks. */
static struct alb_status list(struct chunk_store *s, const struct chunk_key *after, size_t max,
                              struct chunk_key *keys, size_t *count)
{
    struct segment_store *d = from_base(s);
    AUTO_FREE struct index_entry *entries = try_alloc(max * sizeof(*entries));
    struct chunk_key cursor = {.kind = 0};
    size_t kept = 0;
    size_t asked;
    size_t found;
    if (entries == NULL)
        return alb_fail(ALB_FULL, "store: memory for a list of chunks");
    if (after != NULL)
        cursor = *after;
    do {
        asked = max - kept;
        struct alb_status st = index_list(d->index, &cursor, asked, keys + kept, entries, &found);
        if (alb_failed(st))
            return st;
        if (found > 0)
            cursor = keys[kept + found - 1];
        const struct chunk_key *page = keys + kept;
        for (size_t i = 0; i < found; i++)
            if (store_has_record(d, &entries[i]))
                keys[kept++] = page[i];
    } while (kept < max && found == asked);
    *count = kept;
    return ALB_STATUS_OK;
}

static struct alb_status stats(struct chunk_store *s, struct chunk_store_stats *out)
{
    struct segment_store *d = from_base(s);
    uint64_t queues[EVICT_QUEUES];
    pthread_mutex_lock(&d->write_lock);
    *out = (struct chunk_store_stats){
        .chunks = d->mark.chunks,
        .stored_bytes = d->mark.stored_bytes,
        .disk_bytes = store_used_bytes(d, queues),
    };
    pthread_mutex_unlock(&d->write_lock);
    return ALB_STATUS_OK;
}

static struct alb_status locate(struct chunk_store *s, const struct chunk_key *key,
                                struct chunk_place *out)
{
    struct index_entry e;
    struct alb_status st = find(from_base(s), key, &e);
    if (alb_failed(st))
        return st;
    *out = (struct chunk_place){.offset = e.offset, .size = e.size};
    (void)snprintf(out->file, sizeof(out->file), "segments/%016" PRIx64 ".seg", e.segment);
    return ALB_STATUS_OK;
}

/* ---- opening and closing ---- */

static void close_store(struct chunk_store *s)
{
    struct segment_store *d = from_base(s);
    for (size_t q = 0; q < EVICT_QUEUES; q++)
        if (d->active[q] != NULL)
            segment_drop(d->active[q]);
    segment_table_release(&d->table);
    index_close(d->index);
    map_release(&d->suspects);
    pins_release(&d->pins);
    if (d->evicts)
        evictor_release(&d->evictor);
    pthread_mutex_destroy(&d->evict_lock);
    pthread_mutex_destroy(&d->write_lock);
    if (d->lock_fd >= 0)
        (void)close(d->lock_fd); /* releases the lock */
    free(d->dir);
    free(d->segments_dir);
    free(d->index_dir);
    free(d);
}

static const struct chunk_store_ops ops = {
    .name = "segments",
    .cache = &store_cache_ops,
    .put_many = put_many,
    .get = get,
    .exists_many = exists_many,
    .remove = remove_one,
    .wipe = store_wipe,
    .list = list,
    .stats = stats,
    .locate = locate,
    .close = close_store,
};

static struct alb_status prepare_dirs(struct segment_store *d)
{
    struct alb_status st = file_make_dir(d->dir, 0700);
    if (!alb_failed(st))
        st = file_make_dir(d->segments_dir, 0700);
    if (!alb_failed(st))
        st = file_sync_dir(d->dir);
    return st;
}

/* A lock of our own, before anything is looked at: recovery must not cut what another process is
 * writing. */
static struct alb_status take_lock(struct segment_store *d)
{
    AUTO_FREE char *path = path_join(d->dir, "lock");
    d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock_fd < 0)
        return alb_fail_sys("store: opening its lock file");
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return ALB_STATUS_OK;
    if (errno == EWOULDBLOCK)
        return alb_fail(ALB_CONFLICT, "store: another process has it open");
    return alb_fail_sys("store: locking it");
}

/* Small steps, and files that are worth their name. */
static uint64_t segment_bytes_for(const struct segment_store_options *o)
{
    uint64_t share = o->quota_bytes / SEGMENTS_IN_QUOTA;
    if (o->segment_bytes != 0)
        return o->segment_bytes;
    if (o->policy == NULL || o->quota_bytes == 0 || share > SEGMENT_BYTES)
        return SEGMENT_BYTES;
    return share < SEGMENT_BYTES_LEAST ? SEGMENT_BYTES_LEAST : share;
}

/* What the policy takes for the cache's size when only a floor is given. */
static uint64_t limit_for(const struct segment_store_options *o)
{
    struct statvfs about;
    if (o->quota_bytes != 0 || statvfs(o->dir, &about) != 0)
        return o->quota_bytes;
    return (uint64_t)about.f_blocks * about.f_frsize;
}

static struct segment_store *new_store(const struct segment_store_options *options)
{
    struct segment_store *d = xalloc(sizeof(*d));
    d->base.ops = &ops;
    d->dir = xstrdup(options->dir);
    d->segments_dir = path_join(d->dir, "segments");
    d->index_dir = path_join(d->dir, "index");
    d->lock_fd = -1;
    d->segment_bytes = segment_bytes_for(options);
    d->quota_bytes = options->quota_bytes;
    d->floor_bytes = options->floor_bytes;
    pthread_mutex_init(&d->write_lock, NULL);
    pthread_mutex_init(&d->evict_lock, NULL);
    d->evicts = options->policy != NULL && (options->quota_bytes != 0 || options->floor_bytes != 0);
    if (d->evicts)
        evictor_init(&d->evictor, options->policy, limit_for(options));
    segment_table_init(&d->table);
    map_init(&d->suspects);
    return d;
}

static struct alb_status open_pins(struct segment_store *d)
{
    AUTO_FREE char *dir = path_join(d->dir, "pins");
    return pins_open(&d->pins, dir);
}

struct alb_status segment_store_open(const struct segment_store_options *options,
                                     struct chunk_store **out)
{
    if (options->segment_bytes > SEGMENT_BYTES_MAX)
        return alb_fail(ALB_INVALID, "store: a segment has at most 1 GiB");
    if (options->policy != NULL && options->segment_bytes == 0 && options->quota_bytes != 0 &&
        options->quota_bytes < SEGMENT_STORE_QUOTA_LEAST)
        return alb_fail(ALB_INVALID, "store: a cache's quota is at least 32 MiB");
    struct segment_store *d = new_store(options);
    struct alb_status st = prepare_dirs(d);
    if (!alb_failed(st))
        st = take_lock(d);
    if (!alb_failed(st))
        st = open_pins(d);
    if (!alb_failed(st))
        st = store_recover(d);
    if (alb_failed(st)) {
        close_store(&d->base);
        return st;
    }
    *out = &d->base;
    return ALB_STATUS_OK;
}
