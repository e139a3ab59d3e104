/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_cache.c – a cache under everything at once, beside a model: never a wrong byte, never
 * over its quota by 2 %, never a lost pin, and it always opens. */
/* LINKS: store_disk store wire chunk base */

/* Lives are processes: each opens the store, looks at what must be there, and puts, reads, pins,
 * unpins, tends and reopens at random, with failing calls (a full disk, a failing disk) among them,
 * until it is killed or has done enough.  Between lives bytes of files are flipped, tails torn,
 * the index lost.  The model is in shared memory.
 *
 * ALB_CACHE_LIVES=N plays N lives (default 24); a long run: ALB_SEED=fresh ALB_CACHE_LIVES=2000.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/file.h"
#include "store/disk/segment_store.h"
#include "support/gen.h"
#include "support/tmpdir.h"
#include "support/unsynced.h"

enum { KEYS = 3000, GROUP_MAX = 12, BODY_MAX = 50000, OPS = 400 };
enum { PINS = 4, PIN_KEYS = 40 }; /* pin p holds keys p × PIN_KEYS … */
enum { QUOTA = 20 << 20, SEGMENT = 160 << 10, LIVES = 24 };

enum state { OFF, ON, EITHER };

struct shared {
    enum state pins[PINS];
    bool must[PINS * PIN_KEYS]; /* pinned, and read since it was put */
    atomic_uint ops;
    uint64_t peak_bytes, evicted, hits, misses, faults;
};

#ifndef ALB_FAULT
static bool fault_fired(void)
{
    return false;
}
#endif

static struct gen gen;
static struct shared *shared;
static char *dir;

static struct chunk_key key_of(unsigned n)
{
    return (struct chunk_key){
        .kind = KEY_PLAIN,
        .digest = {{(uint8_t)(n * 151), (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16)}}};
}

static size_t size_of(unsigned n)
{
    struct gen g;
    gen_init(&g, n);
    return gen_below(&g, BODY_MAX);
}

static struct chunk *chunk_of(unsigned n)
{
    struct gen g;
    struct chunk_key key = key_of(n);
    gen_init(&g, n);
    struct chunk *c = chunk_new(&key, gen_below(&g, BODY_MAX));
    gen_bytes(&g, c->bytes, c->size);
    return c;
}

static unsigned number_of(const struct chunk_key *key)
{
    const uint8_t *b = key->digest.bytes;
    return b[1] | (unsigned)b[2] << 8 | (unsigned)b[3] << 16;
}

/* Small numbers are asked for most, as popular layers are. */
static unsigned some_number(struct gen *g)
{
    return gen_chance(g, 1, 2) ? (unsigned)gen_below(g, KEYS) : (unsigned)gen_skewed(g, KEYS - 1);
}

/* ---- watching from beside ---- */

static uint64_t blocks_below(const char *name)
{
    AUTO_FREE char *path = path_join(dir, name);
    DIR *folder = opendir(path);
    const struct dirent *entry;
    struct stat about;
    uint64_t total = 0;
    if (folder == NULL)
        return 0;
    while ((entry = readdir(folder)) != NULL)
        if (fstatat(dirfd(folder), entry->d_name, &about, 0) == 0 && S_ISREG(about.st_mode))
            total += (uint64_t)about.st_blocks * 512;
    (void)closedir(folder);
    return total;
}

static void expect_right(const struct chunk *found)
{
    struct chunk *right = chunk_of(number_of(&found->key));
    alb_assert(found->size == right->size);
    alb_assert(memcmp(found->bytes, right->bytes, right->size) == 0);
    chunk_unref(right);
}

struct watch {
    struct chunk_store *store; /* NULL: while it is reopened */
    pthread_mutex_t lock;
    atomic_bool is_over;
    uint64_t seed;
};

/* A reader that knows nothing of writer and eviction, and the quota, looked at all the time. */
static void *watch_run(void *arg)
{
    struct watch *w = arg;
    struct gen g;
    gen_init(&g, w->seed ^ 0x77);
    while (!atomic_load(&w->is_over)) {
        struct chunk_key key = key_of(some_number(&g));
        struct chunk *found = NULL;
        pthread_mutex_lock(&w->lock);
        if (!alb_failed(chunk_store_get(w->store, &key, &found)))
            expect_right(found);
        pthread_mutex_unlock(&w->lock);
        chunk_unref(found);
        uint64_t now = blocks_below("segments") + blocks_below("index") + blocks_below("pins");
        if (now > shared->peak_bytes)
            shared->peak_bytes = now;
    }
    return NULL;
}

/* ---- a life ---- */

struct life {
    struct gen g;
    struct chunk_store *store;
    struct watch watch;
    bool is_strange; /* files were damaged before this life */
};

static void open_store(struct life *l)
{
    const struct segment_store_options options = {
        .dir = dir,
        .segment_bytes = SEGMENT,
        .quota_bytes = QUOTA,
        .policy = evict_policy_at(gen_below(&l->g, 8) == 0 ? gen_below(&l->g, 3) : 0)};
    struct alb_status st = segment_store_open(&options, &l->store);
    if (alb_failed(st))
        fprintf(stderr, "opening: %s\n", st.what);
    alb_assert(!alb_failed(st));
}

static void life_get(struct life *l, unsigned n)
{
    struct chunk_key key = key_of(n);
    struct chunk *found = NULL;
    struct alb_status st = chunk_store_get(l->store, &key, &found);
    bool pinned = n < PINS * PIN_KEYS && shared->pins[n / PIN_KEYS] == ON;
    if (alb_failed(st)) {
        shared->misses++;
        if (n < PINS * PIN_KEYS && shared->must[n] && !fault_fired())
            fprintf(stderr, "pinned chunk %u: %d %s\n", n, (int)st.code, st.what);
        alb_assert(n >= PINS * PIN_KEYS || !shared->must[n] || fault_fired());
        return;
    }
    shared->hits++;
    expect_right(found);
    if (pinned)
        shared->must[n] = true;
    chunk_unref(found);
}

static void life_put(struct life *l)
{
    struct chunk *group[GROUP_MAX] = {NULL};
    size_t count = gen_range(&l->g, 1, GROUP_MAX);
    unsigned first = some_number(&l->g);
    bool in_a_row = gen_chance(&l->g, 1, 2); /* a pull, or stray wishes */
    for (size_t i = 0; i < count; i++)
        group[i] = chunk_of(in_a_row ? (first + (unsigned)i) % KEYS : some_number(&l->g));
    struct alb_status st = chunk_store_put_many(l->store, group, count, NULL);
    if (alb_failed(st) && !fault_fired() && !l->is_strange)
        fprintf(stderr, "put: %d %s\n", (int)st.code, st.what);
    alb_assert(!alb_failed(st) || fault_fired() || l->is_strange);
    for (size_t i = 0; i < count; i++)
        chunk_unref(group[i]);
}

static void pin_name(unsigned p, char out[16])
{
    (void)snprintf(out, 16, "layer/%u@1.0", p);
}

static void life_pin(struct life *l)
{
    unsigned p = (unsigned)gen_below(&l->g, PINS);
    struct chunk_key keys[PIN_KEYS];
    uint64_t bytes = 0;
    char name[16];
    pin_name(p, name);
    for (unsigned i = 0; i < PIN_KEYS; i++) {
        keys[i] = key_of(p * PIN_KEYS + i);
        bytes += size_of(p * PIN_KEYS + i) + 100;
    }
    enum state before = shared->pins[p];
    bool pins = gen_chance(&l->g, 2, 3);
    shared->pins[p] = before == ON && pins ? ON : EITHER;
    for (unsigned i = 0; i < PIN_KEYS && !pins; i++)
        shared->must[p * PIN_KEYS + i] = false;
    struct alb_status st = pins ? l->store->ops->cache->pin(l->store, name, keys, PIN_KEYS, bytes)
                                : l->store->ops->cache->unpin(l->store, name);
    if (alb_failed(st) && st.code != ALB_NOT_FOUND) {
        alb_assert(fault_fired());
        return;
    }
    shared->pins[p] = pins ? ON : OFF;
}

static void note_pin(void *arg, const char *name, uint64_t chunks, uint64_t bytes)
{
    bool *there = arg;
    unsigned p = (unsigned)(name[6] - '0');
    alb_assert(p < PINS && chunks == PIN_KEYS && bytes > 0);
    there[p] = true;
}

static void check_pins(struct life *l)
{
    bool there[PINS] = {false};
    l->store->ops->cache->list_pins(l->store, note_pin, there);
    for (unsigned p = 0; p < PINS; p++) {
        alb_assert(shared->pins[p] == EITHER || there[p] == (shared->pins[p] == ON));
        shared->pins[p] = there[p] ? ON : OFF;
        for (unsigned i = 0; i < PIN_KEYS && !there[p]; i++)
            shared->must[p * PIN_KEYS + i] = false;
    }
}

static void check_all(struct life *l)
{
    struct cache_stats stats;
    check_pins(l);
    for (unsigned n = 0; n < PINS * PIN_KEYS; n++)
        life_get(l, n);
    l->store->ops->cache->stats(l->store, &stats);
    alb_assert(stats.used_bytes + stats.reserved_bytes <= QUOTA + QUOTA / 50);
}

static void life_reopen(struct life *l)
{
    pthread_mutex_lock(&l->watch.lock);
    struct cache_stats stats;
    l->store->ops->cache->stats(l->store, &stats);
    shared->evicted += stats.counts.evicted_chunks;
    chunk_store_close(l->store);
    open_store(l);
    l->watch.store = l->store;
    pthread_mutex_unlock(&l->watch.lock);
    check_all(l);
}

/* The n-th call to the system from now fails, as on a full or failing disk. */
static void arm(struct life *l)
{
#ifdef ALB_FAULT
    static const char *const sites[] = {"segment.write", "segment.sync", "segment.create",
                                        "segment.open",  "segment.read", "rocks.write",
                                        "rocks.read"};
    fault_arm(sites[gen_below(&l->g, ALB_COUNT(sites))], (unsigned)gen_skewed(&l->g, 40));
    shared->faults++;
#else
    (void)l;
#endif
}

static void life_step(struct life *l)
{
    uint64_t dice = gen_below(&l->g, 1000);
    bool more;
#ifdef ALB_FAULT
    fault_disarm();
#endif
    if (gen_chance(&l->g, 1, 40) && dice < 990)
        arm(l);
    if (dice < 400)
        life_put(l);
    else if (dice < 850)
        life_get(l, some_number(&l->g));
    else if (dice < 900)
        life_pin(l);
    else if (dice < 990)
        (void)l->store->ops->cache->tend(l->store, &more).code;
    else
        life_reopen(l);
    atomic_fetch_add(&shared->ops, 1);
}

static void live(uint64_t seed, bool is_strange)
{
    struct life l = {.is_strange = is_strange};
    pthread_t thread;
    gen_init(&l.g, seed);
    open_store(&l);
    check_all(&l);
    l.watch = (struct watch){.store = l.store, .seed = seed};
    pthread_mutex_init(&l.watch.lock, NULL);
    alb_assert(pthread_create(&thread, NULL, watch_run, &l.watch) == 0);
    for (unsigned n = 0; n < OPS; n++)
        life_step(&l);
#ifdef ALB_FAULT
    fault_disarm();
#endif
    atomic_store(&l.watch.is_over, true);
    (void)pthread_join(thread, NULL);
    check_all(&l);
    struct cache_stats stats;
    l.store->ops->cache->stats(l.store, &stats);
    shared->evicted += stats.counts.evicted_chunks;
    chunk_store_close(l.store);
}

/* ---- between lives ---- */

/* A file of `name`'s at random; NULL when there are none. */
static char *some_file(const char *name)
{
    AUTO_FREE char *path = path_join(dir, name);
    DIR *folder = opendir(path);
    const struct dirent *entry;
    char *chosen = NULL;
    unsigned seen = 0;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.' || !gen_chance(&gen, 1, ++seen))
            continue;
        free(chosen);
        chosen = path_join(path, entry->d_name);
    }
    if (folder != NULL)
        (void)closedir(folder);
    return chosen;
}

static void flip(const char *name)
{
    AUTO_FREE char *path = some_file(name);
    struct stat about;
    uint8_t byte;
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &about) == 0 && about.st_size > 0) {
        off_t at = (off_t)gen_below(&gen, (uint64_t)about.st_size);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= (uint8_t)(1 << gen_below(&gen, 8));
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
}

static void tear_tail(void)
{
    AUTO_FREE char *path = some_file("segments");
    struct stat about;
    if (path != NULL && stat(path, &about) == 0)
        assert_int_equal(
            truncate(path, about.st_size - (off_t)gen_below(&gen, (uint64_t)about.st_size + 1)), 0);
}

/* Does the next life have to expect anything? */
static bool damage(void)
{
    uint64_t dice = gen_below(&gen, 10);
    AUTO_FREE char *index = path_join(dir, "index");
    if (dice < 4)
        return false;
    if (dice < 7)
        for (unsigned n = 0; n < 5; n++)
            flip("segments");
    else if (dice < 8)
        tear_tail();
    else if (dice < 9)
        assert_int_equal(file_remove_all(index).code, ALB_OK);
    else
        flip("pins");
    for (unsigned p = 0; p < PINS && dice == 9; p++)
        shared->pins[p] = shared->pins[p] == OFF ? OFF : EITHER;
    memset(shared->must, 0, sizeof shared->must);
    return true;
}

static void play(bool kill_it)
{
    bool is_strange = damage();
    uint64_t seed = gen_u64(&gen);
    unsigned target = atomic_load(&shared->ops) + (unsigned)gen_below(&gen, OPS);
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        live(seed, is_strange);
        _exit(0);
    }
    while (kill_it && atomic_load(&shared->ops) < target && waitpid(pid, &status, WNOHANG) == 0)
        sched_yield();
    if (kill_it)
        (void)kill(pid, SIGKILL);
    if (status == -1)
        assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(kill_it ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
                        : WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_cache_keeps_its_word_whatever_happens(void **state)
{
    const char *text = getenv("ALB_CACHE_LIVES");
    unsigned long lives = text == NULL ? LIVES : strtoul(text, NULL, 10);
    struct tmpdir *tmp = tmpdir_open();
    (void)state;
    dir = tmpdir_path(tmp, "cache");
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    for (unsigned long n = 0; n < lives; n++)
        play(gen_chance(&gen, 1, 2));
    print_message("%lu lives, %u calls, %lu faults; %lu chunks evicted, %lu hits, %lu misses; at "
                  "most %.2f %% of the quota\n",
                  lives, atomic_load(&shared->ops), shared->faults, shared->evicted, shared->hits,
                  shared->misses, 100.0 * (double)shared->peak_bytes / QUOTA);
    assert_true(shared->peak_bytes <= QUOTA + QUOTA / 50);
    assert_true(shared->evicted > 0 && shared->hits > 0);
    assert_int_equal(munmap(shared, sizeof *shared), 0);
    free(dir);
    tmpdir_close(tmp);
}

static int seed(void **state)
{
    (void)state;
    (void)gen_init_from_env(&gen);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cache_keeps_its_word_whatever_happens),
    };
    return cmocka_run_group_tests(tests, seed, NULL);
}
