/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/delta_apply.c – a blob checked before it is believed, and its pieces rebuilt. */

#include "chunk/delta_impl.h"

#include <zstd.h>

#include "base/alloc.h"
#include "base/pack.h"

const struct delta_limits delta_limits_default = {DELTA_TARGET_MAX, DELTA_MEMORY_MAX};

enum { PART = 64 << 10 }; /* bytes given to a sink at a time */

/* A part of a stream. */
struct part {
    size_t at, size;
};

struct piece {
    struct delta_piece_info info;
    struct part parts[STREAM_COUNT]; /* ALIGNED                                           */
    uint64_t window_at;              /* PREFIX: what of the reference zstd saw …          */
    size_t window_size;
    struct part frame; /* … and its frame, counted from the first one's begin */
};

struct stream {
    size_t raw, stored;
    const uint8_t *packed; /* borrowed from the blob             */
    uint8_t *bytes;        /* expanded when first needed; owned  */
};

struct delta {
    ZSTD_DCtx *expander;
    size_t pieces, target, memory_max, held;
    struct piece *list;
    struct stream streams[STREAM_COUNT];
    const uint8_t *frames;
    size_t frames_size;
};

/* Memory that is counted before it is taken. */
static struct alb_status take(struct delta *d, size_t size, void **out)
{
    if (size > d->memory_max - d->held)
        return alb_fail(ALB_FULL, "a delta needs more memory than is allowed");
    void *bytes = try_alloc(size == 0 ? 1 : size);
    if (bytes == NULL)
        return alb_fail(ALB_FULL, "memory for a delta");
    d->held += size;
    *out = bytes;
    return ALB_STATUS_OK;
}

static struct alb_status expand(struct delta *d, struct stream *s)
{
    size_t made = 0;
    void *bytes;
    struct alb_status st = take(d, s->raw, &bytes);
    if (alb_failed(st))
        return st;
    if (s->raw > 0)
        made = ZSTD_decompressDCtx(d->expander, bytes, s->raw, s->packed, s->stored);
    if (ZSTD_isError(made) || made != s->raw) {
        free(bytes);
        d->held -= s->raw;
        return alb_fail(ALB_CORRUPT, "delta: one of its streams cannot be expanded");
    }
    s->bytes = bytes;
    return ALB_STATUS_OK;
}

/* ---- opening ---- */

static struct alb_status read_head(struct delta *d, const struct delta_limits *limits,
                                   struct unpack *u)
{
    size_t raw = 0;

    const uint8_t *magic = unpack_bytes(u, sizeof DELTA_MAGIC - 1);
    if (magic == NULL || memcmp(magic, DELTA_MAGIC, sizeof DELTA_MAGIC - 1) != 0)
        return alb_fail(ALB_CORRUPT, "delta: these bytes are none");
    if (unpack_u8(u) != DELTA_VERSION && u->error == NULL)
        return alb_fail(ALB_INVALID, "delta: of a version this program does not know; update it");
    d->pieces = unpack_bounded(u, DELTA_PIECES_MAX);
    d->target = unpack_bounded(u, DELTA_TARGET_MAX);
    for (size_t i = 0; i < STREAM_COUNT; i++) {
        d->streams[i].raw = unpack_bounded(u, delta_raw_max(DELTA_PIECES_MAX, DELTA_TARGET_MAX));
        d->streams[i].stored = unpack_bounded(u, DELTA_SIZE_MAX);
        raw += d->streams[i].raw;
    }
    for (size_t i = 0; i < STREAM_COUNT; i++)
        d->streams[i].packed = unpack_bytes(u, d->streams[i].stored);
    d->frames_size = unpack_left(u);
    d->frames = unpack_bytes(u, d->frames_size);
    struct alb_status st = unpack_check(u);
    if (alb_failed(st))
        return st;
    if (raw > delta_raw_max(d->pieces, d->target) || d->pieces > d->target)
        return alb_fail(ALB_CORRUPT, "delta: its streams are larger than its pieces allow");
    if (d->target > limits->target_max)
        return alb_fail(ALB_FULL, "a delta rebuilds more than is allowed");
    return ALB_STATUS_OK;
}

/* One line of the directory; `used` counts what of each stream is spoken for. */
static struct alb_status read_line(struct unpack *u, struct piece *p, size_t used[STREAM_COUNT + 1])
{
    unsigned way = unpack_u8(u);
    if (u->error == NULL && way != DELTA_PREFIX && way != DELTA_ALIGNED)
        return alb_fail(ALB_INVALID, "delta: made in a way this program does not know; update it");
    p->info.way = (enum delta_way)way;
    p->info.target_size = unpack_bounded(u, DELTA_TARGET_MAX);
    p->info.reference_size = unpack_bounded(u, UINT32_MAX);
    if (way == DELTA_PREFIX) {
        p->window_at = unpack_bounded(u, p->info.reference_size);
        p->window_size = unpack_bounded(u, DELTA_PREFIX_MAX);
        p->frame.size = unpack_bounded(u, DELTA_SIZE_MAX);
        p->frame.at = used[STREAM_COUNT];
        used[STREAM_COUNT] += p->frame.size;
        if (p->window_size > p->info.reference_size - p->window_at)
            unpack_fail(u, "delta: a window beyond the reference");
        return unpack_check(u);
    }
    for (size_t i = STREAM_LITERALS; i < STREAM_COUNT; i++) {
        size_t size = unpack_bounded(u, delta_raw_max(DELTA_PIECES_MAX, DELTA_TARGET_MAX));
        p->parts[i] = (struct part){used[i], size};
        used[i] += size;
    }
    return unpack_check(u);
}

/* After it, each piece's parts lie in their streams, and nothing is left over. */
static struct alb_status read_directory(struct delta *d)
{
    struct stream *s = &d->streams[STREAM_DIRECTORY];
    size_t used[STREAM_COUNT + 1] = {s->raw}, target = 0, windows = 0;
    void *list;
    struct unpack u;

    struct alb_status st = take(d, d->pieces * sizeof *d->list, &list);
    if (alb_failed(st))
        return st;
    d->list = memset(list, 0, d->pieces * sizeof *d->list);
    st = expand(d, s);
    if (alb_failed(st))
        return st;
    unpack_init(&u, s->bytes, s->raw);
    for (size_t i = 0; i < d->pieces; i++) {
        st = read_line(&u, &d->list[i], used);
        if (alb_failed(st))
            return st;
        target += d->list[i].info.target_size;
        windows += d->list[i].window_size;
    }
    for (size_t i = 0; i < STREAM_COUNT; i++)
        if (used[i] != d->streams[i].raw)
            unpack_fail(&u, "delta: its directory and its streams do not agree");
    if (windows > DELTA_WINDOWS_MAX) /* small pieces could have us read for hours */
        unpack_fail(&u, "delta: its pieces look at too much of their references");
    if (target != d->target || used[STREAM_COUNT] != d->frames_size)
        unpack_fail(&u, "delta: its directory and its sizes do not agree");
    return unpack_finish(&u);
}

struct alb_status delta_open(const void *bytes, size_t size, const struct delta_limits *limits,
                             struct delta **out)
{
    struct unpack u;

    if (size > DELTA_SIZE_MAX)
        return alb_fail(ALB_CORRUPT, "delta: larger than a blob may be");
    struct delta *d = xalloc(sizeof *d);
    d->memory_max = limits->memory_max;
    unpack_init(&u, bytes, size);
    struct alb_status st = read_head(d, limits, &u);
    if (!alb_failed(st)) {
        d->expander = ZSTD_createDCtx();
        alb_assert(d->expander != NULL);
        st = read_directory(d);
    }
    if (alb_failed(st)) {
        delta_close(d);
        return st;
    }
    *out = d;
    return ALB_STATUS_OK;
}

struct delta *delta_close(struct delta *d)
{
    if (d == NULL)
        return NULL;
    ZSTD_freeDCtx(d->expander);
    for (size_t i = 0; i < STREAM_COUNT; i++)
        free(d->streams[i].bytes);
    free(d->list);
    free(d);
    return NULL;
}

size_t delta_pieces(const struct delta *d)
{
    return d->pieces;
}

struct delta_piece_info delta_piece_info(const struct delta *d, size_t i)
{
    alb_assert(i < d->pieces);
    return d->list[i].info;
}

/* ---- rebuilding ---- */

/* Bytes of the reference, where they lie or fetched into `to`. */
static struct alb_status refer(const struct delta_reference *r, uint64_t at, size_t size,
                               uint8_t *to, const uint8_t **out)
{
    *out = to;
    if (r->bytes != NULL) {
        *out = r->bytes + at;
        return ALB_STATUS_OK;
    }
    return size == 0 ? ALB_STATUS_OK : r->read(r->arg, at, to, size);
}

static struct alb_status give(const struct delta_sink *sink, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        size_t part = size < PART ? size : PART;
        struct alb_status st = sink->write(sink->arg, bytes, part);
        if (alb_failed(st))
            return st;
        bytes += part;
        size -= part;
    }
    return ALB_STATUS_OK;
}

/* The frame, the window and the target are in memory at once, and given back before the next. */
static struct alb_status rebuild_prefix(struct delta *d, const struct piece *p,
                                        const struct delta_reference *r,
                                        const struct delta_sink *sink)
{
    size_t held = d->held, size = p->info.target_size;
    AUTO_FREE void *window = NULL;
    AUTO_FREE void *target = NULL;
    const uint8_t *prefix;

    struct alb_status st = take(d, r->bytes == NULL ? p->window_size : 0, &window);
    if (!alb_failed(st))
        st = take(d, size, &target);
    d->held = held;
    if (!alb_failed(st))
        st = refer(r, p->window_at, p->window_size, window, &prefix);
    if (alb_failed(st))
        return st;
    size_t bad = ZSTD_DCtx_refPrefix(d->expander, prefix, p->window_size);
    alb_assert(!ZSTD_isError(bad));
    size_t made =
        ZSTD_decompressDCtx(d->expander, target, size, d->frames + p->frame.at, p->frame.size);
    if (ZSTD_isError(made) || made != size) {
        (void)ZSTD_DCtx_reset(d->expander, ZSTD_reset_session_and_parameters);
        return alb_fail(ALB_CORRUPT, "delta: a frame cannot be expanded with this reference");
    }
    return give(sink, target, size);
}

/* A piece being laid together. */
struct laying {
    struct unpack streams[STREAM_COUNT]; /* its part of each but the directory */
    const struct delta_reference *reference;
    const struct delta_sink *sink;
    uint64_t next;  /* where in the reference the last run would go on         */
    uint64_t alike; /* bytes until the next that differs; UINT64_MAX: none does */
    size_t left;    /* bytes of the target that are to come                   */
    size_t filled;
    uint8_t part[PART]; /* what the sink gets next */
};

static struct alb_status flush(struct laying *l)
{
    size_t size = l->filled;

    l->filled = 0;
    return size == 0 ? ALB_STATUS_OK : l->sink->write(l->sink->arg, l->part, size);
}

static void next_gap(struct laying *l)
{
    struct unpack *gaps = &l->streams[STREAM_GAPS];

    l->alike = unpack_left(gaps) == 0 ? UINT64_MAX : unpack_varint(gaps);
}

/* `size` bytes of the part, just copied from the reference, are made the target's. */
static void differ(struct laying *l, uint8_t *at, size_t size)
{
    while (l->alike < size) {
        at += l->alike;
        size -= (size_t)l->alike + 1;
        *at = (uint8_t)(*at + unpack_u8(&l->streams[STREAM_VALUES]));
        at++;
        next_gap(l);
    }
    if (l->alike != UINT64_MAX)
        l->alike -= size;
}

static struct alb_status lay_new(struct laying *l, size_t size)
{
    while (size > 0) {
        size_t part = size < PART - l->filled ? size : PART - l->filled;
        const uint8_t *bytes = unpack_bytes(&l->streams[STREAM_NEW], part);
        if (bytes == NULL)
            return unpack_check(&l->streams[STREAM_NEW]);
        memcpy(l->part + l->filled, bytes, part);
        l->filled += part;
        size -= part;
        if (l->filled == PART) {
            struct alb_status st = flush(l);
            if (alb_failed(st))
                return st;
        }
    }
    return ALB_STATUS_OK;
}

static struct alb_status lay_beside(struct laying *l, size_t size)
{
    const struct delta_reference *r = l->reference;

    if (l->next > r->size || size > r->size - l->next)
        return alb_fail(ALB_CORRUPT, "delta: a run beyond the reference");
    while (size > 0) {
        size_t part = size < PART - l->filled ? size : PART - l->filled;
        uint8_t *to = l->part + l->filled;
        const uint8_t *from;
        struct alb_status st = refer(r, l->next, part, to, &from);
        if (!alb_failed(st) && from != to)
            memcpy(to, from, part);
        differ(l, to, part);
        l->filled += part;
        l->next += part;
        size -= part;
        if (!alb_failed(st) && l->filled == PART)
            st = flush(l);
        if (alb_failed(st))
            return st;
    }
    return ALB_STATUS_OK;
}

/* Each run brings at least one byte, so a piece of n bytes has no more than n of them. */
static struct alb_status lay_run(struct laying *l)
{
    struct unpack *s = l->streams;
    size_t literals = unpack_bounded(&s[STREAM_LITERALS], l->left);
    size_t length = unpack_bounded(&s[STREAM_LENGTHS], l->left - literals);

    if (literals == 0 && length == 0)
        unpack_fail(&s[STREAM_LENGTHS], "delta: a run of nothing");
    struct alb_status st = unpack_check(&s[STREAM_LITERALS]);
    if (!alb_failed(st))
        st = unpack_check(&s[STREAM_LENGTHS]);
    if (!alb_failed(st))
        st = lay_new(l, literals);
    l->left -= literals + length;
    if (alb_failed(st) || length == 0)
        return st;
    uint64_t seek = (uint64_t)unpack_zigzag(&s[STREAM_SEEKS]);
    l->next += literals + seek; /* modulo 2^64; what is out of the reference is refused */
    st = unpack_check(&s[STREAM_SEEKS]);
    return alb_failed(st) ? st : lay_beside(l, length);
}

/* Everything that was declared must have been used, and nothing read that was not there. */
static struct alb_status lay_end(struct laying *l)
{
    if (l->alike != UINT64_MAX)
        return alb_fail(ALB_CORRUPT, "delta: a difference beyond the last run");
    for (size_t i = STREAM_LITERALS; i < STREAM_COUNT; i++) {
        struct alb_status st = unpack_finish(&l->streams[i]);
        if (alb_failed(st))
            return st;
    }
    return flush(l);
}

static void lay_begin(struct laying *l, const struct delta *d, const struct piece *p)
{
    for (size_t i = STREAM_LITERALS; i < STREAM_COUNT; i++)
        unpack_init(&l->streams[i], d->streams[i].bytes + p->parts[i].at, p->parts[i].size);
    l->left = p->info.target_size;
    l->next = 0;
    l->filled = 0;
    next_gap(l);
}

static struct alb_status rebuild_aligned(struct delta *d, const struct piece *p,
                                         const struct delta_reference *r,
                                         const struct delta_sink *sink)
{
    struct alb_status st = ALB_STATUS_OK;
    AUTO_FREE struct laying *l = try_alloc(sizeof *l);
    if (l == NULL)
        return alb_fail(ALB_FULL, "memory for a delta's piece");
    for (size_t i = STREAM_LITERALS; i < STREAM_COUNT; i++) {
        if (d->streams[i].bytes == NULL)
            st = expand(d, &d->streams[i]);
        if (alb_failed(st))
            return st;
    }
    lay_begin(l, d, p);
    l->reference = r;
    l->sink = sink;
    while (l->left > 0) {
        st = lay_run(l);
        if (alb_failed(st))
            return st;
    }
    return lay_end(l);
}

struct alb_status delta_rebuild(struct delta *d, size_t i, const struct delta_reference *reference,
                                const struct delta_sink *sink)
{
    alb_assert(i < d->pieces);
    const struct piece *p = &d->list[i];

    if (reference->size != p->info.reference_size)
        return alb_fail(ALB_CONFLICT,
                        "delta: the reference has another size than it was made from");
    switch (p->info.way) {
    case DELTA_PREFIX: return rebuild_prefix(d, p, reference, sink);
    case DELTA_ALIGNED: return rebuild_aligned(d, p, reference, sink);
    }
    alb_unreachable();
}
