/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_evict.c – byte hit rates of the eviction policies on traces of a branch, beside the
 * offline optimum. */
/* LINKS: store wire chunk base */

/* usage: bench_evict [VERSIONS…]
 *
 * A trace is what the machines of a branch ask their reflector for.  A machine that follows a layer
 * asks for what its last version lacks; now and then one is set up anew and asks for everything.
 * VERSIONS is a file for each layer: lines of "VERSION KEY BYTES", as tests/bench/versions writes
 * them from a repository's tags; without one the layers are made up, with the shares of new chunks
 * that two months of Debian showed (tests/bench/trees: 5 to 60 % a version).
 *
 * Policies run as the store runs them: queues of segments of a 128th of the quota, freed whole.
 * "optimum" drops, chunk by chunk, what will not be asked for for the longest time (Belady), and
 * does not keep what comes later than everything it has: with chunks of many sizes that is nearly,
 * not exactly, the best there is.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "store/evict.h"
#include "support/gen.h"

/* ---- traces ---- */

struct trace {
    uint32_t *asks; /* owned: numbers of chunks, in the order they are asked for */
    size_t count, room;
    uint32_t *sizes; /* owned: of each chunk */
    size_t chunks, chunk_room;
    uint64_t asked_bytes;
};

struct version {
    uint32_t *chunks; /* owned */
    size_t count;
};

enum { VERSIONS_MOST = 64, LAYERS_MOST = 512, MACHINES = 40 };

struct layer {
    struct version versions[VERSIONS_MOST];
    size_t count;
};

struct fleet {
    struct layer layers[LAYERS_MOST];
    size_t count;
};

static uint32_t new_chunk(struct trace *t, uint32_t size)
{
    if (t->chunks == t->chunk_room) {
        t->chunk_room = t->chunk_room == 0 ? 1024 : 2 * t->chunk_room;
        t->sizes = xrealloc(t->sizes, t->chunk_room * sizeof *t->sizes);
    }
    t->sizes[t->chunks] = size;
    return (uint32_t)t->chunks++;
}

static void ask(struct trace *t, uint32_t chunk)
{
    if (t->count == t->room) {
        t->room = t->room == 0 ? 4096 : 2 * t->room;
        t->asks = xrealloc(t->asks, t->room * sizeof *t->asks);
    }
    t->asks[t->count++] = chunk;
    t->asked_bytes += t->sizes[chunk];
}

static bool contains(const struct version *v, uint32_t chunk)
{
    size_t low = 0;
    for (size_t high = v->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (v->chunks[middle] < chunk)
            low = middle + 1;
        else
            high = middle;
    }
    return low < v->count && v->chunks[low] == chunk;
}

/* What one machine asks for: all of `v`, or what `old` lacks. */
static void pull(struct trace *t, const struct version *v, const struct version *old)
{
    for (size_t i = 0; i < v->count; i++)
        if (old == NULL || !contains(old, v->chunks[i]))
            ask(t, v->chunks[i]);
}

/* Compressed chunks of 64 KiB on average are some 8 to 110 KiB. */
static uint32_t chunk_size(struct gen *g, bool small)
{
    return (uint32_t)(small ? gen_range(g, 256, 12 << 10) : gen_range(g, 8 << 10, 110 << 10));
}

static void make_layer(struct trace *t, struct gen *g, struct layer *l, size_t chunks,
                       size_t versions, bool small)
{
    for (size_t n = 0; n < versions; n++) {
        struct version *v = &l->versions[l->count++];
        const struct version *old = n == 0 ? NULL : v - 1;
        unsigned changed = gen_chance(g, 1, 5) ? 60 : (unsigned)gen_range(g, 5, 15);
        v->chunks = xcalloc(chunks, sizeof *v->chunks);
        for (size_t i = 0; i < chunks; i++)
            if (old != NULL && !gen_chance(g, changed, 100))
                v->chunks[v->count++] = old->chunks[i];
        while (v->count < chunks)
            v->chunks[v->count++] = new_chunk(t, chunk_size(g, small));
    }
}

/* A day: some layers get a new version, and all machines come for it at their own time, so several
 * layers' pulls are mixed; some machines are set up anew. */
static void play_day(struct trace *t, struct gen *g, struct fleet *f, size_t *at, size_t updates,
                     size_t renewed)
{
    for (size_t n = 0; n < updates; n++) {
        size_t l = gen_skewed(g, f->count - 1);
        size_t now = at[l] + 1 < f->layers[l].count ? ++at[l] : at[l];
        size_t who = f->count > 8 ? gen_range(g, 2, MACHINES) : MACHINES;
        for (size_t m = 0; m < who; m++) {
            pull(t, &f->layers[l].versions[now], now > 0 ? &f->layers[l].versions[now - 1] : NULL);
            if (m == who / 2 && gen_chance(g, 1, 2)) { /* a latecomer of another layer */
                size_t other = gen_skewed(g, f->count - 1);
                pull(t, &f->layers[other].versions[at[other]], NULL);
            }
        }
    }
    for (size_t n = 0; n < renewed; n++) {
        size_t l = gen_skewed(g, f->count - 1);
        pull(t, &f->layers[l].versions[at[l]], NULL);
    }
}

static void play(struct trace *t, struct gen *g, struct fleet *f, size_t days, size_t giant_chunks)
{
    size_t at[LAYERS_MOST] = {0};
    size_t updates = f->count / 6 + 1;
    for (size_t day = 0; day < days; day++) {
        play_day(t, g, f, at, updates, f->count > 8 ? 40 : 4);
        if (giant_chunks > 0 && day % 6 == 3)
            for (size_t i = 0; i < giant_chunks; i++)
                ask(t, new_chunk(t, chunk_size(g, false)));
    }
}

/* ---- policies, as the store runs them ---- */

struct queue {
    uint32_t *items; /* a ring */
    size_t first, count, room;
};

struct cache {
    const struct trace *trace;
    struct evictor evictor;
    struct queue queues[EVICT_QUEUES];
    uint64_t bytes[EVICT_QUEUES];
    bool *is_here; /* owned */
    uint64_t quota, segment, used, copied;
};

static uint64_t hash_of(uint32_t chunk)
{
    uint64_t h = (chunk + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 29;
    h *= UINT64_C(0xbf58476d1ce4e5b9);
    return h ^ h >> 32;
}

static void push(struct cache *c, enum evict_queue q, uint32_t chunk)
{
    struct queue *queue = &c->queues[q];
    queue->items[(queue->first + queue->count++) % queue->room] = chunk;
    c->bytes[q] += c->trace->sizes[chunk];
    c->used += c->trace->sizes[chunk];
}

static void evict_segment(struct cache *c, bool force)
{
    enum evict_queue from = evictor_victim(&c->evictor, c->bytes);
    struct queue *q = &c->queues[from];
    for (uint64_t freed = 0; freed < c->segment && q->count > 0;) {
        uint32_t chunk = q->items[q->first];
        uint64_t size = c->trace->sizes[chunk];
        q->first = (q->first + 1) % q->room;
        q->count--;
        freed += size;
        c->bytes[from] -= size;
        c->used -= size;
        if (evictor_stays(&c->evictor, hash_of(chunk), size, from) && !force) {
            push(c, QUEUE_MAIN, chunk);
            c->copied += size;
        } else {
            c->is_here[chunk] = false;
        }
    }
}

static void keep(struct cache *c, uint32_t chunk)
{
    uint64_t size = c->trace->sizes[chunk];
    for (size_t n = 0; c->used + size + c->segment > c->quota; n++)
        evict_segment(c, n > 260);
    push(c, evictor_admit(&c->evictor, hash_of(chunk)), chunk);
    c->is_here[chunk] = true;
}

static double replay(const struct trace *t, const struct evict_policy *policy, uint64_t quota,
                     double *copied)
{
    struct cache c = {.trace = t, .quota = quota, .segment = quota / 128};
    uint64_t hits = 0;
    evictor_init(&c.evictor, policy, quota);
    c.is_here = xcalloc(t->chunks, 1);
    for (size_t q = 0; q < EVICT_QUEUES; q++)
        c.queues[q] = (struct queue){xcalloc(t->chunks, sizeof(uint32_t)), 0, 0, t->chunks};
    for (size_t i = 0; i < t->count; i++) {
        uint32_t chunk = t->asks[i];
        if (c.is_here[chunk]) {
            hits += t->sizes[chunk];
            evictor_touch(&c.evictor, hash_of(chunk));
        } else {
            keep(&c, chunk);
        }
    }
    *copied = (double)c.copied / (double)(t->asked_bytes - hits);
    for (size_t q = 0; q < EVICT_QUEUES; q++)
        free(c.queues[q].items);
    free(c.is_here);
    evictor_release(&c.evictor);
    return (double)hits / (double)t->asked_bytes;
}

/* ---- the optimum ---- */

struct heap {
    struct {
        uint32_t next, chunk;
    } * at; /* the latest next use on top */
    size_t count;
};

static void heap_push(struct heap *h, uint32_t next, uint32_t chunk)
{
    size_t i = h->count++;
    for (; i > 0 && h->at[(i - 1) / 2].next < next; i = (i - 1) / 2)
        h->at[i] = h->at[(i - 1) / 2];
    h->at[i].next = next;
    h->at[i].chunk = chunk;
}

static void heap_pop(struct heap *h)
{
    size_t i = 0;
    h->count--;
    for (size_t child = 1; child < h->count; child = 2 * i + 1) {
        if (child + 1 < h->count && h->at[child + 1].next > h->at[child].next)
            child++;
        if (h->at[child].next <= h->at[h->count].next)
            break;
        h->at[i] = h->at[child];
        i = child;
    }
    h->at[i] = h->at[h->count];
}

/* next[i]: when what is asked for at i is asked for again; UINT32_MAX: never. */
static uint32_t *next_uses(const struct trace *t)
{
    uint32_t *next = xcalloc(t->count, sizeof *next);
    uint32_t *later = xcalloc(t->chunks, sizeof *later);
    memset(later, 0xff, t->chunks * sizeof *later);
    for (size_t i = t->count; i > 0; i--) {
        next[i - 1] = later[t->asks[i - 1]];
        later[t->asks[i - 1]] = (uint32_t)(i - 1);
    }
    free(later);
    return next;
}

static double optimum(const struct trace *t, uint64_t quota)
{
    uint32_t *next = next_uses(t);
    uint32_t *due = xcalloc(t->chunks, sizeof *due); /* of those here; 0: not here */
    struct heap heap = {xcalloc(t->count, sizeof *heap.at), 0};
    uint64_t used = 0;
    uint64_t hits = 0;
    for (size_t i = 0; i < t->count; i++) {
        uint32_t chunk = t->asks[i];
        if (due[chunk] != 0)
            hits += t->sizes[chunk];
        else
            used += t->sizes[chunk];
        due[chunk] = next[i];
        heap_push(&heap, next[i], chunk);
        while (used > quota) {
            uint32_t last = heap.at[0].chunk;
            if (due[last] == heap.at[0].next) {
                used -= t->sizes[last];
                due[last] = 0;
            }
            heap_pop(&heap);
        }
    }
    free(next);
    free(due);
    free(heap.at);
    return (double)hits / (double)t->asked_bytes;
}

/* ---- the table ---- */

static uint64_t distinct_bytes(const struct trace *t)
{
    uint64_t total = 0;
    for (size_t i = 0; i < t->chunks; i++)
        total += t->sizes[i];
    return total;
}

static void print_trace(const char *name, const struct trace *t, uint64_t living_bytes)
{
    static const unsigned shares[] = {30, 60, 120};
    printf("%s: %zu asks, %.1f GB, %zu chunks of %.2f GB; one version of each layer %.2f GB\n",
           name, t->count, (double)t->asked_bytes / 1e9, t->chunks, (double)distinct_bytes(t) / 1e9,
           (double)living_bytes / 1e9);
    for (size_t s = 0; s < ALB_COUNT(shares); s++) {
        uint64_t quota = living_bytes / 100 * shares[s];
        double best = optimum(t, quota);
        printf("  quota %3u %%: optimum %.2f %% (WAN %.2f GB)", shares[s], 100 * best,
               (1 - best) * (double)t->asked_bytes / 1e9);
        for (size_t p = 0; evict_policy_at(p) != NULL; p++) {
            double copied;
            double rate = replay(t, evict_policy_at(p), quota, &copied);
            printf("; %s %.2f (%.2f GB, %.2f copied)", evict_policy_at(p)->name, 100 * rate,
                   (1 - rate) * (double)t->asked_bytes / 1e9, copied);
        }
        printf("\n");
    }
}

static uint64_t living(const struct trace *t, const struct fleet *f)
{
    uint64_t total = 0;
    for (size_t l = 0; l < f->count; l++) {
        const struct version *v = &f->layers[l].versions[f->layers[l].count / 2];
        for (size_t i = 0; i < v->count; i++)
            total += t->sizes[v->chunks[i]];
    }
    return total;
}

static void release(struct trace *t, struct fleet *f)
{
    for (size_t l = 0; l < f->count; l++)
        for (size_t v = 0; v < f->layers[l].count; v++)
            free(f->layers[l].versions[v].chunks);
    free(t->asks);
    free(t->sizes);
    *t = (struct trace){.count = 0};
    memset(f, 0, sizeof *f);
}

static void made_up(struct fleet *f, const char *name, size_t layers, bool small,
                    size_t giant_chunks)
{
    struct trace t = {.count = 0};
    struct gen g;
    gen_init(&g, 7);
    for (f->count = 0; f->count < layers; f->count++)
        make_layer(&t, &g, &f->layers[f->count],
                   small ? gen_range(&g, 5, 200) : gen_range(&g, 1500, 5000), 12, small);
    uint64_t living_bytes = living(&t, f);
    play(&t, &g, f, 24, giant_chunks);
    print_trace(name, &t, living_bytes);
    release(&t, f);
}

/* ---- from files ---- */

static int compare_chunks(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

struct known {
    char key[65];
    uint32_t chunk;
};

/* Numbers of chunks by their keys: open addressing, half empty. */
static uint32_t number_of(struct trace *t, struct known *table, size_t room, const char *key,
                          uint32_t size)
{
    size_t at = 5381;
    for (const char *c = key; *c != '\0'; c++)
        at = at * 33 + (unsigned char)*c;
    for (at %= room; table[at].key[0] != '\0'; at = (at + 1) % room)
        if (strcmp(table[at].key, key) == 0)
            return table[at].chunk;
    (void)snprintf(table[at].key, sizeof table[at].key, "%s", key);
    table[at].chunk = new_chunk(t, size);
    return table[at].chunk;
}

static void read_layer(struct trace *t, struct layer *l, const char *path)
{
    enum { KEYS_ROOM = 1 << 20 };
    struct known *table = xcalloc(KEYS_ROOM, sizeof *table);
    char key[65];
    unsigned n, size, last = UINT32_MAX;
    struct version *v = NULL;
    FILE *file = fopen(path, "re");
    alb_assert(file != NULL);
    while (fscanf(file, "%u %64s %u", &n, key, &size) == 3) {
        if (n != last && l->count < VERSIONS_MOST)
            v = &l->versions[l->count++];
        last = n;
        v->chunks = xrealloc(v->chunks, (v->count + 1) * sizeof *v->chunks);
        v->chunks[v->count++] = number_of(t, table, KEYS_ROOM, key, size);
    }
    for (size_t i = 0; i < l->count; i++)
        qsort(l->versions[i].chunks, l->versions[i].count, sizeof(uint32_t), compare_chunks);
    fclose(file);
    free(table);
}

static void from_files(struct fleet *f, int count, char **paths)
{
    for (int giant = 0; giant < 2; giant++) {
        struct trace t = {.count = 0};
        struct gen g;
        gen_init(&g, 7);
        for (f->count = 0; f->count < (size_t)count; f->count++)
            read_layer(&t, &f->layers[f->count], paths[f->count]);
        uint64_t living_bytes = living(&t, f);
        play(&t, &g, f, 24, giant != 0 ? (size_t)(living_bytes / 30000) : 0);
        print_trace(giant != 0 ? "real versions, giant pulls between" : "real versions", &t,
                    living_bytes);
        release(&t, f);
    }
}

int main(int argc, char **argv)
{
    struct fleet *f = xalloc(sizeof *f);
    if (argc > 1)
        from_files(f, argc - 1, argv + 1);
    made_up(f, "versions", 6, false, 0);
    made_up(f, "versions, giant pulls between", 6, false, 20000);
    made_up(f, "many small layers", 400, true, 0);
    free(f);
    return 0;
}
