/* SPDX-License-Identifier: Apache-2.0 */
/* wire/delta_index.c – a delta set's index: what each blob rebuilds, from which contents. */
#include "base/alloc.h"
#include "wire/delta_set.h"
#include "wire/fields.h"

static const char MAGIC[] = "ALBDIDX";
static const char *const UNKNOWN[FIELD_NUMBERS] = FIELD_TEXTS("delta index");

enum {
    INDEX_FORMAT = 1,
    MAGIC_SIZE = sizeof MAGIC - 1,
    LEAST_BLOB = 4,  /* bytes that spell one */
    LEAST_PIECE = 3, /* … its form, gap and length */
    SAME_TARGET = 1,
    SAME_REFERENCE = 2,
};
#define TARGET_MAX (UINT64_C(1) << 46) /* 64 TiB: no tree is larger */

/* ---- what must hold ---- */

static bool has_same_target(const struct delta_set_piece *before,
                            const struct delta_set_piece *piece)
{
    return before != NULL && digest_equal(&before->target, &piece->target);
}

static const char *fault_of_piece(const struct delta_set_piece *before,
                                  const struct delta_set_piece *p)
{
    if (p->target_size == 0 || p->target_size > TARGET_MAX || p->reference_size == 0)
        return "a delta index has an empty or absurdly large content";
    if (p->length == 0 || p->length > DELTA_SET_BLOB_TARGET_MAX || p->at > p->target_size ||
        p->length > p->target_size - p->at)
        return "a delta index has a window that is empty or beyond its content";
    if (has_same_target(before, p) &&
        (p->target_size != before->target_size || p->at < before->at + before->length))
        return "a delta index has windows of one content that overlap or do not ascend";
    if (digest_equal(&p->target, &p->reference))
        return "a delta index makes a content from itself";
    return NULL;
}

static const char *fault_of_blob(const struct delta_set_blob *b, const struct delta_set_piece *all)
{
    uint64_t sum = 0;

    if (b->size == 0 || b->size > DELTA_SET_BLOB_MAX)
        return "a delta index has a blob that is empty or larger than 10 MiB";
    if (b->memory == 0 || b->memory > DELTA_SET_MEMORY_MAX)
        return "a delta index has a blob that would take more than 48 MiB to apply";
    if (b->piece_count == 0 || b->piece_count > DELTA_SET_BLOB_PIECES_MAX)
        return "a delta index has a blob of no pieces, or of more than 4096";
    for (uint32_t i = b->first_piece; i < b->first_piece + b->piece_count; i++)
        sum += all[i].length;
    return sum <= DELTA_SET_BLOB_TARGET_MAX
               ? NULL
               : "a delta index has a blob that rebuilds more than 8 MiB";
}

static int by_target(const void *a, const void *b)
{
    const struct delta_set_piece *const *x = a, *const *y = b;

    return memcmp(&(*x)->target, &(*y)->target, sizeof(*x)->target);
}

/* Each content is named once: all its windows next to each other. */
static struct alb_status check_order(const struct delta_set_index *x)
{
    AUTO_FREE const struct delta_set_piece **firsts = NULL;
    size_t count = 0;

    firsts = try_alloc((x->piece_count + 1) * sizeof *firsts);
    if (firsts == NULL)
        return alb_fail(ALB_FULL, "no memory for a delta index");
    for (size_t i = 0; i < x->piece_count; i++)
        if (i == 0 || !has_same_target(&x->pieces[i - 1], &x->pieces[i]))
            firsts[count++] = &x->pieces[i];
    qsort(firsts, count, sizeof *firsts, by_target);
    for (size_t i = 1; i < count; i++)
        if (by_target(&firsts[i - 1], &firsts[i]) == 0)
            return alb_fail(ALB_CORRUPT, "a delta index names a content twice");
    return ALB_STATUS_OK;
}

/* Pieces and blobs are numbered; `x` is otherwise whatever somebody says. */
static struct alb_status check(const struct delta_set_index *x)
{
    const char *fault = NULL;

    for (size_t i = 0; i < x->blob_count && fault == NULL; i++)
        fault = fault_of_blob(&x->blobs[i], x->pieces);
    for (size_t i = 0; i < x->piece_count && fault == NULL; i++)
        fault = fault_of_piece(i == 0 ? NULL : &x->pieces[i - 1], &x->pieces[i]);
    if (fault != NULL)
        return (struct alb_status){ALB_CORRUPT, 0, fault};
    return check_order(x);
}

/* ---- writing ---- */

static void put_piece(struct pack *p, const struct delta_set_piece *before,
                      const struct delta_set_piece *piece)
{
    const bool is_same = has_same_target(before, piece);
    const bool has_reference =
        before != NULL && digest_equal(&before->reference, &piece->reference);

    pack_u8(p, (uint8_t)((is_same ? SAME_TARGET : 0) | (has_reference ? SAME_REFERENCE : 0)));
    if (!is_same) {
        pack_digest(p, &piece->target);
        pack_varint(p, piece->target_size);
    }
    if (!has_reference) {
        pack_digest(p, &piece->reference);
        pack_varint(p, piece->reference_size);
    }
    pack_varint(p, piece->at - (is_same ? before->at + before->length : 0));
    pack_varint(p, piece->length);
}

static struct alb_status check_made(const struct delta_set_index *x)
{
    size_t pieces = 0;

    if (x->piece_count == 0 || x->piece_count > DELTA_SET_PIECES_MAX)
        return alb_fail(ALB_INVALID, "a delta index has no piece, or more than a million");
    for (size_t i = 0; i < x->blob_count; i++) {
        if (x->blobs[i].first_piece != pieces)
            return alb_fail(ALB_INVALID, "a delta index has pieces of no blob");
        pieces += x->blobs[i].piece_count;
    }
    if (pieces != x->piece_count)
        return alb_fail(ALB_INVALID, "a delta index has pieces of no blob");
    for (size_t i = 1; i < x->piece_count; i++)
        if (digest_equal(&x->pieces[i - 1].reference, &x->pieces[i].reference) &&
            x->pieces[i - 1].reference_size != x->pieces[i].reference_size)
            return alb_fail(ALB_INVALID, "a delta index has two sizes of one reference");
    struct alb_status st = check(x);
    return st.code == ALB_CORRUPT ? (struct alb_status){ALB_INVALID, 0, st.what} : st;
}

struct alb_status delta_set_index_encode(const struct delta_set_index *x, struct buf *out)
{
    struct alb_status st = check_made(x);
    const struct delta_set_piece *before = NULL;
    struct pack p;

    if (alb_failed(st))
        return st;
    pack_init(&p, out);
    pack_bytes(&p, MAGIC, MAGIC_SIZE);
    pack_u8(&p, INDEX_FORMAT);
    pack_varint(&p, x->blob_count);
    pack_varint(&p, x->piece_count);
    for (size_t i = 0; i < x->blob_count; i++) {
        const struct delta_set_blob *b = &x->blobs[i];

        pack_varint(&p, DELTA_SET_CODEC);
        pack_varint(&p, b->size);
        pack_varint(&p, b->memory);
        pack_varint(&p, b->piece_count);
        for (uint32_t n = 0; n < b->piece_count; n++) {
            put_piece(&p, before, &x->pieces[b->first_piece + n]);
            before = &x->pieces[b->first_piece + n];
        }
    }
    return pack_finish(&p);
}

/* ---- reading ---- */

static void get_target(struct unpack *u, bool is_same, const struct delta_set_piece *before,
                       struct delta_set_piece *piece)
{
    if (is_same && before != NULL) {
        piece->target = before->target;
        piece->target_size = before->target_size;
        return;
    }
    unpack_digest(u, &piece->target);
    piece->target_size = unpack_varint(u);
    if (is_same || has_same_target(before, piece))
        unpack_fail(u, "a delta index spells a content in a way it may not");
}

static void get_reference(struct unpack *u, bool is_same, const struct delta_set_piece *before,
                          struct delta_set_piece *piece)
{
    if (is_same && before != NULL) {
        piece->reference = before->reference;
        piece->reference_size = before->reference_size;
        return;
    }
    unpack_digest(u, &piece->reference);
    piece->reference_size = (uint32_t)unpack_bounded(u, UINT32_MAX);
    if (is_same || (before != NULL && digest_equal(&before->reference, &piece->reference)))
        unpack_fail(u, "a delta index spells a reference in a way it may not");
}

static void get_piece(struct unpack *u, const struct delta_set_piece *before,
                      struct delta_set_piece *piece)
{
    const uint8_t form = unpack_u8(u);

    if ((form & ~(SAME_TARGET | SAME_REFERENCE)) != 0)
        unpack_fail(u, "a delta index has a piece of an unknown form");
    get_target(u, (form & SAME_TARGET) != 0, before, piece);
    get_reference(u, (form & SAME_REFERENCE) != 0, before, piece);
    piece->at = unpack_bounded(u, TARGET_MAX);
    if ((form & SAME_TARGET) != 0 && before != NULL)
        piece->at += before->at + before->length; /* both bounded: no overflow */
    piece->length = (uint32_t)unpack_bounded(u, DELTA_SET_BLOB_TARGET_MAX);
}

static void get_blob(struct unpack *u, struct delta_set_index *x, size_t i, size_t *pieces)
{
    struct delta_set_blob *b = &x->blobs[i];

    if (unpack_varint(u) != DELTA_SET_CODEC)
        unpack_fail(u, "a delta index has a blob of a codec that this program does not know");
    b->size = (uint32_t)unpack_bounded(u, DELTA_SET_BLOB_MAX);
    b->memory = (uint32_t)unpack_bounded(u, DELTA_SET_MEMORY_MAX);
    b->piece_count = (uint32_t)unpack_bounded(u, x->piece_count - *pieces);
    b->first_piece = (uint32_t)*pieces;
    b->offset = x->stream_bytes;
    x->stream_bytes += b->size;
    for (uint32_t n = 0; n < b->piece_count && u->error == NULL; n++) {
        struct delta_set_piece *piece = &x->pieces[*pieces];

        get_piece(u, *pieces == 0 ? NULL : piece - 1, piece);
        piece->blob = (uint32_t)i;
        x->target_bytes += piece->length;
        ++*pieces;
    }
}

static struct alb_status get_all(struct unpack *u, struct delta_set_index *x)
{
    uint64_t most = unpack_left(u) / LEAST_PIECE;
    size_t pieces = 0;

    x->blob_count = (size_t)unpack_bounded(u, unpack_left(u) / LEAST_BLOB);
    x->piece_count = (size_t)unpack_bounded(
        u, most < DELTA_SET_PIECES_MAX ? most : (uint64_t)DELTA_SET_PIECES_MAX);
    if (x->piece_count == 0)
        unpack_fail(u, "a delta index has no piece, or more than it has bytes for");
    struct alb_status st = unpack_check(u);
    if (alb_failed(st))
        return st;
    x->blobs = try_alloc((x->blob_count + 1) * sizeof *x->blobs);
    x->pieces = try_alloc(x->piece_count * sizeof *x->pieces);
    if (x->blobs == NULL || x->pieces == NULL)
        return alb_fail(ALB_FULL, "no memory for a delta index");
    for (size_t i = 0; i < x->blob_count && u->error == NULL; i++)
        get_blob(u, x, i, &pieces);
    if (pieces != x->piece_count)
        unpack_fail(u, "a delta index has another number of pieces than it says");
    return unpack_check(u);
}

struct alb_status delta_set_index_decode(const void *bytes, size_t size,
                                         struct delta_set_index *out)
{
    struct delta_set_index x = {.blob_count = 0};
    const uint8_t *magic;
    struct unpack u;

    if (size > DELTA_SET_INDEX_MAX)
        return alb_fail(ALB_CORRUPT, "a delta set's index is larger than 16 MiB");
    unpack_init(&u, bytes, size);
    magic = unpack_bytes(&u, MAGIC_SIZE);
    if (magic == NULL || memcmp(magic, MAGIC, MAGIC_SIZE) != 0)
        return alb_fail(ALB_CORRUPT, "these bytes are not a delta index");
    if (unpack_u8(&u) != INDEX_FORMAT)
        return alb_fail(ALB_CORRUPT, "delta index format is not known to this program");
    struct alb_status st = get_all(&u, &x);
    if (!alb_failed(st))
        st = fields_skip(&u, UNKNOWN);
    if (!alb_failed(st))
        st = check(&x);
    if (alb_failed(st))
        delta_set_index_release(&x);
    else
        *out = x;
    return st;
}

void delta_set_index_release(struct delta_set_index *x)
{
    free(x->blobs);
    free(x->pieces);
    *x = (struct delta_set_index){.blob_count = 0};
}
