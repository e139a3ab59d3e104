/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_publish_refused.c – uploads, records and names that a hub does not take. */
/* LINKS: sim_world */
#include "support/hub_crate.h"

static void name_it(struct crate *c, const char *version, uint64_t sequence)
{
    snprintf(c->record.version, sizeof c->record.version, "%s", version);
    c->record.sequence = sequence;
}

static void an_upload_with_missing_chunks_is_not_committed(void **state)
{
    struct stage *s = stage_ready();
    struct upload_answer up;
    struct crate c;

    (void)state;
    crate_make(&c, "base/os", 1, 10, false);
    assert_int_equal(stage_open(s, PUBLISHER, &c, &up), 200);
    stage_end(s, PUBLISHER, &c, up.id, "");
    stage_refused(s, 400, "10 chunks are still missing");
    upload_answer_release(&up);
    crate_release(&c);
    stage_free(s);
}

static void a_chunk_that_vanished_stops_the_commit(void **state)
{
    struct stage *s = stage_ready();
    struct upload_answer up;
    struct crate c;

    (void)state;
    crate_make(&c, "base/os", 1, 10, false);
    assert_int_equal(stage_open(s, PUBLISHER, &c, &up), 200);
    assert_int_equal(stage_put(s, PUBLISHER, &c, &up), 200);
    must(chunk_store_remove(s->store, &c.files[3]->key));
    stage_end(s, PUBLISHER, &c, up.id, "");
    stage_refused(s, 409, "1 chunks are not in the store any more");
    upload_answer_release(&up);
    assert_int_equal(stage_publish(s, PUBLISHER, &c), 200);
    crate_release(&c);
    stage_free(s);
}

static void a_wrong_chunk_is_refused_and_not_kept(void **state)
{
    struct stage *s = stage_ready();
    struct upload_answer up;
    struct crate c;

    (void)state;
    crate_make(&c, "base/os", 1, 10, false);
    assert_int_equal(stage_open(s, PUBLISHER, &c, &up), 200);
    c.files[9]->bytes[c.files[9]->size - 1] ^= 1;
    stage_put(s, PUBLISHER, &c, &up);
    stage_refused(s, 422, "publish again when the tree is at rest");
    c.files[9]->bytes[c.files[9]->size - 1] ^= 1;
    struct chunk *kept = NULL;
    assert_int_equal(chunk_store_get(s->store, &c.files[0]->key, &kept).code, ALB_NOT_FOUND);
    up.runs[0].first = 0;
    up.runs[0].count = 1;
    struct chunk *first = c.files[0];
    c.files[0] = c.files[1]; /* a good chunk, in another's place */
    stage_put(s, PUBLISHER, &c, &up);
    stage_refused(s, 422, "publish again when the tree is at rest");
    c.files[0] = first;
    upload_answer_release(&up);
    crate_release(&c);
    stage_free(s);
}

static void chunks_that_are_no_items_are_refused(void **state)
{
    struct stage *s = stage_ready();
    struct upload_answer up;
    struct buf body;
    struct crate c;
    char path[64];

    (void)state;
    crate_make(&c, "base/os", 1, 2, false);
    assert_int_equal(stage_open(s, PUBLISHER, &c, &up), 200);
    snprintf(path, sizeof path, "/v1/upload-put/%s", up.id);
    buf_init(&body, 1 << 20);
    put_item(&body, 0, c.files[0]);
    body.tail--;
    stage_ask(s, PUBLISHER, "POST", path, &body);
    stage_refused(s, 422, "cut short");
    buf_clear(&body);
    put_item(&body, 2, c.files[0]);
    stage_ask(s, PUBLISHER, "POST", path, &body);
    stage_refused(s, 422, "no chunk of this upload");
    stage_ask_text(s, PUBLISHER, "POST", "/v1/upload-put/0123", "");
    stage_refused(s, 404, "no such upload is open");
    stage_ask(s, ADMIN, "POST", path, &body);
    stage_refused(s, 404, "no such upload is open"); /* another's */
    buf_release(&body);
    upload_answer_release(&up);
    crate_release(&c);
    stage_free(s);
}

static void an_opening_that_does_not_add_up_is_refused(void **state)
{
    struct stage *s = stage_ready();
    struct upload_answer up;
    struct crate c, other;

    (void)state;
    crate_make(&c, "base/os", 1, 2, false);
    crate_make(&other, "base/os", 1, 3, false);
    stage_ask_text(s, PUBLISHER, "POST", "/v1/upload", "nonsense");
    assert_int_equal(s->reply.status, 422);
    struct chunk *manifest = c.manifest;
    c.manifest = other.manifest;
    stage_open(s, PUBLISHER, &c, &up);
    assert_int_equal(s->reply.status, 422);
    c.manifest = manifest;
    c.root.content_bytes++;
    buf_clear(&c.object);
    must(root_encode(&c.root, &c.object));
    stage_open(s, PUBLISHER, &c, &up);
    stage_refused(s, 422, "disagree about sizes");
    crate_release(&c);
    crate_release(&other);
    stage_free(s);
}

static void a_record_that_does_not_fit_its_upload_is_refused(void **state)
{
    struct stage *s = stage_ready();
    struct upload_answer up;
    struct crate c;
    char path[64];

    (void)state;
    crate_make(&c, "base/os", 1, 2, false);
    assert_int_equal(stage_open(s, PUBLISHER, &c, &up), 200);
    assert_int_equal(stage_put(s, PUBLISHER, &c, &up), 200);
    snprintf(path, sizeof path, "/v1/upload-end/%s", up.id);
    stage_record(s, PUBLISHER, &c, path, &s->hub_key);
    stage_refused(s, 403, "does not let publish this layer");
    stage_ask_text(s, PUBLISHER, "POST", path, "no record");
    assert_in_range(s->reply.status, 400, 422);

    struct version_record good = c.record;
    snprintf(c.record.layer, sizeof c.record.layer, "base/other");
    stage_end(s, PUBLISHER, &c, up.id, "");
    stage_refused(s, 400, "another layer");
    c.record = good;
    c.record.root.bytes[0] ^= 1;
    stage_end(s, PUBLISHER, &c, up.id, "");
    stage_refused(s, 400, "another root");
    c.record = good;
    c.record.content_bytes++;
    stage_end(s, PUBLISHER, &c, up.id, "");
    stage_refused(s, 422, "disagree about sizes");
    c.record = good;
    snprintf(c.record.org, sizeof c.record.org, "evil");
    stage_end(s, PUBLISHER, &c, up.id, "");
    stage_refused(s, 403, "another organisation");
    c.record = good;
    assert_int_equal(stage_end(s, PUBLISHER, &c, up.id, ""), 200);
    upload_answer_release(&up);
    crate_release(&c);
    stage_free(s);
}

static void sequence_and_name_of_a_version_are_its_own(void **state)
{
    struct stage *s = stage_ready();
    struct crate one, two;

    (void)state;
    crate_make(&one, "base/os", 1, 2, false);
    crate_make(&two, "base/os", 5, 2, false);
    name_it(&one, "1", 7);
    stage_publish(s, PUBLISHER, &one);
    stage_refused(s, 409, "its first record has sequence 1, not 7");
    name_it(&one, "1", 1);
    assert_int_equal(stage_publish(s, PUBLISHER, &one), 200);
    name_it(&two, "2", 1);
    stage_publish(s, PUBLISHER, &two);
    stage_refused(s, 409, "the newest version of base/os is 1, sequence 1");
    name_it(&two, "1", 2);
    stage_publish(s, PUBLISHER, &two);
    stage_refused(s, 409, "base/os@1 was published before");
    name_it(&two, "2", 2);
    assert_int_equal(stage_publish(s, PUBLISHER, &two), 200);
    crate_release(&one);
    crate_release(&two);
    stage_free(s);
}

static void device_nodes_must_be_declared(void **state)
{
    struct stage *s = stage_ready();
    struct crate c;

    (void)state;
    crate_make(&c, "base/os", 1, 2, true);
    stage_publish(s, PUBLISHER, &c);
    stage_refused(s, 403, "holds device nodes");
    c.record.flags = RECORD_DEVICES;
    assert_int_equal(stage_publish(s, PUBLISHER, &c), 200);
    crate_release(&c);
    stage_free(s);
}

static void nothing_is_published_before_there_is_a_trust_file(void **state)
{
    struct stage *s = stage_new();
    struct crate c;

    (void)state;
    crate_make(&c, "base/os", 1, 2, false);
    stage_publish(s, PUBLISHER, &c);
    stage_refused(s, 403, "albedo trust init");
    crate_release(&c);
    stage_free(s);
}

static void one_identity_may_only_open_so_many_uploads(void **state)
{
    struct stage *s = stage_ready();
    struct upload_answer up;
    struct crate c;

    (void)state;
    for (unsigned n = 0; n <= 4; n++) {
        crate_make(&c, "base/os", 10 * n, 2, false);
        unsigned status = stage_open(s, PUBLISHER, &c, &up);
        assert_int_equal(status, n < 4 ? 200 : 507);
        upload_answer_release(&up);
        crate_release(&c);
    }
    stage_refused(s, 507, "too many uploads are open");
    world_run(s->world, world_now_ns(s->world) + 25 * 3600 * NS_PER_S); /* they lapse */
    crate_make(&c, "base/os", 1000, 2, false);
    assert_int_equal(stage_open(s, PUBLISHER, &c, &up), 200);
    upload_answer_release(&up);
    crate_release(&c);
    stage_free(s);
}

static void a_full_store_refuses_and_goes_on(void **state)
{
    struct stage *s = stage_new_with(&(struct ram_options){.quota_bytes = 30000});
    struct upload_answer up;
    struct crate c;

    (void)state;
    must(hub_install_trust(s->hub, buf_peek(&s->trust_bytes), buf_size(&s->trust_bytes)));
    crate_make(&c, "base/os", 1, 40, false);
    assert_int_equal(stage_open(s, PUBLISHER, &c, &up), 200);
    assert_int_equal(stage_put(s, PUBLISHER, &c, &up), 507);
    upload_answer_release(&up);
    assert_int_equal(stage_ask(s, ADMIN, "GET", "/v1/status", NULL), 200);
    crate_release(&c);
    stage_free(s);
}

static void a_publisher_that_goes_away_in_the_middle_harms_nobody(void **state)
{
    struct stage *s = stage_ready();
    struct reply reply;
    struct buf body;
    struct crate c;

    (void)state;
    crate_make(&c, "base/os", 1, 30, false);
    crate_opening(&c, &body);
    for (unsigned ms = 1; ms < 12; ms++) {
        struct http_call *call = stage_begin(s, PUBLISHER, "POST", "/v1/upload", &body, &reply);
        world_run(s->world, world_now_ns(s->world) + ms * NS_PER_MS);
        if (!reply.is_over)
            http_call_cancel(call);
        buf_release(&reply.body);
    }
    buf_release(&body);
    assert_int_equal(stage_publish(s, PUBLISHER, &c), 200);
    crate_release(&c);
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_upload_with_missing_chunks_is_not_committed),
        cmocka_unit_test(a_chunk_that_vanished_stops_the_commit),
        cmocka_unit_test(a_wrong_chunk_is_refused_and_not_kept),
        cmocka_unit_test(chunks_that_are_no_items_are_refused),
        cmocka_unit_test(an_opening_that_does_not_add_up_is_refused),
        cmocka_unit_test(a_record_that_does_not_fit_its_upload_is_refused),
        cmocka_unit_test(sequence_and_name_of_a_version_are_its_own),
        cmocka_unit_test(device_nodes_must_be_declared),
        cmocka_unit_test(nothing_is_published_before_there_is_a_trust_file),
        cmocka_unit_test(one_identity_may_only_open_so_many_uploads),
        cmocka_unit_test(a_full_store_refuses_and_goes_on),
        cmocka_unit_test(a_publisher_that_goes_away_in_the_middle_harms_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
