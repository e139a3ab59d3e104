/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/test_uploader.c – a version going up to a whole hub in a simulated world. */
/* LINKS: hub sim_world */
#include "base/log.h"
#include "client/uploader.h"
#include "support/hub_crate.h"

enum { FILES = 40, FILE_BYTES = 600000 };

struct scene {
    struct stage *hub;
    struct crate crate;
    struct upstream *upstream;
    struct uploader *uploader;
    struct uploader_progress last;
    struct buf record;
    /* the source */
    unsigned reads;
    uint32_t changed, wrong; /* positions; UINT32_MAX: none */
    bool is_closed;          /* done() was called: nobody may read any more */
    /* the end */
    unsigned told;
    struct alb_status st;
    char message[512];
};

/* ---- the source ---- */

static struct alb_status read_chunk(void *arg, void *helper, uint32_t position, struct chunk **out)
{
    struct scene *s = arg;

    assert_non_null(helper);
    assert_false(s->is_closed);
    s->reads++;
    if (position == s->changed)
        return alb_fail(ALB_CONFLICT, "changed");
    *out = chunk_ref(s->crate.files[position == s->wrong ? position + 1 : position]);
    return ALB_STATUS_OK;
}

static void *helper_new(void)
{
    return xalloc(1);
}

static void helper_free(void *helper)
{
    free(helper);
}

static uint32_t raw_size(void *arg, uint32_t position)
{
    (void)arg;
    (void)position;
    return FILE_BYTES;
}

/* ---- a crate of large files ---- */

static void add_file(struct crate *c, struct codec *codec, struct manifest_writer *w, unsigned seed)
{
    AUTO_FREE uint8_t *bytes = xalloc(FILE_BYTES);
    struct gen g;
    char path[32];

    gen_init(&g, seed);
    gen_bytes(&g, bytes, FILE_BYTES);
    struct chunk *chunk = crate_chunk(codec, bytes, FILE_BYTES);
    const struct slice slice = {.key = chunk->key, .length = FILE_BYTES};
    snprintf(path, sizeof path, "file-%02zu", c->file_count);
    must(manifest_add(w, &(struct manifest_entry){.path = path,
                                                  .type = ENTRY_FILE,
                                                  .mode = 0644,
                                                  .size = FILE_BYTES,
                                                  .content = chunk->key.digest,
                                                  .slices = &slice,
                                                  .slice_count = 1}));
    c->files[c->file_count++] = chunk;
    c->root.content_bytes += FILE_BYTES;
    c->root.content_raw_bytes += FILE_BYTES;
    c->root.content_chunks++;
    c->root.entries++;
}

/* `count` files with contents first, first + 1, …, as version `sequence` of base/os. */
static void make_crate(struct crate *c, unsigned first, unsigned count, uint64_t sequence)
{
    const struct manifest_params params = {65536, 262144, 1048576};
    struct manifest_writer w;
    struct codec *codec = codec_new();

    *c = (struct crate){.root = {.entries = 1}};
    must(manifest_begin(
        &w, &params, &(struct manifest_entry){.path = "", .type = ENTRY_DIRECTORY, .mode = 0755}));
    for (unsigned i = 0; i < count; i++)
        add_file(c, codec, &w, first + i);
    crate_close(c, codec, &w);
    manifest_writer_release(&w);
    codec_free(codec);
    c->record = (struct version_record){.org = "acme",
                                        .layer = "base/os",
                                        .sequence = sequence,
                                        .root_bytes = buf_size(&c->object),
                                        .content_bytes = c->root.content_bytes,
                                        .entries = c->root.entries,
                                        .made_wall_s = 1800000000};
    snprintf(c->record.version, sizeof c->record.version, "%u", (unsigned)sequence);
    sha256(buf_peek(&c->object), buf_size(&c->object), &c->record.root);
}

static void use_crate(struct scene *s, unsigned first, unsigned count, uint64_t sequence)
{
    crate_release(&s->crate);
    make_crate(&s->crate, first, count, sequence);
    buf_release(&s->record);
    buf_init(&s->record, SIGNED_MAX);
    must(record_encode(&s->crate.record, &s->hub->publisher_key, &s->record));
}

/* ---- the scene ---- */

static void open_scene(struct scene *s, struct stage *hub)
{
    const struct upstream_options up = {
        .loop = hub->loops[PUBLISHER], .places = {{"hub", STAGE_PORT}}, .place_count = 1};

    s->hub = hub;
    s->changed = s->wrong = UINT32_MAX;
    s->upstream = upstream_new(&up);
    use_crate(s, 1, FILES, 1);
}

static int set_up(void **state)
{
    struct scene *s = xalloc(sizeof *s);

    log_install(NULL, NULL, LOG_ERROR);
    open_scene(s, stage_ready());
    *state = s;
    return 0;
}

/* A hub whose disk holds half of it. */
static int set_up_small(void **state)
{
    struct scene *s = xalloc(sizeof *s);
    struct stage *hub =
        stage_new_with(&(struct ram_options){.quota_bytes = FILES * FILE_BYTES / 2});

    log_install(NULL, NULL, LOG_ERROR);
    must(hub_install_trust(hub->hub, buf_peek(&hub->trust_bytes), buf_size(&hub->trust_bytes)));
    must(hub_admit(hub->hub, &hub->who[PUBLISHER], "site1", ""));
    open_scene(s, hub);
    *state = s;
    return 0;
}

static void run_ms(struct scene *s, uint64_t ms)
{
    world_run(s->hub->world, world_now_ns(s->hub->world) + ms * NS_PER_MS);
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    s->uploader = uploader_free(s->uploader);
    s->upstream = upstream_free(s->upstream);
    run_ms(s, 1000);
    stage_free(s->hub);
    crate_release(&s->crate);
    buf_release(&s->record);
    free(s);
    return 0;
}

static void on_done(void *arg, struct alb_status st, const char *message)
{
    struct scene *s = arg;

    s->told++;
    s->st = st;
    s->is_closed = true;
    snprintf(s->message, sizeof s->message, "%s", message);
    uploader_progress(s->uploader, &s->last);
}

static void start(struct scene *s)
{
    const struct crate *c = &s->crate;

    s->uploader = uploader_free(s->uploader);
    s->told = s->reads = 0;
    s->is_closed = false;
    s->uploader = uploader_start(
        &(struct uploader_options){.loop = s->hub->loops[PUBLISHER],
                                   .upstream = s->upstream,
                                   .layer = c->record.layer,
                                   .root_object = buf_peek(&c->object),
                                   .root_object_size = buf_size(&c->object),
                                   .manifest_chunks = &c->manifest,
                                   .manifest_chunk_count = 1,
                                   .content_chunk_count = c->file_count,
                                   .record = buf_peek(&s->record),
                                   .record_size = buf_size(&s->record),
                                   .source = {read_chunk, helper_new, helper_free, raw_size, s},
                                   .done = on_done,
                                   .arg = s});
    assert_int_equal(s->told, 0); /* never from inside */
}

static bool is_told(void *arg)
{
    return ((struct scene *)arg)->told > 0;
}

static struct alb_status wait(struct scene *s)
{
    assert_true(
        world_run_until(s->hub->world, world_now_ns(s->hub->world) + 300 * NS_PER_S, is_told, s));
    run_ms(s, 1000); /* and nothing comes behind it */
    assert_int_equal(s->told, 1);
    return s->st;
}

static struct alb_status upload(struct scene *s)
{
    start(s);
    return wait(s);
}

static void run_until_sent(struct scene *s, size_t chunks)
{
    do {
        run_ms(s, 1);
        uploader_progress(s->uploader, &s->last);
        assert_int_equal(s->told, 0);
    } while (s->last.sent < chunks);
}

/* The newest sequence the hub has of base/os; 0: nothing was published. */
static uint64_t newest(struct scene *s)
{
    struct json_doc *doc = NULL;
    uint64_t sequence = 0;
    char path[64];

    assert_int_equal(stage_ask(s->hub, ADMIN, "GET", "/v1/layers", NULL), 200);
    must(json_doc_parse(buf_peek(&s->hub->reply.body), buf_size(&s->hub->reply.body), &doc));
    for (size_t i = 0; i < json_doc_count(doc, "layers.0.versions"); i++) {
        snprintf(path, sizeof path, "layers.0.versions.%zu.sequence", i);
        if (json_doc_number(doc, path) > sequence)
            sequence = json_doc_number(doc, path);
    }
    json_doc_free(doc);
    return sequence;
}

/* ---- tests ---- */

static void a_version_goes_up_whole_and_is_published(void **state)
{
    struct scene *s = *state;

    must(upload(s));
    assert_int_equal(newest(s), 1);
    assert_int_equal(s->last.lacking, FILES);
    assert_int_equal(s->last.sent, FILES);
    assert_int_equal(s->last.sent_raw_bytes, (uint64_t)FILES * FILE_BYTES);
    assert_int_equal(s->last.lacking_raw_bytes, s->last.sent_raw_bytes);
    assert_int_equal(s->reads, FILES);
    assert_int_equal(s->last.openings, 1);
}

static void what_the_hub_has_is_not_sent_again(void **state)
{
    struct scene *s = *state;

    must(upload(s));
    use_crate(s, 11, FILES, 2); /* ten files are new */
    must(upload(s));
    assert_int_equal(s->last.sent, 10);
    assert_int_equal(s->reads, 10);
    use_crate(s, 11, FILES, 3);
    must(upload(s));
    assert_int_equal(s->reads, 0);
}

static void an_upload_that_was_given_up_is_gone_on_with(void **state)
{
    struct scene *s = *state;

    start(s);
    run_until_sent(s, 10);
    uploader_give_up(s->uploader);
    assert_int_equal(s->told, 0); /* not from inside */
    assert_int_equal(wait(s).code, ALB_CLOSED);
    assert_int_equal(newest(s), 0);
    const size_t sent = s->last.sent;
    assert_true(sent >= 10 && sent < FILES);
    must(upload(s));
    assert_true(s->last.sent <= FILES - sent);
    assert_int_equal(s->reads, s->last.sent);
    assert_int_equal(newest(s), 1);
}

static void giving_up_or_freeing_at_any_moment_ends_well(void **state)
{
    struct scene *s = *state;
    unsigned given_up = 0;

    for (uint64_t ms = 0; ms < 400; ms += 3) {
        start(s);
        run_ms(s, ms);
        if (s->told > 0)
            break;
        if (ms % 2 == 0) {
            uploader_give_up(s->uploader);
            assert_int_equal(wait(s).code, ALB_CLOSED);
        } else {
            s->uploader = uploader_free(s->uploader);
            run_ms(s, 500);
            assert_int_equal(s->told, 0);
        }
        given_up++;
    }
    assert_true(given_up > 5);
}

static void a_hub_that_is_started_anew_is_asked_again_what_it_lacks(void **state)
{
    struct scene *s = *state;

    start(s);
    run_until_sent(s, 10);
    stage_stop_hub(s->hub);
    assert_int_equal(s->told, 0);
    stage_start_hub(s->hub);
    must(wait(s));
    assert_true(s->last.openings >= 2);
    assert_true(s->last.sent >= 10 && s->last.sent <= FILES);
    assert_int_equal(s->last.sent, s->last.lacking);
    assert_true(s->reads < 2 * FILES - 10); /* what was sent is not read again */
    assert_int_equal(newest(s), 1);
}

static void a_file_that_changed_ends_it_with_a_conflict_and_nothing_published(void **state)
{
    struct scene *s = *state;

    s->changed = 25;
    assert_int_equal(upload(s).code, ALB_CONFLICT);
    assert_string_equal(s->message, "");
    assert_int_equal(newest(s), 0);
    s->changed = UINT32_MAX;
    must(upload(s));
    assert_int_equal(newest(s), 1);
}

static void a_chunk_that_is_not_its_position_s_is_refused_by_the_hub_in_words(void **state)
{
    struct scene *s = *state;

    s->wrong = 30;
    assert_true(alb_failed(upload(s)));
    assert_string_not_equal(s->message, "");
    assert_int_equal(newest(s), 0);
}

static void a_hub_without_room_says_so(void **state)
{
    struct scene *s = *state;

    assert_int_equal(upload(s).code, ALB_FULL);
    assert_string_not_equal(s->message, "");
    assert_int_equal(newest(s), 0);
}

static void a_sequence_that_is_taken_is_a_conflict_and_costs_no_content_the_next_time(void **state)
{
    struct scene *s = *state;

    must(upload(s));
    use_crate(s, 100, FILES, 1); /* another publisher believes to be the first */
    assert_int_equal(upload(s).code, ALB_CONFLICT);
    assert_string_not_equal(s->message, "");
    assert_int_equal(newest(s), 1);
    use_crate(s, 100, FILES, 2);
    must(upload(s));
    assert_int_equal(s->last.sent, 0);
    assert_int_equal(newest(s), 2);
}

static void a_line_that_is_cut_for_a_while_only_takes_time(void **state)
{
    struct scene *s = *state;

    start(s);
    run_until_sent(s, 5);
    world_link_set_up(s->hub->link, false);
    run_ms(s, 40000);
    assert_int_equal(s->told, 0);
    world_link_set_up(s->hub->link, true);
    must(wait(s));
    assert_int_equal(newest(s), 1);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(a_version_goes_up_whole_and_is_published),
        ROW(what_the_hub_has_is_not_sent_again),
        ROW(an_upload_that_was_given_up_is_gone_on_with),
        ROW(giving_up_or_freeing_at_any_moment_ends_well),
        ROW(a_hub_that_is_started_anew_is_asked_again_what_it_lacks),
        ROW(a_file_that_changed_ends_it_with_a_conflict_and_nothing_published),
        ROW(a_chunk_that_is_not_its_position_s_is_refused_by_the_hub_in_words),
        cmocka_unit_test_setup_teardown(a_hub_without_room_says_so, set_up_small, tear_down),
        ROW(a_sequence_that_is_taken_is_a_conflict_and_costs_no_content_the_next_time),
        ROW(a_line_that_is_cut_for_a_while_only_takes_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
