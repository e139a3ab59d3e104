/* SPDX-License-Identifier: Apache-2.0 */
/* wire/prefetch.c – orders to hold a version, as a line; reports of them, as JSON. */
#include "wire/prefetch.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "wire/json.h"
#include "wire/plain_text.h"

static const char BEGIN[] = "prefetch ", END[] = "prefetch-end ";

static const char *const STATES[] = {
    [PREFETCH_WAITS] = "waits",
    [PREFETCH_FETCHING] = "fetching",
    [PREFETCH_HELD] = "held",
    [PREFETCH_FAILED] = "failed",
};

const char *prefetch_state_word(enum prefetch_state state)
{
    return STATES[state];
}

/* ---- the order ------------------------------------------------------------------------------- */

void prefetch_id_make(char out[PREFETCH_ID_SIZE])
{
    uint8_t random[8];

    random_bytes(random, sizeof random);
    out[0] = 'f';
    bytes_hex(random, sizeof random, out + 1);
}

struct alb_status prefetch_order_write(const struct prefetch_order *o, struct buf *out)
{
    char hex[2 * sizeof o->root.bytes + 1];

    if (o->is_end)
        return buf_printf(out, "%s%s", END, o->id);
    bytes_hex(o->root.bytes, sizeof o->root.bytes, hex);
    return buf_printf(out, "%s%s %s %s", BEGIN, o->id, hex, o->layer);
}

static bool is_id(const char *text)
{
    return strlen(text) == PREFETCH_ID_SIZE - 1 && text[0] == 'f' &&
           strspn(text + 1, "0123456789abcdef") == PREFETCH_ID_SIZE - 2;
}

/* The word up to the next blank, or the rest; false: it does not fit. */
static bool take_word(const char **rest, char *out, size_t size)
{
    const size_t length = strcspn(*rest, " ");

    if (length == 0 || length >= size)
        return false;
    memcpy(out, *rest, length);
    out[length] = '\0';
    *rest += length + ((*rest)[length] == ' ');
    return true;
}

static struct alb_status read_begin(const char *rest, struct prefetch_order *o)
{
    char hex[2 * sizeof o->root.bytes + 1];

    if (!take_word(&rest, o->id, sizeof o->id) || !is_id(o->id))
        return alb_fail(ALB_INVALID, "an order to prefetch has no ID");
    if (!take_word(&rest, hex, sizeof hex) || strlen(hex) != sizeof hex - 1 ||
        alb_failed(bytes_parse_hex(hex, o->root.bytes, sizeof o->root.bytes)))
        return alb_fail(ALB_INVALID, "an order to prefetch names no root");
    if (!take_word(&rest, o->layer, sizeof o->layer) || *rest != '\0' ||
        alb_failed(layer_name_check(o->layer)))
        return alb_fail(ALB_INVALID, "an order to prefetch names no layer");
    return ALB_STATUS_OK;
}

struct alb_status prefetch_order_read(const char *rest, struct prefetch_order *out)
{
    struct prefetch_order o = {.is_end = strncmp(rest, END, sizeof END - 1) == 0};
    struct alb_status st = ALB_STATUS_OK;

    if (o.is_end) {
        rest += sizeof END - 1;
        if (!take_word(&rest, o.id, sizeof o.id) || !is_id(o.id) || *rest != '\0')
            st = alb_fail(ALB_INVALID, "the end of an order to prefetch has no ID");
    } else if (strncmp(rest, BEGIN, sizeof BEGIN - 1) == 0) {
        st = read_begin(rest + sizeof BEGIN - 1, &o);
    } else {
        return alb_fail(ALB_NOT_FOUND, "a word about something else");
    }
    if (!alb_failed(st))
        *out = o;
    return st;
}

/* ---- the report ------------------------------------------------------------------------------ */

struct alb_status prefetch_report_encode(const struct prefetch_report *r, struct buf *out)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "device", r->device);
    json_text(w, "order", r->order);
    json_text(w, "state", STATES[r->state]);
    json_number(w, "chunks", r->chunks);
    json_number(w, "chunks_here", r->chunks_here);
    json_number(w, "bytes", r->bytes);
    json_number(w, "bytes_here", r->bytes_here);
    json_number(w, "fetched_bytes", r->fetched_bytes);
    json_text(w, "line", r->line);
    json_text(w, "why", r->why);
    json_end(w);
    return json_writer_finish(w, out);
}

/* False: it is longer than `out`, or no plain line. */
static bool take_text(const struct json_doc *d, const char *name, char *out, size_t size)
{
    const char *text = json_doc_text(d, name);

    if (strlen(text) >= size || !plain_text_is(text))
        return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool take_state(const struct json_doc *d, enum prefetch_state *out)
{
    for (size_t i = 0; i < ALB_COUNT(STATES); i++)
        if (strcmp(STATES[i], json_doc_text(d, "state")) == 0) {
            *out = (enum prefetch_state)i;
            return true;
        }
    return false;
}

static struct alb_status take_all(const struct json_doc *d, struct prefetch_report *r)
{
    if (!take_text(d, "device", r->device, sizeof r->device) || alb_failed(id_check(r->device)))
        return alb_fail(ALB_INVALID, "device: it names none");
    if (!take_text(d, "order", r->order, sizeof r->order) || !is_id(r->order))
        return alb_fail(ALB_INVALID, "order: 'f' and 16 hexadecimal digits");
    if (!take_state(d, &r->state))
        return alb_fail(ALB_INVALID, "state: waits, fetching, held or failed");
    if (!take_text(d, "line", r->line, sizeof r->line))
        return alb_fail(ALB_INVALID, "line: one word");
    if (!take_text(d, "why", r->why, sizeof r->why))
        return alb_fail(ALB_INVALID, "why: one line of at most 160 bytes");
    r->chunks = json_doc_number(d, "chunks");
    r->chunks_here = json_doc_number(d, "chunks_here");
    r->bytes = json_doc_number(d, "bytes");
    r->bytes_here = json_doc_number(d, "bytes_here");
    r->fetched_bytes = json_doc_number(d, "fetched_bytes");
    if (r->chunks_here > r->chunks || r->bytes_here > r->bytes)
        return alb_fail(ALB_INVALID, "chunks_here, bytes_here: more than there are");
    return ALB_STATUS_OK;
}

struct alb_status prefetch_report_decode(const void *bytes, size_t size,
                                         struct prefetch_report *out)
{
    struct prefetch_report r = {.state = PREFETCH_WAITS};
    struct json_doc *d = NULL;
    struct alb_status st = json_doc_parse(bytes, size, &d);

    if (alb_failed(st))
        return alb_fail(ALB_INVALID, "the report of a prefetch is no JSON document");
    st = take_all(d, &r);
    json_doc_free(d);
    if (!alb_failed(st))
        *out = r;
    return st;
}
