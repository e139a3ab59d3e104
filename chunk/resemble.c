/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/resemble.c – files looked up by hashes of what predecessors have in common. */

#include "chunk/resemble.h"

#include <string.h>

#include "base/alloc.h"

enum {
    SAMPLE_BITS = 6,  /* one position of 64 is a sample …                              */
    SAMPLES_MIN = 32, /* … and with fewer of them a file has no features               */
    LOOKED_AT = 64,   /* files of one hash that are looked at, so that a crowd costs little */
};

/* chunk/cut.h's table: any fixed random numbers would do. */
static const uint64_t GEAR[256] = {
#include "chunk/gear.def"
};

/* ---- features ---- */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33; /* the finalizer of MurmurHash3, whose bits all depend on all */
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

void resemble_begin(struct resemble_pass *p)
{
    memset(p, 0, sizeof *p);
}

void resemble_add(struct resemble_pass *p, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t gear = p->gear;

    for (size_t i = 0; i < size; i++) {
        gear = (gear << 1) + GEAR[at[i]];
        if (gear >> (64 - SAMPLE_BITS) != 0)
            continue;
        p->samples++;
        for (unsigned f = 0; f < RESEMBLE_FEATURES; f++) {
            uint64_t v = gear * (GEAR[f] | 1) + GEAR[255 - f];
            if (v > p->maxima[f])
                p->maxima[f] = v;
        }
    }
    p->gear = gear;
}

void resemble_end(const struct resemble_pass *p, struct resemble_features *out)
{
    enum { EACH = RESEMBLE_FEATURES / RESEMBLE_SUPER };

    memset(out, 0, sizeof *out);
    if (p->samples < SAMPLES_MIN)
        return;
    for (size_t s = 0; s < RESEMBLE_SUPER; s++) {
        uint64_t h = s + 1;
        for (size_t f = 0; f < EACH; f++)
            h = mix(h ^ p->maxima[s * EACH + f]);
        out->super[s] = h == 0 ? 1 : h;
    }
}

/* ---- hashes of names ---- */

/* FNV-1a over a name; with `fold`, each run of digits counts as one. */
static uint64_t name_hash(const char *name, bool fold)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    bool in_digits = false;

    for (const char *c = name; *c != '\0'; c++) {
        bool is_digit = fold && *c >= '0' && *c <= '9';
        if (is_digit && in_digits)
            continue;
        in_digits = is_digit;
        h = (h ^ (is_digit ? '0' : (uint8_t)*c)) * UINT64_C(0x100000001b3);
    }
    return mix(h);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* ---- the index ---- */

struct entry {
    uint64_t hash;
    size_t file;
};

/* All entries of one kind, sorted by hash. */
struct table {
    struct entry *entries;
    size_t count;
};

struct resemble_index {
    const struct resemble_file *files; /* borrowed */
    size_t count;
    struct table tables[RESEMBLE_CONTENT + 1];
};

/* The hashes under which a file is found in the table of `how`; returns how many. */
static size_t hashes_of(const struct resemble_file *f, enum resemble_how how,
                        uint64_t out[RESEMBLE_SUPER])
{
    switch (how) {
    case RESEMBLE_PATH: out[0] = name_hash(f->path, false); return 1;
    case RESEMBLE_FOLDED_PATH: out[0] = name_hash(f->path, true); return 1;
    case RESEMBLE_NAME: out[0] = name_hash(base_name(f->path), false); return 1;
    case RESEMBLE_FOLDED_NAME: out[0] = name_hash(base_name(f->path), true); return 1;
    case RESEMBLE_CONTENT:
        if (f->features.super[0] == 0)
            return 0;
        memcpy(out, f->features.super, sizeof f->features.super);
        return RESEMBLE_SUPER;
    }
    alb_unreachable();
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->file < y->file ? -1 : x->file > y->file;
}

static struct alb_status table_fill(struct resemble_index *x, enum resemble_how how)
{
    struct table *t = &x->tables[how];
    size_t each = how == RESEMBLE_CONTENT ? RESEMBLE_SUPER : 1;
    uint64_t hashes[RESEMBLE_SUPER];

    if (x->count > SIZE_MAX / sizeof *t->entries / each)
        return alb_fail(ALB_FULL, "an index of predecessors");
    t->entries = try_alloc((x->count * each + 1) * sizeof *t->entries);
    if (t->entries == NULL)
        return alb_fail(ALB_FULL, "memory for an index of predecessors");
    for (size_t i = 0; i < x->count; i++) {
        size_t n = x->files[i].size == 0 ? 0 : hashes_of(&x->files[i], how, hashes);
        for (size_t k = 0; k < n; k++)
            t->entries[t->count++] = (struct entry){hashes[k], i};
    }
    qsort(t->entries, t->count, sizeof *t->entries, compare_entries);
    return ALB_STATUS_OK;
}

struct alb_status resemble_index_new(const struct resemble_file *files, size_t count,
                                     struct resemble_index **out)
{
    struct resemble_index *x = xalloc(sizeof *x);

    x->files = files;
    x->count = count;
    for (unsigned how = RESEMBLE_PATH; how <= RESEMBLE_CONTENT; how++) {
        struct alb_status st = table_fill(x, (enum resemble_how)how);
        if (alb_failed(st)) {
            resemble_index_free(x);
            return st;
        }
    }
    *out = x;
    return ALB_STATUS_OK;
}

struct resemble_index *resemble_index_free(struct resemble_index *x)
{
    if (x == NULL)
        return NULL;
    for (size_t i = 0; i < ALB_COUNT(x->tables); i++)
        free(x->tables[i].entries);
    free(x);
    return NULL;
}

/* ---- finding ---- */

/* Predecessors under one kind of hash, the best first: rank counts down. */
struct round {
    enum resemble_how how;
    struct resemble_answer best[RESEMBLE_ANSWERS];
    uint64_t rank[RESEMBLE_ANSWERS];
    size_t count;
};

static bool is_near(uint64_t a, uint64_t b)
{
    return a / RESEMBLE_SIZES <= b && b / RESEMBLE_SIZES <= a;
}

/* The lower the better: super-features that are not alike, then the difference in size. */
static uint64_t rank_of(const struct resemble_file *a, const struct resemble_file *b)
{
    uint64_t apart = a->size > b->size ? a->size - b->size : b->size - a->size, unlike = 0;

    for (size_t i = 0; i < RESEMBLE_SUPER; i++)
        unlike += a->features.super[i] != b->features.super[i];
    return unlike << 60 | (apart >> 60 == 0 ? apart : UINT64_MAX >> 4);
}

static void round_offer(struct round *r, size_t file, uint64_t rank)
{
    size_t at = r->count;

    for (size_t i = 0; i < r->count; i++)
        if (r->best[i].file == file)
            return;
    while (at > 0 && r->rank[at - 1] > rank)
        at--;
    if (at == RESEMBLE_ANSWERS)
        return;
    size_t last = r->count < RESEMBLE_ANSWERS ? r->count++ : RESEMBLE_ANSWERS - 1;
    memmove(&r->best[at + 1], &r->best[at], (last - at) * sizeof r->best[0]);
    memmove(&r->rank[at + 1], &r->rank[at], (last - at) * sizeof r->rank[0]);
    r->best[at] = (struct resemble_answer){file, r->how};
    r->rank[at] = rank;
}

static size_t first_of(const struct table *t, uint64_t hash)
{
    size_t low = 0, high = t->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->entries[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void round_play(struct round *r, const struct resemble_index *x,
                       const struct resemble_file *target)
{
    const struct table *t = &x->tables[r->how];
    uint64_t hashes[RESEMBLE_SUPER];
    size_t n = hashes_of(target, r->how, hashes);

    for (size_t k = 0; k < n; k++) {
        size_t i = first_of(t, hashes[k]),
               end = t->count - i < LOOKED_AT ? t->count : i + LOOKED_AT;
        for (; i < end && t->entries[i].hash == hashes[k]; i++) {
            const struct resemble_file *f = &x->files[t->entries[i].file];
            if (r->how != RESEMBLE_PATH && !is_near(f->size, target->size))
                continue;
            if (!digest_equal(&f->digest, &target->digest))
                round_offer(r, t->entries[i].file, rank_of(f, target));
        }
    }
}

size_t resemble_find(const struct resemble_index *x, const struct resemble_file *target,
                     struct resemble_answer out[RESEMBLE_ANSWERS])
{
    size_t count = 0;

    if (target->size == 0)
        return 0;
    for (unsigned how = RESEMBLE_PATH; how <= RESEMBLE_CONTENT; how++) {
        struct round r = {.how = (enum resemble_how)how};
        round_play(&r, x, target);
        for (size_t i = 0; i < r.count && count < RESEMBLE_ANSWERS; i++) {
            bool known = false;
            for (size_t k = 0; k < count; k++)
                known |= out[k].file == r.best[i].file;
            if (!known)
                out[count++] = r.best[i];
        }
    }
    return count;
}

const char *resemble_how_text(enum resemble_how how)
{
    switch (how) {
    case RESEMBLE_PATH: return "same path";
    case RESEMBLE_FOLDED_PATH: return "folded path";
    case RESEMBLE_NAME: return "same name";
    case RESEMBLE_FOLDED_NAME: return "folded name";
    case RESEMBLE_CONTENT: return "like content";
    }
    alb_unreachable();
}
