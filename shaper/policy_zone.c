/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/policy_zone.c – TZif files (RFC 8536): the transitions they list, and the rule in their
 * footer for all later times. */
#include "shaper/policy_zone.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "shaper/policy_footer.h"
#include "wire/policy_words.h"

static const char SYSTEM_DIR[] = "/usr/share/zoneinfo";

enum { HEADER_SIZE = 44, TYPE_SIZE = 6, TYPES_MAX = 256 };

struct zone {
    size_t count;  /* of the transitions */
    int64_t *at_s; /* UTC, ascending */
    uint8_t *type; /* from then on  */
    int32_t east_s[TYPES_MAX];
    bool has_footer; /* for the time after the last transition */
    struct zone_footer footer;
};

/* ---- decoding ---- */

struct reader {
    const uint8_t *at, *end;
};

struct counts {
    uint8_t version;
    uint32_t utc, std, leap, time, type, letters;
};

static uint32_t big32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int64_t big_time(const uint8_t *at, size_t size)
{
    if (size == 4)
        return (int32_t)big32(at);
    return (int64_t)((uint64_t)big32(at) << 32 | big32(at + 4));
}

static size_t left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

static bool take_header(struct reader *r, struct counts *c)
{
    const uint8_t *at = r->at;

    if (left(r) < HEADER_SIZE || memcmp(at, "TZif", 4) != 0)
        return false;
    *c = (struct counts){at[4],          big32(at + 20), big32(at + 24), big32(at + 28),
                         big32(at + 32), big32(at + 36), big32(at + 40)};
    r->at += HEADER_SIZE;
    return c->time <= ZONE_BYTES_MAX && c->type > 0 && c->type <= TYPES_MAX && c->leap == 0 &&
           c->letters <= ZONE_BYTES_MAX && c->std <= TYPES_MAX && c->utc <= TYPES_MAX;
}

static size_t block_size(const struct counts *c, size_t time_size)
{
    return c->time * (time_size + 1) + c->type * (size_t)TYPE_SIZE + c->letters + c->std + c->utc;
}

static bool take_block(struct reader *r, const struct counts *c, size_t time_size, struct zone *z)
{
    const uint8_t *times = r->at, *types = times + c->time * time_size;
    const uint8_t *locals = types + c->time;

    if (left(r) < block_size(c, time_size))
        return false;
    z->count = c->time;
    z->at_s = xcalloc(c->time + 1, sizeof *z->at_s);
    z->type = xcalloc(c->time + 1, 1);
    for (uint32_t i = 0; i < c->time; i++) {
        z->at_s[i] = big_time(times + i * time_size, time_size);
        z->type[i] = types[i];
        if (types[i] >= c->type || (i > 0 && z->at_s[i] <= z->at_s[i - 1]))
            return false;
    }
    for (uint32_t i = 0; i < c->type; i++) {
        z->east_s[i] = (int32_t)big32(locals + i * (size_t)TYPE_SIZE);
        if (z->east_s[i] <= -90000 || z->east_s[i] >= 93600) /* the bounds of the RFC */
            return false;
    }
    r->at += block_size(c, time_size);
    return true;
}

static bool take_footer(struct reader *r, struct zone *z)
{
    const uint8_t *end;
    char text[128];
    size_t size;

    if (left(r) < 2 || *r->at++ != '\n')
        return false;
    end = memchr(r->at, '\n', left(r));
    if (end == NULL)
        return false;
    size = (size_t)(end - r->at);
    if (size == 0)
        return true; /* nothing is said of later times: what was last stays */
    if (size >= sizeof text)
        return false;
    memcpy(text, r->at, size);
    text[size] = '\0';
    z->has_footer = zone_footer_parse(text, &z->footer);
    return z->has_footer;
}

/* Version 1 has times of 32 bits; later ones repeat everything with 64 bits behind it. */
static bool decode(struct reader *r, struct zone *z)
{
    struct counts c;

    if (!take_header(r, &c))
        return false;
    if (c.version == 0)
        return take_block(r, &c, 4, z);
    if (left(r) < block_size(&c, 4))
        return false;
    r->at += block_size(&c, 4);
    return take_header(r, &c) && take_block(r, &c, 8, z) && take_footer(r, z);
}

struct alb_status zone_decode(const uint8_t *bytes, size_t size, struct zone **out)
{
    struct reader r = {bytes, bytes + size};
    struct zone *z = xalloc(sizeof *z);

    if (size > ZONE_BYTES_MAX || !decode(&r, z)) {
        (void)zone_free(z);
        return alb_fail(ALB_CORRUPT, "this is no TZif file, or one that counts leap seconds");
    }
    *out = z;
    return ALB_STATUS_OK;
}

struct alb_status zone_read(const char *dir, const char *name, struct zone **out)
{
    AUTO_FREE char *path = NULL;
    struct buf bytes;
    struct alb_status st = zone_name_check(name);

    if (alb_failed(st))
        return st;
    path = path_join(dir == NULL ? SYSTEM_DIR : dir, name);
    buf_init(&bytes, ZONE_BYTES_MAX);
    st = file_read(path, &bytes);
    if (!alb_failed(st))
        st = zone_decode(buf_peek(&bytes), buf_size(&bytes), out);
    buf_release(&bytes);
    return st;
}

struct zone_stamp zone_look(const char *dir, const char *name)
{
    AUTO_FREE char *path = path_join(dir == NULL ? SYSTEM_DIR : dir, name);
    struct stat s;

    if (alb_failed(zone_name_check(name)) || stat(path, &s) != 0)
        return (struct zone_stamp){0};
    return (struct zone_stamp){.device = (uint64_t)s.st_dev,
                               .inode = (uint64_t)s.st_ino,
                               .size = (uint64_t)s.st_size,
                               .changed_s = (int64_t)s.st_ctim.tv_sec,
                               .changed_ns = (int64_t)s.st_ctim.tv_nsec};
}

bool zone_stamp_equal(const struct zone_stamp *a, const struct zone_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed_s == b->changed_s && a->changed_ns == b->changed_ns;
}

struct zone *zone_free(struct zone *z)
{
    if (z == NULL)
        return NULL;
    free(z->at_s);
    free(z->type);
    free(z);
    return NULL;
}

bool zone_is_known(const char *name, void *dir)
{
    struct zone *z = NULL;

    if (alb_failed(zone_read(dir, name, &z)))
        return false;
    z = zone_free(z);
    return true;
}

/* ---- asking ---- */

/* How many transitions are not after `utc_s`. */
static size_t passed(const struct zone *z, int64_t utc_s)
{
    size_t low = 0, high = z->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (z->at_s[middle] <= utc_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int32_t zone_offset(const struct zone *z, int64_t utc_s, int64_t *until_s)
{
    size_t index = passed(z, utc_s);

    if (index == z->count && z->has_footer)
        return zone_footer_offset(&z->footer, utc_s, until_s);
    *until_s = index < z->count ? z->at_s[index] : INT64_MAX;
    return z->east_s[index == 0 ? 0 : z->type[index - 1]];
}
