/* SPDX-License-Identifier: Apache-2.0 */
/* wire/told.h – what became of pulls, as endpoints tell it and reflectors hand it up: the body of
 * POST /v1/told.
 *
 *     {"told":[{"device","epoch","number","layer","version","outcome":"applied|failed","why",
 *               "bytes","milliseconds","ended"}, … at most 64]}
 *
 * A device numbers its reports from 1 on within an epoch, a random name that it draws when it has
 * no counter (a new state).  {device, epoch, number} is the report's identity, so the hub can tell
 * one that comes twice, however long apart and on whatever way (struct told_seen).  Unknown members
 * are ignored.  It is a claim, bounded and well-formed; who may make it about whom is judged where
 * it is taken.
 */
#pragma once

#include "wire/json.h"

enum {
    TOLD_BODY_MAX = 64 << 10,
    TOLD_MOST = 64, /* in one body */
    TOLD_EPOCH_SIZE = 17,
    TOLD_DEVICE_SIZE = 64,
    TOLD_WHY_SIZE = 128,
    TOLD_EPOCHS = 4, /* of a device that the hub knows */
};

#define TOLD_PATH "/v1/told"

enum told_outcome { TOLD_APPLIED, TOLD_FAILED };

struct told {
    char device[TOLD_DEVICE_SIZE];
    char epoch[TOLD_EPOCH_SIZE]; /* 16 hex digits */
    uint64_t number;             /* from 1 on */
    char layer[NAME_MAX_SIZE];
    char version[NAME_MAX_SIZE]; /* "": it failed before it was known */
    enum told_outcome outcome;
    char why[TOLD_WHY_SIZE]; /* of a failure; one line */
    uint64_t bytes;          /* fetched, as they travelled */
    uint64_t duration_ms;
    int64_t ended_wall_s; /* by the device's clock */
};

const char *told_outcome_word(enum told_outcome outcome);
/* Copy words into `why`: as one line, cut at a whole character. */
void told_set_why(struct told *t, const char *words);

/* FULL when it does not fit in TOLD_BODY_MAX. */
ALB_MUST_USE struct alb_status told_encode(const struct told *list, size_t count, struct buf *out);
/* INVALID names the first thing that is wrong; nothing is taken.  `list` has room for TOLD_MOST. */
ALB_MUST_USE struct alb_status told_decode(const void *bytes, size_t size, struct told *list,
                                           size_t *count);
/* As members of an open object: what is shown of a report, and kept of the last one. */
void told_write(const struct told *t, struct json_writer *w);

/* ---- what the hub keeps of one device -------------------------------------------------------- */

struct told_epoch {
    char name[TOLD_EPOCH_SIZE];
    uint64_t highest; /* number seen */
    uint64_t before;  /* bit i: highest − 1 − i was seen, too */
};

struct told_seen {
    struct told_epoch epochs[TOLD_EPOCHS]; /* the newest first */
    size_t epoch_count;
    uint64_t applied, failed; /* counted */
    struct told last;         /* the one that ended last; device "": none */
};

/* False: this one was counted before, or is too old for anybody to know (65 behind the newest of
 * its epoch, or of an epoch that four others followed), and changes nothing. */
bool told_count(struct told_seen *seen, const struct told *t);
ALB_MUST_USE struct alb_status told_seen_encode(const struct told_seen *seen, struct buf *out);
/* CORRUPT. */
ALB_MUST_USE struct alb_status told_seen_decode(const void *bytes, size_t size,
                                                struct told_seen *out);
