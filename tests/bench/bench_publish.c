/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_publish.c – what publishing a tree costs here,
 * and what its next version costs then. */
/* LINKS: image wire chunk base */

/* usage: bench_publish THREADS TREE [NEXT_TREE]
 *
 * For each tree: scan, all units, the manifest, then every chunk not seen before read again and put
 * into its stored form, as an upload would; wall and CPU time of each part, and bytes. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/alloc.h"
#include "base/map.h"
#include "image/build.h"

enum { MAX_THREADS = 64 };

struct crew {
    struct build *build;
    struct build_worker *workers[MAX_THREADS];
    unsigned threads;
    atomic_size_t next;
    const uint32_t *positions; /* to read again; NULL: run units */
    size_t count;
    atomic_ullong stored_bytes, raw_bytes;
    atomic_bool failed;
};

struct turn {
    struct crew *crew;
    struct build_worker *worker;
};

struct clocks {
    double wall, cpu;
};

static struct clocks clocks_now(void)
{
    struct timespec now;
    struct rusage use;
    clock_gettime(CLOCK_MONOTONIC, &now);
    getrusage(RUSAGE_SELF, &use);
    return (struct clocks){
        .wall = (double)now.tv_sec + (double)now.tv_nsec / 1e9,
        .cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
               (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6,
    };
}

static void say(const char *what, struct clocks since, double bytes)
{
    struct clocks now = clocks_now();
    double wall = now.wall - since.wall;
    printf("  %-12s wall %6.3f s  cpu %6.3f s  %7.1f MB/s\n", what, wall, now.cpu - since.cpu,
           bytes / 1e6 / wall);
}

static void give_up(struct crew *crew, struct build_worker *w, struct alb_status st)
{
    char text[256];
    fprintf(stderr, "%s: %s\n", build_worker_path(w), alb_status_text(st, text, sizeof(text)));
    atomic_store(&crew->failed, true);
}

static struct alb_status do_one(struct crew *crew, struct build_worker *w, size_t i)
{
    if (crew->positions == NULL)
        return build_run(crew->build, i, w);
    struct chunk *chunk;
    struct alb_status st = build_read(crew->build, crew->positions[i], w, &chunk);
    if (alb_failed(st))
        return st;
    atomic_fetch_add(&crew->stored_bytes, chunk->size);
    atomic_fetch_add(&crew->raw_bytes, build_chunk_raw_size(crew->build, crew->positions[i]));
    chunk_unref(chunk);
    return ALB_STATUS_OK;
}

static void *work(void *arg)
{
    struct turn *turn = arg;
    struct crew *crew = turn->crew;
    for (size_t i; (i = atomic_fetch_add(&crew->next, 1)) < crew->count;) {
        struct alb_status st = do_one(crew, turn->worker, i);
        if (alb_failed(st))
            give_up(crew, turn->worker, st);
    }
    return NULL;
}

static void crew_run(struct crew *crew, const uint32_t *positions, size_t count)
{
    pthread_t threads[MAX_THREADS];
    struct turn turns[MAX_THREADS];
    crew->positions = positions;
    crew->count = count;
    atomic_store(&crew->next, 0);
    for (unsigned i = 0; i < crew->threads; i++) {
        turns[i] = (struct turn){crew, crew->workers[i]};
        if (pthread_create(&threads[i], NULL, work, &turns[i]) != 0)
            abort();
    }
    for (unsigned i = 0; i < crew->threads; i++)
        pthread_join(threads[i], NULL);
}

static uint64_t new_manifest_bytes(const struct build_result *r, struct map *seen, size_t *count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < r->root.chunk_count; i++) {
        static int mark;
        if (map_put(seen, &r->root.chunks[i].key, &mark) != NULL)
            continue;
        bytes += r->root.chunks[i].stored_bytes;
        (*count)++;
    }
    return bytes;
}

static void report(const struct build_result *r, struct map *seen)
{
    char hex[DIGEST_HEX_SIZE];
    uint64_t stored = 0;
    size_t new_chunks = 0;
    for (size_t i = 0; i < r->root.chunk_count; i++)
        stored += r->root.chunks[i].stored_bytes;
    uint64_t fresh = new_manifest_bytes(r, seen, &new_chunks);
    printf(
        "  manifest     %zu bytes, %llu stored in %zu chunks; new %llu in %zu; root object %zu\n",
        buf_size(&r->manifest), (unsigned long long)stored, r->root.chunk_count,
        (unsigned long long)fresh, new_chunks, buf_size(&r->root_object));
    printf("  root         %s, %llu entries\n", digest_hex(&r->root_digest, hex),
           (unsigned long long)r->root.entries);
}

/* Positions of list C nobody had before. */
static uint32_t *new_positions(const struct build_result *r, struct map *seen, size_t *count)
{
    static int mark;
    uint32_t *positions = xcalloc(r->content_key_count + 1, sizeof(*positions));
    for (size_t i = 0; i < r->content_key_count; i++)
        if (map_put(seen, &r->content_keys[i], &mark) == NULL)
            positions[(*count)++] = (uint32_t)i;
    return positions;
}

static bool bench_scan(const char *tree, struct scan *scan)
{
    char text[256];
    struct clocks began = clocks_now();
    struct scan_options options = {.allow_devices = true};
    struct alb_status st = scan_tree(tree, &options, scan);
    if (alb_failed(st)) {
        fprintf(stderr, "%s: %s\n", tree, alb_status_text(st, text, sizeof(text)));
        return false;
    }
    printf("%s: %zu paths, %.1f MB, %zu problems\n", tree, scan->count,
           (double)scan->file_bytes / 1e6, scan->problem_count);
    say("scan", began, (double)scan->file_bytes);
    return true;
}

static bool bench_build(struct crew *crew, const struct scan *scan, struct map *seen)
{
    struct build_result result;
    struct clocks began = clocks_now();
    crew_run(crew, NULL, build_units(crew->build));
    say("units", began, (double)scan->file_bytes);
    if (atomic_load(&crew->failed))
        return false;
    struct clocks finishing = clocks_now();
    struct alb_status st = build_finish(crew->build, &result);
    if (alb_failed(st)) {
        give_up(crew, crew->workers[0], st);
        return false;
    }
    say("finish", finishing, (double)buf_size(&result.manifest));
    size_t count = 0;
    uint32_t *positions = new_positions(&result, seen, &count);
    struct clocks reading = clocks_now();
    atomic_store(&crew->stored_bytes, 0);
    atomic_store(&crew->raw_bytes, 0);
    crew_run(crew, positions, count);
    say("new chunks", reading, (double)atomic_load(&crew->raw_bytes));
    say("all", began, (double)scan->file_bytes);
    printf("  content      %zu chunks; new %zu: %llu bytes, %llu stored\n",
           result.content_key_count, count, (unsigned long long)atomic_load(&crew->raw_bytes),
           (unsigned long long)atomic_load(&crew->stored_bytes));
    report(&result, seen);
    free(positions);
    build_result_release(&result);
    return !atomic_load(&crew->failed);
}

static bool bench_tree(const char *tree, unsigned threads, struct map *seen)
{
    struct scan scan;
    if (!bench_scan(tree, &scan))
        return false;
    struct crew crew = {.threads = threads, .build = build_new(&scan)};
    for (unsigned i = 0; i < threads; i++)
        crew.workers[i] = build_worker_new();
    bool fine = bench_build(&crew, &scan, seen);
    for (unsigned i = 0; i < threads; i++)
        build_worker_free(crew.workers[i]);
    build_free(crew.build);
    scan_release(&scan);
    return fine;
}

int main(int argc, char **argv)
{
    long threads = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
    if (threads < 1 || threads > MAX_THREADS) {
        fprintf(stderr, "usage: bench_publish THREADS(1-%d) TREE [NEXT_TREE]\n", MAX_THREADS);
        return 2;
    }
    struct map seen;
    bool fine = true;
    map_init(&seen);
    for (int i = 2; i < argc && fine; i++)
        fine = bench_tree(argv[i], (unsigned)threads, &seen);
    map_release(&seen);
    return fine ? 0 : 1;
}
