/* SPDX-License-Identifier: Apache-2.0 */
/* support/unsynced.h – a test program, and RocksDB in it, that does not wait for the disk.
 *
 * Included by the one source of a program, it takes the place of libc's calls.  What a process has
 * written outlives its being killed; that it outlives the power is what tests/crash is about.  For
 * tests that write a few hundred groups and assert nothing of the kind: on a slow disk they take
 * minutes otherwise.
 */
#pragma once

#include <unistd.h>

int fdatasync(int fd)
{
    (void)fd;
    return 0;
}

int fsync(int fd)
{
    (void)fd;
    return 0;
}
