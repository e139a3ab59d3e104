/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/doors.c – open; damaged? → set aside and begin anew, once. */
#include "reflector/doors.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
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

/* ---- both ------------------------------------------------------------------------------------ */

int reflector_doors_open(const char *dir, uint64_t quota_bytes, struct reflector_doors *out)
{
    const struct segment_store_options options = {.dir = dir, .quota_bytes = quota_bytes};
    struct reflector_doors d = {.store = NULL};
    struct alb_status st = open_store(&options, &d.store);

    if (alb_failed(st))
        return tell_store_failure(st, dir);
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
