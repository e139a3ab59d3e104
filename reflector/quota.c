/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/quota.c – how large a cache may be whose configuration does not say so. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/alloc.h"
#include "base/file.h"
#include "reflector/doors.h"
#include "store/disk/segment_store.h"

enum { STAT_BLOCK = 512, TENTHS = 9 };

static uint64_t blocks_below(const char *dir, const char *name)
{
    AUTO_FREE char *path = path_join(dir, name);
    DIR *folder = opendir(path);
    const struct dirent *entry;
    struct stat about;
    uint64_t total = 0;

    while (folder != NULL && (entry = readdir(folder)) != NULL)
        if (fstatat(dirfd(folder), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(about.st_mode))
            total += (uint64_t)about.st_blocks * STAT_BLOCK;
    if (folder != NULL)
        (void)closedir(folder);
    return total;
}

/* What it has counts as free, so that a start with a full cache comes to the same. */
uint64_t reflector_cache_quota(const struct reflector_config *c)
{
    struct statvfs about;

    if (c->cache_quota_bytes != QUOTA_AUTO)
        return c->cache_quota_bytes;
    if (c->cache_floor_bytes != 0 || statvfs(c->data, &about) != 0)
        return 0;
    uint64_t room = (uint64_t)about.f_bavail * about.f_frsize + blocks_below(c->data, "segments") +
                    blocks_below(c->data, "index") + blocks_below(c->data, "pins");
    uint64_t quota = room / 10 * TENTHS;
    return quota < SEGMENT_STORE_QUOTA_LEAST ? 0 : quota;
}
