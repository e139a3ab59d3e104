/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_start.c – how long a full cache of small records takes until it serves the first, how
 * much memory it takes, and how long a hit takes while it evicts. */
/* LINKS: store_disk store wire chunk base */

/* usage: bench_start DIR fill RECORDS     puts RECORDS of 256 to 1,024 bytes
 *        bench_start DIR start            opens it and reads: seconds to the first byte, memory
 *        bench_start DIR evict SECONDS    puts chunks of 50 KiB, as fast as it goes, and reads
 *
 * Drop the page cache before `start`: that is what a box that was switched on has.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/units.h"
#include "store/disk/segment_store.h"
#include "support/gen.h"

enum { GROUP = 256, LARGE = 50 << 10, SAMPLES = 1 << 20 };

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static struct chunk_key key_of(uint64_t n)
{
    struct gen g;
    struct chunk_key key = {.kind = KEY_PLAIN};
    gen_init(&g, n);
    gen_bytes(&g, key.digest.bytes, sizeof key.digest.bytes);
    return key;
}

static uint64_t resident_kib(void)
{
    char line[128];
    uint64_t kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtoull(line + 6, NULL, 10);
    if (file != NULL)
        fclose(file);
    return kib;
}

static struct chunk_store *open_store(const char *dir, uint64_t quota_bytes)
{
    const struct segment_store_options options = {
        .dir = dir, .quota_bytes = quota_bytes, .policy = evict_policy_at(0)};
    struct chunk_store *store = NULL;
    struct alb_status st = segment_store_open(&options, &store);
    if (alb_failed(st))
        fprintf(stderr, "bench_start: %s: %s\n", dir, st.what);
    alb_assert(!alb_failed(st));
    return store;
}

static void put_group(struct chunk_store *store, uint64_t first, size_t least, size_t most)
{
    struct chunk *group[GROUP];
    size_t count = most > 4096 ? 64 : GROUP;
    for (size_t i = 0; i < count; i++) {
        struct chunk_key key = key_of(first + i);
        group[i] = chunk_new(&key, least + key.digest.bytes[0] * (most - least) / 255);
        memset(group[i]->bytes, 1, group[i]->size);
    }
    alb_assert(!alb_failed(chunk_store_put_many(store, group, count, NULL)));
    for (size_t i = 0; i < count; i++)
        chunk_unref(group[i]);
}

static void fill(const char *dir, uint64_t records)
{
    struct chunk_store *store = open_store(dir, UINT64_C(16) << 30);
    uint64_t start = now_ns();
    for (uint64_t n = 0; n < records; n += GROUP)
        put_group(store, n, 256, 1024);
    struct chunk_store_stats s;
    alb_assert(!alb_failed(chunk_store_stats(store, &s)));
    printf("%lu records, %.2f GB stored, %.2f GB on disk, put in %.1f s\n", s.chunks,
           (double)s.stored_bytes / 1e9, (double)s.disk_bytes / 1e9,
           (double)(now_ns() - start) / 1e9);
    chunk_store_close(store);
}

static void start_it(const char *dir)
{
    uint64_t before_kib = resident_kib();
    uint64_t start = now_ns();
    struct chunk_store *store = open_store(dir, UINT64_C(16) << 30);
    uint64_t opened = now_ns();
    struct chunk_key key = key_of(12345);
    struct chunk *found = NULL;
    alb_assert(!alb_failed(chunk_store_get(store, &key, &found)));
    uint64_t first = now_ns();
    chunk_unref(found);
    struct chunk_store_stats s;
    alb_assert(!alb_failed(chunk_store_stats(store, &s)));
    uint64_t opened_kib = resident_kib();
    for (uint64_t n = 0; n < 200000; n++) { /* any 200,000 of them */
        key = key_of(n * 7919 % s.chunks);
        if (!alb_failed(chunk_store_get(store, &key, &found)))
            chunk_unref(found);
    }
    printf("%lu records: opened in %.3f s, first byte after %.3f s; memory %lu MiB, after 200,000 "
           "reads (%.1f us each) %lu MiB: %.1f MiB a million\n",
           s.chunks, (double)(opened - start) / 1e9, (double)(first - start) / 1e9,
           (opened_kib - before_kib) >> 10, (double)(now_ns() - first) / 200000 / 1e3,
           (resident_kib() - before_kib) >> 10,
           (double)(resident_kib() - before_kib) / 1024 / ((double)s.chunks / 1e6));
    chunk_store_close(store);
}

/* ---- hits beside eviction ---- */

struct reading {
    struct chunk_store *store;
    atomic_bool is_over;
    atomic_ulong newest;
    uint64_t *took_ns; /* owned */
    size_t count;
};

static void *read_on(void *arg)
{
    struct reading *r = arg;
    struct gen g;
    struct chunk *found = NULL;
    gen_init(&g, 3);
    while (!atomic_load(&r->is_over) && r->count < SAMPLES) {
        uint64_t newest = atomic_load(&r->newest);
        struct chunk_key key = key_of(newest - gen_below(&g, newest < 4000 ? newest + 1 : 4000));
        uint64_t start = now_ns();
        if (alb_failed(chunk_store_get(r->store, &key, &found)))
            continue;
        r->took_ns[r->count++] = now_ns() - start;
        chunk_unref(found);
        const struct timespec pause = {0, 200000};
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void evict(const char *dir, unsigned seconds)
{
    const uint64_t quota = UINT64_C(1) << 30;
    struct chunk_store *store = open_store(dir, quota);
    struct reading r = {.store = store, .took_ns = xcalloc(SAMPLES, sizeof(uint64_t))};
    struct cache_stats s;
    pthread_t thread;
    uint64_t worst_put = 0, most = 0, n = UINT64_C(1) << 40;
    const uint64_t begun = n;
    atomic_store(&r.newest, n);
    alb_assert(pthread_create(&thread, NULL, read_on, &r) == 0);
    uint64_t start = now_ns();
    while (now_ns() - start < seconds * NS_PER_S) {
        uint64_t before = now_ns();
        put_group(store, n, LARGE, LARGE + 1);
        worst_put = now_ns() - before > worst_put ? now_ns() - before : worst_put;
        n += 64;
        atomic_store(&r.newest, n - 1);
        store->ops->cache->stats(store, &s);
        most = s.used_bytes > most ? s.used_bytes : most;
    }
    double took_s = (double)(now_ns() - start) / 1e9;
    atomic_store(&r.is_over, true);
    (void)pthread_join(thread, NULL);
    qsort(r.took_ns, r.count, sizeof(uint64_t), compare);
    printf("%.0f MB/s put, %.2f bytes copied on for each; quota %.0f MiB, at most %.2f %% used; "
           "hits p50 %.0f us, p99 %.0f us, worst %.1f ms; worst group %.0f ms\n",
           (double)(n - begun) * LARGE / took_s / 1e6,
           (double)s.counts.copied_bytes / ((double)(n - begun) * LARGE), (double)quota / (1 << 20),
           100.0 * (double)most / (double)quota, (double)r.took_ns[r.count / 2] / 1e3,
           (double)r.took_ns[r.count * 99 / 100] / 1e3, (double)r.took_ns[r.count - 1] / 1e6,
           (double)worst_put / 1e6);
    free(r.took_ns);
    chunk_store_close(store);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[2], "fill") == 0)
        fill(argv[1], strtoull(argv[3], NULL, 10));
    else if (argc == 3 && strcmp(argv[2], "start") == 0)
        start_it(argv[1]);
    else if (argc == 4 && strcmp(argv[2], "evict") == 0)
        evict(argv[1], (unsigned)strtoul(argv[3], NULL, 10));
    else
        return fprintf(stderr, "usage: bench_start DIR fill RECORDS | start | evict SECONDS\n"), 2;
    return 0;
}
