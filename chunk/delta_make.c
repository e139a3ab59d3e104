/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/delta_make.c – each piece told both ways, the cheaper kept, and all put in a blob. */

#include "chunk/delta_impl.h"

#include <zstd.h>

#include "base/alloc.h"
#include "base/pack.h"
#include "chunk/delta_match.h"

const struct delta_terms delta_terms_plain = {.level = 3, .prefix_level = 3};
const struct delta_terms delta_terms_default = {.level = 12, .prefix_level = 3, .aligned = true};

enum {
    WORTH_PART = 8,     /* a delta must save 1/8 of what the piece costs otherwise …            */
    WORTH_BYTES = 64,   /* … and what its index entry costs                                     */
    HOPELESS_PART = 16, /* what zstd shrinks by less than 1/16 is compressed already            */
    TRIFLE = 160,       /* bytes; below there is nothing to gain by trying the other way        */
    LONG_FROM = 2 << 20, /* from so much reference on zstd looks for long matches by their own   */
};

struct delta_maker {
    struct delta_terms terms;
    ZSTD_CCtx *prefixer, *packer, *guesser;
    struct delta_match *match;
    struct buf streams[STREAM_COUNT]; /* of the pieces kept                 */
    struct buf trial[STREAM_COUNT];   /* of the piece under way, ALIGNED    */
    struct buf frames;                /* of the pieces kept                 */
    struct buf frame;                 /* of the piece under way, PREFIX     */
    struct buf guess;                 /* where a guess is compressed to     */
    size_t pieces, target, windows;   /* kept: how many, what they rebuild, what zstd refers to */

    /* the piece under way */
    const struct delta_piece *piece;
    size_t at, next; /* in the target; where in the reference the last run would go on */
    size_t alike;    /* bytes since the last that differed                             */
    size_t window_at, window_size;
};

static void level_set(ZSTD_CCtx *c, int level)
{
    size_t code = ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level);
    alb_assert(!ZSTD_isError(code));
}

struct delta_maker *delta_maker_new(const struct delta_terms *terms)
{
    struct delta_maker *m = xalloc(sizeof(*m));
    size_t limit = delta_raw_max(DELTA_PIECES_MAX, DELTA_TARGET_MAX);

    m->terms = *terms;
    m->prefixer = ZSTD_createCCtx();
    m->packer = ZSTD_createCCtx();
    m->guesser = ZSTD_createCCtx();
    alb_assert(m->prefixer != NULL && m->packer != NULL && m->guesser != NULL);
    level_set(m->prefixer, terms->prefix_level);
    level_set(m->packer, terms->level);
    level_set(m->guesser, 1);
    m->match = delta_match_new();
    for (size_t i = 0; i < STREAM_COUNT; i++) {
        buf_init(&m->streams[i], limit);
        buf_init(&m->trial[i], limit);
    }
    buf_init(&m->frames, DELTA_SIZE_MAX);
    buf_init(&m->frame, DELTA_SIZE_MAX);
    buf_init(&m->guess, 2 * limit);
    return m;
}

struct delta_maker *delta_maker_free(struct delta_maker *m)
{
    if (m == NULL)
        return NULL;
    ZSTD_freeCCtx(m->prefixer);
    ZSTD_freeCCtx(m->packer);
    ZSTD_freeCCtx(m->guesser);
    delta_match_free(m->match);
    for (size_t i = 0; i < STREAM_COUNT; i++) {
        buf_release(&m->streams[i]);
        buf_release(&m->trial[i]);
    }
    buf_release(&m->frames);
    buf_release(&m->frame);
    buf_release(&m->guess);
    free(m);
    return NULL;
}

bool delta_maker_has_room(const struct delta_maker *m, size_t target_size)
{
    return m->pieces < DELTA_PIECES_MAX && target_size <= DELTA_TARGET_MAX - m->target;
}

size_t delta_maker_pieces(const struct delta_maker *m)
{
    return m->pieces;
}

/* One frame of `from` at the end of `to`. */
static struct alb_status compress(ZSTD_CCtx *c, const void *from, size_t size, struct buf *to)
{
    size_t bound = ZSTD_compressBound(size);
    uint8_t *room;
    struct alb_status st = buf_reserve(to, bound, &room);
    if (alb_failed(st))
        return st;
    size_t made = ZSTD_compress2(c, room, bound, from, size);
    if (ZSTD_isError(made)) /* the room is enough, so only its own memory can be missing */
        return alb_fail(ALB_FULL, "compressing a delta");
    buf_commit(to, made);
    return ALB_STATUS_OK;
}

/* ---- PREFIX ---- */

/* The part of the reference that zstd sees: all of it, or what lies about the same place. */
static void window_choose(struct delta_maker *m)
{
    const struct delta_piece *p = m->piece;

    m->window_at = 0;
    m->window_size = p->reference_size;
    if (p->reference_size <= DELTA_PREFIX_MAX)
        return;
    m->window_size = DELTA_PREFIX_MAX;
    size_t before = (DELTA_PREFIX_MAX - p->target_size) / 2,
           last = p->reference_size - m->window_size;
    if (p->at > before)
        m->window_at = p->at - before < last ? (size_t)p->at - before : last;
}

/* Leaves the frame, empty when the piece cannot be told this way. */
static struct alb_status try_prefix(struct delta_maker *m)
{
    const struct delta_piece *p = m->piece;
    int window_log = 10;

    buf_clear(&m->frame);
    if (m->terms.prefix_level == 0)
        return ALB_STATUS_OK;
    window_choose(m);
    if (m->window_size > DELTA_WINDOWS_MAX - m->windows)
        return ALB_STATUS_OK;
    while ((size_t)1 << window_log < m->window_size + p->target_size)
        window_log++;
    size_t bad = ZSTD_CCtx_setParameter(m->prefixer, ZSTD_c_windowLog, window_log);
    alb_assert(!ZSTD_isError(bad));
    bad = ZSTD_CCtx_setParameter(m->prefixer, ZSTD_c_enableLongDistanceMatching,
                                 m->window_size >= LONG_FROM);
    alb_assert(!ZSTD_isError(bad));
    bad = ZSTD_CCtx_refPrefix(m->prefixer, p->reference + m->window_at, m->window_size);
    if (ZSTD_isError(bad))
        return alb_fail(ALB_FULL, "a delta's reference for zstd");
    return compress(m->prefixer, p->target, p->target_size, &m->frame);
}

/* ---- ALIGNED ---- */

/* What differs between `length` bytes of the target and the reference, as gaps and values. */
static struct alb_status tell_differences(struct delta_maker *m, const uint8_t *target,
                                          const uint8_t *reference, size_t length)
{
    struct pack gaps, values;

    pack_init(&gaps, &m->trial[STREAM_GAPS]);
    pack_init(&values, &m->trial[STREAM_VALUES]);
    for (size_t i = 0; i < length; i++) {
        uint64_t a = 0, b = 0;
        if (length - i >= sizeof a) {
            memcpy(&a, target + i, sizeof a);
            memcpy(&b, reference + i, sizeof b);
            if (a == b) {
                m->alike += sizeof a;
                i += sizeof a - 1;
                continue;
            }
        }
        if (target[i] == reference[i]) {
            m->alike++;
            continue;
        }
        pack_varint(&gaps, m->alike);
        pack_u8(&values, (uint8_t)(target[i] - reference[i]));
        m->alike = 0;
    }
    struct alb_status st = pack_finish(&gaps);
    return alb_failed(st) ? st : pack_finish(&values);
}

static struct alb_status on_run(void *arg, const struct delta_run *run)
{
    struct delta_maker *m = arg;
    const struct delta_piece *p = m->piece;
    struct pack literals, lengths, seeks;

    pack_init(&literals, &m->trial[STREAM_LITERALS]);
    pack_init(&lengths, &m->trial[STREAM_LENGTHS]);
    pack_init(&seeks, &m->trial[STREAM_SEEKS]);
    pack_varint(&literals, run->literals);
    pack_varint(&lengths, run->length);
    struct alb_status st = buf_append(&m->trial[STREAM_NEW], p->target + m->at, run->literals);
    m->at += run->literals;
    if (run->length > 0) {
        pack_zigzag(&seeks, (int64_t)run->from - (int64_t)(m->next + run->literals));
        if (!alb_failed(st))
            st = tell_differences(m, p->target + m->at, p->reference + run->from, run->length);
        m->at += run->length;
        m->next = run->from + run->length;
    }
    if (!alb_failed(st))
        st = pack_finish(&literals);
    if (!alb_failed(st))
        st = pack_finish(&lengths);
    return alb_failed(st) ? st : pack_finish(&seeks);
}

/* About what the trial costs in a blob, by compressing it in haste. */
static struct alb_status guess_cost(struct delta_maker *m, size_t *cost)
{
    enum { BARE = 64 }; /* what is shorter costs about itself among the others' */
    size_t sum = 0;

    for (size_t i = STREAM_LITERALS; i < STREAM_COUNT; i++) {
        size_t size = buf_size(&m->trial[i]);
        if (size <= BARE) {
            sum += size;
            continue;
        }
        buf_clear(&m->guess);
        struct alb_status st = compress(m->guesser, buf_peek(&m->trial[i]), size, &m->guess);
        if (alb_failed(st))
            return st;
        sum += buf_size(&m->guess);
    }
    *cost = sum;
    return ALB_STATUS_OK;
}

/* Leaves the trial's streams and about their cost; SIZE_MAX when it cannot be told this way. */
static struct alb_status try_aligned(struct delta_maker *m, size_t *cost)
{
    const struct delta_piece *p = m->piece;
    size_t raw = 0;

    for (size_t i = 0; i < STREAM_COUNT; i++)
        buf_clear(&m->trial[i]);
    m->at = m->next = m->alike = 0;
    struct alb_status st = delta_match_refer(m->match, p->reference, p->reference_size);
    if (alb_failed(st))
        return st;
    struct delta_runs runs = {on_run, m};
    size_t at = p->at < p->reference_size ? (size_t)p->at : SIZE_MAX;
    st = delta_match_find(m->match, p->target, p->target_size, at, &runs);
    if (alb_failed(st))
        return st;
    alb_assert(m->at == p->target_size);
    for (size_t i = 0; i < STREAM_COUNT; i++)
        raw += buf_size(&m->trial[i]);
    if (raw > delta_raw_max(0, p->target_size)) {
        *cost = SIZE_MAX;
        return ALB_STATUS_OK;
    }
    return guess_cost(m, cost);
}

/* ---- the choice ---- */

static bool is_worth(size_t cost, size_t worth)
{
    return cost + WORTH_BYTES <= worth - worth / WORTH_PART;
}

/* The piece's line in the directory: what it is, and how much of each stream is its own. */
static struct alb_status enter(struct delta_maker *m, enum delta_way way)
{
    const struct delta_piece *p = m->piece;
    struct pack d;

    pack_init(&d, &m->streams[STREAM_DIRECTORY]);
    pack_u8(&d, (uint8_t)way);
    pack_varint(&d, p->target_size);
    pack_varint(&d, p->reference_size);
    if (way == DELTA_PREFIX) {
        pack_varint(&d, m->window_at);
        pack_varint(&d, m->window_size);
        pack_varint(&d, buf_size(&m->frame));
    }
    if (way == DELTA_ALIGNED)
        for (size_t i = STREAM_LITERALS; i < STREAM_COUNT; i++)
            pack_varint(&d, buf_size(&m->trial[i]));
    return pack_finish(&d);
}

static struct alb_status keep(struct delta_maker *m, enum delta_way way)
{
    struct alb_status st = ALB_STATUS_OK;

    if (way == DELTA_PREFIX)
        st = buf_append(&m->frames, buf_peek(&m->frame), buf_size(&m->frame));
    for (size_t i = STREAM_LITERALS; way == DELTA_ALIGNED && i < STREAM_COUNT; i++)
        if (!alb_failed(st))
            st = buf_append(&m->streams[i], buf_peek(&m->trial[i]), buf_size(&m->trial[i]));
    if (!alb_failed(st))
        st = enter(m, way);
    if (alb_failed(st))
        return st;
    m->pieces++;
    m->target += m->piece->target_size;
    m->windows += way == DELTA_PREFIX ? m->window_size : 0;
    return ALB_STATUS_OK;
}

/* Try what the terms allow; *cost is SIZE_MAX when nothing can tell the piece. */
static struct alb_status choose(struct delta_maker *m, enum delta_way *way, size_t *cost)
{
    size_t size = m->piece->target_size;
    struct alb_status st = try_prefix(m);
    if (alb_failed(st))
        return st;
    *way = DELTA_PREFIX;
    *cost = buf_size(&m->frame) == 0 ? SIZE_MAX : buf_size(&m->frame);
    if (!m->terms.aligned || *cost <= TRIFLE)
        return st;
    if (*cost != SIZE_MAX && *cost >= size - size / HOPELESS_PART)
        return st;
    size_t aligned;
    st = try_aligned(m, &aligned);
    if (!alb_failed(st) && aligned < *cost) {
        *way = DELTA_ALIGNED;
        *cost = aligned;
    }
    return st;
}

/* After a failure half-way through keep() the streams hold a part that no directory line names. */
static void forget_part(struct delta_maker *m, const size_t sizes[STREAM_COUNT], size_t frames)
{
    for (size_t i = 0; i < STREAM_COUNT; i++)
        m->streams[i].tail = m->streams[i].head + sizes[i];
    m->frames.tail = m->frames.head + frames;
}

struct alb_status delta_maker_add(struct delta_maker *m, const struct delta_piece *piece,
                                  size_t worth, struct delta_made *made)
{
    enum { LINE = 8 }; /* bytes of a directory's line, about, compressed */
    size_t sizes[STREAM_COUNT], frames = buf_size(&m->frames), cost;
    enum delta_way way;

    if (piece->target_size == 0 || piece->target_size > DELTA_TARGET_MAX ||
        piece->reference_size == 0 || piece->reference_size > UINT32_MAX)
        return alb_fail(ALB_INVALID, "a delta's piece: its size, or its reference's");
    if (!delta_maker_has_room(m, piece->target_size))
        return alb_fail(ALB_INVALID, "a delta's piece: there is no room in this blob");
    m->piece = piece;
    if (piece->at == 0) /* another file: its reference may lie where the last one's did */
        delta_match_forget(m->match);
    struct alb_status st = choose(m, &way, &cost);
    if (alb_failed(st))
        return st;
    *made = (struct delta_made){.way = way, .cost = cost};
    if (cost >= piece->target_size || !is_worth(cost + LINE, worth))
        return ALB_STATUS_OK;
    for (size_t i = 0; i < STREAM_COUNT; i++)
        sizes[i] = buf_size(&m->streams[i]);
    st = keep(m, way);
    if (alb_failed(st)) {
        forget_part(m, sizes, frames);
        return st;
    }
    made->is_kept = true;
    return ALB_STATUS_OK;
}

/* ---- the blob ---- */

/* Head, sizes, streams, frames; what is there already is in front of it. */
static struct alb_status write_blob(struct delta_maker *m, struct buf *packed, struct buf *out)
{
    size_t stored[STREAM_COUNT];
    struct pack head;

    for (size_t i = 0; i < STREAM_COUNT; i++) {
        size_t before = buf_size(packed), raw = buf_size(&m->streams[i]);
        struct alb_status st = ALB_STATUS_OK;
        if (raw > 0)
            st = compress(m->packer, buf_peek(&m->streams[i]), raw, packed);
        if (alb_failed(st))
            return st;
        stored[i] = buf_size(packed) - before;
    }
    pack_init(&head, out);
    pack_bytes(&head, DELTA_MAGIC, sizeof DELTA_MAGIC - 1);
    pack_u8(&head, DELTA_VERSION);
    pack_varint(&head, m->pieces);
    pack_varint(&head, m->target);
    for (size_t i = 0; i < STREAM_COUNT; i++) {
        pack_varint(&head, buf_size(&m->streams[i]));
        pack_varint(&head, stored[i]);
    }
    pack_bytes(&head, buf_peek(packed), buf_size(packed));
    pack_bytes(&head, buf_peek(&m->frames), buf_size(&m->frames));
    return pack_finish(&head);
}

struct alb_status delta_maker_finish(struct delta_maker *m, struct buf *out)
{
    struct alb_status st = alb_fail(ALB_INVALID, "a delta of no pieces");

    if (m->pieces > 0) {
        buf_clear(&m->guess);
        st = write_blob(m, &m->guess, out);
    }
    for (size_t i = 0; i < STREAM_COUNT; i++)
        buf_clear(&m->streams[i]);
    buf_clear(&m->frames);
    m->pieces = m->target = m->windows = 0;
    return st;
}
