/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/disk_catalogue.c – the catalogue on disk: a RocksDB of records, each with its version.
 *
 * Unlike the index this cannot be built again from anything, so every write is synced.  RocksDB
 * has no compare-and-swap; jobs of several workers may swap at the same time, so a lock makes the
 * look and the write one step.  Swaps are rare (a publish, an enrolment), so one lock for all is
 * enough; reads and lists do not take it.
 */

#include "store/disk/segment_store.h"

#include <dirent.h>
#include <pthread.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/pack.h"
#include "store/disk/le.h"
#include "store/disk/rocks.h"

/* First byte of a key. */
enum { ABOUT_RECORD = 'r' }; /* 'm': what is about the catalogue itself */
enum { VERSION_SIZE = 8, KEY_MAX = 1 + CATALOGUE_NAME_MAX };

static const char format_key[] = "mformat";
static const char format_value[] = "albedo catalogue 1";
static const char version_key[] = "mversion";

static const struct rocks_tuning tuning = {
    .cache_bytes = 8 << 20,
    .write_buffer_bytes = 2 << 20,
};

struct disk_catalogue {
    struct catalogue base;
    struct rocks *db;
    pthread_mutex_t swap_lock;
    uint64_t last_version; /* of any record; versions are never used again, even after a removal */
};

static struct disk_catalogue *from_base(struct catalogue *c)
{
    return ALB_CONTAINER(c, struct disk_catalogue, base);
}

static size_t encode_key(const char *name, uint8_t out[KEY_MAX])
{
    size_t length = strlen(name);
    out[0] = ABOUT_RECORD;
    memcpy(out + 1, name, length); /* NOLINT: a key carries its length */
    return 1 + length;
}

static uint64_t decode_version(const uint8_t *bytes)
{
    struct unpack u;
    unpack_init(&u, bytes, VERSION_SIZE);
    return unpack_u64(&u);
}

/* The record as it is kept, version first. */
static struct alb_status read_record(struct disk_catalogue *d, const char *name, struct buf *out)
{
    uint8_t key[KEY_MAX];
    struct alb_status st = rocks_get(d->db, key, encode_key(name, key), out);
    if (st.code == ALB_NOT_FOUND)
        return alb_fail(ALB_NOT_FOUND, "catalogue: no such record");
    if (!alb_failed(st) && buf_size(out) < VERSION_SIZE)
        return alb_fail(ALB_CORRUPT, "catalogue: a record without a version");
    return st;
}

static struct alb_status get(struct catalogue *c, const char *name, struct buf *out,
                             uint64_t *version)
{
    struct alb_status st = catalogue_check(name, 0);
    if (alb_failed(st))
        return st;
    struct buf kept;
    buf_init(&kept, VERSION_SIZE + CATALOGUE_VALUE_MAX);
    st = read_record(from_base(c), name, &kept);
    if (!alb_failed(st))
        st = buf_append(out, buf_peek(&kept) + VERSION_SIZE, buf_size(&kept) - VERSION_SIZE);
    if (!alb_failed(st) && version != NULL)
        *version = decode_version(buf_peek(&kept));
    buf_release(&kept);
    return st;
}

static struct alb_status find_version(struct disk_catalogue *d, const char *name, uint64_t *version)
{
    struct buf kept;
    buf_init(&kept, VERSION_SIZE + CATALOGUE_VALUE_MAX);
    struct alb_status st = read_record(d, name, &kept);
    if (!alb_failed(st))
        *version = decode_version(buf_peek(&kept));
    buf_release(&kept);
    if (st.code == ALB_NOT_FOUND) {
        *version = CATALOGUE_ABSENT;
        return ALB_STATUS_OK;
    }
    return st;
}

static struct alb_status write_record(struct disk_catalogue *d, const char *name, const void *value,
                                      size_t size, uint64_t version)
{
    AUTO_FREE uint8_t *kept = try_alloc(VERSION_SIZE + size);
    uint8_t key[KEY_MAX];
    uint8_t counter[VERSION_SIZE];
    if (kept == NULL)
        return alb_fail(ALB_FULL, "catalogue: memory for a record");
    size_t key_size = encode_key(name, key);
    le_put(counter, version, VERSION_SIZE);
    struct rocks_batch *b = rocks_batch_new();
    if (value != NULL) {
        memcpy(kept, counter, VERSION_SIZE);
        memcpy(kept + VERSION_SIZE, value, size);
        rocks_batch_put(b, key, key_size, kept, VERSION_SIZE + size);
    } else {
        rocks_batch_remove(b, key, key_size);
    }
    rocks_batch_put(b, version_key, sizeof(version_key) - 1, counter, sizeof(counter));
    struct alb_status st = rocks_write(d->db, b, true);
    rocks_batch_free(b);
    if (!alb_failed(st)) {
        KILL_POINT("catalogue.committed");
        return st;
    }
    /* Some of it may be in RocksDB's log all the same and come to light when it is next opened. */
    return (struct alb_status){ALB_UNKNOWN, st.sys,
                               "catalogue: whether the write lasts is unknown"};
}

static struct alb_status swap_locked(struct disk_catalogue *d, const char *name, uint64_t expected,
                                     const void *value, size_t size, uint64_t *version)
{
    uint64_t found;
    struct alb_status st = find_version(d, name, &found);
    if (alb_failed(st))
        return st;
    if (expected != CATALOGUE_ANY && expected != found)
        return alb_fail(ALB_CONFLICT, "catalogue: the record has another version");
    st = rocks_check_room(d->db, size);
    if (alb_failed(st))
        return (struct alb_status){st.code, st.sys, "catalogue: writing a record"};
    uint64_t next = ++d->last_version; /* spent even when the write fails: it may have happened */
    if (value != NULL || found != CATALOGUE_ABSENT)
        st = write_record(d, name, value, size, next);
    if (!alb_failed(st) && version != NULL)
        *version = value != NULL ? next : CATALOGUE_ABSENT;
    return st;
}

static struct alb_status swap(struct catalogue *c, const char *name, uint64_t expected,
                              const void *value, size_t size, uint64_t *version)
{
    struct disk_catalogue *d = from_base(c);
    struct alb_status st = catalogue_check(name, size);
    if (alb_failed(st))
        return st;
    pthread_mutex_lock(&d->swap_lock);
    st = swap_locked(d, name, expected, value, size, version);
    pthread_mutex_unlock(&d->swap_lock);
    return st;
}

struct listing {
    const char *prefix;
    catalogue_visit visit;
    void *arg;
    bool damaged;
};

static bool list_one(void *arg, const void *key, size_t key_size, const void *value, size_t size)
{
    struct listing *l = arg;
    const uint8_t *kept = value;
    size_t prefix_size = strlen(l->prefix);
    char name[CATALOGUE_NAME_MAX + 1] = {0};
    if (key_size < 1 + prefix_size || memcmp((const char *)key + 1, l->prefix, prefix_size) != 0)
        return false;
    if (*(const char *)key != ABOUT_RECORD || key_size > KEY_MAX || size < VERSION_SIZE) {
        l->damaged = true;
        return false;
    }
    memcpy(name, (const char *)key + 1, key_size - 1);
    return l->visit(l->arg, name, kept + VERSION_SIZE, size - VERSION_SIZE, decode_version(kept));
}

static struct alb_status list(struct catalogue *c, const char *prefix, catalogue_visit visit,
                              void *arg)
{
    struct listing l = {.prefix = prefix, .visit = visit, .arg = arg};
    uint8_t start[KEY_MAX];
    if (strlen(prefix) > CATALOGUE_NAME_MAX)
        return ALB_STATUS_OK; /* no name is that long */
    struct alb_status st =
        rocks_walk(from_base(c)->db, start, encode_key(prefix, start), list_one, &l);
    if (!alb_failed(st) && l.damaged)
        st = alb_fail(ALB_CORRUPT, "catalogue: holds something that is no record");
    return st;
}

static void close_catalogue(struct catalogue *c)
{
    struct disk_catalogue *d = from_base(c);
    rocks_close(d->db);
    pthread_mutex_destroy(&d->swap_lock);
    free(d);
}

static const struct catalogue_ops ops = {
    .name = "rocksdb",
    .get = get,
    .swap = swap,
    .list = list,
    .close = close_catalogue,
};

static struct alb_status write_format(struct rocks *db)
{
    struct rocks_batch *b = rocks_batch_new();
    uint8_t zero[VERSION_SIZE] = {0};
    rocks_batch_put(b, format_key, sizeof(format_key) - 1, format_value, sizeof(format_value) - 1);
    rocks_batch_put(b, version_key, sizeof(version_key) - 1, zero, sizeof(zero));
    struct alb_status st = rocks_write(db, b, true);
    rocks_batch_free(b);
    return st;
}

static struct alb_status read_meta(struct disk_catalogue *d)
{
    uint8_t counter[VERSION_SIZE];
    struct buf format;
    buf_init(&format, 256);
    struct alb_status st = rocks_get(d->db, format_key, sizeof(format_key) - 1, &format);
    bool known = strcmp(buf_text(&format), format_value) == 0;
    buf_release(&format);
    if (st.code == ALB_NOT_FOUND)
        return write_format(d->db);
    if (!alb_failed(st) && !known)
        return alb_fail(ALB_INVALID, "the catalogue has a format this program does not know; a "
                                     "newer program wrote it, so use that one");
    if (!alb_failed(st))
        st = rocks_get_fixed(d->db, version_key, sizeof(version_key) - 1, counter, sizeof(counter));
    if (!alb_failed(st))
        d->last_version = decode_version(counter);
    return st;
}

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name);
    return length >= strlen(end) && strcmp(name + length - strlen(end), end) == 0;
}

/* RocksDB takes a directory without the file CURRENT for an empty one and would begin anew over
 * the remains of a catalogue.  Nobody wants that done silently. */
static bool lacks_its_head(const char *dir)
{
    AUTO_FREE char *current = path_join(dir, "CURRENT");
    DIR *entries = opendir(dir);
    bool remains = false;
    const struct dirent *entry;
    if (entries == NULL)
        return false;
    while ((entry = readdir(entries)) != NULL)
        remains |= ends_with(entry->d_name, ".sst") || ends_with(entry->d_name, ".log");
    (void)closedir(entries);
    return remains && !file_exists(current);
}

struct alb_status disk_catalogue_open(const char *dir, struct catalogue **out)
{
    if (lacks_its_head(dir))
        return alb_fail(ALB_CORRUPT, "the catalogue's file CURRENT is gone; restore the directory "
                                     "from a backup");
    struct disk_catalogue *d = xalloc(sizeof(*d));
    d->base.ops = &ops;
    pthread_mutex_init(&d->swap_lock, NULL);
    AUTO_FREE char *parent = path_join(dir, "..");
    struct alb_status st = file_make_dir(dir, 0700); /* RocksDB would let everybody read */
    if (!alb_failed(st))
        st = file_sync_dir(parent); /* also when it was made just before a kill */
    if (!alb_failed(st))
        st = rocks_open(dir, &tuning, &d->db);
    if (!alb_failed(st))
        st = read_meta(d);
    if (alb_failed(st)) {
        close_catalogue(&d->base);
        return st;
    }
    *out = &d->base;
    return ALB_STATUS_OK;
}

static bool look_at(void *arg, const char *name, const void *value, size_t size, uint64_t version)
{
    (void)arg;
    (void)name;
    (void)value;
    (void)size;
    (void)version;
    return true;
}

/* Each block's check value is looked at while it is read, so reading all of it finds all damage. */
struct alb_status disk_catalogue_open_whole(const char *dir, struct catalogue **out)
{
    struct catalogue *c;
    struct alb_status st = disk_catalogue_open(dir, &c);

    if (alb_failed(st))
        return st;
    st = catalogue_list(c, "", look_at, NULL);
    if (alb_failed(st))
        catalogue_close(c);
    else
        *out = c;
    return st;
}
