/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_json.c – any bytes as each JSON body and as a document. */
/* LINKS: wire base */
#include "base/alloc.h"
#include "fuzz/target.h"
#include "wire/json.h"

const struct fuzz_bound fuzz_bound = {.fixed = 256 << 10, .per_byte = 200};

static void as_enrolment(const uint8_t *bytes, size_t size)
{
    AUTO_FREE struct enrol_request *request = xalloc(sizeof *request);
    AUTO_FREE struct enrol_answer *answer = xalloc(sizeof *answer);

    alb_ignore(enrol_request_decode(bytes, size, request), "only a crash counts");
    alb_ignore(enrol_answer_decode(bytes, size, answer), "only a crash counts");
}

static void as_renewal(const uint8_t *bytes, size_t size)
{
    AUTO_FREE struct renew_request *request = xalloc(sizeof *request);
    AUTO_FREE struct renew_answer *answer = xalloc(sizeof *answer);

    alb_ignore(renew_request_decode(bytes, size, request), "only a crash counts");
    alb_ignore(renew_answer_decode(bytes, size, answer), "only a crash counts");
}

/* What was read is written, and that reads the same. */
static void as_token_request(const uint8_t *bytes, size_t size)
{
    struct token_request r, back;
    struct buf again;

    if (alb_failed(token_request_decode(bytes, size, &r)))
        return;
    buf_init(&again, SIZE_MAX / 2);
    alb_assert(!alb_failed(token_request_encode(&r, &again)));
    alb_assert(!alb_failed(token_request_decode(buf_peek(&again), buf_size(&again), &back)));
    alb_assert(strcmp(r.role, back.role) == 0 && strcmp(r.layers, back.layers) == 0);
    alb_assert(r.uses == back.uses && r.lifetime_s == back.lifetime_s);
    buf_release(&again);
}

static void as_document(const uint8_t *bytes, size_t size)
{
    static const char *const PATHS[] = {"",      "layers", "layers.0", "layers.0.name",
                                        "a.b.c", "..",     "0",        "99999999999999999999"};
    struct json_doc *d;

    if (alb_failed(json_doc_parse(bytes, size, &d)))
        return;
    for (size_t i = 0; i < ALB_COUNT(PATHS); i++) {
        (void)json_doc_count(d, PATHS[i]);
        (void)json_doc_number(d, PATHS[i]);
        alb_assert(json_doc_text(d, PATHS[i]) != NULL);
    }
    (void)json_doc_free(d);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    struct named_request named;
    struct token_answer token;
    struct error_body error;

    as_enrolment(bytes, size);
    as_renewal(bytes, size);
    as_token_request(bytes, size);
    as_document(bytes, size);
    alb_ignore(named_request_decode(bytes, size, &named), "only a crash counts");
    alb_ignore(token_answer_decode(bytes, size, &token), "only a crash counts");
    error_body_decode(bytes, size, &error);
}
