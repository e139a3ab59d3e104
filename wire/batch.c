/* SPDX-License-Identifier: Apache-2.0 */
/* wire/batch.c – requests by position, items that answer, sets of positions, opening an upload. */
#include "wire/batch.h"

#include "base/alloc.h"
#include "base/pack.h"

enum { BATCH_FORMAT = 1, UPLOAD_FORMAT = 1, VARINT_MOST = 10 };

/* ---- runs: gap to the end of the run before, then count − 1 ---- */

static void put_runs(struct pack *p, const struct batch_run *runs, size_t count)
{
    uint64_t end = 0;

    pack_varint(p, count);
    for (size_t i = 0; i < count && !alb_failed(p->st); i++) {
        uint64_t least = i == 0 ? 0 : end + 1; /* runs that touch are one run */

        if (runs[i].count == 0 || runs[i].first < least ||
            (uint64_t)runs[i].first + runs[i].count > UINT32_MAX) {
            p->st = alb_fail(ALB_INVALID, "positions are not in ascending runs");
            return;
        }
        pack_varint(p, runs[i].first - least);
        pack_varint(p, runs[i].count - 1);
        end = (uint64_t)runs[i].first + runs[i].count;
    }
}

/* Positions stay below `limit`; `runs` has room for `count`. */
static void get_runs(struct unpack *u, uint32_t limit, struct batch_run *runs, size_t count)
{
    uint64_t end = 0;

    for (size_t i = 0; i < count && u->error == NULL; i++) {
        uint64_t first = unpack_bounded(u, UINT32_MAX) + (i == 0 ? 0 : end + 1);
        uint64_t items = unpack_bounded(u, UINT32_MAX) + 1;

        end = first + items;
        if (end > limit) {
            unpack_fail(u, "a position is beyond the end of its list");
            return;
        }
        runs[i] = (struct batch_run){(uint32_t)first, (uint32_t)items};
    }
}

struct alb_status runs_encode(const struct batch_run *runs, size_t count, struct buf *out)
{
    struct pack p;

    pack_init(&p, out);
    put_runs(&p, runs, count);
    return pack_finish(&p);
}

struct alb_status runs_decode(const void *bytes, size_t size, uint32_t limit,
                              struct batch_run **out, size_t *count)
{
    AUTO_FREE struct batch_run *runs = NULL;
    struct unpack u;
    struct alb_status st;
    size_t n;

    unpack_init(&u, bytes, size);
    n = (size_t)unpack_bounded(&u, size / 2); /* each takes two bytes or more */
    runs = try_alloc(n * sizeof *runs);
    if (runs == NULL)
        return alb_fail(ALB_FULL, "no memory for a set of positions");
    get_runs(&u, limit, runs, n);
    st = unpack_finish(&u);
    if (alb_failed(st))
        return st;
    *out = take_ptr(&runs);
    *count = n;
    return ALB_STATUS_OK;
}

/* ---- request ---- */

size_t batch_request_items(const struct batch_request *r)
{
    size_t items = 0;

    for (size_t i = 0; i < r->run_count; i++)
        items += r->runs[i].count;
    return items;
}

static struct alb_status items_check(const struct batch_request *r)
{
    if (r->run_count == 0)
        return alb_fail(ALB_INVALID, "a batch asks for nothing");
    if (r->run_count > BATCH_ITEMS_MAX || batch_request_items(r) > BATCH_ITEMS_MAX)
        return alb_fail(ALB_INVALID, "a batch asks for more than 256 chunks");
    if (r->list == LIST_ROOT && (r->runs[0].first != 0 || batch_request_items(r) != 1))
        return alb_fail(ALB_INVALID, "list R has only position 0");
    return ALB_STATUS_OK;
}

struct alb_status batch_request_encode(const struct batch_request *r, struct buf *out)
{
    struct alb_status st = items_check(r);
    struct pack p;

    if (!alb_failed(st))
        st = layer_name_check(r->layer);
    if (alb_failed(st))
        return st;
    pack_init(&p, out);
    pack_u8(&p, BATCH_FORMAT);
    pack_string(&p, r->layer);
    pack_digest(&p, &r->root);
    pack_u8(&p, (uint8_t)r->list);
    put_runs(&p, r->runs, r->run_count);
    return pack_finish(&p);
}

static void get_layer(struct unpack *u, char *out)
{
    struct alb_status st;

    unpack_string(u, out, NAME_MAX_SIZE);
    st = layer_name_check(out);
    if (alb_failed(st))
        unpack_fail(u, st.what);
}

static enum chunk_list get_list(struct unpack *u)
{
    uint8_t list = unpack_u8(u);

    switch (list) {
    case LIST_MANIFEST: return LIST_MANIFEST;
    case LIST_CONTENT: return LIST_CONTENT;
    case LIST_ROOT: return LIST_ROOT;
    default: unpack_fail(u, "a request names none of the lists M, C and R");
    }
    return LIST_MANIFEST;
}

struct alb_status batch_request_decode(const void *bytes, size_t size, struct batch_request *out)
{
    struct batch_request r = {.run_count = 0};
    struct unpack u;
    struct alb_status st;

    if (size > BATCH_REQUEST_MAX)
        return alb_fail(ALB_CORRUPT, "a batch request is longer than 8 KiB");
    unpack_init(&u, bytes, size);
    if (unpack_u8(&u) != BATCH_FORMAT)
        unpack_fail(&u, "batch request format is not known to this program");
    get_layer(&u, r.layer);
    unpack_digest(&u, &r.root);
    r.list = get_list(&u);
    r.run_count = (size_t)unpack_bounded(&u, BATCH_ITEMS_MAX);
    get_runs(&u, UINT32_MAX, r.runs, r.run_count);
    st = unpack_finish(&u);
    if (alb_failed(st))
        return st;
    st = items_check(&r);
    if (alb_failed(st))
        return (struct alb_status){ALB_CORRUPT, 0, st.what};
    *out = r;
    return ALB_STATUS_OK;
}

struct alb_status batch_request_set(struct batch_request *r, const uint32_t *positions,
                                    size_t count)
{
    size_t runs = 0;

    if (count > BATCH_ITEMS_MAX)
        return alb_fail(ALB_INVALID, "a batch asks for more than 256 chunks");
    for (size_t i = 1; i < count; i++)
        if (positions[i] <= positions[i - 1])
            return alb_fail(ALB_INVALID, "positions of a batch must be ascending");
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && positions[i] == positions[i - 1] + 1)
            r->runs[runs - 1].count++;
        else
            r->runs[runs++] = (struct batch_run){positions[i], 1};
    }
    r->run_count = runs;
    return ALB_STATUS_OK;
}

/* ---- items ---- */

struct alb_status batch_item_head(const struct batch_item *item, struct buf *out)
{
    struct pack p;

    pack_init(&p, out);
    pack_u8(&p, (uint8_t)item->status);
    switch (item->status) {
    case ITEM_HIT:
        pack_varint(&p, item->position);
        pack_varint(&p, item->size);
        break;
    case ITEM_MISSING:
    case ITEM_FAILED: pack_varint(&p, item->position); break;
    case ITEM_QUEUED:
        pack_varint(&p, item->line);
        pack_varint(&p, item->rate_bps);
        break;
    }
    return pack_finish(&p);
}

/* Does the input end inside the number it stands at?  (Ten bytes end one, well or badly.) */
static bool number_is_open(const struct unpack *u)
{
    size_t left = unpack_left(u);

    for (size_t i = 0; i < left && i < VARINT_MOST; i++)
        if ((u->at[i] & 0x80) == 0)
            return false;
    return u->error == NULL && left < VARINT_MOST;
}

/* False when more bytes are needed to know the number; an error counts as known. */
static bool take_number(struct unpack *u, uint64_t max, uint64_t *out)
{
    if (number_is_open(u))
        return false;
    *out = unpack_bounded(u, max);
    return true;
}

static bool take_hit(struct unpack *u, size_t max_size, struct batch_item *item)
{
    uint64_t position, size;

    if (!take_number(u, UINT32_MAX, &position) || !take_number(u, UINT32_MAX, &size))
        return false;
    if (u->error != NULL)
        return true;
    if (size == 0 || size > max_size) {
        unpack_fail(u, "an item's chunk is empty or larger than it may be");
        return true;
    }
    if (size > unpack_left(u))
        return false;
    item->position = (uint32_t)position;
    item->size = (size_t)size;
    item->bytes = unpack_bytes(u, item->size);
    return true;
}

static bool take_plain(struct unpack *u, struct batch_item *item)
{
    uint64_t position;

    if (!take_number(u, UINT32_MAX, &position))
        return false;
    item->position = (uint32_t)position;
    return true;
}

static bool take_queued(struct unpack *u, struct batch_item *item)
{
    uint64_t line, rate;

    if (!take_number(u, UINT32_MAX, &line) || !take_number(u, UINT64_MAX, &rate))
        return false;
    item->line = (uint32_t)line;
    item->rate_bps = rate;
    return true;
}

/* One item; false when more bytes are needed. */
static bool take_item(struct unpack *u, size_t max_size, struct batch_item *item)
{
    uint8_t status = unpack_u8(u);

    switch (status) {
    case ITEM_HIT: item->status = ITEM_HIT; return take_hit(u, max_size, item);
    case ITEM_MISSING: item->status = ITEM_MISSING; return take_plain(u, item);
    case ITEM_QUEUED: item->status = ITEM_QUEUED; return take_queued(u, item);
    case ITEM_FAILED: item->status = ITEM_FAILED; return take_plain(u, item);
    default: unpack_fail(u, "an item's status is not known to this program"); return true;
    }
}

struct alb_status batch_item_next(const struct buf *in, size_t max_size, struct batch_item *out,
                                  size_t *used)
{
    struct batch_item item = {.position = 0};
    struct alb_status st;
    struct unpack u;

    unpack_init(&u, buf_peek(in), buf_size(in));
    if (unpack_left(&u) == 0 || !take_item(&u, max_size, &item)) {
        *used = 0;
        return ALB_STATUS_OK;
    }
    st = unpack_check(&u);
    if (alb_failed(st))
        return st;
    *out = item;
    *used = (size_t)(u.at - buf_peek(in));
    return ALB_STATUS_OK;
}

/* ---- upload ---- */

struct alb_status upload_open_encode(const struct upload_open *u, struct buf *out)
{
    struct alb_status st = layer_name_check(u->layer);
    struct pack p;

    if (alb_failed(st))
        return st;
    pack_init(&p, out);
    pack_u8(&p, UPLOAD_FORMAT);
    pack_string(&p, u->layer);
    pack_run(&p, u->root, u->root_size);
    pack_bytes(&p, u->items, u->items_size);
    return pack_finish(&p);
}

struct alb_status upload_open_decode(const void *bytes, size_t size, struct upload_open *out)
{
    struct upload_open o = {.root = NULL};
    struct alb_status st;
    struct unpack u;

    unpack_init(&u, bytes, size);
    if (unpack_u8(&u) != UPLOAD_FORMAT)
        unpack_fail(&u, "upload format is not known to this program");
    get_layer(&u, o.layer);
    o.root = unpack_run(&u, ROOT_OBJECT_MAX, &o.root_size);
    o.items_size = unpack_left(&u);
    o.items = unpack_bytes(&u, o.items_size);
    st = unpack_finish(&u);
    if (!alb_failed(st))
        *out = o;
    return st;
}
