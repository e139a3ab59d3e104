/* SPDX-License-Identifier: Apache-2.0 */
/* image/build_pack.c – the small files of a directory, joined in name order into whole chunks.
 *
 * Where a pack ends is said by the digest of the file that ends it, so the packs beyond an inserted
 * or changed file stay what they were.  The chance to end grows with the file: one in average /
 * size, which makes packs about as large as chunks of large files.
 */
#include <unistd.h>

#include "image/build_unit.h"

/* Marks a file as read into the pack that is not closed yet. */
#define IN_OPEN_PACK SIZE_MAX

struct packing {
    struct build *build;
    struct build_unit *unit;
    struct build_worker *worker;
    size_t first;     /* file the pack begins with, or before it */
    size_t next;      /* first file not looked at */
    size_t size;      /* bytes of the pack */
    uint32_t members; /* files in it */
};

static struct alb_status take(struct packing *p, struct build_file *f);
static struct alb_status try_to_take(struct packing *p, struct build_file *f,
                                     const struct opened_file *o, bool *out_taken);
static struct alb_status append(struct packing *p, struct build_file *f);
static bool ends_pack(const struct cut_params *params, const struct build_file *f);
static struct alb_status close_pack(struct packing *p);

struct alb_status build_pack(struct build *b, struct build_unit *u, struct build_worker *w)
{
    struct packing p = {.build = b, .unit = u, .worker = w, .first = u->file};
    for (p.next = u->file; p.next < u->file + u->file_count; p.next++) {
        struct build_file *f = &b->files[p.next];
        if (f->alone)
            continue;
        w->path = b->scan->items[f->item].path;
        struct alb_status st = take(&p, f);
        if (alb_failed(st))
            return st;
    }
    return close_pack(&p);
}

static struct alb_status take(struct packing *p, struct build_file *f)
{
    for (unsigned tries = 0; tries < BUILD_READ_TRIES; tries++) {
        struct opened_file o;
        struct alb_status st = build_file_open(p->build, f, &o);
        if (alb_failed(st) || o.fd < 0)
            return st;
        if (o.size >= p->build->cutter.params.min) { /* it grew since the scan */
            close(o.fd);
            return build_alone(p->build, p->unit, f, p->worker);
        }
        bool taken = false;
        st = try_to_take(p, f, &o, &taken);
        close(o.fd);
        if (alb_failed(st))
            return st;
        if (taken)
            return f->size == 0 ? ALB_STATUS_OK : append(p, f);
    }
    return alb_fail(ALB_CONFLICT, "a file keeps changing while it is read");
}

/* Its bytes stand behind the pack's, not yet part of it. */
static struct alb_status try_to_take(struct packing *p, struct build_file *f,
                                     const struct opened_file *o, bool *out_taken)
{
    uint8_t *bytes = p->worker->pack + p->size;
    size_t got;
    struct alb_status st = build_file_read(o, bytes, (size_t)o->size, 0, &got);
    if (alb_failed(st) || got < o->size)
        return st;
    struct digest digest;
    sha256(bytes, got, &digest);
    return build_file_settle(p->build, p->worker, f, o, &digest, out_taken);
}

static struct alb_status append(struct packing *p, struct build_file *f)
{
    const struct cut_params *params = &p->build->cutter.params;
    size_t size = (size_t)f->size;
    if (p->size + size > params->max) {
        const uint8_t *bytes = p->worker->pack + p->size;
        struct alb_status st = close_pack(p);
        if (alb_failed(st))
            return st;
        memmove(p->worker->pack, bytes, size);
    }
    f->chunk = IN_OPEN_PACK;
    f->offset = (uint32_t)p->size;
    p->size += size;
    p->members++;
    if (!ends_pack(params, f))
        return ALB_STATUS_OK;
    p->next++; /* it belongs to the pack being closed */
    struct alb_status st = close_pack(p);
    p->next--;
    return st;
}

static bool ends_pack(const struct cut_params *params, const struct build_file *f)
{
    uint64_t lot = 0;
    for (unsigned i = 0; i < 8; i++)
        lot |= (uint64_t)f->content.bytes[8 + i] << (8 * i);
    return lot % params->average < f->size;
}

static struct alb_status close_pack(struct packing *p)
{
    if (p->members == 0)
        return ALB_STATUS_OK;
    struct build_chunk chunk = {.key.kind = KEY_PLAIN, .raw_size = (uint32_t)p->size};
    bool found_first = false;
    for (size_t i = p->first; i < p->next; i++) {
        struct build_file *f = &p->build->files[i];
        if (f->alone || f->chunk != IN_OPEN_PACK)
            continue;
        f->chunk = p->unit->chunk_count;
        f->chunk_count = 1;
        if (!found_first)
            chunk.file = i;
        found_first = true;
    }
    if (p->members == 1)
        chunk.key.digest = p->build->files[chunk.file].content;
    else
        sha256(p->worker->pack, p->size, &chunk.key.digest);
    chunk.members = p->members == 1 ? 0 : p->members;
    p->first = p->next;
    p->size = 0;
    p->members = 0;
    return build_chunk_add(p->unit, &chunk);
}
