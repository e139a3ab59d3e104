/* SPDX-License-Identifier: Apache-2.0 */
/* crash/rebuild_impl.h – what is known of a watched directory. */
#pragma once

#include <stddef.h>
#include <sys/stat.h>

#include "crash/powerloss.h"
#include "crash/rebuild.h"

struct name {
    uint64_t dir, ino;
    char text[256];
    char *placed; /* owned: where the inode has been put back */
};

struct inos {
    uint64_t *items; /* owned */
    size_t count;
};

struct powerloss {
    char *dir, *shadow; /* owned */
    uint64_t top;       /* dir's inode */
    struct name *names; /* owned: on disk before; from choose_names() on, after */
    size_t name_count, name_capacity;
    struct powerloss_op *ops; /* owned */
    size_t op_count;
    struct stat *dirs; /* owned: what directories were like before they were taken away */
    size_t dir_count;
};

_Noreturn void rebuild_fails(const char *doing, const char *path);
