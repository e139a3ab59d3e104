/* SPDX-License-Identifier: Apache-2.0 */
/* crash/flip.h – one bit of one byte of a file, flipped and flipped back. */
#pragma once

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/gen.h"

static inline size_t flip_size(const char *path)
{
    struct stat about;

    return stat(path, &about) == 0 ? (size_t)about.st_size : 0;
}

/* The same call again undoes it.  The times of the file stay, as they do when a disk errs. */
static inline void flip(const char *path, size_t at, unsigned bit)
{
    struct stat about;
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &about) != 0 || pread(fd, &byte, 1, (off_t)at) != 1)
        abort();
    byte ^= (uint8_t)(1u << bit);
    if (pwrite(fd, &byte, 1, (off_t)at) != 1)
        abort();
    const struct timespec times[2] = {about.st_atim, about.st_mtim};
    if (futimens(fd, times) != 0)
        abort();
    close(fd);
}

/* About `count` places of the file at even distances, from a seeded start: how far apart. */
static inline size_t flip_step(size_t size, size_t count)
{
    return size <= count ? 1 : size / count;
}
