/* SPDX-License-Identifier: Apache-2.0 */
/* image/build_alone.c – a file cut into chunks of its own, while it rolls by in a window.
 *
 * A file of one chunk is hashed once: the chunk's name is the content's digest.
 */
#include <fcntl.h>
#include <unistd.h>

#include "image/build_unit.h"

/* A file passing through the worker's window. */
struct passage {
    const struct build *build;
    struct build_unit *unit;
    struct build_file *file;
    struct build_worker *worker;
    struct opened_file opened;
    uint64_t cut;      /* bytes of the file that are in chunks          */
    size_t head, tail; /* of the window: what is read and not yet cut  */
    bool at_end;       /* no more is to come                            */
    struct digest digest;
};

static struct alb_status pass(struct passage *p, bool *out_same);
static struct alb_status fill(struct passage *p);
static struct alb_status cut_one(struct passage *p);

struct alb_status build_alone(struct build *b, struct build_unit *u, struct build_file *f,
                              struct build_worker *w)
{
    f->chunk = u->chunk_count;
    for (unsigned tries = 0; tries < BUILD_READ_TRIES; tries++) {
        struct passage p = {.build = b, .unit = u, .file = f, .worker = w};
        bool same = false;
        u->chunk_count = f->chunk;
        struct alb_status st = build_file_open(b, f, &p.opened);
        if (alb_failed(st) || p.opened.fd < 0)
            return st;
        st = pass(&p, &same);
        close(p.opened.fd);
        if (alb_failed(st))
            return st;
        if (same) {
            f->chunk_count = u->chunk_count - f->chunk;
            return ALB_STATUS_OK;
        }
    }
    return alb_fail(ALB_CONFLICT, "a file keeps changing while it is read");
}

static struct alb_status pass(struct passage *p, bool *out_same)
{
    (void)posix_fadvise(p->opened.fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice; may be refused */
    hasher_reset(p->worker->hasher);
    p->at_end = p->opened.size == 0;
    while (!p->at_end || p->head < p->tail) {
        struct alb_status st = fill(p);
        if (!alb_failed(st))
            st = cut_one(p);
        if (alb_failed(st))
            return st;
    }
    if (p->unit->chunk_count != p->file->chunk + 1) /* else it is the chunk's */
        hasher_finish(p->worker->hasher, &p->digest);
    if (p->cut != p->opened.size) {
        *out_same = false;
        return ALB_STATUS_OK;
    }
    return build_file_settle(p->build, p->worker, p->file, &p->opened, &p->digest, out_same);
}

/* So that at least a whole largest chunk is in the window, or all that is left of the file.  Not
 * more at once: what is cut and hashed next is to be in the processor's cache still. */
static struct alb_status fill(struct passage *p)
{
    const size_t most = p->build->cutter.params.max;
    size_t had = p->tail - p->head;
    if (p->at_end || had >= most)
        return ALB_STATUS_OK;
    uint8_t *window = p->worker->window;
    if (p->tail + most > WINDOW_SIZE) {
        memmove(window, window + p->head, had);
        p->head = 0;
        p->tail = had;
    }
    uint64_t left = p->opened.size - p->cut - had;
    size_t size = left < most ? (size_t)left : most;
    size_t got;
    struct alb_status st = build_file_read(&p->opened, window + p->tail, size, p->cut + had, &got);
    if (alb_failed(st))
        return st;
    p->tail += got;
    p->at_end = got < size || got == left;
    return ALB_STATUS_OK;
}

static struct alb_status cut_one(struct passage *p)
{
    const uint8_t *bytes = p->worker->window + p->head;
    size_t size = p->tail - p->head;
    if (size == 0) /* it shrank under our hands */
        return ALB_STATUS_OK;
    bool is_small = p->opened.size < p->build->cutter.params.min;
    size_t length = is_small ? size : cutter_next(&p->build->cutter, bytes, size);
    struct build_chunk chunk = {
        .key.kind = KEY_PLAIN,
        .raw_size = (uint32_t)length,
        .file = (size_t)(p->file - p->build->files),
        .offset = p->cut,
    };
    sha256(bytes, length, &chunk.key.digest);
    if (length == p->opened.size)
        p->digest = chunk.key.digest;
    else
        hasher_add(p->worker->hasher, bytes, length);
    p->cut += length;
    p->head += length;
    return build_chunk_add(p->unit, &chunk);
}
