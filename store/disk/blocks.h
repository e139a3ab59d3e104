/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/blocks.h – what a file takes of its disk: blocks, which may be more or less than its
 * length. */
#pragma once

#include <stdint.h>
#include <sys/stat.h>

static inline uint64_t blocks_bytes(const struct stat *about)
{
    return (uint64_t)about->st_blocks * 512; /* whatever the file system's block is */
}
