/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_delta_maker.c – delta sets that a hub makes when a version came. */
/* LINKS: sim_world */
#include "support/hub_crate.h"

#include "chunk/delta.h"
#include "wire/delta_set.h"

enum { FILES = 6, FILE_SIZE = 150000, RUN_S = 120 };

/* File `i` of version `v`: mostly what it was in version 1, another few bytes in each; with `seed`
 * another, nothing alike at all. */
static void content_of(unsigned seed, unsigned i, unsigned v, uint8_t out[FILE_SIZE])
{
    struct gen g;

    gen_init(&g, seed * 100 + i);
    gen_bytes(&g, out, FILE_SIZE);
    for (unsigned n = 1; n < v; n++)
        for (size_t at = 0; at < 20; at++)
            out[1000 * n + 7000 * i + 61 * at]++;
}

static void make(struct crate *c, unsigned seed, unsigned version)
{
    const struct manifest_params params = {65536, 262144, 1048576};
    struct codec *codec = codec_new();
    uint8_t *bytes = xalloc(FILE_SIZE);
    struct manifest_writer w;
    char path[32];

    *c = (struct crate){.root = {.entries = 1}};
    must(manifest_begin(
        &w, &params, &(struct manifest_entry){.path = "", .type = ENTRY_DIRECTORY, .mode = 0755}));
    for (unsigned i = 0; i < FILES; i++) {
        content_of(seed, i, version, bytes);
        struct chunk *chunk = crate_chunk(codec, bytes, FILE_SIZE);
        const struct slice slice = {.key = chunk->key, .length = FILE_SIZE};
        snprintf(path, sizeof path, "file-%02u", i);
        must(manifest_add(&w, &(struct manifest_entry){.path = path,
                                                       .type = ENTRY_FILE,
                                                       .mode = 0644,
                                                       .size = FILE_SIZE,
                                                       .content = chunk->key.digest,
                                                       .slices = &slice,
                                                       .slice_count = 1}));
        c->files[c->file_count++] = chunk;
        c->root.content_bytes += FILE_SIZE;
        c->root.content_raw_bytes += FILE_SIZE;
        c->root.content_chunks++;
        c->root.entries++;
    }
    crate_close(c, codec, &w);
    manifest_writer_release(&w);
    codec_free(codec);
    free(bytes);
    c->record = (struct version_record){.org = "acme",
                                        .layer = "base/os",
                                        .sequence = version,
                                        .root_bytes = buf_size(&c->object),
                                        .content_bytes = c->root.content_bytes,
                                        .entries = c->root.entries,
                                        .made_wall_s = 1800000000};
    snprintf(c->record.version, sizeof c->record.version, "%u", version);
    sha256(buf_peek(&c->object), buf_size(&c->object), &c->record.root);
}

/* … published; its root in `root`. */
static void publish(struct stage *s, unsigned seed, unsigned version, struct digest *root)
{
    struct crate c;

    make(&c, seed, version);
    assert_int_equal(stage_publish(s, PUBLISHER, &c), 200);
    *root = c.record.root;
    crate_release(&c);
}

static void run(struct stage *s, unsigned seconds)
{
    world_run(s->world, world_now_ns(s->world) + seconds * NS_PER_S);
}

static struct stage *ready(unsigned delta_versions)
{
    struct stage *s = stage_ready();

    s->delta_versions = delta_versions;
    stage_stop_hub(s);
    stage_start_hub(s);
    return s;
}

/* What the hub says leads to `to`: how many, and the records, judged. */
static size_t deltas_to(struct stage *s, const struct digest *to,
                        struct delta_set_record out[DELTA_SET_LIST_MAX])
{
    char path[160], hex[DIGEST_HEX_SIZE];
    struct delta_set_list l;

    snprintf(path, sizeof path, "/v1/deltas/base/os@root:%s", digest_hex(to, hex));
    if (stage_ask(s, REFLECTOR, "GET", path, NULL) == 404)
        return 0;
    assert_int_equal(s->reply.status, 200);
    const uint8_t *bytes = buf_peek(&s->reply.body);
    must(delta_set_list_judge(bytes, buf_size(&s->reply.body), &s->trust, "base/os", to));
    must(delta_set_list_decode(bytes, buf_size(&s->reply.body), &l));
    for (size_t i = 0; i < l.count; i++)
        must(delta_set_record_decode(l.bytes[i], l.sizes[i], &s->trust, &out[i]));
    return l.count;
}

/* ---- one is made, and does what it says ------------------------------------------------------ */

static void fetch(struct stage *s, const char *path, struct buf *out)
{
    struct codec *codec = codec_new();

    assert_int_equal(stage_ask(s, REFLECTOR, "GET", path, NULL), 200);
    must(codec_expand(codec, buf_peek(&s->reply.body), buf_size(&s->reply.body), CHUNK_RAW_MAX,
                      out));
    codec_free(codec);
}

/* List M or C of a set, joined. */
static void fetch_list(struct stage *s, const struct digest *set, char list, size_t count,
                       struct buf *out)
{
    char path[160], hex[DIGEST_HEX_SIZE];

    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "/v1/chunk/%s/%c/%zu?layer=base/os", digest_hex(set, hex), list,
                 i);
        fetch(s, path, out);
    }
}

static struct alb_status take(void *arg, const void *bytes, size_t size)
{
    return buf_append(arg, bytes, size);
}

static void expect_piece(struct delta *d, size_t i, const struct delta_set_piece *piece)
{
    uint8_t *old = xalloc(FILE_SIZE), *new = xalloc(FILE_SIZE);
    struct digest digest;
    unsigned file = 0;
    struct buf made;

    do /* whose is it? */
        content_of(1, file, 2, new), sha256(new, FILE_SIZE, &digest);
    while (!digest_equal(&digest, &piece->target) && ++file < FILES);
    assert_in_range(file, 0, FILES - 1);
    content_of(1, file, 1, old);
    sha256(old, FILE_SIZE, &digest);
    assert_true(digest_equal(&digest, &piece->reference));
    buf_init(&made, FILE_SIZE);
    must(delta_rebuild(d, i, &(struct delta_reference){.size = FILE_SIZE, .bytes = old},
                       &(struct delta_sink){take, &made}));
    assert_int_equal(buf_size(&made), FILE_SIZE);
    assert_memory_equal(buf_peek(&made), new, FILE_SIZE);
    buf_release(&made);
    free(old);
    free(new);
}

static void expect_contents(const struct delta_set_index *x, const struct buf *stream)
{
    for (size_t b = 0; b < x->blob_count; b++) {
        const struct delta_set_blob *blob = &x->blobs[b];
        struct delta *d = NULL;

        must(delta_open(buf_peek(stream) + blob->offset, blob->size, &delta_limits_default, &d));
        assert_int_equal(delta_pieces(d), blob->piece_count);
        for (uint32_t i = 0; i < blob->piece_count; i++)
            expect_piece(d, i, &x->pieces[blob->first_piece + i]);
        delta_close(d);
    }
}

static void a_version_is_followed_by_a_set_that_makes_its_files_from_the_one_before(void **state)
{
    struct delta_set_record sets[DELTA_SET_LIST_MAX];
    struct digest one, two;
    struct delta_set_root root;
    struct delta_set_index x;
    struct buf object, index, stream;
    char path[160], hex[DIGEST_HEX_SIZE];
    struct stage *s = ready(2);

    (void)state;
    publish(s, 1, 1, &one);
    publish(s, 1, 2, &two);
    run(s, RUN_S);
    stage_greet(s, REFLECTOR);
    assert_int_equal(deltas_to(s, &two, sets), 1);
    assert_true(digest_equal(&sets[0].from, &one));
    assert_in_range(sets[0].bytes, 300, FILES * FILE_SIZE / 20);
    buf_init(&object, ROOT_OBJECT_MAX);
    buf_init(&index, DELTA_SET_INDEX_MAX);
    buf_init(&stream, 64 << 20);
    snprintf(path, sizeof path, "/v1/root/%s?layer=base/os", digest_hex(&sets[0].set, hex));
    fetch(s, path, &object);
    must(delta_set_root_decode(buf_peek(&object), buf_size(&object), &root));
    fetch_list(s, &sets[0].set, 'M', root.index_count, &index);
    fetch_list(s, &sets[0].set, 'C', root.stream_count, &stream);
    must(delta_set_index_decode(buf_peek(&index), buf_size(&index), &x));
    assert_int_equal(x.piece_count, FILES);
    assert_int_equal(x.stream_bytes, buf_size(&stream));
    assert_int_equal(x.target_bytes, root.target_bytes);
    expect_contents(&x, &stream);
    delta_set_index_release(&x);
    delta_set_root_release(&root);
    buf_release(&object);
    buf_release(&index);
    buf_release(&stream);
    stage_free(s);
}

/* ---- which are kept -------------------------------------------------------------------------- */

static void older_sets_go_as_versions_come(void **state)
{
    struct delta_set_record sets[DELTA_SET_LIST_MAX];
    struct stage *s = ready(2);
    struct digest roots[6];

    (void)state;
    for (unsigned v = 1; v <= 5; v++) {
        publish(s, 1, v, &roots[v]);
        run(s, RUN_S);
    }
    stage_greet(s, REFLECTOR);
    assert_int_equal(deltas_to(s, &roots[5], sets), 2);
    assert_true(digest_equal(&sets[0].from, &roots[4]) && digest_equal(&sets[1].from, &roots[3]));
    assert_int_equal(deltas_to(s, &roots[4], sets), 2);
    assert_int_equal(deltas_to(s, &roots[3], sets), 0);
    assert_int_equal(stage_ask(s, ADMIN, "GET", "/v1/layers", NULL), 200);
    assert_non_null(strstr(stage_text(s), "\"from\":\"4\",\"to\":\"5\",\"outcome\":\"kept\""));
    assert_null(strstr(stage_text(s), "\"from\":\"1\""));
    stage_free(s);
}

static void a_set_that_saves_too_little_is_not_kept_and_not_tried_again(void **state)
{
    struct delta_set_record sets[DELTA_SET_LIST_MAX];
    struct hub_figures figures;
    struct digest one, two;
    struct stage *s = ready(2);

    (void)state;
    publish(s, 1, 1, &one);
    publish(s, 2, 2, &two);
    run(s, RUN_S);
    hub_figures(s->hub, &figures);
    assert_int_equal(figures.deltas.poor, 1);
    assert_int_equal(figures.deltas.kept, 0);
    stage_greet(s, REFLECTOR);
    assert_int_equal(deltas_to(s, &two, sets), 0);
    stage_stop_hub(s);
    stage_start_hub(s);
    run(s, RUN_S);
    hub_figures(s->hub, &figures);
    assert_int_equal(figures.deltas.poor, 0);
    stage_free(s);
}

/* ---- stopped, started, switched off ---------------------------------------------------------- */

static void a_hub_stopped_in_between_begins_anew(void **state)
{
    struct delta_set_record sets[DELTA_SET_LIST_MAX];
    struct hub_figures figures;
    struct digest one, two;
    struct stage *s = ready(2);

    (void)state;
    publish(s, 1, 1, &one);
    publish(s, 1, 2, &two);
    stage_stop_hub(s); /* in its midst */
    stage_start_hub(s);
    run(s, RUN_S);
    stage_greet(s, REFLECTOR);
    assert_int_equal(deltas_to(s, &two, sets), 1);
    stage_stop_hub(s);
    stage_start_hub(s);
    run(s, RUN_S);
    hub_figures(s->hub, &figures);
    assert_int_equal(figures.deltas.kept, 0); /* it is there */
    stage_greet(s, REFLECTOR);
    assert_int_equal(deltas_to(s, &two, sets), 1);
    stage_free(s);
}

static void switched_off_there_are_none(void **state)
{
    struct delta_set_record sets[DELTA_SET_LIST_MAX];
    char path[160], hex[DIGEST_HEX_SIZE];
    struct digest one, two, set;
    struct stage *s = ready(2);

    (void)state;
    publish(s, 1, 1, &one);
    publish(s, 1, 2, &two);
    run(s, RUN_S);
    stage_greet(s, REFLECTOR);
    assert_int_equal(deltas_to(s, &two, sets), 1);
    set = sets[0].set;
    s->delta_versions = 0;
    stage_stop_hub(s);
    stage_start_hub(s);
    run(s, RUN_S);
    stage_greet(s, REFLECTOR);
    assert_int_equal(deltas_to(s, &two, sets), 0);
    snprintf(path, sizeof path, "/v1/root/%s?layer=base/os", digest_hex(&set, hex));
    assert_int_equal(stage_ask(s, REFLECTOR, "GET", path, NULL), 404);
    stage_free(s);
}

/* The answer is that of a layer that does not exist. */
static void who_has_no_grant_for_the_layer_hears_of_no_sets(void **state)
{
    char path[160], hex[DIGEST_HEX_SIZE];
    struct digest one, two;
    struct stage *s = ready(2);

    (void)state;
    publish(s, 1, 1, &one);
    publish(s, 1, 2, &two);
    run(s, RUN_S);
    snprintf(path, sizeof path, "/v1/deltas/base/os@root:%s", digest_hex(&two, hex));
    assert_int_equal(stage_ask(s, ENDPOINT, "GET", path, NULL), 404); /* not greeted */
    stage_refused(s, 404, "no such layer for this device");
    stage_greet(s, ENDPOINT);
    assert_int_equal(stage_ask(s, ENDPOINT, "GET", path, NULL), 200);
    assert_int_equal(stage_ask(s, ENDPOINT, "GET", "/v1/deltas/base/os@2", NULL), 400);
    stage_refused(s, 400, "LAYER@root:HEX");
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_version_is_followed_by_a_set_that_makes_its_files_from_the_one_before),
        cmocka_unit_test(older_sets_go_as_versions_come),
        cmocka_unit_test(a_set_that_saves_too_little_is_not_kept_and_not_tried_again),
        cmocka_unit_test(a_hub_stopped_in_between_begins_anew),
        cmocka_unit_test(switched_off_there_are_none),
        cmocka_unit_test(who_has_no_grant_for_the_layer_hears_of_no_sets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
