/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/doors.c – open; damaged? → set aside and begin anew, once. */
#include "reflector/doors.h"

#include <stdio.h>
#include <sys/statvfs.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/units.h"
#include "reflector/command.h"
#include "store/disk/segment_store.h"

/* Rename DIR/NAME to DIR/NAME.damaged, for whoever wants to look into it.  One is kept: a disk that
 * fails again and again must neither fill up nor stop us. */
static struct alb_status set_aside(const char *dir, const char *name, struct alb_status why)
{
    AUTO_FREE char *path = path_join(dir, name);
    AUTO_FREE char *aside = xasprintf("%s.damaged", path);

    if (!file_exists(path))
        return ALB_STATUS_OK;
    struct alb_status st = file_remove_all(aside);
    if (alb_failed(st))
        return st;
    if (rename(path, aside) != 0)
        return alb_fail_sys("setting damaged files aside");
    log_status(LOG_ERROR, "store.damaged", why,
               "path=%s kept_as=%s next=\"begun anew, and filled from the parent; remove what was "
               "kept when nobody wants to look into it\"",
               path, aside);
    return file_sync_dir(dir);
}

/* Chunks are not kept: they are all at the parent, and twice the quota may not be on this disk. */
static struct alb_status throw_away(const char *dir, const char *name, struct alb_status why)
{
    AUTO_FREE char *path = path_join(dir, name);

    if (!file_exists(path))
        return ALB_STATUS_OK;
    log_status(LOG_ERROR, "store.damaged", why,
               "path=%s next=\"removed, begun anew and filled from the parent\"", path);
    struct alb_status st = file_remove_all(path);
    return alb_failed(st) ? st : file_sync_dir(dir);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

/* A damaged index is built anew from the segments by the store itself; this is for the rest. */
static struct alb_status open_store(const struct segment_store_options *o, struct chunk_store **out)
{
    struct alb_status st = segment_store_open(o, out);

    if (st.code != ALB_CORRUPT)
        return st;
    struct alb_status aside = throw_away(o->dir, "segments", st);
    if (!alb_failed(aside))
        aside = set_aside(o->dir, "index", st);
    return alb_failed(aside) ? aside : segment_store_open(o, out);
}

static int tell_store_failure(struct alb_status st, const char *dir)
{
    if (st.code == ALB_CONFLICT)
        return reflector_fail(st.code, "%s: another albedo-reflector is running on this directory",
                              dir);
    if (st.code == ALB_FULL)
        return reflector_fail_status(st, "%s: make room there: opening the chunk store", dir);
    return reflector_fail_status(st, "%s: opening the chunk store", dir);
}

/* ---- records --------------------------------------------------------------------------------- */

static struct alb_status open_catalogue(const char *dir, struct catalogue **out)
{
    AUTO_FREE char *path = path_join(dir, REFLECTOR_CATALOGUE);
    struct alb_status st = disk_catalogue_open_whole(path, out);

    if (st.code != ALB_CORRUPT)
        return st;
    st = set_aside(dir, REFLECTOR_CATALOGUE, st);
    return alb_failed(st) ? st : disk_catalogue_open_whole(path, out);
}

/* Without it nothing that the parent says can be judged; the pin lets it be learned again. */
static struct alb_status look_for_trust(struct catalogue *c)
{
    struct buf bytes;

    buf_init(&bytes, CATALOGUE_VALUE_MAX);
    struct alb_status st = catalogue_get(c, "trust/1", &bytes, NULL);
    buf_release(&bytes);
    if (st.code != ALB_NOT_FOUND)
        return st;
    log_event(LOG_WARN, "trust.lost",
              "next=\"asked of the parent again, by the pin in reflector.conf; nothing is served "
              "before it has answered\"");
    return ALB_STATUS_OK;
}

/* ---- pins ------------------------------------------------------------------------------------ */

struct stale_pins {
    const struct config_pins *wanted;
    char names[PINS_MAX][PIN_NAME_MAX + 1];
    size_t count;
};

bool reflector_pins_name(const struct config_pins *pins, const char *name)
{
    for (size_t i = 0; i < pins->count; i++)
        if (strcmp(pins->at[i], name) == 0)
            return true;
    return false;
}

static void note_stale(void *arg, const char *name, uint64_t chunks, uint64_t bytes)
{
    struct stale_pins *s = arg;

    (void)chunks;
    (void)bytes;
    if (!reflector_pins_name(s->wanted, name) && s->count < PINS_MAX)
        (void)snprintf(s->names[s->count++], PIN_NAME_MAX + 1, "%s", name);
}

/* Pins that the configuration does not name any more go; the others must fit before anything is
 * dropped for their sake. */
static int fit_pins(const struct reflector_config *c, uint64_t quota, struct chunk_store *store)
{
    const struct cache_ops *cache = store->ops->cache;
    AUTO_FREE struct stale_pins *stale = xalloc(sizeof *stale);
    struct cache_stats stats;
    char text[2][UNITS_TEXT_SIZE];

    stale->wanted = &c->cache_pins;
    cache->list_pins(store, note_stale, stale);
    for (size_t i = 0; i < stale->count; i++) {
        struct alb_status st = cache->unpin(store, stale->names[i]);
        if (alb_failed(st))
            return reflector_fail_status(st, "%s: unpinning %s", c->data, stale->names[i]);
        log_event(LOG_INFO, "cache.unpinned", "version=%s", stale->names[i]);
    }
    cache->stats(store, &stats);
    if (quota == 0 || stats.pinned_bytes <= quota / 100 * PINS_SHARE_PERCENT)
        return 0;
    if (c->cache_quota_bytes == QUOTA_AUTO) { /* others filled the disk: no reason to stay away */
        log_event(LOG_WARN, "cache.pins_too_large",
                  "pins=%s quota=%s next=\"free some of the disk, or pin less\"",
                  format_size(stats.pinned_bytes, text[0]), format_size(quota, text[1]));
        return 0;
    }
    return reflector_fail(ALB_INVALID,
                          "%s: cache_quota = %s is too little for what cache_pins names: that can "
                          "take %s, and pins have at most %d %% of the quota; raise it or pin less "
                          "(nothing was dropped)",
                          c->data, format_size(quota, text[0]),
                          format_size(stats.pinned_bytes, text[1]), (int)PINS_SHARE_PERCENT);
}

/* ---- both ------------------------------------------------------------------------------------ */

/* What makes no sense is said before anything is opened or dropped. */
static int check_limits(const struct reflector_config *c, uint64_t quota)
{
    struct statvfs about;
    char text[3][UNITS_TEXT_SIZE];

    if (quota != 0 && quota < SEGMENT_STORE_QUOTA_LEAST)
        return reflector_fail(ALB_INVALID,
                              "%s: cache_quota = %s: a cache has at least %s (a few groups of "
                              "chunks and what finds them); or none for no limit",
                              c->data, format_size(quota, text[0]),
                              format_size(SEGMENT_STORE_QUOTA_LEAST, text[1]));
    if (statvfs(c->data, &about) != 0)
        return 0;
    uint64_t all = (uint64_t)about.f_blocks * about.f_frsize;
    if (c->cache_floor_bytes >= all)
        return reflector_fail(ALB_INVALID,
                              "%s: cache_floor = %s: the disk there has %s in all, so nothing "
                              "could ever be kept; take less",
                              c->data, format_size(c->cache_floor_bytes, text[0]),
                              format_size(all, text[1]));
    if (quota > all - c->cache_floor_bytes)
        log_event(LOG_WARN, "cache.quota_beyond_disk",
                  "quota=%s disk=%s floor=%s next=\"what the disk has is the limit\"",
                  format_size(quota, text[0]), format_size(all, text[1]),
                  format_size(c->cache_floor_bytes, text[2]));
    return 0;
}

int reflector_doors_open(const struct reflector_config *c, struct reflector_doors *out)
{
    const char *dir = c->data;
    const uint64_t quota = reflector_cache_quota(c);
    const struct segment_store_options options = {
        .dir = dir,
        .quota_bytes = quota,
        .floor_bytes = c->cache_floor_bytes,
        .policy = evict_policy_find(config_eviction_name(c->cache_policy)),
    };
    struct reflector_doors d = {.store = NULL};
    int code = check_limits(c, quota);

    if (code != 0)
        return code;
    struct alb_status st = open_store(&options, &d.store);
    if (alb_failed(st))
        return tell_store_failure(st, dir);
    code = fit_pins(c, quota, d.store);
    if (code != 0) {
        reflector_doors_close(&d);
        return code;
    }
    st = open_catalogue(dir, &d.catalogue);
    if (!alb_failed(st))
        st = look_for_trust(d.catalogue);
    if (alb_failed(st)) {
        reflector_doors_close(&d);
        return reflector_fail_status(st, "%s/" REFLECTOR_CATALOGUE ": opening the catalogue", dir);
    }
    *out = d;
    return 0;
}

void reflector_doors_close(struct reflector_doors *d)
{
    catalogue_close(d->catalogue);
    chunk_store_close(d->store);
    *d = (struct reflector_doors){.store = NULL};
}
