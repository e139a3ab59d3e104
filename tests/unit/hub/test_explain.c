/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_explain.c – who holds a position, where a chunk lies, which versions need it. */
/* LINKS: sim_world */
#include "support/hub_crate.h"

static struct stage *with_two_versions(struct crate *one, struct crate *two)
{
    struct stage *s = stage_ready();

    crate_make(one, "base/os", 1, 3, false);
    crate_make(two, "base/os", 2, 3, false); /* has files 2 and 3 of the first */
    two->record.sequence = 2;
    snprintf(two->record.version, sizeof two->record.version, "2");
    assert_int_equal(stage_publish(s, PUBLISHER, one), 200);
    assert_int_equal(stage_publish(s, PUBLISHER, two), 200);
    stage_greet(s, ENDPOINT);
    return s;
}

static void end(struct stage *s, struct crate *one, struct crate *two)
{
    crate_release(one);
    crate_release(two);
    stage_free(s);
}

static void begin_holds(const struct crate *c, enum chunk_list list, uint32_t count,
                        struct buf *body)
{
    struct batch_request request = {
        .root = c->record.root, .list = list, .run_count = 1, .runs = {{0, count}}};

    snprintf(request.layer, sizeof request.layer, "%s", c->record.layer);
    buf_init(body, BATCH_REQUEST_MAX);
    must(batch_request_encode(&request, body));
}

static unsigned ask_holds(struct stage *s, enum actor a, const char *path, const struct crate *c,
                          enum chunk_list list, uint32_t count)
{
    struct buf body;

    begin_holds(c, list, count, &body);
    unsigned status = stage_ask(s, a, "POST", path, &body);
    buf_release(&body);
    return status;
}

static struct json_doc *answer_of(struct stage *s)
{
    struct json_doc *doc = NULL;

    must(json_doc_parse(buf_peek(&s->reply.body), buf_size(&s->reply.body), &doc));
    return doc;
}

static struct json_doc *explained(struct stage *s, enum actor a, const struct digest *digest)
{
    char path[DIGEST_HEX_SIZE + 32], hex[DIGEST_HEX_SIZE];

    snprintf(path, sizeof path, "%s/explain/%s", a == BEARER ? "/api/v1" : "/v1",
             digest_hex(digest, hex));
    assert_int_equal(stage_ask(s, a, "GET", path, NULL), 200);
    return answer_of(s);
}

/* ---- holds ---- */

static void each_position_is_told_whether_it_is_held(void **state)
{
    struct crate one, two;
    struct stage *s = with_two_versions(&one, &two);

    (void)state;
    must(chunk_store_remove(s->store, &one.files[1]->key));
    for (unsigned n = 0; n < 2; n++) {
        const char *path = n == 0 ? "/v1/holds" : "/v1/holds?read=1";
        assert_int_equal(ask_holds(s, ENDPOINT, path, &one, LIST_CONTENT, 3), 200);
        struct json_doc *d = answer_of(s);
        assert_string_equal(json_doc_text(d, "by"), "hub");
        assert_int_equal(json_doc_count(d, "holds"), 3);
        assert_string_equal(json_doc_text(d, "holds.0.state"), "held");
        assert_string_equal(json_doc_text(d, "holds.1.state"), "absent");
        assert_int_equal(json_doc_number(d, "holds.2.position"), 2);
        assert_int_equal(json_doc_number(d, "holds.0.stored_bytes"),
                         n == 0 ? 0 : one.files[0]->size);
        json_doc_free(d);
    }
    end(s, &one, &two);
}

static void what_makes_no_sense_is_refused(void **state)
{
    struct crate one, two;
    struct stage *s = with_two_versions(&one, &two);

    (void)state;
    assert_int_equal(ask_holds(s, ENDPOINT, "/v1/holds", &one, LIST_CONTENT, 4), 404);
    assert_int_equal(ask_holds(s, ENDPOINT, "/v1/holds?read=1", &one, LIST_CONTENT, 17), 400);
    stage_refused(s, 400, "at most 16");
    assert_int_equal(stage_ask_text(s, ENDPOINT, "POST", "/v1/holds", "nonsense"), 400);
    assert_int_equal(stage_ask(s, ADMIN, "GET", "/v1/explain/abc", NULL), 400);
    stage_refused(s, 400, "64 hexadecimal digits");
    end(s, &one, &two);
}

/* At each moment of the way: what is left is freed, nobody is answered. */
static void whoever_asks_may_leave_at_any_moment(void **state)
{
    struct crate one, two;
    struct stage *s = with_two_versions(&one, &two);
    char path[DIGEST_HEX_SIZE + 16], hex[DIGEST_HEX_SIZE];
    struct reply reply;
    struct buf body;

    (void)state;
    begin_holds(&two, LIST_CONTENT, 3, &body);
    snprintf(path, sizeof path, "/v1/explain/%s", digest_hex(&one.record.root, hex));
    for (unsigned n = 0; n < 60; n++) {
        const bool explains = n % 2 == 1;
        struct http_call *call =
            stage_begin(s, ADMIN, explains ? "GET" : "POST", explains ? path : "/v1/holds?read=1",
                        explains ? NULL : &body, &reply);
        world_run(s->world, world_now_ns(s->world) + n * 100000);
        if (!reply.is_over)
            http_call_cancel(call);
        buf_release(&reply.body);
        world_run(s->world, world_now_ns(s->world) + NS_PER_S);
    }
    buf_release(&body);
    end(s, &one, &two);
}

/* ---- explain ---- */

static void a_chunk_names_the_versions_and_files_that_need_it(void **state)
{
    struct crate one, two;
    struct stage *s = with_two_versions(&one, &two);

    (void)state;
    for (unsigned n = 0; n < 2; n++) {
        struct json_doc *d = explained(s, n == 0 ? ADMIN : BEARER, &one.files[1]->key.digest);
        assert_string_equal(json_doc_text(d, "state"), "held");
        assert_int_equal(json_doc_count(d, "versions"), 2);
        assert_string_equal(json_doc_text(d, "versions.0.version"), "1");
        assert_string_equal(json_doc_text(d, "versions.0.list"), "content");
        assert_string_equal(json_doc_text(d, "versions.0.paths.0"), "file-01");
        assert_string_equal(json_doc_text(d, "versions.1.paths.0"), "file-00");
        json_doc_free(d);
    }
    struct json_doc *d = explained(s, ADMIN, &one.manifest->key.digest);
    assert_string_equal(json_doc_text(d, "versions.0.list"), "manifest");
    json_doc_free(d);
    d = explained(s, ADMIN, &two.record.root);
    assert_string_equal(json_doc_text(d, "versions.0.list"), "root");
    assert_string_equal(json_doc_text(d, "versions.0.version"), "2");
    json_doc_free(d);
    end(s, &one, &two);
}

static void a_chunk_that_is_lost_is_told_with_what_that_hurts(void **state)
{
    struct crate one, two;
    struct stage *s = with_two_versions(&one, &two);

    (void)state;
    must(chunk_store_remove(s->store, &one.files[0]->key));
    struct json_doc *d = explained(s, ADMIN, &one.files[0]->key.digest);
    assert_string_equal(json_doc_text(d, "state"), "absent");
    assert_int_equal(json_doc_count(d, "versions"), 1);
    assert_non_null(strstr(stage_text(s), "\"hurts\":true"));
    json_doc_free(d);
    end(s, &one, &two);
}

static void a_version_whose_manifest_is_lost_is_told_as_not_looked_into(void **state)
{
    struct crate one, two;
    struct stage *s = with_two_versions(&one, &two);

    (void)state;
    must(chunk_store_remove(s->store, &two.manifest->key));
    struct json_doc *d = explained(s, ADMIN, &one.files[1]->key.digest);
    assert_int_equal(json_doc_count(d, "versions"), 1);
    assert_int_equal(json_doc_count(d, "not_looked_into"), 1);
    assert_string_equal(json_doc_text(d, "not_looked_into.0.version"), "2");
    json_doc_free(d);
    end(s, &one, &two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_position_is_told_whether_it_is_held),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(whoever_asks_may_leave_at_any_moment),
        cmocka_unit_test(a_chunk_names_the_versions_and_files_that_need_it),
        cmocka_unit_test(a_chunk_that_is_lost_is_told_with_what_that_hurts),
        cmocka_unit_test(a_version_whose_manifest_is_lost_is_told_as_not_looked_into),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
