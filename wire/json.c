/* SPDX-License-Identifier: Apache-2.0 */
/* wire/json.c – JSON bodies as tables of members; documents written and read member by member. */
#include "wire/json.h"

#include <jansson.h>
#include <math.h>
#include <stddef.h>

#include "base/alloc.h"

enum { DEPTH_MOST = 16, BODY_MOST = 1 << 20, DOCUMENT_MOST = 64 << 20, PATH_MOST = 256 };

/* Text as JSON.  What is not UTF-8 (an error that quotes a file name, say) gets its bytes beyond
 * ASCII replaced: a message must arrive in any case. */
static json_t *text_value(const char *text)
{
    json_t *value = json_string(text == NULL ? "" : text);
    AUTO_FREE char *copy = NULL;

    if (value != NULL)
        return value;
    copy = xstrdup(text);
    for (char *at = copy; *at != '\0'; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    return json_string(copy);
}

static json_t *number_value(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static int append_part(const char *text, size_t size, void *arg)
{
    return alb_failed(buf_append(arg, text, size)) ? -1 : 0;
}

static struct alb_status dump(const json_t *document, struct buf *out)
{
    if (json_dump_callback(document, append_part, out, JSON_COMPACT) != 0)
        return alb_fail(ALB_FULL, "a JSON document is larger than its buffer may be");
    return ALB_STATUS_OK;
}

/* ---- bodies ---- */

struct member {
    const char *name; /* the struct member's own */
    size_t offset;
    size_t size; /* of the char array; 0 for a uint64_t */
    bool required;
    const char *wrong; /* the refusal */
};

#define WRONG(name) "\"" name "\" in a JSON body is missing, too long or of the wrong type"
#define TEXT(type, field, required)                                                                \
    {                                                                                              \
#field, offsetof(struct type, field), sizeof(((struct type *)NULL)->field), required,      \
            WRONG(#field)                                                                          \
    }
#define NUMBER(type, field)                                                                        \
    {                                                                                              \
#field, offsetof(struct type, field), 0, false, WRONG(#field)                              \
    }
enum { OPTIONAL = false, REQUIRED = true };

static const struct member ENROL_REQUEST[] = {
    TEXT(enrol_request, token_id, REQUIRED),
    TEXT(enrol_request, secret_hex, REQUIRED),
    TEXT(enrol_request, name, OPTIONAL),
    TEXT(enrol_request, csr_pem, REQUIRED),
};
static const struct member ENROL_ANSWER[] = {
    TEXT(enrol_answer, org, REQUIRED),
    TEXT(enrol_answer, role, REQUIRED),
    TEXT(enrol_answer, device, REQUIRED),
    TEXT(enrol_answer, site, OPTIONAL),
    TEXT(enrol_answer, certificate_pem, REQUIRED),
    TEXT(enrol_answer, ca_pem, REQUIRED),
    NUMBER(enrol_answer, trust_version),
};
static const struct member TOKEN_REQUEST[] = {
    TEXT(token_request, role, REQUIRED), TEXT(token_request, site, OPTIONAL),
    TEXT(token_request, name, OPTIONAL), NUMBER(token_request, uses),
    NUMBER(token_request, lifetime_s),   TEXT(token_request, layers, OPTIONAL),
};
static const struct member TOKEN_ANSWER[] = {
    TEXT(token_answer, token, REQUIRED),
};
static const struct member NAMED_REQUEST[] = {
    TEXT(named_request, layer, OPTIONAL),
    TEXT(named_request, version, OPTIONAL),
    TEXT(named_request, device, OPTIONAL),
};
static const struct member RENEW_REQUEST[] = {
    TEXT(renew_request, device, OPTIONAL),
    TEXT(renew_request, csr_pem, REQUIRED),
};
static const struct member RENEW_ANSWER[] = {
    TEXT(renew_answer, certificate_pem, REQUIRED),
};
static const struct member ERROR_BODY[] = {
    TEXT(error_body, code, OPTIONAL),
    TEXT(error_body, message, OPTIONAL),
    NUMBER(error_body, until),
    NUMBER(error_body, retry_s),
};
enum { ERROR_WORDS = 2 }; /* what is said in any case */

static struct alb_status encode(const struct member *members, size_t count, const void *body,
                                struct buf *out)
{
    json_t *object = json_object();
    struct alb_status st;

    for (size_t i = 0; i < count; i++) {
        const char *at = (const char *)body + members[i].offset;
        uint64_t number;
        json_t *value;

        if (members[i].size > 0) {
            value = text_value(at);
        } else {
            memcpy(&number, at, sizeof number);
            value = number_value(number);
        }
        (void)json_object_set_new(object, members[i].name, value);
    }
    st = dump(object, out);
    json_decref(object);
    return st;
}

/* False when it is of another type or too long. */
static bool take_member(const struct member *m, const json_t *value, void *body)
{
    char *at = (char *)body + m->offset;

    if (m->size == 0) {
        uint64_t number = (uint64_t)json_integer_value(value);

        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return false;
        memcpy(at, &number, sizeof number);
        return true;
    }
    if (!json_is_string(value) || json_string_length(value) >= m->size)
        return false;
    memcpy(at, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static struct alb_status take_members(const struct member *members, size_t count,
                                      const json_t *object, void *body)
{
    if (!json_is_object(object))
        return alb_fail(ALB_INVALID, "the body is no JSON object");
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(object, members[i].name);

        if (value == NULL && !members[i].required)
            continue;
        if (value == NULL || !take_member(&members[i], value, body))
            return (struct alb_status){ALB_INVALID, 0, members[i].wrong};
    }
    return ALB_STATUS_OK;
}

static struct alb_status decode(const struct member *members, size_t count, const void *bytes,
                                size_t size, void *body)
{
    struct alb_status st;
    json_t *object;

    if (size > BODY_MOST)
        return alb_fail(ALB_INVALID, "a JSON body is larger than 1 MiB");
    object = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
    st = take_members(members, count, object, body);
    json_decref(object);
    return st;
}

/* Structs are zeroed first and, like all our outputs, written only on success; they are up to
 * 33 KB, so the copy lives on the heap.  What held a secret is wiped. */
static struct alb_status decode_whole(const struct member *members, size_t count, const void *bytes,
                                      size_t size, void *out, size_t out_size)
{
    char *body = xalloc(out_size);
    struct alb_status st = decode(members, count, bytes, size, body);

    if (!alb_failed(st))
        memcpy(out, body, out_size);
    explicit_bzero(body, out_size);
    free(body);
    return st;
}

#define BODY(type, table)                                                                          \
    struct alb_status type##_encode(const struct type *body, struct buf *out)                      \
    {                                                                                              \
        return encode(table, ALB_COUNT(table), body, out);                                         \
    }                                                                                              \
    struct alb_status type##_decode(const void *b, size_t n, struct type *body)                    \
    {                                                                                              \
        return decode_whole(table, ALB_COUNT(table), b, n, body, sizeof *body);                    \
    }
BODY(enrol_request, ENROL_REQUEST)
BODY(enrol_answer, ENROL_ANSWER)
BODY(token_request, TOKEN_REQUEST)
BODY(token_answer, TOKEN_ANSWER)
BODY(named_request, NAMED_REQUEST)
BODY(renew_request, RENEW_REQUEST)
BODY(renew_answer, RENEW_ANSWER)

struct alb_status error_body_encode(const struct error_body *e, struct buf *out)
{
    return encode(ERROR_BODY, e->until == 0 ? ERROR_WORDS : ALB_COUNT(ERROR_BODY), e, out);
}

void error_body_decode(const void *b, size_t n, struct error_body *out)
{
    *out = (struct error_body){.code = ""};
    alb_ignore(decode_whole(ERROR_BODY, ALB_COUNT(ERROR_BODY), b, n, out, sizeof *out),
               "a body that is not ours says nothing");
}

/* ---- writing a document ---- */

struct json_writer {
    json_t *open[DEPTH_MOST]; /* [0] owned, the others belong to the one before */
    size_t depth;
    bool ended;
};

struct json_writer *json_writer_new(void)
{
    return xalloc(sizeof(struct json_writer));
}

/* Gives `value` to the innermost object or array that is open. */
static void add(struct json_writer *w, const char *key, json_t *value)
{
    json_t *parent;

    alb_assert(w->depth > 0 && value != NULL);
    parent = w->open[w->depth - 1];
    if (json_is_array(parent))
        (void)json_array_append_new(parent, value);
    else
        (void)json_object_set_new(parent, key, value);
}

static void begin(struct json_writer *w, const char *key, json_t *value)
{
    alb_assert(w->depth < DEPTH_MOST && !w->ended);
    if (w->depth > 0)
        add(w, key, value);
    w->open[w->depth++] = value;
}

void json_object_begin(struct json_writer *w, const char *key)
{
    begin(w, key, json_object());
}

void json_array_begin(struct json_writer *w, const char *key)
{
    begin(w, key, json_array());
}

void json_end(struct json_writer *w)
{
    alb_assert(w->depth > 0);
    w->depth--;
    w->ended = w->depth == 0;
}

void json_text(struct json_writer *w, const char *key, const char *value)
{
    add(w, key, text_value(value));
}

void json_number(struct json_writer *w, const char *key, uint64_t value)
{
    add(w, key, number_value(value));
}

void json_signed(struct json_writer *w, const char *key, int64_t value)
{
    add(w, key, json_integer(value));
}

void json_decimal(struct json_writer *w, const char *key, double value)
{
    add(w, key, isfinite(value) ? json_real(value) : json_null()); /* JSON has no infinity */
}

void json_bool(struct json_writer *w, const char *key, bool value)
{
    add(w, key, json_boolean(value));
}

struct alb_status json_writer_finish(struct json_writer *w, struct buf *out)
{
    struct alb_status st;

    alb_assert(w->ended);
    st = dump(w->open[0], out);
    json_decref(w->open[0]);
    free(w);
    return st;
}

/* ---- reading a document ---- */

struct json_doc {
    json_t *top; /* owned */
};

struct alb_status json_doc_parse(const void *bytes, size_t size, struct json_doc **out)
{
    struct json_doc *d;
    json_t *top;

    if (size > DOCUMENT_MOST)
        return alb_fail(ALB_INVALID, "a JSON document is larger than 64 MiB");
    top = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
    if (top == NULL)
        return alb_fail(ALB_INVALID, "this is no JSON document");
    d = xalloc(sizeof *d);
    d->top = top;
    *out = d;
    return ALB_STATUS_OK;
}

struct json_doc *json_doc_free(struct json_doc *d)
{
    if (d == NULL)
        return NULL;
    json_decref(d->top);
    free(d);
    return NULL;
}

static const json_t *member_of(const json_t *value, const char *word)
{
    char *end;
    unsigned long index;

    if (!json_is_array(value))
        return json_object_get(value, word);
    index = strtoul(word, &end, 10);
    return *word < '0' || *word > '9' || *end != '\0' ? NULL : json_array_get(value, index);
}

/* The value at a dotted path; "" is the document itself. */
static const json_t *value_at(const struct json_doc *d, const char *path)
{
    char words[PATH_MOST];
    char *rest = words;
    const json_t *value = d->top;
    size_t size = strlen(path);

    if (size == 0)
        return value;
    if (size >= sizeof words)
        return NULL;
    memcpy(words, path, size + 1);
    while (rest != NULL && value != NULL)
        value = member_of(value, strsep(&rest, "."));
    return value;
}

size_t json_doc_count(const struct json_doc *d, const char *path)
{
    return json_array_size(value_at(d, path)); /* 0 for what is no array */
}

const char *json_doc_text(const struct json_doc *d, const char *path)
{
    const char *text = json_string_value(value_at(d, path));

    return text == NULL ? "" : text;
}

uint64_t json_doc_number(const struct json_doc *d, const char *path)
{
    json_int_t number = json_integer_value(value_at(d, path));

    return number < 0 ? 0 : (uint64_t)number;
}

bool json_doc_bool(const struct json_doc *d, const char *path)
{
    return json_is_true(value_at(d, path));
}

void json_relay(struct json_writer *w, const char *key, const struct json_doc *d, const char *path)
{
    json_t *copy = json_deep_copy(value_at(d, path));

    if (copy != NULL)
        add(w, key, copy);
}
