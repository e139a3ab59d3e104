/* SPDX-License-Identifier: Apache-2.0 */
/* wire/json.h – the JSON bodies programs exchange, as plain structs; jansson stays behind this
 * door.
 *
 * Every decoder bounds what it takes and refuses with INVALID, naming the member that is missing or
 * wrong.  Unknown members are ignored.  Strings in structs are copied and always terminated.
 */
#pragma once

#include "base/buf.h"
#include "base/units.h"

enum { JSON_PEM_MAX = 16 << 10, JSON_NAME = NAME_MAX_SIZE };

struct enrol_request {
    char token_id[16];
    char secret_hex[40];
    char name[JSON_NAME]; /* proposed device name; "" lets the hub choose */
    char csr_pem[JSON_PEM_MAX];
};
struct enrol_answer {
    char org[JSON_NAME], role[JSON_NAME], device[JSON_NAME], site[JSON_NAME];
    char certificate_pem[JSON_PEM_MAX];
    char ca_pem[JSON_PEM_MAX];
    uint64_t trust_version; /* newest; 0 while there is none */
};
struct token_request {
    char role[JSON_NAME], site[JSON_NAME], name[JSON_NAME]; /* name: fixes the device's name */
    uint64_t uses;                                          /* 0 means 1 */
    uint64_t lifetime_s;                                    /* 0 means 7 days */
    /* Endpoint: layer prefixes its grant will cover, comma-separated; "" = all. */
    char layers[1024];
};
struct token_answer {
    char token[192];
};
struct named_request { /* promote {layer, version}, revoke {device}, grant {device} */
    char layer[JSON_NAME], version[JSON_NAME], device[JSON_NAME];
};
struct renew_request {
    char device[JSON_NAME]; /* "": the asker's own certificate */
    char csr_pem[JSON_PEM_MAX];
};
struct renew_answer {
    char certificate_pem[JSON_PEM_MAX];
};
struct error_body {    /* every answer ≥ 400 on both ports */
    char code[32];     /* alb_code_name()                     */
    char message[512]; /* says what, where and what to do     */
    uint64_t until;    /* 503: wall time, by its own clock, to come again; 0: not said */
    uint64_t retry_s;  /* … the same, from now on                                      */
};

ALB_MUST_USE struct alb_status enrol_request_encode(const struct enrol_request *r, struct buf *out);
ALB_MUST_USE struct alb_status enrol_request_decode(const void *b, size_t n,
                                                    struct enrol_request *r);
ALB_MUST_USE struct alb_status enrol_answer_encode(const struct enrol_answer *a, struct buf *out);
ALB_MUST_USE struct alb_status enrol_answer_decode(const void *b, size_t n, struct enrol_answer *a);
ALB_MUST_USE struct alb_status token_request_encode(const struct token_request *r, struct buf *out);
ALB_MUST_USE struct alb_status token_request_decode(const void *b, size_t n,
                                                    struct token_request *r);
ALB_MUST_USE struct alb_status token_answer_encode(const struct token_answer *a, struct buf *out);
ALB_MUST_USE struct alb_status token_answer_decode(const void *b, size_t n, struct token_answer *a);
ALB_MUST_USE struct alb_status named_request_encode(const struct named_request *r, struct buf *out);
ALB_MUST_USE struct alb_status named_request_decode(const void *b, size_t n,
                                                    struct named_request *r);
ALB_MUST_USE struct alb_status renew_request_encode(const struct renew_request *r, struct buf *out);
ALB_MUST_USE struct alb_status renew_request_decode(const void *b, size_t n,
                                                    struct renew_request *r);
ALB_MUST_USE struct alb_status renew_answer_encode(const struct renew_answer *a, struct buf *out);
ALB_MUST_USE struct alb_status renew_answer_decode(const void *b, size_t n, struct renew_answer *a);
ALB_MUST_USE struct alb_status error_body_encode(const struct error_body *e, struct buf *out);
/* Lenient: a body that is not ours becomes code "" and message "" and OK. */
void error_body_decode(const void *b, size_t n, struct error_body *out);

/* ---- documents made member by member: status, layers, devices, progress events ---- */

struct json_writer; /* one document being written */
struct json_writer *json_writer_new(void);
/* `key` is NULL inside arrays and at the top. */
void json_object_begin(struct json_writer *w, const char *key);
void json_array_begin(struct json_writer *w, const char *key);
void json_end(struct json_writer *w);
void json_text(struct json_writer *w, const char *key, const char *value);
void json_number(struct json_writer *w, const char *key, uint64_t value);
void json_signed(struct json_writer *w, const char *key, int64_t value);
void json_decimal(struct json_writer *w, const char *key, double value);
void json_bool(struct json_writer *w, const char *key, bool value);
/* Finish, append the text to `out` and free the writer. */
ALB_MUST_USE struct alb_status json_writer_finish(struct json_writer *w, struct buf *out);

/* Reading a document somebody else made: values by dotted path ("layers.0.name"). */
struct json_doc;
ALB_MUST_USE struct alb_status json_doc_parse(const void *bytes, size_t size,
                                              struct json_doc **out);
struct json_doc *json_doc_free(struct json_doc *d);
/* The length of an array, or 0; a text (borrowed), or ""; a number, or 0. */
size_t json_doc_count(const struct json_doc *d, const char *path);
const char *json_doc_text(const struct json_doc *d, const char *path);
uint64_t json_doc_number(const struct json_doc *d, const char *path);
bool json_doc_bool(const struct json_doc *d, const char *path); /* false unless it is true */
/* Pass on the value at `path` with all its members, known here or not;
 * nothing when there is none. */
void json_relay(struct json_writer *w, const char *key, const struct json_doc *d, const char *path);
