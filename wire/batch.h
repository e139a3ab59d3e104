/* SPDX-License-Identifier: Apache-2.0 */
/* wire/batch.h – asking for chunks by position, and the self-describing items that answer.
 *
 * A request names a layer, a root the caller may read, a list of that root (M or C) and runs of
 * positions: never a bare digest.  The answer is a sequence of items in any order; a truncated
 * answer keeps its finished items.  The same items carry an upload's chunks.  Bytes:
 * wire/FORMAT.md.
 */
#pragma once

#include "base/buf.h"
#include "base/key.h"
#include "base/units.h"
#include "wire/root.h"

enum {
    BATCH_ITEMS_MAX = 256,
    BATCH_BYTES_MAX = 4 << 20,
    BATCH_REQUEST_MAX = 8 << 10,
    BATCH_ITEM_OVERHEAD = 16
};

enum item_status {
    ITEM_HIT = 1,     /* length bytes follow: the stored form          */
    ITEM_MISSING = 2, /* not to be had here now; ask elsewhere          */
    ITEM_QUEUED = 3,  /* still coming: position in line, rate in bytes/s; no chunk position */
    ITEM_FAILED = 4,  /* tried and failed; worth asking again           */
};

struct batch_run {
    uint32_t first;
    uint32_t count;
};

struct batch_request {
    char layer[NAME_MAX_SIZE];
    struct digest root;
    enum chunk_list list;
    size_t run_count;
    struct batch_run runs[BATCH_ITEMS_MAX];
};

ALB_MUST_USE struct alb_status batch_request_encode(const struct batch_request *r, struct buf *out);
ALB_MUST_USE struct alb_status batch_request_decode(const void *bytes, size_t size,
                                                    struct batch_request *out);
size_t batch_request_items(const struct batch_request *r);
/* Fill runs from ascending positions; INVALID when more than BATCH_ITEMS_MAX or not ascending. */
ALB_MUST_USE struct alb_status batch_request_set(struct batch_request *r, const uint32_t *positions,
                                                 size_t count);

struct batch_item {
    enum item_status status;
    uint32_t position;
    uint32_t line;        /* QUEUED: how many the sender waits for */
    uint64_t rate_bps;    /* QUEUED: … at bytes per second, 0: unknown */
    const uint8_t *bytes; /* HIT: borrowed from the reader's input */
    size_t size;
};

ALB_MUST_USE struct alb_status batch_item_head(const struct batch_item *item, struct buf *out);

/* Take the next whole item from `in` without consuming it: OK and *used > 0; OK and *used = 0 when
 * more bytes are needed; CORRUPT when it cannot be an item (a frame over `max_size` included). */
ALB_MUST_USE struct alb_status batch_item_next(const struct buf *in, size_t max_size,
                                               struct batch_item *out, size_t *used);

/* Sets of positions, as in an upload's answer "these I lack". */
ALB_MUST_USE struct alb_status runs_encode(const struct batch_run *runs, size_t count,
                                           struct buf *out);
ALB_MUST_USE struct alb_status runs_decode(const void *bytes, size_t size, uint32_t limit,
                                           struct batch_run **out, size_t *count); /* heap */

enum { UPLOAD_ID_SIZE = 33 }; /* 32 hexadecimal digits and a zero */

/* An upload is opened by: layer, root object, the M chunks' stored forms in order. */
struct upload_open {
    char layer[NAME_MAX_SIZE];
    const uint8_t *root; /* borrowed */
    size_t root_size;
    const uint8_t *items; /* borrowed: HIT items for list M */
    size_t items_size;
};
ALB_MUST_USE struct alb_status upload_open_encode(const struct upload_open *u, struct buf *out);
ALB_MUST_USE struct alb_status upload_open_decode(const void *bytes, size_t size,
                                                  struct upload_open *out);

/* … and answered by: its id, and which positions of list C are lacking. */
struct upload_answer {
    char id[40];
    struct batch_run *runs; /* heap, owned */
    size_t run_count;
};
ALB_MUST_USE struct alb_status upload_answer_encode(const struct upload_answer *a, struct buf *out);
/* `limit`: length of list C. */
ALB_MUST_USE struct alb_status upload_answer_decode(const void *bytes, size_t size, uint32_t limit,
                                                    struct upload_answer *out);
void upload_answer_release(struct upload_answer *a);
