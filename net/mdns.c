/* SPDX-License-Identifier: Apache-2.0 */
/* net/mdns.c – names, questions and records from and to bytes; big-endian, as all of DNS. */
#include "net/mdns.h"

#include <string.h>
#include <strings.h>

enum {
    HEADER_SIZE = 12,
    RECORD_FIXED = 10, /* type, class, TTL, length */
    SRV_FIXED = 6,     /* priority, weight, port   */
    FLAG_RESPONSE = 0x8000,
    FLAG_AUTHORITY = 0x0400,
    FLAG_CUT = 0x0200,
    FLAGS_NOT_OURS = 0x7800 | 0x000f, /* opcode and response code */
    CLASS_IN = 1,
    CLASS_ANY = 255,
    CLASS_TOP = 0x8000, /* questions: by unicast, please; records: flush what others said */
    POINTER = 0xc0,
};

static uint16_t u16_at(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)u16_at(p) << 16 | u16_at(p + 2);
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool add_label(struct mdns_name *name, const void *bytes, size_t size)
{
    if (size == 0 || size > MDNS_LABEL_MOST || name->size + size + 2 > MDNS_NAME_MOST)
        return false;
    name->bytes[name->size++] = (uint8_t)size;
    memcpy(name->bytes + name->size, bytes, size);
    name->size = (uint8_t)(name->size + size);
    return true;
}

bool mdns_name_of(const char *dotted, struct mdns_name *out)
{
    struct mdns_name name = {.size = 0};

    for (;;) {
        const size_t size = strcspn(dotted, ".");
        if (!add_label(&name, dotted, size))
            return false;
        if (dotted[size] == '\0')
            break;
        dotted += size + 1;
    }
    name.bytes[name.size++] = 0;
    *out = name;
    return true;
}

bool mdns_name_under(const char *label, const struct mdns_name *rest, struct mdns_name *out)
{
    struct mdns_name name = {.size = 0};

    if (!add_label(&name, label, strlen(label)) || name.size + rest->size > MDNS_NAME_MOST)
        return false;
    memcpy(name.bytes + name.size, rest->bytes, rest->size);
    name.size = (uint8_t)(name.size + rest->size);
    *out = name;
    return true;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* Lengths are below 64, where no letter is, so they can be compared as if they were letters. */
static bool is_same(const uint8_t *a, const uint8_t *b, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

bool mdns_name_is_same(const struct mdns_name *a, const struct mdns_name *b)
{
    return a->size == b->size && is_same(a->bytes, b->bytes, a->size);
}

bool mdns_name_is_child(const struct mdns_name *name, const struct mdns_name *rest)
{
    if (name->size == 0 || name->bytes[0] == 0)
        return false;
    const size_t first = (size_t)name->bytes[0] + 1;

    return name->size == first + rest->size &&
           is_same(name->bytes + first, rest->bytes, rest->size);
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool fail(struct mdns_reader *r, const char *what)
{
    if (r->error == NULL)
        r->error = what;
    r->questions = r->records = 0;
    return false;
}

static bool has(struct mdns_reader *r, size_t size)
{
    return r->size - r->at >= size || fail(r, "it ends in the middle of something");
}

/* A pointer leads before the place where the labels that it ends began: each is lower than the one
 * before, so there is an end. */
static bool read_name(struct mdns_reader *r, struct mdns_name *out)
{
    struct mdns_name name = {.size = 0};
    size_t at = r->at, began = r->at, after = 0;

    for (;;) {
        if (at >= r->size)
            return fail(r, "a name runs out of the packet");
        const uint8_t length = r->bytes[at];
        if (length == 0)
            break;
        if ((length & POINTER) == POINTER) {
            if (at + 2 > r->size)
                return fail(r, "a name runs out of the packet");
            const size_t to = u16_at(r->bytes + at) & 0x3fff;
            if (to >= began || to < HEADER_SIZE)
                return fail(r, "a compressed name does not point backwards");
            after = after == 0 ? at + 2 : after;
            at = began = to;
            continue;
        }
        if (at + 1 + length > r->size || !add_label(&name, r->bytes + at + 1, length))
            return fail(r, "a name is too long, or of an unknown kind");
        at += (size_t)length + 1;
    }
    name.bytes[name.size++] = 0;
    r->at = after == 0 ? at + 1 : after;
    *out = name;
    return true;
}

bool mdns_read_begin(struct mdns_reader *r, const void *bytes, size_t size)
{
    const uint8_t *head = bytes;

    *r = (struct mdns_reader){.bytes = bytes, .size = size, .at = HEADER_SIZE};
    if (size < HEADER_SIZE || size > MDNS_PACKET_MOST)
        return false;
    const uint16_t flags = u16_at(head + 2);
    if ((flags & FLAGS_NOT_OURS) != 0)
        return false;
    r->is_response = (flags & FLAG_RESPONSE) != 0;
    r->is_cut = (flags & FLAG_CUT) != 0;
    r->questions = u16_at(head + 4);
    r->records = (unsigned)u16_at(head + 6) + u16_at(head + 8) + u16_at(head + 10);
    if (r->records > MDNS_RECORDS_MOST)
        r->records = MDNS_RECORDS_MOST;
    /* With more questions than are read, where the records begin is never known. */
    if (r->questions > MDNS_QUESTIONS_MOST) {
        r->questions = MDNS_QUESTIONS_MOST;
        r->records = 0;
    }
    return true;
}

bool mdns_read_question(struct mdns_reader *r, struct mdns_question *out)
{
    while (r->questions > 0) {
        struct mdns_question q = {.type = 0};
        r->questions--;
        if (!read_name(r, &q.name) || !has(r, 4))
            return false;
        const uint16_t class = u16_at(r->bytes + r->at + 2);
        q.type = u16_at(r->bytes + r->at);
        q.wants_unicast = (class & CLASS_TOP) != 0;
        r->at += 4;
        if ((class & ~CLASS_TOP) != CLASS_IN && (class & ~CLASS_TOP) != CLASS_ANY)
            continue;
        *out = q;
        return true;
    }
    return false;
}

static bool read_target(struct mdns_reader *r, struct mdns_record *out, size_t end)
{
    return read_name(r, &out->target) &&
           (r->at == end || fail(r, "a name does not fill its record"));
}

static bool read_service(struct mdns_reader *r, struct mdns_record *out, size_t end)
{
    const uint8_t *at = r->bytes + r->at;

    if (end - r->at < SRV_FIXED)
        return fail(r, "a record is too short for its type");
    out->priority = u16_at(at);
    out->weight = u16_at(at + 2);
    out->port = u16_at(at + 4);
    r->at += SRV_FIXED;
    return read_target(r, out, end);
}

static bool read_ip(struct mdns_reader *r, struct mdns_record *out, uint8_t size, size_t end)
{
    if (end - r->at != size)
        return fail(r, "an address is too long or too short");
    memcpy(out->ip.bytes, r->bytes + r->at, size);
    out->ip.size = size;
    return true;
}

/* Every string lies within it. */
static bool read_text(struct mdns_reader *r, struct mdns_record *out, size_t end)
{
    size_t at = r->at;

    while (at < end)
        at += (size_t)r->bytes[at] + 1;
    if (at != end)
        return fail(r, "a string runs out of its record");
    out->text = r->bytes + r->at;
    out->text_size = end - r->at;
    return true;
}

/* What follows the fixed part, up to `end`. */
static bool read_data(struct mdns_reader *r, struct mdns_record *out, size_t end)
{
    switch (out->type) {
    case MDNS_A: return read_ip(r, out, 4, end);
    case MDNS_AAAA: return read_ip(r, out, 16, end);
    case MDNS_PTR: return read_target(r, out, end);
    case MDNS_SRV: return read_service(r, out, end);
    default: return read_text(r, out, end);
    }
}

static bool is_known(uint16_t type, uint16_t class)
{
    return class == CLASS_IN && (type == MDNS_A || type == MDNS_PTR || type == MDNS_TXT ||
                                 type == MDNS_AAAA || type == MDNS_SRV);
}

bool mdns_read_record(struct mdns_reader *r, struct mdns_record *out)
{
    struct mdns_question skipped;

    while (mdns_read_question(r, &skipped))
        continue;
    while (r->records > 0) {
        struct mdns_record record = {.type = 0};
        r->records--;
        if (!read_name(r, &record.name) || !has(r, RECORD_FIXED))
            return false;
        const uint8_t *fixed = r->bytes + r->at;
        const uint16_t class = u16_at(fixed + 2);
        const size_t data_size = u16_at(fixed + 8);
        record.type = u16_at(fixed);
        record.flushes = (class & CLASS_TOP) != 0;
        record.ttl_s = u32_at(fixed + 4);
        r->at += RECORD_FIXED;
        if (!has(r, data_size))
            return false;
        const size_t end = r->at + data_size;
        if (is_known(record.type, class & (uint16_t)~CLASS_TOP)) {
            if (!read_data(r, &record, end))
                return false;
            r->at = end;
            *out = record;
            return true;
        }
        r->at = end;
    }
    return false;
}

const char *mdns_read_failed(const struct mdns_reader *r)
{
    return r->error;
}

bool mdns_text_find(const struct mdns_record *txt, const char *key, char *out, size_t out_size)
{
    const size_t key_size = strlen(key);

    for (size_t at = 0; at < txt->text_size; at += (size_t)txt->text[at] + 1) {
        const size_t size = txt->text[at];
        const char *string = (const char *)txt->text + at + 1;
        if (size <= key_size || strncasecmp(string, key, key_size) != 0 || string[key_size] != '=')
            continue;
        const size_t value_size = size - key_size - 1;
        if (value_size >= out_size || memchr(string + key_size + 1, '\0', value_size) != NULL)
            return false;
        memcpy(out, string + key_size + 1, value_size);
        out[value_size] = '\0';
        return true;
    }
    return false;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put(struct mdns_writer *w, const void *bytes, size_t size)
{
    if (w->is_full || sizeof(w->bytes) - w->size < size) {
        w->is_full = true;
        return;
    }
    if (size > 0)
        memcpy(w->bytes + w->size, bytes, size);
    w->size += size;
}

static void put_u16(struct mdns_writer *w, uint16_t v)
{
    const uint8_t bytes[2] = {(uint8_t)(v >> 8), (uint8_t)v};

    put(w, bytes, sizeof(bytes));
}

static void count_up(struct mdns_writer *w, size_t at)
{
    const uint16_t count = (uint16_t)(u16_at(w->bytes + at) + 1);

    w->bytes[at] = (uint8_t)(count >> 8);
    w->bytes[at + 1] = (uint8_t)count;
}

void mdns_write_begin(struct mdns_writer *w, bool is_response)
{
    *w = (struct mdns_writer){.size = 0};
    put_u16(w, 0);
    put_u16(w, is_response ? FLAG_RESPONSE | FLAG_AUTHORITY : 0);
    for (unsigned i = 0; i < 4; i++)
        put_u16(w, 0);
}

void mdns_write_question(struct mdns_writer *w, const struct mdns_name *name, enum mdns_type type)
{
    put(w, name->bytes, name->size);
    put_u16(w, (uint16_t)type);
    put_u16(w, CLASS_IN);
    count_up(w, 4);
}

static void put_data(struct mdns_writer *w, const struct mdns_record *r)
{
    if (r->type == MDNS_SRV) {
        put_u16(w, r->priority);
        put_u16(w, r->weight);
        put_u16(w, r->port);
    }
    if (r->type == MDNS_SRV || r->type == MDNS_PTR)
        put(w, r->target.bytes, r->target.size);
    if (r->type == MDNS_TXT)
        put(w, r->text, r->text_size);
    if (r->type == MDNS_A || r->type == MDNS_AAAA)
        put(w, r->ip.bytes, r->ip.size);
}

void mdns_write_record(struct mdns_writer *w, const struct mdns_record *r)
{
    put(w, r->name.bytes, r->name.size);
    put_u16(w, r->type);
    put_u16(w, r->flushes ? CLASS_IN | CLASS_TOP : CLASS_IN);
    put_u16(w, (uint16_t)(r->ttl_s >> 16));
    put_u16(w, (uint16_t)r->ttl_s);
    const size_t length_at = w->size;
    put_u16(w, 0);
    put_data(w, r);
    if (w->is_full)
        return;
    const size_t size = w->size - length_at - 2;
    w->bytes[length_at] = (uint8_t)(size >> 8);
    w->bytes[length_at + 1] = (uint8_t)size;
    count_up(w, 6);
}

size_t mdns_text_join(const char *const *strings, size_t count, uint8_t *out, size_t out_size)
{
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        const size_t size = strlen(strings[i]);
        if (size == 0 || size > UINT8_MAX || out_size - at < size + 1)
            return 0;
        out[at++] = (uint8_t)size;
        memcpy(out + at, strings[i], size);
        at += size;
    }
    return at;
}

bool mdns_write_end(const struct mdns_writer *w)
{
    return !w->is_full;
}
