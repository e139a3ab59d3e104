/* SPDX-License-Identifier: Apache-2.0 */
/* crash/rebuild_bytes.c – a file becomes a mixture of what was synced and what came since. */
#include "crash/rebuild_bytes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "crash/rebuild_impl.h"

enum { BLOCK = 4096, SECTOR = 512, FILE_MOST = 256 << 20 };

static void must(struct alb_status st, const char *path)
{
    if (alb_failed(st))
        rebuild_fails(st.what, path);
}

static void set_meta(const char *path, const struct stat *as)
{
    const struct timespec times[2] = {as->st_mtim, as->st_mtim};

    if (chmod(path, as->st_mode & 07777) != 0 || utimensat(AT_FDCWD, path, times, 0) != 0)
        rebuild_fails("setting the metadata of", path);
}

static void put_bytes(const char *path, const struct buf *bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        rebuild_fails("opening", path);
    must(file_write_all(fd, buf_peek(bytes), buf_size(bytes)), path);
    close(fd);
}

void bytes_remember(const char *shadow, const char *path, const struct stat *about)
{
    AUTO_FREE char *copy = xasprintf("%s/base/%llu", shadow, (unsigned long long)about->st_ino);
    struct buf bytes;

    buf_init(&bytes, FILE_MOST);
    must(file_read(path, &bytes), path);
    put_bytes(copy, &bytes);
    set_meta(copy, about);
    buf_release(&bytes);
}

/* ---- mixing ---------------------------------------------------------------------------------- */

struct mix {
    const uint8_t *synced, *now;
    size_t synced_size, now_size, size;
    uint8_t *out;
    struct gen *g;
    unsigned luck; /* of a block written since, in percent */
    struct powerloss_losses *losses;
};

static uint8_t byte_of(const uint8_t *bytes, size_t size, size_t at)
{
    return at < size ? bytes[at] : 0;
}

/* The size the inode got to the disk with; one block more or less than the whole is what a torn
 * write looks like, so ends within a block are as likely as the two that are certain. */
static size_t choose_size(const struct mix *m)
{
    size_t low = m->synced_size < m->now_size ? m->synced_size : m->now_size;
    size_t high = m->synced_size < m->now_size ? m->now_size : m->synced_size;

    switch (gen_below(m->g, 3)) {
    case 0: return m->synced_size;
    case 1: return m->now_size;
    default: return (size_t)gen_range(m->g, low, high);
    }
}

static bool block_differs(const struct mix *m, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (byte_of(m->synced, m->synced_size, i) != byte_of(m->now, m->now_size, i))
            return true;
    return false;
}

/* Blocks behind what was synced hold what the disk had there before. */
static void lose(const struct mix *m, size_t from, size_t to)
{
    bool is_stale = from >= m->synced_size && from >= BLOCK && gen_chance(m->g, 1, 8);
    size_t stale = is_stale ? BLOCK * (size_t)gen_below(m->g, from / BLOCK) : 0;

    for (size_t i = from; i < to; i++)
        m->out[i] = is_stale ? m->out[stale + (i - from)] : byte_of(m->synced, m->synced_size, i);
    m->losses->blocks++;
}

static void mix_blocks(const struct mix *m)
{
    for (size_t from = 0; from < m->size; from += BLOCK) {
        size_t to = from + BLOCK < m->size ? from + BLOCK : m->size;
        size_t torn = to;

        for (size_t i = from; i < to; i++)
            m->out[i] = byte_of(m->now, m->now_size, i);
        if (!block_differs(m, from, to))
            continue;
        if (gen_chance(m->g, 1, 16))
            torn = from + SECTOR * (size_t)gen_below(m->g, BLOCK / SECTOR);
        if (torn < to)
            m->losses->torn++;
        else if (!gen_chance(m->g, m->luck, 100))
            torn = from;
        if (torn < to)
            lose(m, torn, to);
    }
}

/* What is promised of `ino`: its last sync, else what was there at first, else nothing. */
static bool find_synced(const char *shadow, const char *ino, bool is_lying, char **path)
{
    *path = xasprintf("%s/synced/%s", shadow, ino);
    if (!is_lying && access(*path, F_OK) == 0)
        return true;
    free(*path);
    *path = xasprintf("%s/base/%s", shadow, ino);
    return access(*path, F_OK) == 0;
}

static void mix_and_write(const char *path, const struct buf *synced, const struct buf *now,
                          struct gen *g, struct powerloss_losses *losses)
{
    static const unsigned lucks[] = {0, 30, 70, 100};
    struct mix m = {.synced = buf_peek(synced),
                    .now = buf_peek(now),
                    .synced_size = buf_size(synced),
                    .now_size = buf_size(now),
                    .g = g,
                    .losses = losses};
    struct buf out;

    m.luck = lucks[gen_below(g, ALB_COUNT(lucks))];
    m.size = choose_size(&m);
    losses->blocks += m.size < m.now_size ? (m.now_size - m.size + BLOCK - 1) / BLOCK : 0;
    buf_init(&out, FILE_MOST);
    must(buf_reserve(&out, m.size + 1, &m.out), path);
    mix_blocks(&m);
    buf_commit(&out, m.size);
    put_bytes(path, &out);
    buf_release(&out);
}

void bytes_choose(const char *shadow, const char *path, const struct powerloss_options *options,
                  struct powerloss_losses *losses)
{
    AUTO_FREE char *source = NULL;
    struct stat about, before;
    struct buf synced, now;

    if (lstat(path, &about) != 0 || !S_ISREG(about.st_mode))
        return;
    buf_init(&synced, FILE_MOST);
    buf_init(&now, FILE_MOST);
    if (find_synced(shadow, strrchr(path, '/') + 1, options->is_lying, &source))
        must(file_read(source, &synced), source);
    must(file_read(path, &now), path);
    if (buf_size(&synced) != buf_size(&now) ||
        (buf_size(&now) > 0 && memcmp(buf_peek(&synced), buf_peek(&now), buf_size(&now)) != 0))
        mix_and_write(path, &synced, &now, options->gen, losses);
    if (stat(source, &before) == 0 && gen_chance(options->gen, 1, 2))
        about = before;
    set_meta(path, &about);
    buf_release(&synced);
    buf_release(&now);
}
