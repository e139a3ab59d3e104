/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_publish.c – from an opened upload to a head that everybody reads. */
/* LINKS: sim_world */
#include "support/hub_crate.h"

#include "hub/ledger.h"

static void name_it(struct crate *c, const char *version, uint64_t sequence)
{
    snprintf(c->record.version, sizeof c->record.version, "%s", version);
    c->record.sequence = sequence;
}

static void expect_head(struct stage *s, const char *layer, const struct crate *c,
                        uint64_t head_sequence)
{
    char path[64];
    struct head head;
    struct digest digest;
    struct buf record;

    snprintf(path, sizeof path, "/v1/head/%s", layer);
    assert_int_equal(stage_ask(s, ADMIN, "GET", path, NULL), 200);
    must(head_decode(buf_peek(&s->reply.body), buf_size(&s->reply.body), &s->trust, &head));
    buf_init(&record, SIGNED_MAX);
    must(record_encode(&c->record, &s->publisher_key, &record));
    sha256(buf_peek(&record), buf_size(&record), &digest);
    buf_release(&record);
    assert_memory_equal(&head.record, &digest, sizeof digest);
    assert_int_equal(head.sequence, head_sequence);
}

/* ---- what works ------------------------------------------------------------------------------ */

static void a_version_is_uploaded_and_becomes_current(void **state)
{
    struct stage *s = stage_ready();
    struct upload_answer up;
    struct crate c;

    (void)state;
    crate_make(&c, "base/os", 1, 10, false);
    assert_int_equal(stage_open(s, PUBLISHER, &c, &up), 200);
    assert_int_equal(missing_count(&up), 10);
    assert_int_equal(stage_put(s, PUBLISHER, &c, &up), 200);
    assert_int_equal(stage_end(s, PUBLISHER, &c, up.id, ""), 200);
    upload_answer_release(&up);
    expect_head(s, "base/os", &c, 1);

    stage_greet(s, ENDPOINT);
    assert_int_equal(stage_ask(s, ENDPOINT, "GET", "/v1/record/base/os@1", NULL), 200);
    struct version_record record;
    must(record_decode(buf_peek(&s->reply.body), buf_size(&s->reply.body), &s->trust, &record));
    assert_memory_equal(&record.root, &c.record.root, sizeof record.root);
    crate_release(&c);
    stage_free(s);
}

static void what_was_acknowledged_is_in_the_store(void **state)
{
    struct stage *s = stage_ready();
    struct upload_answer up;
    struct chunk *kept = NULL;
    struct crate c;

    (void)state;
    crate_make(&c, "base/os", 1, 3, false);
    assert_int_equal(stage_open(s, ADMIN, &c, &up), 200);
    must(chunk_store_get(s->store, &c.manifest->key, &kept));
    kept = chunk_unref(kept);
    const struct chunk_key root = {KEY_PLAIN, c.record.root};
    must(chunk_store_get(s->store, &root, &kept));
    kept = chunk_unref(kept);
    assert_int_equal(stage_put(s, ADMIN, &c, &up), 200);
    for (size_t i = 0; i < c.file_count; i++) {
        must(chunk_store_get(s->store, &c.files[i]->key, &kept));
        kept = chunk_unref(kept);
    }
    upload_answer_release(&up);
    crate_release(&c);
    stage_free(s);
}

static void the_next_version_sends_only_what_is_new(void **state)
{
    struct stage *s = stage_ready();
    struct upload_answer up;
    struct crate one, two;

    (void)state;
    crate_make(&one, "base/os", 1, 10, false);
    crate_make(&two, "base/os", 4, 10, false);
    name_it(&two, "2", 2);
    assert_int_equal(stage_publish(s, PUBLISHER, &one), 200);
    assert_int_equal(stage_open(s, PUBLISHER, &two, &up), 200);
    assert_int_equal(missing_count(&up), 3);
    assert_int_equal(stage_put(s, PUBLISHER, &two, &up), 200);
    assert_int_equal(stage_end(s, PUBLISHER, &two, up.id, ""), 200);
    expect_head(s, "base/os", &two, 2);
    upload_answer_release(&up);
    crate_release(&one);
    crate_release(&two);
    stage_free(s);
}

static void an_upload_opened_again_says_what_is_still_missing(void **state)
{
    struct stage *s = stage_ready();
    struct upload_answer up, again;
    struct crate c;

    (void)state;
    crate_make(&c, "base/os", 1, 10, false);
    assert_int_equal(stage_open(s, PUBLISHER, &c, &up), 200);
    up.runs[0].count = 4;
    assert_int_equal(stage_put(s, PUBLISHER, &c, &up), 200);
    assert_int_equal(stage_open(s, PUBLISHER, &c, &again), 200);
    assert_string_equal(up.id, again.id);
    assert_int_equal(missing_count(&again), 6);
    upload_answer_release(&again);

    stage_stop_hub(s);
    stage_start_hub(s);
    assert_int_equal(stage_open(s, PUBLISHER, &c, &again), 200);
    assert_string_not_equal(up.id, again.id);
    assert_int_equal(missing_count(&again), 6);
    assert_int_equal(stage_put(s, PUBLISHER, &c, &again), 200);
    assert_int_equal(stage_end(s, PUBLISHER, &c, again.id, ""), 200);
    upload_answer_release(&up);
    upload_answer_release(&again);
    crate_release(&c);
    stage_free(s);
}

static void a_held_version_becomes_current_when_it_is_promoted(void **state)
{
    struct stage *s = stage_ready();
    struct upload_answer up;
    struct crate c;

    (void)state;
    crate_make(&c, "app/editor", 1, 2, false);
    assert_int_equal(stage_open(s, ADMIN, &c, &up), 200);
    assert_int_equal(stage_put(s, ADMIN, &c, &up), 200);
    assert_int_equal(stage_end(s, ADMIN, &c, up.id, "?hold=1"), 200);
    assert_int_equal(stage_ask(s, ADMIN, "GET", "/v1/head/app/editor", NULL), 404);
    assert_int_equal(stage_ask_text(s, ADMIN, "POST", "/v1/promote",
                                    "{\"layer\":\"app/editor\",\"version\":\"1\"}"),
                     200);
    expect_head(s, "app/editor", &c, 1);
    stage_ask_text(s, ADMIN, "POST", "/v1/promote", "{\"layer\":\"app/editor\",\"version\":\"9\"}");
    stage_refused(s, 404, "there is no app/editor@9 here");
    stage_ask_text(s, ADMIN, "POST", "/v1/promote", "{\"layer\":\"../x\",\"version\":\"9\"}");
    assert_int_equal(s->reply.status, 400);
    upload_answer_release(&up);
    crate_release(&c);
    stage_free(s);
}

/* Whoever may promote is not asked for a key: it must not be a way back to an old hole. */
static void an_older_version_than_the_current_one_is_not_promoted(void **state)
{
    struct stage *s = stage_ready();
    struct crate one, two;

    (void)state;
    crate_make(&one, "base/os", 1, 3, false);
    crate_make(&two, "base/os", 10, 3, false);
    name_it(&two, "2", 2);
    assert_int_equal(stage_publish(s, PUBLISHER, &one), 200);
    assert_int_equal(stage_publish(s, PUBLISHER, &two), 200);
    stage_ask_text(s, PUBLISHER, "POST", "/v1/promote",
                   "{\"layer\":\"base/os\",\"version\":\"1\"}");
    stage_refused(s, 409, "albedo publish base/os --as-version 1");
    expect_head(s, "base/os", &two, 2);
    assert_int_equal(stage_ask_text(s, ADMIN, "POST", "/v1/promote",
                                    "{\"layer\":\"base/os\",\"version\":\"2\"}"),
                     200); /* the current one again is fine */
    crate_release(&one);
    crate_release(&two);
    stage_free(s);
}

static void rolling_back_is_a_new_record_with_the_old_root(void **state)
{
    struct stage *s = stage_ready();
    struct crate one, two;

    (void)state;
    crate_make(&one, "base/os", 1, 3, false);
    crate_make(&two, "base/os", 10, 3, false);
    name_it(&two, "2", 2);
    assert_int_equal(stage_publish(s, PUBLISHER, &one), 200);
    assert_int_equal(stage_publish(s, PUBLISHER, &two), 200);
    name_it(&one, "3", 3);
    assert_int_equal(stage_record(s, PUBLISHER, &one, "/v1/version", &s->publisher_key), 200);
    expect_head(s, "base/os", &one, 3);

    name_it(&one, "4", 4);
    one.record.entries++;
    stage_record(s, PUBLISHER, &one, "/v1/version", &s->publisher_key);
    stage_refused(s, 422, "sizes are not those of that root");
    memset(&one.record.root, 7, sizeof one.record.root);
    stage_record(s, PUBLISHER, &one, "/v1/version", &s->publisher_key);
    stage_refused(s, 404, "no version with that root");
    crate_release(&one);
    crate_release(&two);
    stage_free(s);
}

static void committing_the_newest_record_again_is_fine(void **state)
{
    struct stage *s = stage_ready();
    struct crate c;

    (void)state;
    crate_make(&c, "base/os", 1, 3, false);
    assert_int_equal(stage_publish(s, PUBLISHER, &c), 200);
    assert_int_equal(stage_record(s, PUBLISHER, &c, "/v1/version", &s->publisher_key), 200);
    crate_release(&c);
    stage_free(s);
}

static void a_local_publication_is_served_like_any_other(void **state)
{
    struct stage *s = stage_ready();
    struct codec *codec = codec_new();
    struct chunk *chunks[8];
    struct buf record;
    struct crate c;

    (void)state;
    crate_make(&c, "base/os", 1, 3, false);
    chunks[0] = crate_chunk(codec, buf_peek(&c.object), buf_size(&c.object));
    chunks[1] = c.manifest;
    memcpy(chunks + 2, c.files, 3 * sizeof *chunks);
    buf_init(&record, SIGNED_MAX);
    must(record_encode(&c.record, &s->publisher_key, &record));
    must(hub_publish_local(s->hub, &(struct hub_publication){.record = buf_peek(&record),
                                                             .record_size = buf_size(&record),
                                                             .chunks = chunks,
                                                             .chunk_count = 5}));
    expect_head(s, "base/os", &c, 1);
    char path[160], hex[DIGEST_HEX_SIZE];
    snprintf(path, sizeof path, "/v1/chunk/%s/C/2?layer=base/os", digest_hex(&c.record.root, hex));
    assert_int_equal(stage_ask(s, ADMIN, "GET", path, NULL), 200);
    assert_int_equal(buf_size(&s->reply.body), c.files[2]->size);
    chunk_unref(chunks[0]);
    codec_free(codec);
    buf_release(&record);
    crate_release(&c);
    stage_free(s);
}

static void heads_are_signed_anew_before_they_expire(void **state)
{
    struct stage *s = stage_ready();
    struct crate c;

    (void)state;
    crate_make(&c, "base/os", 1, 3, false);
    assert_int_equal(stage_publish(s, PUBLISHER, &c), 200);
    expect_head(s, "base/os", &c, 1);
    world_run(s->world, world_now_ns(s->world) + 25 * 3600 * NS_PER_S);
    expect_head(s, "base/os", &c, 2);
    crate_release(&c);
    stage_free(s);
}

static void a_commit_that_was_interrupted_is_finished_at_start(void **state)
{
    struct stage *s = stage_ready();
    struct crate c;

    (void)state;
    crate_make(&c, "base/os", 1, 3, false);
    assert_int_equal(stage_publish(s, PUBLISHER, &c), 200);
    stage_stop_hub(s);
    must(catalogue_swap(s->catalogue, "record/base/os@1", CATALOGUE_ANY, NULL, 0, NULL));
    stage_start_hub(s);
    assert_int_equal(stage_ask(s, ADMIN, "GET", "/v1/record/base/os@1", NULL), 200);
    crate_release(&c);
    stage_free(s);
}

static void a_publisher_stays_beneath_the_layers_it_joined_for(void **state)
{
    struct stage *s = stage_ready();
    const struct identity builder = {.role = ROLE_PUBLISHER, .org = "acme", .device = "builder"};
    struct crate c;

    (void)state;
    crate_make(&c, "base/os", 1, 3, false);
    must(hub_admit(s->hub, &builder, "", "app"));
    assert_int_equal(stage_publish(s, PUBLISHER, &c), 403);
    must(hub_admit(s->hub, &builder, "", "app,base"));
    assert_int_equal(stage_publish(s, PUBLISHER, &c), 200);
    must(hub_admit(s->hub, &builder, "", "app"));
    assert_int_equal(stage_ask_text(s, PUBLISHER, "POST", "/v1/promote",
                                    "{\"layer\":\"base/os\",\"version\":\"1\"}"),
                     403);
    crate_release(&c);
    stage_free(s);
}

static void a_store_that_cannot_say_is_asked_again(void **state)
{
    struct stage *s = stage_new_with(&(struct ram_options){.seed = 5, .unknown_per_mille = 300});
    struct crate c;

    (void)state;
    must(hub_install_trust(s->hub, buf_peek(&s->trust_bytes), buf_size(&s->trust_bytes)));
    const struct identity builder = {.role = ROLE_PUBLISHER, .org = "acme", .device = "builder"};
    while (alb_failed(hub_admit(s->hub, &builder, "", "")))
        continue; /* this catalogue often cannot say either */
    crate_make(&c, "base/os", 1, 10, false);
    for (unsigned n = 0; n < 20 && stage_publish(s, PUBLISHER, &c) != 200; n++)
        assert_int_equal(s->reply.status, 500);
    expect_head(s, "base/os", &c, 1);
    crate_release(&c);
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_version_is_uploaded_and_becomes_current),
        cmocka_unit_test(what_was_acknowledged_is_in_the_store),
        cmocka_unit_test(the_next_version_sends_only_what_is_new),
        cmocka_unit_test(an_upload_opened_again_says_what_is_still_missing),
        cmocka_unit_test(a_held_version_becomes_current_when_it_is_promoted),
        cmocka_unit_test(an_older_version_than_the_current_one_is_not_promoted),
        cmocka_unit_test(rolling_back_is_a_new_record_with_the_old_root),
        cmocka_unit_test(committing_the_newest_record_again_is_fine),
        cmocka_unit_test(a_local_publication_is_served_like_any_other),
        cmocka_unit_test(heads_are_signed_anew_before_they_expire),
        cmocka_unit_test(a_commit_that_was_interrupted_is_finished_at_start),
        cmocka_unit_test(a_publisher_stays_beneath_the_layers_it_joined_for),
        cmocka_unit_test(a_store_that_cannot_say_is_asked_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
