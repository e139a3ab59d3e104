/* SPDX-License-Identifier: Apache-2.0 */
/* hub/sites_record.c – a directory as records: parts first, then the head that names them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "hub/sites.h"
#include "wire/json.h"

enum { HEAD_FORMAT = 1, PART_BYTES = 1000000, HEAD_BYTES = 4096 };

#define DAMAGED "the site directory kept here is damaged; restore the catalogue from a backup"
#define NEWER "the site directory kept here was written by a newer albedo-hub; run that one"

void sites_record_init(struct sites_record *r)
{
    *r = (struct sites_record){.swap_version = CATALOGUE_ABSENT};
}

void sites_record_release(struct sites_record *r)
{
    r->sites = sites_free(r->sites);
}

static void part_name(uint64_t number, size_t part, char out[64])
{
    (void)snprintf(out, 64, "sites-part/%" PRIu64 "/%zu", number, part);
}

/* ---- reading ---- */

static struct alb_status decode_head(const struct buf *bytes, struct sites_record *r)
{
    struct json_doc *head = NULL;
    struct alb_status st = json_doc_parse(buf_peek(bytes), buf_size(bytes), &head);

    if (alb_failed(st))
        return alb_fail(ALB_CORRUPT, DAMAGED);
    r->number = json_doc_number(head, "number");
    r->part_count = (size_t)json_doc_number(head, "parts");
    st = digest_parse(json_doc_text(head, "sha256"), &r->sha256);
    if (json_doc_number(head, "format") > HEAD_FORMAT)
        st = alb_fail(ALB_CORRUPT, NEWER);
    else if (alb_failed(st) || json_doc_number(head, "format") != HEAD_FORMAT || r->number == 0 ||
             r->part_count > SITES_BYTES_MAX / PART_BYTES + 1)
        st = alb_fail(ALB_CORRUPT, DAMAGED);
    json_doc_free(head);
    return st;
}

static struct alb_status read_parts(const struct ledger *l, const struct sites_record *r,
                                    struct buf *text)
{
    struct alb_status st = ALB_STATUS_OK;
    struct digest found;
    char name[64];

    for (size_t i = 0; i < r->part_count && !alb_failed(st); i++) {
        part_name(r->number, i, name);
        st = catalogue_get(l->catalogue, name, text, NULL);
    }
    if (st.code == ALB_NOT_FOUND)
        return alb_fail(ALB_CORRUPT, DAMAGED);
    if (alb_failed(st))
        return st;
    sha256(buf_peek(text), buf_size(text), &found);
    return memcmp(&found, &r->sha256, sizeof found) == 0 ? ALB_STATUS_OK
                                                         : alb_fail(ALB_CORRUPT, DAMAGED);
}

static struct alb_status read_sites(const struct ledger *l, struct sites_record *r)
{
    struct policy_findings findings;
    struct buf text;

    buf_init(&text, SITES_BYTES_MAX);
    policy_findings_init(&findings);
    struct alb_status st = read_parts(l, r, &text);
    if (!alb_failed(st))
        st = sites_decode(buf_peek(&text), buf_size(&text), NULL, NULL, &findings, &r->sites);
    if (st.code == ALB_INVALID)
        st = alb_fail(ALB_CORRUPT, DAMAGED);
    policy_findings_release(&findings);
    buf_release(&text);
    return st;
}

struct alb_status sites_record_read_head(const struct ledger *l, struct sites_record *out)
{
    struct buf head;

    buf_init(&head, HEAD_BYTES);
    struct alb_status st = catalogue_get(l->catalogue, "sites", &head, &out->swap_version);
    if (!alb_failed(st))
        st = decode_head(&head, out);
    buf_release(&head);
    return st.code == ALB_NOT_FOUND ? ALB_STATUS_OK : st;
}

/* Whoever only looks does so beside the one who writes: parts that are gone belong to a directory
 * that is no longer the one, unless the head names them still. */
struct alb_status sites_record_read(const struct ledger *l, struct sites_record *out)
{
    struct alb_status st = sites_record_read_head(l, out);

    while (!alb_failed(st) && out->number > 0) {
        const uint64_t seen = out->number;
        const struct alb_status parts = read_sites(l, out);

        if (parts.code != ALB_CORRUPT)
            return parts;
        st = sites_record_read_head(l, out);
        if (!alb_failed(st) && out->number == seen)
            return parts;
    }
    return st;
}

/* ---- writing ---- */

static struct alb_status write_parts(const struct ledger *l, uint64_t number,
                                     const struct buf *text, size_t *count)
{
    const uint8_t *bytes = buf_peek(text);
    struct alb_status st = ALB_STATUS_OK;
    size_t at = 0;
    char name[64];

    for (*count = 0; at < buf_size(text) && !alb_failed(st); (*count)++) {
        const size_t left = buf_size(text) - at, size = left < PART_BYTES ? left : PART_BYTES;

        part_name(number, *count, name);
        st = ledger_write(l->catalogue, name, CATALOGUE_ANY, bytes + at, size);
        at += size;
    }
    return st;
}

static struct alb_status encode_head(uint64_t number, size_t parts, const struct buf *text,
                                     const char *by, int64_t now_wall_s, struct buf *out)
{
    struct json_writer *w = json_writer_new();
    char hex[DIGEST_HEX_SIZE];
    struct digest sha;

    sha256(buf_peek(text), buf_size(text), &sha);
    json_object_begin(w, NULL);
    json_number(w, "format", HEAD_FORMAT);
    json_number(w, "number", number);
    json_number(w, "parts", parts);
    json_text(w, "sha256", digest_hex(&sha, hex));
    json_text(w, "by", by);
    json_signed(w, "at", now_wall_s);
    json_end(w);
    return json_writer_finish(w, out);
}

/* What a crash leaves of them takes a little room and is named by nothing. */
static void drop_parts(const struct ledger *l, const struct sites_record *r)
{
    char name[64];

    for (size_t i = 0; i < r->part_count; i++) {
        part_name(r->number, i, name);
        alb_ignore(catalogue_swap(l->catalogue, name, CATALOGUE_ANY, NULL, 0, NULL),
                   "nothing names it");
    }
}

struct alb_status sites_record_write(const struct ledger *l, const struct sites_record *before,
                                     const struct buf *text, const char *by, int64_t now_wall_s)
{
    const uint64_t number = before->number + 1;
    struct buf head;
    size_t parts;

    buf_init(&head, HEAD_BYTES);
    struct alb_status st = write_parts(l, number, text, &parts);
    if (!alb_failed(st))
        st = encode_head(number, parts, text, by, now_wall_s, &head);
    if (!alb_failed(st))
        st = ledger_write(l->catalogue, "sites", before->swap_version, buf_peek(&head),
                          buf_size(&head));
    buf_release(&head);
    if (!alb_failed(st)) {
        KILL_POINT("hub.sites_kept");
        drop_parts(l, before);
    }
    return st;
}
