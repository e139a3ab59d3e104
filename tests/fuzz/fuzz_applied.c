/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_applied.c – any bytes as TARGET/.albedo/applied, their digest put right, too. */
/* LINKS: image chunk wire base */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "fuzz/target.h"
#include "image/apply_impl.h"

const struct fuzz_bound fuzz_bound = {.fixed = 512 << 10, .per_byte = 600};

static char top[] = "/tmp/fuzz-applied-XXXXXX";
static int top_fd = -1, albedo_fd = -1;

static void remove_top(void)
{
    (void)unlinkat(albedo_fd, "applied", 0);
    (void)unlinkat(top_fd, ".albedo", AT_REMOVEDIR);
    (void)rmdir(top);
}

static void make_top(void)
{
    if (mkdtemp(top) == NULL)
        abort();
    top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top_fd < 0 || mkdirat(top_fd, ".albedo", 0700) != 0)
        abort();
    albedo_fd = openat(top_fd, ".albedo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (albedo_fd < 0 || atexit(remove_top) != 0)
        abort();
}

static void write_record(const uint8_t *bytes, size_t size, const struct digest *end)
{
    int fd = openat(albedo_fd, "applied", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
        abort();
    if (end != NULL && write(fd, end->bytes, DIGEST_SIZE) != DIGEST_SIZE)
        abort();
    close(fd);
}

static void read_record(void)
{
    struct applied_record r;

    if (alb_failed(applied_record_read(top_fd, &r)))
        return;
    alb_assert(r.applied.version[0] != '\0' || r.applied.manifest.count > 0);
    applied_record_release(&r);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    struct digest digest;

    if (top_fd < 0)
        make_top();
    write_record(bytes, size, NULL);
    read_record();
    size_t body = size < DIGEST_SIZE ? size : size - DIGEST_SIZE;
    sha256(bytes, body, &digest);
    write_record(bytes, body, &digest);
    read_record();
}
