/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/index.c – the index's keys and values, byte by byte (store/FORMAT.md). */

#include "store/disk/index.h"

#include "base/alloc.h"
#include "base/fault.h"
#include "base/pack.h"
#include "store/disk/le.h"
#include "store/disk/rocks.h"

/* First byte of a key: what it is about.  Chunks come last, so that a walk over them ends with the
 * database. */
enum { ABOUT_CHUNK = 'n' }; /* 'm': what is about the index itself */
enum { SCRUB_SIZE = 1 + DIGEST_SIZE + 4 * 8 };
enum { CHUNK_KEY_SIZE = 2 + DIGEST_SIZE, ENTRY_SIZE = 16, MARK_SIZE = 32, QUEUES_SIZE = 40 };

static const char format_key[] = "mformat";
static const char format_value[] = "albedo index 1";
static const char mark_key[] = "mmark";
static const char scrub_key[] = "mscrub";
static const char queues_key[] = "mqueues"; /* what a cache adds to the mark */

/* A branch box's share of memory: 5 million entries find their blocks in this (DESIGN §6). */
enum { CACHE_BYTES = 64 << 20, BUFFER_MOST = 8 << 20, BUFFER_LEAST = 64 << 10, BUFFERS = 128 };

static size_t buffer_for(uint64_t quota_bytes)
{
    uint64_t share = quota_bytes / BUFFERS;
    if (quota_bytes == 0 || share > BUFFER_MOST)
        return BUFFER_MOST;
    return share < BUFFER_LEAST ? BUFFER_LEAST : (size_t)share;
}

struct index {
    struct rocks *db;
};

struct index_batch {
    struct rocks_batch *changes;
};

static struct alb_status check_format(struct rocks *db)
{
    struct buf value;
    buf_init(&value, 256);
    struct alb_status st = rocks_get(db, format_key, sizeof(format_key) - 1, &value);
    if (st.code == ALB_NOT_FOUND) {
        struct rocks_batch *b = rocks_batch_new();
        rocks_batch_put(b, format_key, sizeof(format_key) - 1, format_value,
                        sizeof(format_value) - 1);
        st = rocks_write(db, b, false);
        rocks_batch_free(b);
    } else if (!alb_failed(st) && strcmp(buf_text(&value), format_value) != 0) {
        st = alb_fail(ALB_INVALID, "the store's index has a format this program does not know; a "
                                   "newer program wrote it, so use that one");
    }
    buf_release(&value);
    return st;
}

struct alb_status index_open(const char *path, uint64_t quota_bytes, struct index **out)
{
    struct rocks *db;
    const struct rocks_tuning tuning = {.cache_bytes = CACHE_BYTES,
                                        .write_buffer_bytes = buffer_for(quota_bytes)};
    struct alb_status st = rocks_open(path, &tuning, &db);
    if (alb_failed(st))
        return st;
    st = check_format(db);
    if (alb_failed(st)) {
        rocks_close(db);
        return st;
    }
    struct index *x = xalloc(sizeof(*x));
    x->db = db;
    *out = x;
    return ALB_STATUS_OK;
}

void index_close(struct index *x)
{
    if (x != NULL)
        rocks_close(x->db);
    free(x);
}

struct alb_status index_destroy(const char *path)
{
    return rocks_destroy(path);
}

static void encode_key(const struct chunk_key *key, uint8_t out[CHUNK_KEY_SIZE])
{
    out[0] = ABOUT_CHUNK;
    out[1] = key->kind;
    memcpy(out + 2, key->digest.bytes, DIGEST_SIZE);
}

static struct index_entry decode_entry(const uint8_t bytes[ENTRY_SIZE])
{
    struct unpack u;
    unpack_init(&u, bytes, ENTRY_SIZE);
    struct index_entry e = {.segment = unpack_u64(&u)};
    e.offset = unpack_u32(&u);
    e.size = unpack_u32(&u);
    return e;
}

struct alb_status index_get(struct index *x, const struct chunk_key *key, struct index_entry *out)
{
    uint8_t name[CHUNK_KEY_SIZE];
    uint8_t value[ENTRY_SIZE];
    encode_key(key, name);
    struct alb_status st = rocks_get_fixed(x->db, name, sizeof(name), value, sizeof(value));
    if (!alb_failed(st))
        *out = decode_entry(value);
    return st;
}

/* A store without eviction has one queue and nothing of this. */
static struct alb_status get_queues(struct index *x, struct index_mark *out)
{
    uint8_t value[QUEUES_SIZE];
    struct unpack u;
    struct alb_status st =
        rocks_get_fixed(x->db, queues_key, sizeof(queues_key) - 1, value, sizeof(value));
    if (alb_failed(st))
        return st.code == ALB_NOT_FOUND ? ALB_STATUS_OK : st;
    unpack_init(&u, value, sizeof(value));
    for (size_t i = 1; i < EVICT_QUEUES; i++) {
        out->at[i].segment = unpack_u64(&u);
        out->at[i].offset = unpack_u64(&u);
    }
    out->complete_to = unpack_u64(&u);
    return ALB_STATUS_OK;
}

struct alb_status index_get_mark(struct index *x, struct index_mark *out)
{
    uint8_t value[MARK_SIZE];
    struct unpack u;
    struct alb_status st =
        rocks_get_fixed(x->db, mark_key, sizeof(mark_key) - 1, value, sizeof(value));
    if (alb_failed(st))
        return st;
    unpack_init(&u, value, sizeof(value));
    *out = (struct index_mark){.at = {{.segment = unpack_u64(&u)}}};
    out->at[0].offset = unpack_u64(&u);
    out->chunks = unpack_u64(&u);
    out->stored_bytes = unpack_u64(&u);
    out->complete_to = out->at[0].segment;
    return get_queues(x, out);
}

uint64_t index_mark_knows(const struct index_mark *mark, uint64_t id)
{
    for (size_t i = 0; i < EVICT_QUEUES; i++)
        if (mark->at[i].segment == id)
            return mark->at[i].offset;
    return id <= mark->complete_to ? UINT64_MAX : 0;
}

struct listing {
    struct chunk_key after;
    struct chunk_key *keys;
    struct index_entry *entries;
    size_t max;
    size_t count;
    bool damaged;
};

static bool list_one(void *arg, const void *key, size_t key_size, const void *value, size_t size)
{
    struct listing *l = arg;
    const uint8_t *name = key;
    struct chunk_key k;
    if (key_size != CHUNK_KEY_SIZE || name[0] != ABOUT_CHUNK || size != ENTRY_SIZE) {
        l->damaged = true;
        return false;
    }
    k.kind = name[1];
    memcpy(k.digest.bytes, name + 2, DIGEST_SIZE);
    if (chunk_key_equal(&k, &l->after))
        return true;
    l->keys[l->count] = k;
    l->entries[l->count++] = decode_entry(value);
    return l->count < l->max;
}

struct alb_status index_list(struct index *x, const struct chunk_key *after, size_t max,
                             struct chunk_key *keys, struct index_entry *entries, size_t *count)
{
    struct listing l = {.keys = keys, .entries = entries, .max = max};
    uint8_t start[CHUNK_KEY_SIZE] = {ABOUT_CHUNK};
    *count = 0;
    if (max == 0)
        return ALB_STATUS_OK;
    if (after != NULL) {
        l.after = *after; /* a copy: it may lie in `keys` */
        encode_key(after, start);
    }
    struct alb_status st =
        rocks_walk(x->db, start, after != NULL ? sizeof(start) : 1, list_one, &l);
    if (!alb_failed(st) && l.damaged)
        st = alb_fail(ALB_CORRUPT, "the store's index holds something that is no entry");
    if (!alb_failed(st))
        *count = l.count;
    return st;
}

struct alb_status index_check_room(struct index *x, uint64_t more_bytes)
{
    return rocks_check_room(x->db, more_bytes);
}

struct alb_status index_get_scrub(struct index *x, struct index_scrub *out)
{
    uint8_t value[SCRUB_SIZE];
    struct unpack u;
    struct alb_status st =
        rocks_get_fixed(x->db, scrub_key, sizeof(scrub_key) - 1, value, sizeof(value));
    *out = (struct index_scrub){.rounds = 0};
    if (alb_failed(st))
        return st.code == ALB_NOT_FOUND ? ALB_STATUS_OK : st;
    unpack_init(&u, value, sizeof(value));
    unpack_key(&u, &out->after);
    out->rounds = unpack_u64(&u);
    out->chunks = unpack_u64(&u);
    out->bytes = unpack_u64(&u);
    out->bad = unpack_u64(&u);
    return unpack_finish(&u);
}

struct alb_status index_put_scrub(struct index *x, const struct index_scrub *s)
{
    const uint64_t fields[] = {s->rounds, s->chunks, s->bytes, s->bad};
    uint8_t value[SCRUB_SIZE] = {s->after.kind};
    memcpy(value + 1, s->after.digest.bytes, DIGEST_SIZE);
    for (unsigned i = 0; i < ALB_COUNT(fields); i++)
        le_put(value + 1 + DIGEST_SIZE + 8 * i, fields[i], 8);
    struct rocks_batch *b = rocks_batch_new();
    rocks_batch_put(b, scrub_key, sizeof(scrub_key) - 1, value, sizeof(value));
    struct alb_status st = rocks_write(x->db, b, false);
    rocks_batch_free(b);
    return st;
}

uint64_t index_disk_bytes(struct index *x)
{
    return rocks_disk_bytes(x->db);
}

uint64_t index_reserve_bytes(struct index *x)
{
    return rocks_reserve_bytes(x->db);
}

struct index_batch *index_batch_new(void)
{
    struct index_batch *b = xalloc(sizeof(*b));
    b->changes = rocks_batch_new();
    return b;
}

struct index_batch *index_batch_free(struct index_batch *b)
{
    if (b != NULL)
        rocks_batch_free(b->changes);
    free(b);
    return NULL;
}

void index_batch_put(struct index_batch *b, const struct chunk_key *key,
                     const struct index_entry *entry)
{
    uint8_t name[CHUNK_KEY_SIZE];
    uint8_t value[ENTRY_SIZE];
    encode_key(key, name);
    le_put(value, entry->segment, 8);
    le_put(value + 8, entry->offset, 4);
    le_put(value + 12, entry->size, 4);
    rocks_batch_put(b->changes, name, sizeof(name), value, sizeof(value));
}

void index_batch_remove(struct index_batch *b, const struct chunk_key *key)
{
    uint8_t name[CHUNK_KEY_SIZE];
    encode_key(key, name);
    rocks_batch_remove(b->changes, name, sizeof(name));
}

static void put_numbers(struct index_batch *b, const char *key, const uint64_t *numbers,
                        size_t count)
{
    uint8_t value[QUEUES_SIZE];
    for (size_t i = 0; i < count; i++)
        le_put(value + 8 * i, numbers[i], 8);
    rocks_batch_put(b->changes, key, strlen(key), value, 8 * count);
}

struct alb_status index_write(struct index *x, struct index_batch *b, const struct index_mark *mark,
                              bool sync)
{
    const struct index_extent *at = mark->at;
    const uint64_t fields[] = {at[0].segment, at[0].offset, mark->chunks, mark->stored_bytes};
    const uint64_t queues[] = {at[1].segment, at[1].offset, at[2].segment, at[2].offset,
                               mark->complete_to};
    put_numbers(b, mark_key, fields, ALB_COUNT(fields));
    put_numbers(b, queues_key, queues, ALB_COUNT(queues));
    struct alb_status st = rocks_write(x->db, b->changes, sync);
    if (!alb_failed(st))
        KILL_POINT("index.written");
    return st;
}
