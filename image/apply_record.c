/* SPDX-License-Identifier: Apache-2.0 */
/* image/apply_record.c – TARGET/.albedo/applied: the version that is in place, and how its files
 * were.
 *
 * Layout: image/FORMAT.md.  The stamps let "is this file still what was applied?" be answered
 * without reading it: only where one differs are the bytes asked.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/pack.h"
#include "image/apply_impl.h"

static const char magic[8] = "ALBAPPL\n";
enum { APPLIED_VERSION = 1 };
#define RECORD_LIMIT ((size_t)2 << 30)

static struct alb_status decode(const uint8_t *bytes, size_t size, struct applied_record *out);
static struct alb_status decode_body(struct unpack *u, struct applied_record *r);

const char *fd_path(int fd, const char *name, char out[FD_PATH_SIZE])
{
    (void)snprintf(out, FD_PATH_SIZE, "/proc/self/fd/%d/%s", fd, name);
    return out;
}

struct stamp stamp_of_statx(const struct statx *now)
{
    return (struct stamp){
        .size = now->stx_size,
        .ino = now->stx_ino,
        .mtime_s = now->stx_mtime.tv_sec,
        .ctime_s = now->stx_ctime.tv_sec,
        .mtime_ns = now->stx_mtime.tv_nsec,
        .ctime_ns = now->stx_ctime.tv_nsec,
    };
}

struct alb_status applied_record_read(int top_fd, struct applied_record *out)
{
    int albedo = dirs_open_path(top_fd, ALBEDO_DIR, O_DIRECTORY);
    char path[FD_PATH_SIZE];
    struct buf bytes;
    struct alb_status st;

    if (albedo < 0)
        return dirs_is_absent(alb_fail_sys("")) ? alb_fail(ALB_NOT_FOUND, "nothing applied yet")
                                                : alb_fail_sys("opening .albedo");
    buf_init(&bytes, RECORD_LIMIT);
    st = albedo_judge(albedo, true);
    if (!alb_failed(st))
        st = file_read(fd_path(albedo, APPLIED_FILE, path), &bytes);
    if (!alb_failed(st))
        st = decode(buf_peek(&bytes), buf_size(&bytes), out);
    buf_release(&bytes);
    close(albedo);
    return st;
}

static struct alb_status decode(const uint8_t *bytes, size_t size, struct applied_record *out)
{
    struct applied_record r = {0};
    struct digest found;
    struct unpack u;
    struct alb_status st;

    if (size < sizeof(magic) + DIGEST_SIZE || memcmp(bytes, magic, sizeof(magic)) != 0)
        return alb_fail(ALB_CORRUPT, "the record of what is applied is no such record");
    size -= DIGEST_SIZE;
    sha256(bytes, size, &found);
    if (memcmp(found.bytes, bytes + size, DIGEST_SIZE) != 0)
        return alb_fail(ALB_CORRUPT, "the record of what is applied, .albedo/applied, is damaged; "
                                     "remove it and pull again: what only it knew of then stays");
    unpack_init(&u, bytes + sizeof(magic), size - sizeof(magic));
    st = decode_body(&u, &r);
    if (alb_failed(st)) {
        applied_record_release(&r);
        return st;
    }
    *out = r;
    return ALB_STATUS_OK;
}

static struct alb_status decode_body(struct unpack *u, struct applied_record *r)
{
    struct manifest_limits limits = manifest_limits_default;
    const uint8_t *manifest;
    size_t size = 0;
    struct alb_status st;

    if (unpack_u32(u) != APPLIED_VERSION)
        return alb_fail(ALB_CORRUPT, "the record of what is applied has an unknown format version");
    unpack_string(u, r->applied.version, sizeof(r->applied.version));
    unpack_digest(u, &r->applied.root);
    manifest = unpack_run(u, RECORD_LIMIT, &size);
    if (alb_failed(unpack_check(u)))
        return unpack_check(u);
    limits.allow_devices = true; /* leave was given when it was applied */
    st = manifest_decode(manifest, size, &limits, &r->applied.manifest);
    if (alb_failed(st))
        return st;
    r->stamps = stage_array(r->applied.manifest.count, sizeof(*r->stamps));
    if (r->stamps == NULL)
        return alb_fail(ALB_FULL, "memory for what is applied");
    for (size_t i = 0; i < r->applied.manifest.count; i++)
        if (r->applied.manifest.entries[i].type == ENTRY_FILE)
            stamp_decode(u, &r->stamps[i]);
    return unpack_finish(u);
}

struct alb_status applied_record_write(int albedo_fd, const struct journal *j,
                                       const struct manifest *m, const struct stamp *stamps)
{
    char path[FD_PATH_SIZE];
    struct digest digest;
    struct buf bytes;
    struct pack p;
    struct alb_status st;

    buf_init(&bytes, RECORD_LIMIT);
    pack_init(&p, &bytes);
    pack_bytes(&p, magic, sizeof(magic));
    pack_u32(&p, APPLIED_VERSION);
    pack_string(&p, j->version);
    pack_digest(&p, &j->root);
    pack_run(&p, j->manifest_bytes, j->manifest_size);
    for (size_t i = 0; i < m->count; i++)
        if (m->entries[i].type == ENTRY_FILE)
            stamp_encode(&p, &stamps[i]);
    sha256(buf_peek(&bytes), buf_size(&bytes), &digest);
    pack_digest(&p, &digest);
    st = pack_finish(&p);
    if (!alb_failed(st))
        st = file_replace(fd_path(albedo_fd, APPLIED_FILE, path), buf_peek(&bytes),
                          buf_size(&bytes), 0600);
    buf_release(&bytes);
    return st;
}

void applied_record_release(struct applied_record *r)
{
    manifest_release(&r->applied.manifest);
    free(r->stamps);
    *r = (struct applied_record){0};
}

struct alb_status applied_read(const char *target, struct applied *out)
{
    struct applied_record r = {.stamps = NULL};
    int fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct alb_status st;

    if (fd < 0)
        return alb_fail_sys("opening TARGET");
    st = applied_record_read(fd, &r);
    close(fd);
    if (alb_failed(st))
        return st;
    *out = r.applied;
    free(r.stamps);
    return ALB_STATUS_OK;
}

void applied_release(struct applied *a)
{
    manifest_release(&a->manifest);
    *a = (struct applied){0};
}
