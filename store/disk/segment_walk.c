/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/segment_walk.c – walks a segment file record by record, over damage if need be. */

#include "store/disk/segment.h"

#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "chunk/codec.h"

/* Holds the largest record, so that each is judged in one piece. */
enum { WINDOW = RECORD_HEADER_SIZE + CHUNK_STORED_MAX };

struct walk {
    const struct segment *segment;
    uint64_t file_size;
    uint8_t *window; /* owned */
    uint64_t base;   /* the file's offset of window[0] */
    size_t filled;
};

/* What stands at an offset. */
enum found { FOUND_RECORD, FOUND_BODY_BAD, FOUND_NOTHING };

/* Read a page at a time and take those that the disk cannot read for zeros, which no record begins
 * with: one bad sector shall not keep a whole store from opening. */
static void fill_over_bad_pages(struct walk *w, size_t fill, uint64_t offset)
{
    enum { PAGE = 4096 };
    for (size_t at = 0; at < fill; at += PAGE) {
        size_t size = fill - at < PAGE ? fill - at : PAGE;
        if (alb_failed(file_pread_all(w->segment->fd, w->window + at, size, offset + at)))
            memset(w->window + at, 0, size);
    }
}

/* Borrowed view of [offset, offset + size) of the file; the caller made sure that it exists. */
static struct alb_status look(struct walk *w, uint64_t offset, size_t size, const uint8_t **out)
{
    if (offset < w->base || offset + size > w->base + w->filled) {
        uint64_t left = w->file_size - offset;
        size_t fill = left < WINDOW ? (size_t)left : WINDOW;
        w->filled = 0;
        struct alb_status st = file_pread_all(w->segment->fd, w->window, fill, offset);
        if (alb_failed(st) && st.sys != EIO)
            return st;
        if (alb_failed(st))
            fill_over_bad_pages(w, fill, offset);
        w->base = offset;
        w->filled = fill;
    }
    *out = w->window + (offset - w->base);
    return ALB_STATUS_OK;
}

static struct alb_status judge(struct walk *w, uint64_t offset, struct record *out,
                               enum found *found)
{
    const uint8_t *bytes = NULL;
    struct record r;
    *found = FOUND_NOTHING;
    if (w->file_size - offset < RECORD_HEADER_SIZE)
        return ALB_STATUS_OK;
    struct alb_status st = look(w, offset, RECORD_HEADER_SIZE, &bytes);
    if (alb_failed(st))
        return st;
    if (alb_failed(record_header_decode(bytes, w->segment->salt, offset, &r)))
        return ALB_STATUS_OK;
    if (w->file_size - offset - RECORD_HEADER_SIZE < r.size)
        return ALB_STATUS_OK;
    st = look(w, offset, RECORD_HEADER_SIZE + (size_t)r.size, &bytes);
    if (alb_failed(st))
        return st;
    bool whole = record_is_whole(bytes, &r, w->segment->salt, bytes + RECORD_HEADER_SIZE);
    *found = whole ? FOUND_RECORD : FOUND_BODY_BAD;
    *out = r;
    return ALB_STATUS_OK;
}

/* The next offset behind `offset` where a magic stands, or the end of the file. */
static struct alb_status search(struct walk *w, uint64_t offset, uint64_t *out)
{
    offset++;
    while (w->file_size - offset >= RECORD_HEADER_SIZE) {
        const uint8_t *bytes = NULL;
        struct alb_status st = look(w, offset, RECORD_HEADER_SIZE, &bytes);
        if (alb_failed(st))
            return st;
        size_t there = (size_t)(w->base + w->filled - offset);
        size_t at = record_find_magic(bytes, there);
        if (at < there) {
            *out = offset + at;
            return ALB_STATUS_OK;
        }
        offset += there - 3; /* a magic may straddle the window's end */
    }
    *out = w->file_size;
    return ALB_STATUS_OK;
}

static struct alb_status walk_all(struct walk *w, uint64_t offset,
                                  const struct segment_visitor *visitor, uint64_t *end,
                                  uint64_t *damaged_bytes)
{
    struct alb_status st = ALB_STATUS_OK;
    while (!alb_failed(st) && offset < w->file_size) {
        struct record r;
        enum found found;
        st = judge(w, offset, &r, &found);
        if (alb_failed(st))
            return st;
        switch (found) {
        case FOUND_RECORD:
            *damaged_bytes += offset - *end;
            offset += RECORD_HEADER_SIZE + (uint64_t)r.size;
            *end = offset;
            st = visitor->take(visitor->arg, &r);
            break;
        case FOUND_BODY_BAD: offset += RECORD_HEADER_SIZE + (uint64_t)r.size; break;
        case FOUND_NOTHING: st = search(w, offset, &offset); break;
        }
    }
    return st;
}

struct alb_status segment_walk(struct segment *s, uint64_t from,
                               const struct segment_visitor *visitor, uint64_t *end,
                               uint64_t *damaged_bytes)
{
    struct stat about;
    if (fstat(s->fd, &about) != 0)
        return alb_fail_sys("store: looking at a segment file");
    AUTO_FREE uint8_t *window = try_alloc(WINDOW);
    if (window == NULL)
        return alb_fail(ALB_FULL, "store: memory to walk a segment");
    struct walk w = {.segment = s, .file_size = (uint64_t)about.st_size, .window = window};
    *end = from;
    *damaged_bytes = 0;
    return walk_all(&w, from, visitor, end, damaged_bytes);
}
