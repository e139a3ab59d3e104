/* SPDX-License-Identifier: Apache-2.0 */
/* support/hub_crate.h – a layer version as a publisher holds it,
 * and how it goes to a staged hub. */
#pragma once

#include "chunk/codec.h"
#include "support/gen.h"
#include "support/hub_stage.h"
#include "wire/batch.h"
#include "wire/manifest.h"

enum { CRATE_FILES = 40 };

/* A tree of whole-chunk files, and all that a publisher makes of it. */
struct crate {
    struct root root;
    struct buf object; /* the root object */
    struct chunk *manifest;
    struct chunk *files[CRATE_FILES]; /* list C */
    size_t file_count;
    struct version_record record;
};

static inline struct chunk *crate_chunk(struct codec *codec, const void *raw, size_t size)
{
    struct chunk_key key = {.kind = KEY_PLAIN};
    struct buf stored;

    sha256(raw, size, &key.digest);
    buf_init(&stored, CHUNK_STORED_MAX);
    must(codec_compress(codec, raw, size, &stored));
    struct chunk *chunk = chunk_copy(&key, buf_peek(&stored), buf_size(&stored));
    buf_release(&stored);
    assert_non_null(chunk);
    return chunk;
}

static inline void crate_add_file(struct crate *c, struct codec *codec, struct manifest_writer *w,
                                  unsigned seed)
{
    uint8_t bytes[1000];
    struct gen g;
    char path[32];

    gen_init(&g, seed);
    gen_bytes(&g, bytes, sizeof bytes);
    struct chunk *chunk = crate_chunk(codec, bytes, sizeof bytes);
    const struct slice slice = {.key = chunk->key, .length = sizeof bytes};
    snprintf(path, sizeof path, "file-%02zu", c->file_count);
    must(manifest_add(w, &(struct manifest_entry){.path = path,
                                                  .type = ENTRY_FILE,
                                                  .mode = 0644,
                                                  .size = sizeof bytes,
                                                  .content = chunk->key.digest,
                                                  .slices = &slice,
                                                  .slice_count = 1}));
    c->files[c->file_count++] = chunk;
    c->root.content_bytes += sizeof bytes;
    c->root.content_raw_bytes += sizeof bytes;
    c->root.content_chunks++;
    c->root.entries++;
}

static inline void crate_close(struct crate *c, struct codec *codec, struct manifest_writer *w)
{
    struct buf stream;

    buf_init(&stream, CHUNK_RAW_MAX);
    must(manifest_finish(w, &stream));
    c->manifest = crate_chunk(codec, buf_peek(&stream), buf_size(&stream));
    c->root.manifest_bytes = buf_size(&stream);
    c->root.chunk_count = 1;
    c->root.chunks = xalloc(sizeof *c->root.chunks);
    c->root.chunks[0] = (struct root_chunk){.key = c->manifest->key,
                                            .raw_bytes = (uint32_t)buf_size(&stream),
                                            .stored_bytes = c->manifest->size};
    buf_release(&stream);
    buf_init(&c->object, ROOT_OBJECT_MAX);
    must(root_encode(&c->root, &c->object));
}

/* `count` files with contents first, first + 1, …; with_device adds /dev/null's node. */
static inline void crate_make(struct crate *c, const char *layer, unsigned first, unsigned count,
                              bool with_device)
{
    const struct manifest_params params = {65536, 262144, 1048576};
    struct manifest_writer w;
    struct codec *codec = codec_new();

    *c = (struct crate){.root = {.entries = 1}};
    must(manifest_begin(
        &w, &params, &(struct manifest_entry){.path = "", .type = ENTRY_DIRECTORY, .mode = 0755}));
    if (with_device) {
        must(manifest_add(&w, &(struct manifest_entry){.path = "a-device",
                                                       .type = ENTRY_CHAR_DEVICE,
                                                       .mode = 0666,
                                                       .dev_major = 1,
                                                       .dev_minor = 3}));
        c->root.entries++;
    }
    for (unsigned i = 0; i < count; i++)
        crate_add_file(c, codec, &w, first + i);
    crate_close(c, codec, &w);
    manifest_writer_release(&w);
    codec_free(codec);
    snprintf(c->record.org, sizeof c->record.org, "acme");
    snprintf(c->record.layer, sizeof c->record.layer, "%s", layer);
    snprintf(c->record.version, sizeof c->record.version, "1");
    c->record.sequence = 1;
    sha256(buf_peek(&c->object), buf_size(&c->object), &c->record.root);
    c->record.root_bytes = buf_size(&c->object);
    c->record.content_bytes = c->root.content_bytes;
    c->record.entries = c->root.entries;
    c->record.made_wall_s = 1800000000;
}

static inline void crate_release(struct crate *c)
{
    for (size_t i = 0; i < c->file_count; i++)
        chunk_unref(c->files[i]);
    chunk_unref(c->manifest);
    buf_release(&c->object);
    root_release(&c->root);
}

static inline void put_item(struct buf *out, uint32_t position, const struct chunk *chunk)
{
    must(batch_item_head(
        &(struct batch_item){
            .status = ITEM_HIT, .position = position, .bytes = chunk->bytes, .size = chunk->size},
        out));
    must(buf_append(out, chunk->bytes, chunk->size));
}

/* POST /v1/upload: what it takes, encoded. */
static inline void crate_opening(const struct crate *c, struct buf *out)
{
    struct upload_open open = {.root = buf_peek(&c->object), .root_size = buf_size(&c->object)};
    struct buf items;

    buf_init(&items, CHUNK_STORED_MAX);
    put_item(&items, 0, c->manifest);
    open.items = buf_peek(&items);
    open.items_size = buf_size(&items);
    snprintf(open.layer, sizeof open.layer, "%s", c->record.layer);
    buf_init(out, 64 << 20);
    must(upload_open_encode(&open, out));
    buf_release(&items);
}

static inline unsigned stage_open(struct stage *s, enum actor a, const struct crate *c,
                                  struct upload_answer *out)
{
    struct buf body;

    crate_opening(c, &body);
    unsigned status = stage_ask(s, a, "POST", "/v1/upload", &body);
    buf_release(&body);
    *out = (struct upload_answer){.run_count = 0};
    if (status == 200)
        must(upload_answer_decode(buf_peek(&s->reply.body), buf_size(&s->reply.body),
                                  (uint32_t)c->file_count, out));
    return status;
}

static inline size_t missing_count(const struct upload_answer *a)
{
    size_t count = 0;

    for (size_t i = 0; i < a->run_count; i++)
        count += a->runs[i].count;
    return count;
}

/* Sends what is missing, all of it in one body. */
static inline unsigned stage_put(struct stage *s, enum actor a, const struct crate *c,
                                 const struct upload_answer *up)
{
    struct buf body;
    char path[64];

    buf_init(&body, 8 << 20);
    for (size_t r = 0; r < up->run_count; r++)
        for (uint32_t i = 0; i < up->runs[r].count; i++)
            put_item(&body, up->runs[r].first + i, c->files[up->runs[r].first + i]);
    snprintf(path, sizeof path, "/v1/upload-put/%s", up->id);
    unsigned status = stage_ask(s, a, "POST", path, &body);
    buf_release(&body);
    return status;
}

/* POSTs the crate's record, signed by `key`. */
static inline unsigned stage_record(struct stage *s, enum actor a, const struct crate *c,
                                    const char *path, const struct sign_secret *key)
{
    struct buf body;

    buf_init(&body, SIGNED_MAX);
    must(record_encode(&c->record, key, &body));
    unsigned status = stage_ask(s, a, "POST", path, &body);
    buf_release(&body);
    return status;
}

static inline unsigned stage_end(struct stage *s, enum actor a, const struct crate *c,
                                 const char *id, const char *query)
{
    char path[80];

    snprintf(path, sizeof path, "/v1/upload-end/%s%s", id, query);
    return stage_record(s, a, c, path, &s->publisher_key);
}

/* The whole way; 200 or the first refusal. */
static inline unsigned stage_publish(struct stage *s, enum actor a, const struct crate *c)
{
    struct upload_answer up;
    unsigned status = stage_open(s, a, c, &up);

    if (status == 200 && up.run_count > 0)
        status = stage_put(s, a, c, &up);
    if (status == 200)
        status = stage_end(s, a, c, up.id, "");
    upload_answer_release(&up);
    return status;
}
