/* SPDX-License-Identifier: Apache-2.0 */
/* image/holdings_cache.c – the digests of files, remembered from one pull to the next.
 *
 * Layout: image/FORMAT.md.  It holds nothing that could not be computed again, so whatever is wrong
 * with it is a reason to begin an empty one, never to fail.
 */
#include "base/alloc.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/log.h"
#include "base/pack.h"
#include "image/holdings_impl.h"

static const char magic[8] = "ALBSCAN\n";
enum { CACHE_VERSION = 1, CACHE_LIMIT = 1 << 30, TREES_MAX = 1024 };

static struct alb_status decode(const uint8_t *bytes, size_t size, struct scan_cache *out);
static void cached_tree_release(struct cached_tree *t);
static void decode_tree(struct unpack *u, struct cached_tree *t);
static void decode_file(struct unpack *u, struct cached_file *f);
static void encode_tree(struct pack *p, const struct holdings *h, const struct held_tree *tree);
static void encode_file(struct pack *p, const struct held_file *f, const struct scan_item *item);

void scan_cache_read(const char *path, struct scan_cache *out)
{
    struct buf bytes;
    struct alb_status st;

    *out = (struct scan_cache){0};
    buf_init(&bytes, CACHE_LIMIT);
    st = file_read(path, &bytes);
    if (!alb_failed(st))
        st = decode(buf_peek(&bytes), buf_size(&bytes), out);
    buf_release(&bytes);
    if (!alb_failed(st))
        return;
    scan_cache_release(out);
    if (st.code != ALB_NOT_FOUND)
        log_status(LOG_WARN, "scan_cache.ignored", st, "path=%s", path);
}

void scan_cache_release(struct scan_cache *c)
{
    for (size_t i = 0; i < c->count; i++)
        cached_tree_release(&c->trees[i]);
    free(c->trees);
    *c = (struct scan_cache){0};
}

static void cached_tree_release(struct cached_tree *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->files[i].path);
        free(t->files[i].chunks);
    }
    free(t->files);
    free(t->top);
}

struct cached_tree *cached_tree_free(struct cached_tree *t)
{
    if (t != NULL)
        cached_tree_release(t);
    free(t);
    return NULL;
}

const struct cached_tree *scan_cache_tree(const struct scan_cache *c, const char *top)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->trees[i].top, top) == 0)
            return &c->trees[i];
    return NULL;
}

static struct alb_status decode(const uint8_t *bytes, size_t size, struct scan_cache *out)
{
    struct digest found, said;
    struct unpack u;
    size_t count;

    if (size < sizeof(magic) + DIGEST_SIZE || memcmp(bytes, magic, sizeof(magic)) != 0)
        return alb_fail(ALB_CORRUPT, "this is no scan cache");
    sha256(bytes, size - DIGEST_SIZE, &found);
    memcpy(said.bytes, bytes + size - DIGEST_SIZE, DIGEST_SIZE);
    if (!digest_equal(&found, &said))
        return alb_fail(ALB_CORRUPT, "the scan cache is damaged");
    unpack_init(&u, bytes + sizeof(magic), size - DIGEST_SIZE - sizeof(magic));
    if (unpack_u32(&u) != CACHE_VERSION)
        return alb_fail(ALB_CORRUPT, "the scan cache has an unknown format version");
    count = unpack_bounded(&u, TREES_MAX);
    out->trees = xcalloc(count + 1, sizeof(*out->trees));
    for (size_t i = 0; i < count && u.error == NULL; i++)
        decode_tree(&u, &out->trees[out->count++]);
    return unpack_finish(&u);
}

static char *unpack_text(struct unpack *u)
{
    size_t size = 0;
    const uint8_t *text = unpack_run(u, MANIFEST_PATH_MAX, &size);

    return text == NULL ? xstrdup("") : xstrndup((const char *)text, size);
}

static void decode_tree(struct unpack *u, struct cached_tree *t)
{
    size_t count;

    t->top = unpack_text(u);
    count = unpack_bounded(u, unpack_left(u) / DIGEST_SIZE); /* a file takes more than its digest */
    t->files = try_alloc((count + 1) * sizeof(*t->files));
    if (t->files == NULL) {
        unpack_fail(u, "no memory for the scan cache");
        return;
    }
    memset(t->files, 0, (count + 1) * sizeof(*t->files));
    for (size_t i = 0; i < count && u->error == NULL; i++)
        decode_file(u, &t->files[t->count++]);
}

static void decode_file(struct unpack *u, struct cached_file *f)
{
    uint64_t at = 0;
    size_t count;

    f->path = unpack_text(u);
    stamp_decode(u, &f->stamp);
    unpack_digest(u, &f->content);
    count = unpack_bounded(u, unpack_left(u) / DIGEST_SIZE);
    if (count == 0 || u->error != NULL)
        return;
    f->chunks = xcalloc(count, sizeof(*f->chunks));
    for (size_t i = 0; i < count; i++) {
        unpack_digest(u, &f->chunks[i].digest);
        f->chunks[i].length = (uint32_t)unpack_bounded(u, UINT32_MAX);
        f->chunks[i].offset = at;
        at += f->chunks[i].length;
    }
    f->chunk_count = count;
}

void stamp_decode(struct unpack *u, struct stamp *out)
{
    out->size = unpack_varint(u);
    out->ino = unpack_varint(u);
    out->mtime_s = unpack_zigzag(u);
    out->mtime_ns = (uint32_t)unpack_bounded(u, 999999999);
    out->ctime_s = unpack_zigzag(u);
    out->ctime_ns = (uint32_t)unpack_bounded(u, 999999999);
}

void stamp_encode(struct pack *p, const struct stamp *s)
{
    pack_varint(p, s->size);
    pack_varint(p, s->ino);
    pack_zigzag(p, s->mtime_s);
    pack_varint(p, s->mtime_ns);
    pack_zigzag(p, s->ctime_s);
    pack_varint(p, s->ctime_ns);
}

struct alb_status holdings_save_cache(const struct holdings *h)
{
    struct digest digest;
    struct buf bytes;
    struct pack p;
    struct alb_status st;

    if (h->cache_path == NULL)
        return ALB_STATUS_OK;
    buf_init(&bytes, CACHE_LIMIT);
    pack_init(&p, &bytes);
    pack_bytes(&p, magic, sizeof(magic));
    pack_u32(&p, CACHE_VERSION);
    pack_varint(&p, h->tree_count);
    for (size_t i = 0; i < h->tree_count; i++)
        encode_tree(&p, h, &h->trees[i]);
    sha256(buf_peek(&bytes), buf_size(&bytes), &digest);
    pack_digest(&p, &digest);
    st = pack_finish(&p);
    if (!alb_failed(st))
        st = file_replace(h->cache_path, buf_peek(&bytes), buf_size(&bytes), 0600);
    buf_release(&bytes);
    return st;
}

static void encode_tree(struct pack *p, const struct holdings *h, const struct held_tree *tree)
{
    size_t known = 0;

    for (size_t i = 0; i < tree->file_count; i++)
        known += h->files[tree->first_file + i]->is_known ? 1 : 0;
    pack_string(p, tree->scan->top);
    pack_varint(p, known);
    for (size_t i = 0; i < tree->file_count; i++) {
        const struct held_file *f = h->files[tree->first_file + i];

        if (f->is_known)
            encode_file(p, f, &tree->scan->items[f->item]);
    }
}

static void encode_file(struct pack *p, const struct held_file *f, const struct scan_item *item)
{
    struct stamp stamp = stamp_of_item(item);

    pack_string(p, item->path);
    stamp_encode(p, &stamp);
    pack_digest(p, &f->content);
    pack_varint(p, f->chunk_count);
    for (size_t i = 0; i < f->chunk_count; i++) {
        pack_digest(p, &f->chunks[i].digest);
        pack_varint(p, f->chunks[i].length);
    }
}
