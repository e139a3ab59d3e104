/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_json.c – bodies that name what is missing, documents written and read. */
#include "support/wire_fixture.h"

#include "wire/json.h"

static void bodies_read_as_they_were_written(void **state)
{
    static const struct token_request IN = {.role = "endpoint",
                                            .site = "oslo",
                                            .uses = 40,
                                            .lifetime_s = 3600,
                                            .layers = "base,app/till"};
    struct token_request out;
    struct buf b;

    (void)state;
    buf_init(&b, 10000);
    assert_ok(token_request_encode(&IN, &b));
    assert_string_equal(buf_text(&b), "{\"role\":\"endpoint\",\"site\":\"oslo\",\"name\":\"\","
                                      "\"uses\":40,\"lifetime_s\":3600,"
                                      "\"layers\":\"base,app/till\"}");
    assert_ok(token_request_decode(buf_peek(&b), buf_size(&b), &out));
    assert_memory_equal(&IN, &out, sizeof out);
    buf_release(&b);
}

static void enrolment_carries_its_certificates(void **state)
{
    AUTO_FREE struct enrol_answer *in = xalloc(sizeof *in), *out = xalloc(sizeof *out);
    AUTO_FREE struct enrol_request *asked = xalloc(sizeof *asked), *heard = xalloc(sizeof *heard);
    struct buf b;

    (void)state;
    *in = (struct enrol_answer){
        .org = "acme", .role = "endpoint", .device = "till-7", .trust_version = 3};
    memset(in->certificate_pem, 'c', sizeof in->certificate_pem - 1);
    memcpy(in->ca_pem, "-----BEGIN\n\"x\"\n", 16);
    buf_init(&b, 100000);
    assert_ok(enrol_answer_encode(in, &b));
    assert_ok(enrol_answer_decode(buf_peek(&b), buf_size(&b), out));
    assert_memory_equal(in, out, sizeof *in);
    buf_clear(&b);
    *asked = (struct enrol_request){.token_id = "abc", .secret_hex = "00ff", .csr_pem = "csr"};
    assert_ok(enrol_request_encode(asked, &b));
    assert_ok(enrol_request_decode(buf_peek(&b), buf_size(&b), heard));
    assert_memory_equal(asked, heard, sizeof *asked);
    buf_release(&b);
}

static struct alb_status decode_request(const char *text)
{
    struct token_request out;

    return token_request_decode(text, strlen(text), &out);
}

static void a_wrong_body_hears_which_member(void **state)
{
    static const char LONG[] =
        "{\"role\":\"endpoint\",\"site\":\""
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}";
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"", "the body is no JSON object"},
        {"[]", "the body is no JSON object"},
        {"{\"role\":\"endpoint\"", "the body is no JSON object"},
        {"{\"role\":\"a\",\"role\":\"b\"}", "the body is no JSON object"},
        {"{}", "\"role\" in a JSON body is missing, too long or of the wrong type"},
        {"{\"role\":7}", "\"role\" in a JSON body is missing, too long or of the wrong type"},
        {"{\"role\":\"x\",\"uses\":-1}",
         "\"uses\" in a JSON body is missing, too long or of the wrong type"},
        {"{\"role\":\"x\",\"uses\":\"1\"}",
         "\"uses\" in a JSON body is missing, too long or of the wrong type"},
        {LONG, "\"site\" in a JSON body is missing, too long or of the wrong type"},
    };

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(cases); i++)
        assert_says(decode_request(cases[i].text), ALB_INVALID, cases[i].says);
    assert_ok(decode_request("{\"role\":\"endpoint\",\"later\":[1,2]}")); /* unknown: ignored */
    assert_says(token_request_decode("", (1 << 20) + 1, &(struct token_request){0}), ALB_INVALID,
                "a JSON body is larger than 1 MiB");
}

static void errors_are_read_from_anything(void **state)
{
    struct error_body e = {.code = "refused", .message = "caf\xe9 is full"}, out;
    struct buf b;

    (void)state;
    buf_init(&b, 10000);
    assert_ok(error_body_encode(&e, &b)); /* not UTF-8, and arrives all the same */
    error_body_decode(buf_peek(&b), buf_size(&b), &out);
    assert_string_equal(out.code, "refused");
    assert_string_equal(out.message, "caf? is full");
    error_body_decode("<html>", 6, &out);
    assert_string_equal(out.code, "");
    assert_string_equal(out.message, "");
    buf_release(&b);
}

static void the_other_bodies_hold_names(void **state)
{
    struct named_request in = {.layer = "base", .version = "1"}, out;
    struct token_answer token = {.token = "alb1.x"}, token_out;
    struct buf b;

    (void)state;
    buf_init(&b, 10000);
    assert_ok(named_request_encode(&in, &b));
    assert_ok(named_request_decode(buf_peek(&b), buf_size(&b), &out));
    assert_memory_equal(&in, &out, sizeof in);
    buf_clear(&b);
    assert_ok(token_answer_encode(&token, &b));
    assert_ok(token_answer_decode(buf_peek(&b), buf_size(&b), &token_out));
    assert_string_equal(token_out.token, "alb1.x");
    buf_release(&b);
}

static void a_document_is_written_and_read_by_paths(void **state)
{
    struct json_writer *w = json_writer_new();
    struct json_doc *d;
    struct buf b;

    (void)state;
    json_object_begin(w, NULL);
    json_array_begin(w, "layers");
    json_object_begin(w, NULL);
    json_text(w, "name", "base/debian-12");
    json_number(w, "bytes", UINT64_MAX);
    json_signed(w, "skew", -5);
    json_end(w);
    json_text(w, NULL, "two");
    json_end(w);
    json_decimal(w, "ratio", 0.5);
    json_decimal(w, "none", 1.0 / 0.0);
    json_bool(w, "ok", true);
    json_end(w);
    buf_init(&b, 10000);
    assert_ok(json_writer_finish(w, &b));
    assert_string_equal(buf_text(&b), "{\"layers\":[{\"name\":\"base/debian-12\","
                                      "\"bytes\":9223372036854775807,\"skew\":-5},\"two\"],"
                                      "\"ratio\":0.5,\"none\":null,\"ok\":true}");
    assert_ok(json_doc_parse(buf_peek(&b), buf_size(&b), &d));
    assert_int_equal(json_doc_count(d, "layers"), 2);
    assert_string_equal(json_doc_text(d, "layers.0.name"), "base/debian-12");
    assert_string_equal(json_doc_text(d, "layers.1"), "two");
    assert_int_equal(json_doc_number(d, "layers.0.bytes"), INT64_MAX);
    assert_int_equal(json_doc_number(d, "layers.0.skew"), 0);
    assert_string_equal(json_doc_text(d, "layers.2.name"), "");
    assert_string_equal(json_doc_text(d, "layers.x"), "");
    assert_string_equal(json_doc_text(d, ""), "");
    assert_int_equal(json_doc_count(d, "ok"), 0);
    d = json_doc_free(d);
    assert_null(json_doc_free(d));
    assert_says(json_doc_parse("{", 1, &d), ALB_INVALID, "this is no JSON document");
    buf_release(&b);
}

static void a_buffer_that_is_full_is_an_error(void **state)
{
    static const struct token_answer ANSWER = {.token = "alb1.0123456789"};
    struct buf b;

    (void)state;
    buf_init(&b, 10);
    assert_says(token_answer_encode(&ANSWER, &b), ALB_FULL,
                "a JSON document is larger than its buffer may be");
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_read_as_they_were_written),
        cmocka_unit_test(enrolment_carries_its_certificates),
        cmocka_unit_test(a_wrong_body_hears_which_member),
        cmocka_unit_test(errors_are_read_from_anything),
        cmocka_unit_test(the_other_bodies_hold_names),
        cmocka_unit_test(a_document_is_written_and_read_by_paths),
        cmocka_unit_test(a_buffer_that_is_full_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
