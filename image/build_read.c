/* SPDX-License-Identifier: Apache-2.0 */
/* image/build_read.c – a chunk of list C, read from the tree once more and put into its stored
 * form.
 *
 * The tree is not ours and may have changed since.  Bytes of files whose times and size stand as
 * they were are taken as they are; of others only bytes that still hash to the chunk's name.
 */
#include <fcntl.h>
#include <unistd.h>

#include "image/build_unit.h"

static struct alb_status read_members(struct build *b, const struct build_chunk *place,
                                      struct build_worker *w, bool *as_noted);
static struct alb_status check(struct build *b, const struct build_chunk *place,
                               struct build_worker *w);
static void blame(struct build *b, const struct build_chunk *place, struct build_worker *w);
static struct alb_status read_part(struct build *b, const struct build_file *f, uint64_t offset,
                                   size_t size, struct build_worker *w, bool *as_noted);

uint32_t build_chunk_raw_size(const struct build *b, uint32_t position)
{
    alb_assert(position < b->key_count);
    return b->places[position]->raw_size;
}

struct alb_status build_read(struct build *b, uint32_t position, struct build_worker *w,
                             struct chunk **out)
{
    alb_assert(position < b->key_count);
    const struct build_chunk *place = b->places[position];
    bool as_noted = true;
    buf_clear(&w->stored);
    struct alb_status st = place->members == 0 ? read_part(b, &b->files[place->file], place->offset,
                                                           place->raw_size, w, &as_noted)
                                               : read_members(b, place, w, &as_noted);
    if (!alb_failed(st) && !as_noted)
        st = check(b, place, w);
    if (!alb_failed(st))
        st = codec_compress(w->codec, w->window, place->raw_size, &w->stored);
    if (alb_failed(st))
        return st;
    struct chunk *made = chunk_copy(&place->key, buf_peek(&w->stored), buf_size(&w->stored));
    if (made == NULL)
        return alb_fail(ALB_FULL, "memory for a chunk");
    w->path = "";
    *out = made;
    return ALB_STATUS_OK;
}

/* Those of the first one's unit that point at this chunk. */
static bool is_member(const struct build *b, const struct build_chunk *place,
                      const struct build_file *f)
{
    size_t unit = b->files[place->file].unit;
    return f->unit == unit && f->chunk_count == 1 && &b->units[unit].chunks[f->chunk] == place;
}

static struct alb_status read_members(struct build *b, const struct build_chunk *place,
                                      struct build_worker *w, bool *as_noted)
{
    uint32_t left = place->members;
    for (const struct build_file *f = &b->files[place->file]; left > 0; f++) {
        if (!is_member(b, place, f))
            continue;
        struct alb_status st = read_part(b, f, 0, (size_t)f->size, w, as_noted);
        if (alb_failed(st))
            return st;
        left--;
    }
    return ALB_STATUS_OK;
}

static struct alb_status check(struct build *b, const struct build_chunk *place,
                               struct build_worker *w)
{
    struct digest found;
    sha256(w->window, place->raw_size, &found);
    if (digest_equal(&found, &place->key.digest))
        return ALB_STATUS_OK;
    blame(b, place, w);
    return alb_fail(ALB_CONFLICT, "reading a chunk again: the file changed since it was built");
}

/* Of a pack, let the worker's path be the member that changed. */
static void blame(struct build *b, const struct build_chunk *place, struct build_worker *w)
{
    uint32_t left = place->members;
    for (const struct build_file *f = &b->files[place->file]; left > 0; f++) {
        struct digest found;
        if (!is_member(b, place, f))
            continue;
        sha256(w->window + f->offset, (size_t)f->size, &found);
        w->path = b->scan->items[f->item].path;
        if (!digest_equal(&found, &f->content))
            return;
        left--;
    }
}

/* Into the window, a member of a pack where the pack has it. */
static struct alb_status read_part(struct build *b, const struct build_file *f, uint64_t offset,
                                   size_t size, struct build_worker *w, bool *as_noted)
{
    struct build_file now = {.item = f->item};
    struct opened_file o;
    bool is_same = false;
    size_t got;
    w->path = b->scan->items[f->item].path;
    struct alb_status st = build_file_open(b, &now, &o);
    if (alb_failed(st))
        return st;
    if (o.fd < 0)
        return alb_fail(ALB_CONFLICT, "reading a chunk again: the file is gone since it was built");
    st = build_file_read(&o, w->window + f->offset, size, offset, &got);
    if (!alb_failed(st))
        st = build_file_is_as_noted(b, f, &o, &is_same);
    close(o.fd);
    *as_noted = *as_noted && is_same;
    if (!alb_failed(st) && got < size)
        return alb_fail(ALB_CONFLICT, "reading a chunk again: the file shrank since it was built");
    return st;
}
