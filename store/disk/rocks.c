/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/rocks.c – the only file that speaks to RocksDB. */

#include "store/disk/rocks.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <rocksdb/c.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "store/disk/blocks.h"

/* `lock` is for `db` alone: held for reading by every call,
 * for writing while it is opened again. */
struct rocks {
    pthread_rwlock_t lock;
    rocksdb_t *db;      /* NULL when it could not be opened again */
    atomic_bool broken; /* takes no writes: one failed, or there was no room when it was opened */
    atomic_int sys;     /* why one failed, as errno; 0: none did                                */
    char *path;
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
    rocksdb_writeoptions_t *write_sync;
};

/* Room for the small files that opening writes (manifest, options, its own log), and to go on; at
 * most so much for tables that are being merged; and what is plenty in any case. */
enum { SPARE_BYTES = 1 << 20, MERGE_BYTES_MAX = 256 << 20, PLENTY_BYTES = 1 << 30 };

struct rocks_batch {
    rocksdb_writebatch_t *batch;
};

/* RocksDB has only texts.  These are the parts of them that we act upon (tried with 7.8.3). */
static const struct {
    const char *text;
    enum alb_code code;
    int sys;
} meanings[] = {
    {"No space left on device", ALB_FULL, ENOSPC},
    {"Disk quota exceeded", ALB_FULL, EDQUOT},
    {"Read-only file system", ALB_IO, EROFS},
    {"lock hold by current process", ALB_CONFLICT, 0},
    {"While lock file", ALB_CONFLICT, 0},
    {"While mkdir if missing", ALB_IO, ENOENT},
    {"Corruption: ", ALB_CORRUPT, 0},
    {"No such file or directory", ALB_CORRUPT, 0}, /* a table or the manifest is gone */
};

/* The one function that turns errptr into a status; takes the text. */
static struct alb_status from_error(char *error, const char *what)
{
    struct alb_status st = {ALB_IO, 0, what};
    char text[LOG_TEXT_SIZE];
    if (error == NULL)
        return ALB_STATUS_OK;
    for (size_t i = 0; i < ALB_COUNT(meanings); i++) {
        if (strstr(error, meanings[i].text) != NULL) {
            st.code = meanings[i].code;
            st.sys = meanings[i].sys;
            break;
        }
    }
    log_event(LOG_WARN, "rocksdb.failed", "text=%s", log_text(error, text));
    rocksdb_free(error);
    return st;
}

/* RocksDB would reserve its whole log on disk at once; nobody's quota knows of that. */
static rocksdb_options_t *without_reserve(rocksdb_options_t *o)
{
    char *error = NULL;
    rocksdb_options_t *changed = rocksdb_options_create();
    rocksdb_get_options_from_string(o, "allow_fallocate=false", changed, &error);
    alb_assert(error == NULL);
    rocksdb_options_destroy(o);
    return changed;
}

static rocksdb_options_t *make_options(const struct rocks_tuning *tuning, rocksdb_cache_t *cache)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_paranoid_checks(o, 1);
    rocksdb_options_set_compression(o, rocksdb_no_compression); /* digests do not compress */
    rocksdb_options_set_write_buffer_size(o, tuning->write_buffer_bytes);
    rocksdb_options_set_max_open_files(o, -1); /* few, large tables: keep them all at hand */
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_skip_stats_update_on_db_open(o, 1);
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_info_log_level(o, 2); /* warnings; its own file LOG, at most 2 × 1 MiB */
    rocksdb_options_set_keep_log_file_num(o, 2);
    rocksdb_options_set_max_log_file_size(o, 1 << 20);
    rocksdb_options_set_max_manifest_file_size(o, 1 << 20);

    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_block_based_options_destroy(table);
    return without_reserve(o);
}

/* The blocks of the database's files whose names end so. */
static uint64_t files_bytes(const struct rocks *r, const char *end)
{
    DIR *dir = opendir(r->path);
    uint64_t total = 0;
    const struct dirent *entry;
    struct stat about;
    if (dir == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL) {
        size_t length = strlen(entry->d_name);
        bool ends = length >= strlen(end) && strcmp(entry->d_name + length - strlen(end), end) == 0;
        if (ends && fstatat(dirfd(dir), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(about.st_mode))
            total += blocks_bytes(&about);
    }
    (void)closedir(dir);
    return total;
}

/* Would the disk take what opening the database needs: its log once more, as a table?  Asked before
 * it is closed, because one that cannot be opened again cannot be read either.  Also no on a file
 * system that takes no writes. */
static bool has_room(const struct rocks *r)
{
    AUTO_FREE char *probe = path_join(r->path, "probe");
    int fd = open(probe, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    off_t wanted = (off_t)(SPARE_BYTES + files_bytes(r, ".log"));
    bool room = posix_fallocate(fd, 0, wanted) == 0;
    (void)close(fd);
    (void)unlink(probe);
    return room;
}

/* What RocksDB does with a log that it cannot read to its end; its own numbers. */
enum { LOG_ALL_OR_NOTHING = 1, LOG_AS_FAR_AS_IT_GOES = 2 };

static rocksdb_t *open_once(struct rocks *r, bool to_write, char **error)
{
    return to_write ? rocksdb_open(r->options, r->path, error)
                    : rocksdb_open_for_read_only(r->options, r->path, 0, error);
}

/* A crash may have torn the log's last write, which nobody was told of; but a bad byte of the disk
 * looks the same, and what is behind it was promised.  So it is opened either way, and said. */
static rocksdb_t *open_saying(struct rocks *r, bool to_write, char **error)
{
    rocksdb_options_set_wal_recovery_mode(r->options, LOG_ALL_OR_NOTHING);
    rocksdb_t *db = open_once(r, to_write, error);
    rocksdb_options_set_wal_recovery_mode(r->options, LOG_AS_FAR_AS_IT_GOES);
    if (*error == NULL || strstr(*error, "Corruption: ") == NULL)
        return db;
    rocksdb_free(*error);
    *error = NULL;
    db = open_once(r, to_write, error);
    if (*error == NULL)
        log_event(LOG_ERROR, "rocksdb.log_damaged",
                  "path=%s lost=\"a write cut short by a crash, or the newest records\"", r->path);
    return db;
}

/* RocksDB must never meet a full disk while it is opened: it ends the program then (7.8.3, an
 * assertion in WritableFileWriter).  What is there can be read all the same. */
static rocksdb_t *open_as_disk_allows(struct rocks *r, char **error)
{
    AUTO_FREE char *current = path_join(r->path, "CURRENT");
    if (!file_exists(current) || has_room(r))
        return open_saying(r, true, error);
    rocksdb_t *db = open_saying(r, false, error);
    atomic_store(&r->broken, true);
    if (*error == NULL)
        log_event(LOG_WARN, "rocksdb.read_only",
                  "path=%s why=\"no room on its disk to write\" "
                  "next=\"written again by itself once there is room\"",
                  r->path);
    return db;
}

struct alb_status rocks_open(const char *path, const struct rocks_tuning *tuning,
                             struct rocks **out)
{
    if (fault_hits("rocks.open"))
        return alb_status_from_errno(EIO, "opening a database");
    struct rocks *r = xalloc(sizeof(*r));
    char *error = NULL;
    pthread_rwlock_init(&r->lock, NULL);
    r->path = xstrdup(path);
    r->cache = rocksdb_cache_create_lru(tuning->cache_bytes);
    r->options = make_options(tuning, r->cache);
    r->read = rocksdb_readoptions_create();
    r->write = rocksdb_writeoptions_create();
    r->write_sync = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(r->write_sync, 1);
    r->db = open_as_disk_allows(r, &error);
    if (error != NULL) {
        rocks_close(r);
        return from_error(error, "opening a database");
    }
    *out = r;
    return ALB_STATUS_OK;
}

static uint64_t property(const struct rocks *r, const char *name)
{
    uint64_t value = 0;
    return rocksdb_property_int(r->db, name, &value) == 0 ? value : 0;
}

/* What RocksDB will write by itself: what is in memory, as a table, and tables merged anew. */
static uint64_t own_needs(struct rocks *r)
{
    uint64_t merges = 0;
    uint64_t tables = 0;
    pthread_rwlock_rdlock(&r->lock);
    if (r->db != NULL) {
        tables = property(r, "rocksdb.cur-size-all-mem-tables");
        merges = property(r, "rocksdb.total-sst-files-size");
    }
    pthread_rwlock_unlock(&r->lock);
    return tables + (merges < MERGE_BYTES_MAX ? merges : MERGE_BYTES_MAX);
}

uint64_t rocks_reserve_bytes(struct rocks *r)
{
    return own_needs(r) + SPARE_BYTES;
}

struct alb_status rocks_check_room(struct rocks *r, uint64_t more_bytes)
{
    struct statvfs about;
    if (statvfs(r->path, &about) != 0)
        return ALB_STATUS_OK; /* whoever writes will see */
    uint64_t free_bytes = (uint64_t)about.f_bavail * about.f_frsize;
    if (free_bytes >= more_bytes + PLENTY_BYTES ||
        free_bytes >= more_bytes + rocks_reserve_bytes(r))
        return ALB_STATUS_OK;
    return alb_status_from_errno(ENOSPC, "keeping a reserve on the disk");
}

/* Out of the log into a table, whose every block is checked when it is read.  Best effort: all of
 * it is in the log, too. */
static void settle(struct rocks *r)
{
    char *error = NULL;
    rocksdb_flushoptions_t *o = rocksdb_flushoptions_create();
    rocksdb_flush(r->db, o, &error);
    rocksdb_flushoptions_destroy(o);
    alb_ignore(from_error(error, "settling a database"), "the log has it");
}

void rocks_close(struct rocks *r)
{
    if (r == NULL)
        return;
    if (r->db != NULL && !atomic_load(&r->broken) && !alb_failed(rocks_check_room(r, 0)) &&
        has_room(r)) /* nor a disk that takes nothing at all: flushing ends the program then */
        settle(r);
    if (r->db != NULL)
        rocksdb_close(r->db);
    rocksdb_options_destroy(r->options);
    rocksdb_readoptions_destroy(r->read);
    rocksdb_writeoptions_destroy(r->write);
    rocksdb_writeoptions_destroy(r->write_sync);
    rocksdb_cache_destroy(r->cache);
    pthread_rwlock_destroy(&r->lock);
    free(r->path);
    free(r);
}

/* Open again what a failed write has stopped.  When others are reading just now, the next call
 * will do it; a walk may even be this thread's own. */
static void mend(struct rocks *r)
{
    char *error = NULL;
    if (!has_room(r) || pthread_rwlock_trywrlock(&r->lock) != 0)
        return;
    if (r->db != NULL)
        rocksdb_close(r->db);
    r->db = rocksdb_open(r->options, r->path, &error);
    if (error == NULL) {
        atomic_store(&r->broken, false);
        log_event(LOG_INFO, "rocksdb.reopened", "path=%s", r->path);
    } else {
        r->db = NULL;
        alb_ignore(from_error(error, "opening a database again"), "it is in the log now");
    }
    pthread_rwlock_unlock(&r->lock);
}

/* OK holds the lock for reading, and there is a database.  One that is broken is never written to:
 * RocksDB would append to a log whose last write failed, which ends the program (7.8.3). */
static struct alb_status enter(struct rocks *r, bool to_write)
{
    pthread_rwlock_rdlock(&r->lock);
    bool lost = r->db == NULL;
    if (!lost && !(to_write && atomic_load(&r->broken)))
        return ALB_STATUS_OK;
    pthread_rwlock_unlock(&r->lock);
    mend(r);
    pthread_rwlock_rdlock(&r->lock);
    bool refused = to_write && atomic_load(&r->broken);
    if (r->db != NULL && !refused)
        return ALB_STATUS_OK;
    struct alb_status st =
        r->db == NULL ? alb_fail(ALB_IO, "a database that failed could not be opened again")
                      : alb_status_from_errno(r->sys != 0 ? r->sys : ENOSPC,
                                              "a database that failed and cannot go on yet");
    pthread_rwlock_unlock(&r->lock);
    return st;
}

static void leave(struct rocks *r)
{
    pthread_rwlock_unlock(&r->lock);
}

struct alb_status rocks_destroy(const char *path)
{
    char *error = NULL;
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_destroy_db(o, path, &error);
    rocksdb_options_destroy(o);
    return from_error(error, "removing a database");
}

/* *slice is NULL unless this answers OK.  RocksDB says "missing" by NULL without an error. */
static struct alb_status get_pinned(struct rocks *r, const void *key, size_t key_size,
                                    rocksdb_pinnableslice_t **slice)
{
    char *error = NULL;
    *slice = NULL;
    if (fault_hits("rocks.read"))
        return alb_status_from_errno(EIO, "reading from a database");
    struct alb_status st = enter(r, false);
    if (alb_failed(st))
        return st;
    *slice = rocksdb_get_pinned(r->db, r->read, key, key_size, &error);
    if (*slice == NULL)
        leave(r); /* else release() does, for the slice lives in the database */
    if (error != NULL)
        return from_error(error, "reading from a database");
    if (*slice == NULL)
        return alb_fail(ALB_NOT_FOUND, "database: no such key");
    return ALB_STATUS_OK;
}

static void release(struct rocks *r, rocksdb_pinnableslice_t *slice)
{
    rocksdb_pinnableslice_destroy(slice);
    leave(r);
}

struct alb_status rocks_get(struct rocks *r, const void *key, size_t key_size, struct buf *out)
{
    rocksdb_pinnableslice_t *slice;
    struct alb_status st = get_pinned(r, key, key_size, &slice);
    if (alb_failed(st))
        return st;
    size_t size;
    const char *value = rocksdb_pinnableslice_value(slice, &size);
    st = buf_append(out, value, size);
    release(r, slice);
    return st;
}

struct alb_status rocks_get_fixed(struct rocks *r, const void *key, size_t key_size, void *out,
                                  size_t size)
{
    rocksdb_pinnableslice_t *slice;
    struct alb_status st = get_pinned(r, key, key_size, &slice);
    if (alb_failed(st))
        return st;
    size_t found;
    const char *value = rocksdb_pinnableslice_value(slice, &found);
    if (found == size)
        memcpy(out, value, size);
    else
        st = alb_fail(ALB_CORRUPT, "database: a value of another size than written");
    release(r, slice);
    return st;
}

struct rocks_batch *rocks_batch_new(void)
{
    struct rocks_batch *b = xalloc(sizeof(*b));
    b->batch = rocksdb_writebatch_create();
    return b;
}

struct rocks_batch *rocks_batch_free(struct rocks_batch *b)
{
    if (b != NULL)
        rocksdb_writebatch_destroy(b->batch);
    free(b);
    return NULL;
}

void rocks_batch_put(struct rocks_batch *b, const void *key, size_t key_size, const void *value,
                     size_t size)
{
    rocksdb_writebatch_put(b->batch, key, key_size, value, size);
}

void rocks_batch_remove(struct rocks_batch *b, const void *key, size_t key_size)
{
    rocksdb_writebatch_delete(b->batch, key, key_size);
}

struct alb_status rocks_write(struct rocks *r, struct rocks_batch *b, bool sync)
{
    char *error = NULL;
    if (fault_hits("rocks.write"))
        return alb_status_from_errno(EIO, "writing to a database");
    struct alb_status st = enter(r, true);
    if (alb_failed(st))
        return st;
    rocksdb_write(r->db, sync ? r->write_sync : r->write, b->batch, &error);
    leave(r);
    st = from_error(error, "writing to a database");
    if (st.code == ALB_FULL || st.code == ALB_IO) {
        atomic_store(&r->sys, st.sys != 0 ? st.sys : EIO);
        atomic_store(&r->broken, true);
    }
    return st;
}

struct alb_status rocks_walk(struct rocks *r, const void *start, size_t start_size,
                             rocks_visit visit, void *arg)
{
    char *error = NULL;
    bool more = true;
    struct alb_status st = enter(r, false);
    if (alb_failed(st))
        return st;
    rocksdb_iterator_t *it = rocksdb_create_iterator(r->db, r->read);
    for (rocksdb_iter_seek(it, start, start_size); more && rocksdb_iter_valid(it);
         rocksdb_iter_next(it)) {
        size_t key_size;
        size_t size;
        const char *key = rocksdb_iter_key(it, &key_size);
        const char *value = rocksdb_iter_value(it, &size);
        more = visit(arg, key, key_size, value, size);
    }
    rocksdb_iter_get_error(it, &error);
    rocksdb_iter_destroy(it);
    leave(r);
    return from_error(error, "walking a database");
}

uint64_t rocks_disk_bytes(struct rocks *r)
{
    return files_bytes(r, "");
}
