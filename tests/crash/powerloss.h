/* SPDX-License-Identifier: Apache-2.0 */
/* crash/powerloss.h – what a disk owes after a power loss, and how a watched process tells it.
 *
 * powerloss.so is preloaded into a process.  Of one directory, and all below it, it writes down in
 * a *shadow* directory beside it what the process did to names, and what it synced:
 *
 *     SHADOW/log          struct powerloss_op after op, in the order in which they were done
 *     SHADOW/synced/INO   the bytes, mode and mtime inode INO had when it was last synced
 *     SHADOW/grave/INO    what lost its last name, kept because that removal may not have lasted
 *     SHADOW/events       how many events there were, when the process ended by itself
 *
 * An *event* is a call that writes, truncates, syncs, makes, moves or removes below the directory.
 * At event number POWERLOSS_AT the process kills itself: before the call, after it, or half-way
 * through a write.  When it is dead, powerloss_rebuild() makes of the directory one that the disk
 * might have had.  The model:
 *
 *   names     What fsync of the directory or syncfs promised is there.  Of later changes, *strict*
 *             keeps any that do not build on a lost one, in the same directory or the making of
 *             it; *ordered* keeps a prefix of all of them, as journals do.  A rename is never half
 *             done.  fsync of a file or directory promises nothing about its own name.
 *   bytes     What fsync, fdatasync or syncfs promised is there.  Each 4 KiB of what was written
 *             later is there or not; one of them may be torn at 512 bytes; the file ends where it
 *             did when synced, where it did at last, or between; what never came reads as zeros
 *             or as an old block of the file.
 *   metadata  Mode and mtime of a file are those of the last sync or those of the end.
 *
 * Not modelled: of several writes to a block between two syncs only the last may survive; owners,
 * xattrs and directories' metadata are as at the end; ctime is new (so what is believed for its
 * ctime is read instead); sync_file_range promises nothing; a name made by fopen() in libc is lost
 * unless it is renamed later.  *Lying* disks, which lose even what was synced, are an option.
 */
#pragma once

#include <stdint.h>

#define POWERLOSS_DIR "ALB_POWERLOSS_DIR"       /* what is watched: an absolute path         */
#define POWERLOSS_SHADOW "ALB_POWERLOSS_SHADOW" /* on the same file system; unset: none kept */
#define POWERLOSS_AT "ALB_POWERLOSS_AT"         /* the event to die at; unset: never         */
#define POWERLOSS_FATE "ALB_POWERLOSS_FATE"     /* a number: how to die there                */

enum powerloss_kind {
    POWERLOSS_ADD = 1,  /* dir/name is now ino                                    */
    POWERLOSS_DROP,     /* dir/name is gone                                       */
    POWERLOSS_MOVE,     /* from dir/name to to_dir/to_name, in place of any there */
    POWERLOSS_SYNC_DIR, /* of dir                                                 */
    POWERLOSS_SYNC_ALL,
};

struct powerloss_op {
    uint32_t kind;
    uint64_t ino, dir, to_dir;
    char name[256], to_name[256];
};
