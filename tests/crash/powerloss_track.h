/* SPDX-License-Identifier: Apache-2.0 */
/* crash/powerloss_track.h – the preloaded library's memory; its calls go straight to the kernel. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "crash/powerloss.h"

struct place {   /* a name in a directory */
    bool inside; /* … that is watched */
    int dir_fd;  /* O_PATH; -1 when not inside */
    uint64_t dir;
    char name[256];
};

struct place place_of(int dir_fd, const char *path);
void place_drop(struct place *p);
/* 0 when there is nothing. */
uint64_t place_ino(const struct place *p);
bool fd_is_inside(int fd);

/* Between the two no other watched call runs, and the process may die.  errno is kept. */
void event_begin(void);
void event_end(void);
/* After event_begin(): how much of a write of `size` bytes is done before death; `size` when it is
 * not this one's fate to be torn. */
size_t event_torn(size_t size);

void note_op(enum powerloss_kind kind, const struct place *p, const struct place *to, uint64_t ino);
void note_sync(int fd);
void note_sync_all(void);
/* Before a name goes: keep what loses its last one with it. */
void bury(const struct place *p);
/* rmdir(2), but the directory is kept. */
int bury_dir(const struct place *p);
