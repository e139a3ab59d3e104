/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_tree.c – a child's books and supply against a parent, over a simulated
 * link. */
/* LINKS: sim_world */
#include "support/child_stage.h"

#include <stdio.h>

#include "base/log.h"
#include "chunk/codec.h"

enum { CHUNK_TEST_MOST = 1 << 20 }; /* no chunk is larger than cut_content.max */

struct duo {
    struct child_stage on;
    /* what a test waits for */
    unsigned told;
    struct alb_status st;
    const struct root_view *view;
};

static void print_log(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

static int setup(void **state)
{
    struct duo *d = xalloc(sizeof *d);

    if (getenv("ALB_LOG") != NULL)
        log_install(print_log, NULL, LOG_DEBUG);
    child_stage_open(&d->on, "base/debian-12");
    child_open(&d->on, 0);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    struct duo *d = *state;

    child_stage_close(&d->on);
    free(d);
    return 0;
}

struct root_probe {
    struct root_wait wait;
    struct duo *duo;
};

static void root_told(struct root_wait *w, struct alb_status st, const struct root_view *view)
{
    struct duo *d = ALB_CONTAINER(w, struct root_probe, wait)->duo;

    d->told++;
    d->st = st;
    d->view = view;
}

static void open_root_of(struct duo *d, struct root_book *book, const char *layer)
{
    struct root_probe probe = {.wait.done = root_told, .duo = d};

    d->told = 0;
    root_book_open(book, layer, &d->on.version.record.root, &probe.wait);
    world_run(d->on.world, world_now_ns(d->on.world) + 30 * NS_PER_S);
    if (d->told == 0)
        root_book_leave(book, &probe.wait);
}

static void open_root(struct duo *d, const char *layer)
{
    open_root_of(d, d->on.child.roots, layer);
}

static void a_root_opens_through_the_parent(void **state)
{
    struct duo *d = *state;

    open_root(d, "base/debian-12");
    assert_int_equal(d->told, 1);
    assert_int_equal(d->st.code, ALB_OK);
    assert_int_equal(d->view->content_key_count + d->view->root.chunk_count + 1,
                     d->on.version.count);
    root_book_close_view(d->on.child.roots, d->view);
}

struct probe {
    struct waiter waiter;
    struct duo *duo;
};

static void chunk_told(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct duo *d = ALB_CONTAINER(w, struct probe, waiter)->duo;

    (void)chunk;
    d->told++;
    if (alb_failed(st))
        d->st = st;
}

/* Ask for every content chunk `times` times at once; *probes is the caller's to free. */
static size_t ask_everything(struct duo *d, unsigned times, struct probe **probes)
{
    size_t count = d->view->content_key_count * times;
    struct chunk_key key;

    *probes = xcalloc(count, sizeof **probes);
    d->told = 0;
    d->st = ALB_STATUS_OK;
    for (size_t i = 0; i < count; i++) {
        struct probe *p = &(*probes)[i];
        p->duo = d;
        p->waiter.done = chunk_told;
        assert_true(root_view_key(d->view, LIST_CONTENT, (uint32_t)(i % d->view->content_key_count),
                                  &key, &p->waiter.where));
        supply_ask(d->on.child.supply, &key, &p->waiter);
    }
    return count;
}

static void many_ask_and_each_chunk_crosses_once(void **state)
{
    struct duo *d = *state;
    struct supply_stats stats;
    struct chunk_store_stats kept;
    struct probe *probes;

    open_root(d, "base/debian-12");
    size_t count = ask_everything(d, 40, &probes);
    world_run(d->on.world, world_now_ns(d->on.world) + 30 * NS_PER_S);
    assert_int_equal(d->told, count);
    assert_int_equal(d->st.code, ALB_OK);
    supply_stats(d->on.child.supply, &stats);
    assert_int_equal(stats.fetch.received_bytes, d->on.version.stored_bytes);
    assert_int_equal(stats.fetch.repeated, 0);
    assert_int_equal(d->on.child.store->ops->stats(d->on.child.store, &kept).code, ALB_OK);
    assert_int_equal(kept.stored_bytes, d->on.version.stored_bytes);
    root_book_close_view(d->on.child.roots, d->view);
    free(probes);
}

static void a_cut_in_the_middle_delays_and_costs_at_most_a_chunk(void **state)
{
    struct duo *d = *state;
    struct supply_stats stats;
    struct probe *probes;

    open_root(d, "base/debian-12");
    size_t count = ask_everything(d, 1, &probes);
    world_run(d->on.world, world_now_ns(d->on.world) + 500 * NS_PER_MS);
    assert_true(d->told < count);
    world_link_set_up(d->on.wan, false);
    world_run(d->on.world, world_now_ns(d->on.world) + 60 * NS_PER_S);
    assert_false(upstream_is_up(d->on.child.upstream));
    assert_true(d->told < count);
    world_link_set_up(d->on.wan, true);
    world_run(d->on.world, world_now_ns(d->on.world) + 60 * NS_PER_S);
    assert_int_equal(d->told, count);
    assert_int_equal(d->st.code, ALB_OK);
    supply_stats(d->on.child.supply, &stats);
    assert_true(stats.fetch.received_bytes <= d->on.version.stored_bytes + CHUNK_TEST_MOST);
    root_book_close_view(d->on.child.roots, d->view);
    free(probes);
}

static void a_layer_beyond_the_grant_looks_like_one_that_does_not_exist(void **state)
{
    struct duo *d = *state;

    d->on.parent.grant_prefix = "app";
    open_root(d, "base/debian-12");
    assert_int_equal(d->told, 1);
    assert_int_equal(d->st.code, ALB_NOT_FOUND);
    open_root(d, "base/nothing");
    assert_int_equal(d->told, 1);
    assert_int_equal(d->st.code, ALB_NOT_FOUND);
}

/* ---- publishers that lie: everything is signed, and does not fit together ---- */

/* The version again with another root object, record and head. */
static void republish(struct duo *d, const struct root *root, uint64_t record_adds)
{
    struct cast_version *v = &d->on.version;
    struct codec *codec = codec_new();
    struct chunk_key key = {.kind = KEY_PLAIN};
    struct buf object, stored;

    buf_init(&object, ROOT_OBJECT_MAX);
    buf_init(&stored, CHUNK_STORED_MAX);
    assert_int_equal(root_encode(root, &object).code, ALB_OK);
    assert_int_equal(codec_compress(codec, buf_peek(&object), buf_size(&object), &stored).code,
                     ALB_OK);
    sha256(buf_peek(&object), buf_size(&object), &key.digest);
    chunk_unref(v->chunks[0]);
    v->chunks[0] = chunk_copy(&key, buf_peek(&stored), buf_size(&stored));
    v->record.root = key.digest;
    v->record.root_bytes = buf_size(&object);
    v->record.content_bytes = root->content_bytes + record_adds;
    v->record.entries = root->entries;
    buf_clear(&v->record_bytes);
    assert_int_equal(record_encode(&v->record, &d->on.parent.publisher_key, &v->record_bytes).code,
                     ALB_OK);
    cast_holder_publish(&d->on.parent, v, 2);
    buf_release(&object);
    buf_release(&stored);
    codec_free(codec);
}

static void root_of(struct duo *d, struct root *out)
{
    const struct chunk *chunk = d->on.version.chunks[0];
    struct codec *codec = codec_new();
    struct buf raw;

    buf_init(&raw, ROOT_OBJECT_MAX);
    assert_int_equal(codec_expand(codec, chunk->bytes, chunk->size, ROOT_OBJECT_MAX, &raw).code,
                     ALB_OK);
    assert_int_equal(root_decode(buf_peek(&raw), buf_size(&raw), out).code, ALB_OK);
    buf_release(&raw);
    codec_free(codec);
}

static void sizes_that_disagree_are_refused(void **state)
{
    struct duo *d = *state;
    struct root honest;

    root_of(d, &honest);
    for (unsigned lie = 0; lie < 6; lie++) {
        struct root root = honest;
        root.entries += lie == 1;
        root.content_bytes += lie == 2;
        root.content_chunks += lie == 3;
        root.manifest_bytes += lie == 4;
        root.content_raw_bytes += lie == 5; /* only to be another root */
        root.chunks[0].raw_bytes += lie == 4;
        republish(d, &root, lie == 5); /* record and root object */
        root.chunks[0].raw_bytes -= lie == 4;
        open_root_of(d, d->on.parent.roots, "base/debian-12");
        assert_int_equal(d->told, 1);
        assert_int_equal(d->st.code, lie == 0 ? ALB_OK : ALB_CORRUPT);
        if (lie == 0)
            root_book_close_view(d->on.parent.roots, d->view);
        open_root(d, "base/debian-12"); /* and who asks below is told soon */
        assert_int_equal(d->told, 1);
        assert_int_equal(d->st.code, lie == 0 ? ALB_OK : ALB_NOT_FOUND);
        if (lie == 0)
            root_book_close_view(d->on.child.roots, d->view);
    }
    root_release(&honest);
}

/* A manifest chunk that is real, but not part of this manifest. */
static void a_manifest_that_is_none_is_refused(void **state)
{
    struct duo *d = *state;
    struct root root;

    root_of(d, &root);
    struct root_chunk *last = &root.chunks[root.chunk_count - 1];
    const uint64_t others = root.manifest_bytes - last->raw_bytes;
    for (size_t i = d->on.version.count - 1; i > root.chunk_count; i--) {
        size_t raw = 0;
        const struct chunk *c = d->on.version.chunks[i];
        assert_int_equal(codec_raw_size(c->bytes, c->size, CHUNK_RAW_MAX, &raw).code, ALB_OK);
        *last = (struct root_chunk){c->key, (uint32_t)raw, c->size};
    }
    root.manifest_bytes = others + last->raw_bytes;
    republish(d, &root, 0);
    open_root(d, "base/debian-12");
    assert_int_equal(d->told, 1);
    assert_int_not_equal(d->st.code, ALB_OK);
    root_release(&root);
}

static void a_root_that_could_not_be_opened_may_be_opened_later(void **state)
{
    struct duo *d = *state;

    world_link_set_up(d->on.wan, false);
    world_run(d->on.world, world_now_ns(d->on.world) + 60 * NS_PER_S);
    open_root(d, "base/debian-12");
    assert_int_equal(d->told, 1);
    assert_int_equal(d->st.code, ALB_CLOSED);
    world_link_set_up(d->on.wan, true);
    world_run(d->on.world, world_now_ns(d->on.world) + 60 * NS_PER_S);
    open_root(d, "base/debian-12");
    assert_int_equal(d->st.code, ALB_OK);
    root_book_close_view(d->on.child.roots, d->view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_root_opens_through_the_parent, setup, teardown),
        cmocka_unit_test_setup_teardown(many_ask_and_each_chunk_crosses_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_in_the_middle_delays_and_costs_at_most_a_chunk, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_layer_beyond_the_grant_looks_like_one_that_does_not_exist,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(sizes_that_disagree_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_manifest_that_is_none_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_root_that_could_not_be_opened_may_be_opened_later, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
