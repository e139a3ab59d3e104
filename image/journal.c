/* SPDX-License-Identifier: Apache-2.0 */
/* image/journal.c – records with a length and a CRC each, a count at the end. */
#include "image/journal.h"

#include "base/alloc.h"
#include "base/pack.h"

static const char magic[8] = "ALBJRNL\n";
enum {
    JOURNAL_VERSION = 1,
    RECORD_HEAD = 1,     /* version, root, counts, places */
    RECORD_MANIFEST = 2, /* the manifest's bytes          */
    RECORD_OP = 3,
    RECORD_END = 4,
    RECORD_OVERHEAD = 8, /* length and CRC, 32 bits each  */
    PLACES_LIMIT = 256,
    NOTES_LIMIT = 1000,
    TEXT_LIMIT = MANIFEST_PATH_MAX + 256, /* a path and why it was left */
};

static uint32_t crc32c(const uint8_t *bytes, size_t size);
static size_t record_begin(struct pack *p, unsigned type);
static void record_end(struct pack *p, size_t start);
static void encode_head(struct pack *p, const struct journal *j);
static void encode_op(struct pack *p, const struct journal_op *op);
static void decode_record(struct unpack *u, struct journal *j, bool *ended);
static void decode_head(struct unpack *u, struct journal *j);
static void decode_op(struct unpack *u, struct journal *j);

/* Does an operation of this kind name a manifest entry, or a path of its own? */
static bool has_entry(enum journal_op_kind kind)
{
    return kind >= JOURNAL_MAKE_DIR;
}

static bool has_ino(enum journal_op_kind kind)
{
    return !has_entry(kind) || kind == JOURNAL_RENAME_IN;
}

/* Castagnoli's polynomial, reflected, a byte at a time. */
static uint32_t crc32c(const uint8_t *bytes, size_t size)
{
    static const uint32_t nibbles[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                                         0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                         0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                         0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        crc = (crc >> 4) ^ nibbles[crc & 15];
        crc = (crc >> 4) ^ nibbles[crc & 15];
    }
    return ~crc;
}

/* ---- writing ---- */

struct alb_status journal_encode(const struct journal *j, struct buf *out)
{
    struct pack p;
    size_t start;

    pack_init(&p, out);
    pack_bytes(&p, magic, sizeof(magic));
    pack_u32(&p, JOURNAL_VERSION);
    encode_head(&p, j);
    start = record_begin(&p, RECORD_MANIFEST);
    pack_bytes(&p, j->manifest_bytes, j->manifest_size);
    record_end(&p, start);
    for (size_t i = 0; i < j->op_count; i++)
        encode_op(&p, &j->ops[i]);
    start = record_begin(&p, RECORD_END);
    pack_varint(&p, j->op_count);
    record_end(&p, start);
    return pack_finish(&p);
}

/* Room for length and CRC, filled in by record_end(). */
static size_t record_begin(struct pack *p, unsigned type)
{
    size_t start = buf_size(p->out);

    pack_u32(p, 0);
    pack_u32(p, 0);
    pack_u8(p, (uint8_t)type);
    return start;
}

static void put_u32(uint8_t *at, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}

static void record_end(struct pack *p, size_t start)
{
    uint8_t *at;
    size_t size;

    if (alb_failed(p->st))
        return;
    at = p->out->bytes + p->out->head + start;
    size = buf_size(p->out) - start - RECORD_OVERHEAD;
    put_u32(at, (uint32_t)size);
    put_u32(at + 4, crc32c(at + RECORD_OVERHEAD, size));
}

static void encode_texts(struct pack *p, char *const *texts, size_t count)
{
    pack_varint(p, count);
    for (size_t i = 0; i < count; i++)
        pack_string(p, texts[i]);
}

static void encode_head(struct pack *p, const struct journal *j)
{
    const struct journal_counts *c = &j->counts;
    const uint64_t counts[] = {c->made,           c->replaced,         c->removed,
                               c->metadata_only,  c->unchanged,        c->kept,
                               c->owners_not_set, c->devices_not_made, c->xattrs_not_set};
    size_t start = record_begin(p, RECORD_HEAD);

    pack_string(p, j->version);
    pack_digest(p, &j->root);
    for (size_t i = 0; i < ALB_COUNT(counts); i++)
        pack_varint(p, counts[i]);
    encode_texts(p, j->places, j->place_count);
    encode_texts(p, j->notes, j->note_count);
    record_end(p, start);
}

static void encode_op(struct pack *p, const struct journal_op *op)
{
    size_t start = record_begin(p, RECORD_OP);

    pack_u8(p, (uint8_t)op->kind);
    if (has_entry(op->kind))
        pack_varint(p, op->entry);
    else
        pack_string(p, op->path);
    if (has_ino(op->kind))
        pack_varint(p, op->ino);
    record_end(p, start);
}

/* ---- reading ---- */

struct alb_status journal_decode(const void *bytes, size_t size, struct journal *out)
{
    struct journal j = {0};
    struct unpack u;
    const uint8_t *head;
    bool ended = false;
    struct alb_status st;

    unpack_init(&u, bytes, size);
    head = unpack_bytes(&u, sizeof(magic));
    if (head == NULL || memcmp(head, magic, sizeof(magic)) != 0)
        return alb_fail(ALB_CORRUPT, "the journal is no journal");
    if (unpack_u32(&u) != JOURNAL_VERSION)
        return alb_fail(ALB_CORRUPT, "the journal has an unknown format version");
    while (!ended && u.error == NULL)
        decode_record(&u, &j, &ended);
    if (u.error == NULL && (j.version == NULL || j.manifest_bytes == NULL || j.place_count == 0))
        unpack_fail(&u, "the journal lacks its beginning");
    st = unpack_finish(&u);
    if (alb_failed(st)) {
        journal_release(&j);
        return st;
    }
    *out = j;
    return ALB_STATUS_OK;
}

static void decode_record(struct unpack *u, struct journal *j, bool *ended)
{
    uint32_t size = unpack_u32(u);
    uint32_t crc = unpack_u32(u);
    const uint8_t *payload = unpack_bytes(u, size);
    struct unpack r;
    uint8_t type;

    if (payload == NULL || size == 0 || crc32c(payload, size) != crc) {
        unpack_fail(u, "a record of the journal is damaged");
        return;
    }
    unpack_init(&r, payload + 1, size - 1);
    type = payload[0];
    if (type == RECORD_HEAD && j->version == NULL) {
        decode_head(&r, j);
    } else if (type == RECORD_MANIFEST && j->manifest_bytes == NULL) {
        j->manifest_size = unpack_left(&r);
        j->manifest_bytes = unpack_bytes(&r, j->manifest_size);
    } else if (type == RECORD_OP) {
        decode_op(&r, j);
    } else if (type == RECORD_END) {
        *ended = true;
        if (unpack_varint(&r) != j->op_count)
            unpack_fail(&r, "the journal lacks operations");
    } else {
        unpack_fail(&r, "the journal has an unknown record");
    }
    if (alb_failed(unpack_finish(&r)))
        unpack_fail(u, r.error != NULL ? r.error : "a record of the journal is too long");
}

static char *unpack_text(struct unpack *u)
{
    size_t size = 0;
    const uint8_t *text = unpack_run(u, TEXT_LIMIT, &size);

    if (text != NULL && memchr(text, 0, size) != NULL)
        unpack_fail(u, "the journal has a zero byte in a text");
    return text == NULL ? xstrdup("") : xstrndup((const char *)text, size);
}

static char **decode_texts(struct unpack *u, size_t limit, size_t *out_count)
{
    size_t count = unpack_bounded(u, limit);
    char **texts = xcalloc(count + 1, sizeof(*texts));

    while (*out_count < count && u->error == NULL)
        texts[(*out_count)++] = unpack_text(u);
    return texts;
}

static void decode_head(struct unpack *u, struct journal *j)
{
    struct journal_counts *c = &j->counts;
    uint64_t *const counts[] = {&c->made,           &c->replaced,         &c->removed,
                                &c->metadata_only,  &c->unchanged,        &c->kept,
                                &c->owners_not_set, &c->devices_not_made, &c->xattrs_not_set};

    j->version = unpack_text(u);
    unpack_digest(u, &j->root);
    for (size_t i = 0; i < ALB_COUNT(counts); i++)
        *counts[i] = unpack_varint(u);
    j->places = decode_texts(u, PLACES_LIMIT, &j->place_count);
    j->notes = decode_texts(u, NOTES_LIMIT, &j->note_count);
}

static void decode_op(struct unpack *u, struct journal *j)
{
    struct journal_op op = {.kind = (enum journal_op_kind)unpack_u8(u)};

    if (op.kind < JOURNAL_UNLINK || op.kind > JOURNAL_SET_META)
        unpack_fail(u, "the journal has an unknown operation");
    if (u->error != NULL)
        return;
    if (has_entry(op.kind))
        op.entry = (uint32_t)unpack_bounded(u, UINT32_MAX);
    else
        op.path = unpack_text(u);
    if (has_ino(op.kind))
        op.ino = unpack_varint(u);
    journal_add(j, op);
}

void journal_add(struct journal *j, struct journal_op op)
{
    if (j->op_count == j->op_capacity) {
        j->op_capacity = j->op_capacity == 0 ? 64 : 2 * j->op_capacity;
        j->ops = xrealloc(j->ops, j->op_capacity * sizeof(*j->ops));
    }
    j->ops[j->op_count++] = op;
}

void journal_release(struct journal *j)
{
    for (size_t i = 0; i < j->op_count; i++)
        free(j->ops[i].path);
    for (size_t i = 0; i < j->place_count; i++)
        free(j->places[i]);
    for (size_t i = 0; i < j->note_count; i++)
        free(j->notes[i]);
    free(j->notes);
    free(j->ops);
    free(j->places);
    free(j->version);
    *j = (struct journal){0};
}
