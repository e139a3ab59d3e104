/* SPDX-License-Identifier: Apache-2.0 */
/* hub/delta_build.c – one delta set in the making, a blob at a time. */
#include "hub/delta_build.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include "chunk/codec.h"
#include "chunk/cut.h"
#include "chunk/delta.h"
#include "hub/delta_plan.h"

enum {
    STEP_BYTES = 16 << 20,  /* of targets that a step looks at */
    STREAM_MOST = 16 << 20, /* a blob, and what was too little to be cut */
    CHUNKS_AT_ONCE = 64,    /* of a put */
};

struct reference {
    const struct manifest_entry *file;
    struct buf bytes;
};

/* Chunks cut from a stream, and their keys in order. */
struct cut_list {
    struct root_chunk *chunks; /* owned */
    size_t count, capacity;
    uint64_t raw_bytes, stored_bytes;
};

struct delta_build {
    struct chunk_store *store;
    struct digest from, to;
    struct delta_source *source;
    struct delta_plan plan;
    bool is_planned, is_over;
    size_t target; /* at work on */
    uint64_t at;   /* … from here */
    struct codec *codec;
    struct delta_maker *maker;
    struct reference *references; /* owned: those of the blob being made */
    size_t reference_count;
    uint64_t reference_bytes, covered_worth;
    struct delta_set_index index;
    size_t blob_first; /* the first piece of the blob being made */
    struct buf stream; /* blobs not yet cut */
    struct cut_list stream_cuts, index_cuts;
    struct chunk **pending; /* owned: cut and not yet kept */
    size_t pending_count;
    struct delta_built built;
};

struct delta_build *delta_build_new(struct chunk_store *store, const struct digest *from,
                                    const struct digest *to)
{
    struct delta_build *b = xalloc(sizeof *b);

    b->store = store;
    b->from = *from;
    b->to = *to;
    b->source = delta_source_new(store);
    b->codec = codec_new();
    b->maker = delta_maker_new(&delta_terms_default);
    buf_init(&b->stream, STREAM_MOST);
    map_init(&b->plan.chunks);
    return b;
}

static void drop_references(struct delta_build *b)
{
    for (size_t i = 0; i < b->reference_count; i++)
        buf_release(&b->references[i].bytes);
    b->reference_count = 0;
    b->reference_bytes = 0;
}

struct delta_build *delta_build_free(struct delta_build *b)
{
    if (b == NULL)
        return NULL;
    delta_maker_free(b->maker);
    drop_references(b);
    free(b->references);
    delta_plan_release(&b->plan);
    delta_source_free(b->source);
    codec_free(b->codec);
    delta_set_index_release(&b->index);
    buf_release(&b->stream);
    free(b->stream_cuts.chunks);
    free(b->index_cuts.chunks);
    for (size_t i = 0; i < b->pending_count; i++)
        chunk_unref(b->pending[i]);
    free(b->pending);
    free(b);
    return NULL;
}

/* ---- chunks ---- */

static struct alb_status add_chunk(struct delta_build *b, const void *raw, size_t size,
                                   struct root_chunk *out)
{
    struct buf stored;

    buf_init(&stored, CHUNK_STORED_MAX);
    *out = (struct root_chunk){.key = {.kind = KEY_PLAIN}, .raw_bytes = (uint32_t)size};
    sha256(raw, size, &out->key.digest);
    struct alb_status st = codec_compress(b->codec, raw, size, &stored);
    if (!alb_failed(st)) {
        struct chunk *c = chunk_copy(&out->key, buf_peek(&stored), buf_size(&stored));
        if (c == NULL)
            st = alb_fail(ALB_FULL, "no memory for a chunk of a delta set");
        out->stored_bytes = (uint32_t)buf_size(&stored);
        if (c != NULL) {
            b->pending = xrealloc(b->pending, (b->pending_count + 1) * sizeof *b->pending);
            b->pending[b->pending_count++] = c;
        }
    }
    buf_release(&stored);
    return st;
}

/* Cut what can be cut off the front of `stream`; at the end all of it. */
static struct alb_status cut_stream(struct delta_build *b, const struct cut_params *params,
                                    struct buf *stream, bool is_last, struct cut_list *l)
{
    struct alb_status st = ALB_STATUS_OK;
    struct cutter cutter;

    cutter_init(&cutter, params);
    while (!alb_failed(st) && buf_size(stream) > 0 &&
           (is_last || buf_size(stream) >= params->max)) {
        const size_t size = cutter_next(&cutter, buf_peek(stream), buf_size(stream));

        if (l->count == l->capacity) {
            l->capacity = l->capacity == 0 ? 64 : 2 * l->capacity;
            l->chunks = xrealloc(l->chunks, l->capacity * sizeof *l->chunks);
        }
        st = add_chunk(b, buf_peek(stream), size, &l->chunks[l->count]);
        l->raw_bytes += size;
        l->stored_bytes += l->chunks[l->count++].stored_bytes;
        buf_consume(stream, size);
    }
    return st;
}

struct alb_status delta_build_keep(struct delta_build *b)
{
    size_t kept = 0;

    while (kept < b->pending_count) {
        const size_t left = b->pending_count - kept;
        const size_t some = left < CHUNKS_AT_ONCE ? left : CHUNKS_AT_ONCE;
        struct alb_status st = chunk_store_put_many(b->store, b->pending + kept, some, NULL);

        if (st.code == ALB_UNKNOWN)
            continue; /* put is idempotent */
        if (alb_failed(st))
            return st;
        kept += some;
    }
    for (size_t i = 0; i < b->pending_count; i++)
        chunk_unref(b->pending[i]);
    b->pending_count = 0;
    return ALB_STATUS_OK;
}

/* ---- blobs ---- */

static struct alb_status finish_blob(struct delta_build *b)
{
    const size_t pieces = b->index.piece_count - b->blob_first, before = buf_size(&b->stream);

    if (pieces == 0)
        return ALB_STATUS_OK;
    struct alb_status st = delta_maker_finish(b->maker, &b->stream);
    if (alb_failed(st))
        return st;
    b->index.blobs = xrealloc(b->index.blobs, (b->index.blob_count + 1) * sizeof *b->index.blobs);
    b->index.blobs[b->index.blob_count++] =
        (struct delta_set_blob){.offset = b->index.stream_bytes,
                                .size = (uint32_t)(buf_size(&b->stream) - before),
                                .memory = DELTA_MEMORY_MAX,
                                .first_piece = (uint32_t)b->blob_first,
                                .piece_count = (uint32_t)pieces};
    b->index.stream_bytes += buf_size(&b->stream) - before;
    b->blob_first = b->index.piece_count;
    if (b->at == 0) /* else the same file goes on, beside the same references */
        drop_references(b);
    return cut_stream(b, &cut_content, &b->stream, false, &b->stream_cuts);
}

/* The maker knows references by where they lie until it has finished, even those of pieces that
 * were tried in vain. */
static struct alb_status forget_references(struct delta_build *b)
{
    struct alb_status st = finish_blob(b);

    if (!alb_failed(st) && delta_maker_pieces(b->maker) == 0)
        alb_ignore(delta_maker_finish(b->maker, &b->stream), "it is empty: only forgets");
    drop_references(b);
    return st;
}

/* The whole of an old file, in memory until its blob is finished. */
static struct alb_status open_reference(struct delta_build *b, const struct manifest_entry *file,
                                        const struct buf **out)
{
    for (size_t i = 0; i < b->reference_count; i++) {
        if (digest_equal(&b->references[i].file->content, &file->content)) {
            *out = &b->references[i].bytes;
            return ALB_STATUS_OK;
        }
    }
    if (b->reference_bytes + file->size > DELTA_REFERENCES_MAX) {
        struct alb_status full = forget_references(b);
        if (alb_failed(full))
            return full;
    }
    b->references = xrealloc(b->references, (b->reference_count + 1) * sizeof *b->references);
    struct reference *r = &b->references[b->reference_count++];
    r->file = file;
    buf_init(&r->bytes, file->size);
    b->reference_bytes += file->size;
    struct alb_status st = delta_source_read(b->source, file, 0, file->size, &r->bytes);
    *out = &r->bytes;
    return st;
}

static void note_piece(struct delta_build *b, const struct manifest_entry *target, uint64_t at,
                       size_t length, const struct manifest_entry *reference)
{
    struct delta_set_index *x = &b->index;

    if ((x->piece_count & (x->piece_count - 1)) == 0) /* doubled at each power of two */
        x->pieces = xrealloc(x->pieces, (2 * x->piece_count + 1) * sizeof *x->pieces);
    x->pieces[x->piece_count++] =
        (struct delta_set_piece){.target = target->content,
                                 .target_size = target->size,
                                 .at = at,
                                 .length = (uint32_t)length,
                                 .reference_size = (uint32_t)reference->size,
                                 .reference = reference->content,
                                 .blob = (uint32_t)x->blob_count};
    x->target_bytes += length;
}

static struct alb_status try_reference(struct delta_build *b, const struct manifest_entry *target,
                                       const struct buf *bytes,
                                       const struct manifest_entry *reference, size_t worth,
                                       bool *is_kept)
{
    const struct buf *old = NULL;
    struct delta_made made = {.is_kept = false};
    struct alb_status st = open_reference(b, reference, &old);

    if (alb_failed(st))
        return st;
    const struct delta_piece piece = {.target = buf_peek(bytes),
                                      .target_size = buf_size(bytes),
                                      .at = b->at,
                                      .reference = buf_peek(old),
                                      .reference_size = buf_size(old)};
    st = delta_maker_add(b->maker, &piece, worth, &made);
    *is_kept = !alb_failed(st) && made.is_kept;
    if (*is_kept) {
        note_piece(b, target, b->at, buf_size(bytes), reference);
        b->covered_worth += worth;
    }
    return st;
}

/* The next window of the target at work on: the best predecessor first, then the next one. */
static struct alb_status make_window(struct delta_build *b, const struct delta_target *t,
                                     size_t length)
{
    const size_t worth = (size_t)delta_plan_worth(&b->plan, t->file, b->at, length);
    struct alb_status st = ALB_STATUS_OK;
    bool is_kept = false;
    struct buf bytes;

    if (worth == 0 || t->candidate_count == 0 || b->index.piece_count == DELTA_SET_PIECES_MAX)
        return st;
    if (!delta_maker_has_room(b->maker, length))
        st = finish_blob(b);
    buf_init(&bytes, length);
    if (!alb_failed(st))
        st = delta_source_read(b->source, t->file, b->at, length, &bytes);
    for (size_t i = 0; i < t->candidate_count && !is_kept && !alb_failed(st); i++)
        if (t->candidates[i]->size <= DELTA_REFERENCE_MAX)
            st = try_reference(b, t->file, &bytes, t->candidates[i], worth, &is_kept);
    buf_release(&bytes);
    return st;
}

static struct alb_status make_some(struct delta_build *b)
{
    const size_t blobs = b->index.blob_count;
    struct alb_status st = ALB_STATUS_OK;
    uint64_t done = 0;

    while (!alb_failed(st) && b->target < b->plan.target_count && done < STEP_BYTES &&
           b->index.blob_count == blobs) {
        const struct delta_target *t = &b->plan.targets[b->target];
        const uint64_t left = t->file->size - b->at;
        const size_t length = (size_t)(left < DELTA_TARGET_MAX ? left : DELTA_TARGET_MAX);

        st = make_window(b, t, length);
        done += t->candidate_count == 0 ? 1 : length;
        b->at += length;
        if (b->at == t->file->size) {
            b->at = 0;
            b->target++;
        }
    }
    return st;
}

/* ---- the end ---- */

static struct alb_status put_index(struct delta_build *b)
{
    struct buf bytes;

    buf_init(&bytes, DELTA_SET_INDEX_MAX);
    struct alb_status st = delta_set_index_encode(&b->index, &bytes);
    if (!alb_failed(st))
        st = cut_stream(b, &cut_content, &bytes, true, &b->index_cuts);
    buf_release(&bytes);
    return st;
}

static struct alb_status put_root(struct delta_build *b)
{
    const size_t count = b->index_cuts.count + b->stream_cuts.count;
    AUTO_FREE struct root_chunk *chunks = xcalloc(count + 1, sizeof *chunks);
    const struct delta_set_root root = {.from = b->from,
                                        .to = b->to,
                                        .target_bytes = b->index.target_bytes,
                                        .index_bytes = b->index_cuts.raw_bytes,
                                        .stream_bytes = b->stream_cuts.raw_bytes,
                                        .chunks = chunks,
                                        .index_count = b->index_cuts.count,
                                        .stream_count = b->stream_cuts.count};
    struct root_chunk own;
    struct buf bytes;

    for (size_t i = 0; i < count; i++)
        chunks[i] = i < b->index_cuts.count ? b->index_cuts.chunks[i]
                                            : b->stream_cuts.chunks[i - b->index_cuts.count];
    buf_init(&bytes, ROOT_OBJECT_MAX);
    struct alb_status st = delta_set_root_encode(&root, &bytes);
    if (!alb_failed(st))
        st = add_chunk(b, buf_peek(&bytes), buf_size(&bytes), &own);
    if (!alb_failed(st)) {
        b->built.set = own.key.digest;
        b->built.root_bytes = own.raw_bytes;
        b->built.bytes =
            own.stored_bytes + b->index_cuts.stored_bytes + b->stream_cuts.stored_bytes;
    }
    buf_release(&bytes);
    return st;
}

static struct alb_status finish(struct delta_build *b)
{
    struct delta_built *r = &b->built;
    struct alb_status st = finish_blob(b);

    b->is_over = true;
    r->chunk_bytes = b->plan.worth;
    r->rest_bytes = b->plan.worth - b->covered_worth;
    r->target_bytes = b->index.target_bytes;
    r->pieces = b->index.piece_count;
    r->blobs = b->index.blob_count;
    if (alb_failed(st) || b->index.piece_count == 0)
        return st;
    st = cut_stream(b, &cut_content, &b->stream, true, &b->stream_cuts);
    if (!alb_failed(st))
        st = put_index(b);
    if (!alb_failed(st))
        st = put_root(b);
    r->is_worth_it = !alb_failed(st) && (r->bytes + r->rest_bytes) * 100 <=
                                            r->chunk_bytes * (100 - DELTA_SAVES_PERCENT);
    return st;
}

struct alb_status delta_build_step(struct delta_build *b)
{
    if (!b->is_planned) {
        struct alb_status st = delta_plan_make(b->source, &b->from, &b->to, &b->plan);
        b->is_planned = !alb_failed(st);
        return st;
    }
    return b->target < b->plan.target_count ? make_some(b) : finish(b);
}

bool delta_build_is_over(const struct delta_build *b)
{
    return b->is_over && b->pending_count == 0;
}

void delta_build_result(const struct delta_build *b, struct delta_built *out)
{
    *out = b->built;
}
