/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_delta.c – what one tree costs somebody who holds another, and
 * what making and applying the deltas takes. */
/* LINKS: chunk base */

/* usage: bench_delta plain|default|LEVEL V1 V2 [LIST]
 *
 * Files of V2 whose content V1 lacks are changed; each is told against what resemble_find() offers,
 * in path order, windows of DELTA_TARGET_MAX; each blob is applied again and compared.  A file
 * without a delta counts as zstd level 3 alone.  Prints one line of JSON; LIST gets a line for each
 * piece of a changed file, between tabs: its size, its cost, the cost without a delta, which way,
 * the predecessor's path, its own. */

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/map.h"
#include "base/units.h"
#include "chunk/codec.h"
#include "chunk/delta.h"
#include "chunk/resemble.h"

enum { FD_MAX = 32, BLOB_PIECES = DELTA_PIECES_MAX };

struct tree {
    const char *root;
    struct resemble_file *files;
    size_t count, room;
    struct map by_digest;
};

/* A piece that is in the blob under way, for applying it. */
struct kept {
    size_t from, to; /* files of V1 and V2 */
    uint64_t at, size;
};

struct bench {
    struct tree v1, v2;
    struct resemble_index *index;
    struct delta_maker *maker;
    struct codec *codec;
    struct kept kept[BLOB_PIECES];
    struct buf blob;
    FILE *list;
    const uint8_t *mapped; /* V1's file that is mapped, one at a time when large */
    uint64_t changed, changed_bytes, blobs, delta_bytes, alone_bytes, alone, pieces, aligned;
    uint64_t make_ns, apply_ns, find_ns, wrong;
};

static struct tree *walking;

static uint64_t cpu_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static const uint8_t *map_file(const struct tree *t, size_t i)
{
    AUTO_FREE char *path = xasprintf("%s/%s", t->root, t->files[i].path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *bytes = mmap(NULL, t->files[i].size, PROT_READ, MAP_PRIVATE, fd, 0);

    alb_assert(fd >= 0 && bytes != MAP_FAILED);
    (void)close(fd);
    return bytes;
}

static void unmap_file(const struct tree *t, size_t i, const uint8_t *bytes)
{
    (void)munmap((void *)(uintptr_t)bytes, t->files[i].size);
}

/* ---- the trees ---- */

static int on_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    struct tree *t = walking;

    (void)ftw;
    if (type != FTW_F || !S_ISREG(st->st_mode) || st->st_size == 0)
        return 0;
    if (t->count == t->room) {
        t->room = t->room == 0 ? 1024 : 2 * t->room;
        t->files = xrealloc(t->files, t->room * sizeof *t->files);
    }
    t->files[t->count++] = (struct resemble_file){.path = xstrdup(path + strlen(t->root) + 1),
                                                  .size = (uint64_t)st->st_size};
    return 0;
}

static int compare_paths(const void *a, const void *b)
{
    const struct resemble_file *x = a, *y = b;
    return strcmp(x->path, y->path);
}

static void tree_read(struct tree *t, const char *root)
{
    t->root = root;
    walking = t;
    alb_assert(nftw(root, on_file, FD_MAX, FTW_PHYS) == 0);
    qsort(t->files, t->count, sizeof *t->files, compare_paths);
    map_init(&t->by_digest);
    for (size_t i = 0; i < t->count; i++) {
        struct resemble_pass pass;
        const uint8_t *bytes = map_file(t, i);
        sha256(bytes, t->files[i].size, &t->files[i].digest);
        resemble_begin(&pass);
        resemble_add(&pass, bytes, t->files[i].size);
        resemble_end(&pass, &t->files[i].features);
        unmap_file(t, i, bytes);
        struct chunk_key key = {KEY_PLAIN, t->files[i].digest};
        (void)map_put(&t->by_digest, &key, &t->files[i]);
    }
}

/* ---- applying ---- */

struct check {
    const uint8_t *expected;
    size_t at, size;
    bool is_wrong;
};

static struct alb_status on_rebuilt(void *arg, const void *bytes, size_t size)
{
    struct check *c = arg;

    if (size > c->size - c->at || memcmp(c->expected + c->at, bytes, size) != 0)
        c->is_wrong = true;
    else
        c->at += size;
    return ALB_STATUS_OK;
}

static void apply_piece(struct bench *b, struct delta *d, size_t i)
{
    const struct kept *k = &b->kept[i];
    const uint8_t *old = map_file(&b->v1, k->from), *new = map_file(&b->v2, k->to);
    struct check check = {.expected = new + k->at, .size = k->size};
    struct delta_reference reference = {.size = b->v1.files[k->from].size, .bytes = old};
    struct delta_sink sink = {on_rebuilt, &check};
    struct alb_status st = delta_rebuild(d, i, &reference, &sink);

    if (alb_failed(st) || check.is_wrong || check.at != check.size) {
        (void)fprintf(stderr, "%s: wrong: %s\n", b->v2.files[k->to].path, st.what);
        b->wrong++;
    }
    unmap_file(&b->v1, k->from, old);
    unmap_file(&b->v2, k->to, new);
}

static void apply(struct bench *b, size_t pieces)
{
    uint64_t began = cpu_ns();
    struct delta *d = NULL;
    struct alb_status st =
        delta_open(buf_peek(&b->blob), buf_size(&b->blob), &delta_limits_default, &d);

    if (alb_failed(st)) {
        (void)fprintf(stderr, "a blob cannot be opened: %s\n", st.what);
        b->wrong++;
        return;
    }
    for (size_t i = 0; i < pieces; i++)
        apply_piece(b, d, i);
    delta_close(d);
    b->apply_ns += cpu_ns() - began;
}

/* ---- making ---- */

static void finish(struct bench *b)
{
    size_t pieces = delta_maker_pieces(b->maker);
    uint64_t began = cpu_ns();

    if (pieces == 0)
        return;
    buf_clear(&b->blob);
    alb_assert(!alb_failed(delta_maker_finish(b->maker, &b->blob)));
    b->make_ns += cpu_ns() - began;
    b->blobs++;
    b->pieces += pieces;
    b->delta_bytes += buf_size(&b->blob);
    apply(b, pieces);
}

/* What the bytes cost without a delta: zstd alone, in chunks. */
static size_t alone(struct bench *b, const uint8_t *bytes, size_t size)
{
    enum { CHUNK = 256 << 10 };
    size_t sum = 0;

    for (size_t at = 0; at < size; at += CHUNK) {
        buf_clear(&b->blob);
        size_t part = size - at < CHUNK ? size - at : CHUNK;
        alb_assert(!alb_failed(codec_compress(b->codec, bytes + at, part, &b->blob)));
        sum += buf_size(&b->blob);
    }
    return sum;
}

static void piece(struct bench *b, size_t from, size_t to, struct delta_piece *p)
{
    struct delta_made made = {.is_kept = false};
    size_t worth = alone(b, p->target, p->target_size);

    if (!delta_maker_has_room(b->maker, p->target_size))
        finish(b);
    if (p->reference != NULL) {
        uint64_t began = cpu_ns();
        size_t i = delta_maker_pieces(b->maker);
        alb_assert(!alb_failed(delta_maker_add(b->maker, p, worth, &made)));
        b->make_ns += cpu_ns() - began;
        b->kept[i] = (struct kept){from, to, p->at, p->target_size};
    }
    if (made.is_kept && made.way == DELTA_ALIGNED)
        b->aligned++;
    if (!made.is_kept) {
        b->alone++;
        b->alone_bytes += worth;
    }
    if (b->list != NULL)
        (void)fprintf(b->list, "%zu\t%zu\t%zu\t%s\t%s\t%s\n", p->target_size,
                      made.is_kept ? made.cost : worth, worth,
                      made.is_kept ? made.way == DELTA_ALIGNED ? "aligned" : "prefix" : "alone",
                      p->reference != NULL ? b->v1.files[from].path : "", b->v2.files[to].path);
}

static void changed_file(struct bench *b, size_t to)
{
    const struct resemble_file *f = &b->v2.files[to];
    struct resemble_answer answers[RESEMBLE_ANSWERS];
    uint64_t began = cpu_ns();
    size_t n = resemble_find(b->index, f, answers), from = n > 0 ? answers[0].file : 0;
    const uint8_t *new = map_file(&b->v2, to), *old = n > 0 ? map_file(&b->v1, from) : NULL;

    b->find_ns += cpu_ns() - began;
    b->changed++;
    b->changed_bytes += f->size;
    for (uint64_t at = 0; at < f->size; at += DELTA_TARGET_MAX) {
        uint64_t left = f->size - at;
        struct delta_piece p = {.target = new + at,
                                .target_size = left < DELTA_TARGET_MAX ? left : DELTA_TARGET_MAX,
                                .at = at,
                                .reference = old,
                                .reference_size = n > 0 ? b->v1.files[from].size : 0};
        piece(b, from, to, &p);
    }
    unmap_file(&b->v2, to, new);
    if (old != NULL)
        unmap_file(&b->v1, from, old);
}

static void report(const struct bench *b)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage);
    printf("{\"changed\": %" PRIu64 ", \"changed_bytes\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"delta_bytes\": %" PRIu64 ", \"alone_bytes\": %" PRIu64 ", \"blobs\": %" PRIu64
           ", \"pieces\": %" PRIu64 ", \"aligned\": %" PRIu64 ", \"alone\": %" PRIu64
           ", \"find_s\": %.2f, \"make_s\": %.2f, \"apply_s\": %.2f, \"rss_mb\": %ld"
           ", \"wrong\": %" PRIu64 "}\n",
           b->changed, b->changed_bytes, b->delta_bytes + b->alone_bytes, b->delta_bytes,
           b->alone_bytes, b->blobs, b->pieces, b->aligned, b->alone, (double)b->find_ns / 1e9,
           (double)b->make_ns / 1e9, (double)b->apply_ns / 1e9, usage.ru_maxrss / 1024, b->wrong);
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct delta_terms terms = delta_terms_default;
    uint64_t level;

    if (argc < 4) {
        (void)fprintf(stderr, "usage: bench_delta plain|default|LEVEL V1 V2 [LIST]\n");
        return 2;
    }
    if (strcmp(argv[1], "plain") == 0)
        terms = delta_terms_plain;
    else if (!alb_failed(parse_u64(argv[1], 19, &level)))
        terms.level = (int)level;
    b.list = argc > 4 ? fopen(argv[4], "w") : NULL;
    buf_init(&b.blob, DELTA_SIZE_MAX);
    b.codec = codec_new();
    b.maker = delta_maker_new(&terms);
    tree_read(&b.v1, argv[2]);
    tree_read(&b.v2, argv[3]);
    alb_assert(!alb_failed(resemble_index_new(b.v1.files, b.v1.count, &b.index)));
    for (size_t i = 0; i < b.v2.count; i++) {
        struct chunk_key key = {KEY_PLAIN, b.v2.files[i].digest};
        if (map_get(&b.v1.by_digest, &key) == NULL)
            changed_file(&b, i);
    }
    finish(&b);
    report(&b);
    if (b.list != NULL)
        (void)fclose(b.list);
    return b.wrong > 0;
}
