/* SPDX-License-Identifier: Apache-2.0 */
/* sim/cast_version.c – half-compressible files of about a megabyte, cut like real ones. */
#include "sim/cast_version.h"

#include <stdio.h>

#include "base/alloc.h"
#include "chunk/codec.h"
#include "chunk/cut.h"
#include "support/gen.h"
#include "wire/manifest.h"

enum { FILE_BYTES = 1 << 20, MANIFEST_MAX = 64 << 20 };

struct maker {
    struct cast_version *v;
    struct codec *codec;
    struct chunk **manifest, **content;
    size_t manifest_count, content_count;
    struct root root;
};

static void must(struct alb_status st)
{
    alb_assert(!alb_failed(st));
}

void cast_key(uint64_t seed, struct sign_secret *secret, struct sign_public *pub)
{
    struct digest d;

    sha256(&seed, sizeof seed, &d);
    memcpy(secret->seed, d.bytes, sizeof secret->seed);
    sign_public_of(secret, pub);
}

static struct chunk *make_chunk(struct maker *m, const void *raw, size_t size)
{
    struct chunk_key key = {.kind = KEY_PLAIN};
    struct buf stored;

    sha256(raw, size, &key.digest);
    buf_init(&stored, CHUNK_STORED_MAX);
    must(codec_compress(m->codec, raw, size, &stored));
    struct chunk *chunk = chunk_copy(&key, buf_peek(&stored), buf_size(&stored));
    alb_assert(chunk != NULL);
    m->v->stored_bytes += chunk->size;
    buf_release(&stored);
    return chunk;
}

static void add_chunk(struct chunk ***list, size_t *count, struct chunk *chunk)
{
    *list = xrealloc(*list, (*count + 1) * sizeof **list);
    (*list)[(*count)++] = chunk;
}

/* Random bytes, every second 64 of them a repetition: zstd halves it. */
static void fill(struct gen *g, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (i / 64) % 2 == 1 ? bytes[i - 64] : (uint8_t)gen_u64(g);
}

static void add_file(struct maker *m, struct manifest_writer *w, struct gen *g, size_t number,
                     size_t size)
{
    AUTO_FREE uint8_t *bytes = xalloc(size);
    struct slice slices[FILE_BYTES / 65536 + 2];
    struct manifest_entry entry = {
        .type = ENTRY_FILE, .mode = 0644, .mtime_s = 1700000000, .size = size, .slices = slices};
    struct cutter cutter;
    char path[32];

    fill(g, bytes, size);
    sha256(bytes, size, &entry.content);
    cutter_init(&cutter, &cut_content);
    for (size_t at = 0; at < size;) {
        size_t n = cutter_next(&cutter, bytes + at, size - at);
        struct chunk *chunk = make_chunk(m, bytes + at, n);
        slices[entry.slice_count++] = (struct slice){.key = chunk->key, .length = (uint32_t)n};
        m->root.content_raw_bytes += n;
        add_chunk(&m->content, &m->content_count, chunk);
        at += n;
    }
    snprintf(path, sizeof path, "file-%06zu", number);
    entry.path = path;
    must(manifest_add(w, &entry));
    m->root.content_bytes += size;
    m->root.entries++;
}

static void cut_stream(struct maker *m, const struct buf *stream)
{
    const uint8_t *bytes = buf_peek(stream);
    size_t size = buf_size(stream);
    struct cutter cutter;

    cutter_init(&cutter, &cut_manifest);
    for (size_t at = 0; at < size;) {
        size_t n = cutter_next(&cutter, bytes + at, size - at);
        add_chunk(&m->manifest, &m->manifest_count, make_chunk(m, bytes + at, n));
        m->root.chunks = xrealloc(m->root.chunks, m->manifest_count * sizeof *m->root.chunks);
        m->root.chunks[m->manifest_count - 1] =
            (struct root_chunk){.key = m->manifest[m->manifest_count - 1]->key,
                                .raw_bytes = (uint32_t)n,
                                .stored_bytes = m->manifest[m->manifest_count - 1]->size};
        at += n;
    }
    m->root.chunk_count = m->manifest_count;
    m->root.manifest_bytes = size;
}

static void make_manifest(struct maker *m, const struct cast_order *order)
{
    const struct manifest_params params = {cut_content.min, cut_content.average, cut_content.max};
    const struct manifest_entry top = {.path = "", .type = ENTRY_DIRECTORY, .mode = 0755};
    struct manifest_writer w;
    struct gen g;
    struct buf stream;

    gen_init(&g, order->seed);
    must(manifest_begin(&w, &params, &top));
    m->root.entries = 1;
    for (uint64_t done = 0, n = 0; done < order->size; done += FILE_BYTES, n++) {
        uint64_t left = order->size - done;
        add_file(m, &w, &g, n, left < FILE_BYTES ? (size_t)left : FILE_BYTES);
    }
    buf_init(&stream, MANIFEST_MAX);
    must(manifest_finish(&w, &stream));
    manifest_writer_release(&w);
    m->root.content_chunks = m->content_count; /* seeded bytes: no two chunks are alike */
    cut_stream(m, &stream);
    buf_release(&stream);
}

static void sign_record(struct maker *m, const struct cast_order *order, const struct buf *object)
{
    struct version_record *r = &m->v->record;

    snprintf(r->org, sizeof r->org, "%s", order->org);
    snprintf(r->layer, sizeof r->layer, "%s", order->layer);
    snprintf(r->version, sizeof r->version, "%lu", (unsigned long)order->sequence);
    r->sequence = order->sequence;
    sha256(buf_peek(object), buf_size(object), &r->root);
    r->root_bytes = buf_size(object);
    r->content_bytes = m->root.content_bytes;
    r->entries = m->root.entries;
    r->made_wall_s = order->wall_s;
    sign_public_of(order->publisher, &r->publisher);
    buf_init(&m->v->record_bytes, 1 << 20);
    must(record_encode(r, order->publisher, &m->v->record_bytes));
}

void cast_version_make(const struct cast_order *order, struct cast_version *out)
{
    struct maker m = {.v = out, .codec = codec_new()};
    struct buf object;

    *out = (struct cast_version){0};
    make_manifest(&m, order);
    buf_init(&object, ROOT_OBJECT_MAX);
    must(root_encode(&m.root, &object));
    add_chunk(&out->chunks, &out->count, make_chunk(&m, buf_peek(&object), buf_size(&object)));
    for (size_t i = 0; i < m.manifest_count; i++)
        add_chunk(&out->chunks, &out->count, m.manifest[i]);
    for (size_t i = 0; i < m.content_count; i++)
        add_chunk(&out->chunks, &out->count, m.content[i]);
    sign_record(&m, order, &object);
    buf_release(&object);
    root_release(&m.root);
    free(m.manifest);
    free(m.content);
    codec_free(m.codec);
}

void cast_version_release(struct cast_version *v)
{
    for (size_t i = 0; i < v->count; i++)
        chunk_unref(v->chunks[i]);
    free(v->chunks);
    buf_release(&v->record_bytes);
}
