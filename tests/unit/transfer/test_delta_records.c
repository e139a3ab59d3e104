/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_delta_records.c – records of delta sets from a parent that lies. */
/* LINKS: sim_world */
#include "transfer/record_book.h"

#include "sim/cast_version.h"
#include "store/ram.h"
#include "support/liar.h"
#include "wire/delta_set.h"

enum { ROOT_KEY = 1, HUB_KEY, OTHER_KEY, KEYS, THINGS = 3 };

struct thing { /* what the parent answers for a path */
    char path[200];
    struct buf bytes;
};

struct stage {
    struct liar_stage on;
    struct sign_secret keys[KEYS];
    struct sign_public publics[KEYS];
    struct thing trust, list, record;
    bool is_down;
    struct catalogue *catalogue;
    struct authority *authority;
    struct upstream *upstream;
    struct record_book *book;
    struct digest pin;
};

struct told {
    struct record_wait wait;
    unsigned count;
    enum alb_code code;
    bool is_stale;
};

static void answer(struct liar *l, struct http_exchange *x)
{
    struct stage *g = l->arg;
    const struct thing *things[THINGS] = {&g->trust, &g->list, &g->record};

    for (size_t i = 0; i < THINGS; i++) {
        const struct buf *b = &things[i]->bytes;
        if (!g->is_down && buf_size(b) > 0 && strcmp(things[i]->path, http_exchange_path(x)) == 0) {
            http_answer(x, 200, NULL, buf_peek(b), buf_size(b));
            return;
        }
    }
    http_answer(x, g->is_down ? 503 : 404, NULL, "", 0);
}

static void ignore_event(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

static void changed(void *arg)
{
    (void)arg;
}

static void start(struct stage *g)
{
    const struct authority_options options = {
        .loop = g->on.box, .catalogue = g->catalogue, .pin = &g->pin};

    assert_int_equal(authority_open(&options, &g->authority).code, ALB_OK);
    g->upstream = upstream_new(&(struct upstream_options){.loop = g->on.box,
                                                          .places = {{"hub", LIAR_PORT}},
                                                          .place_count = 1,
                                                          .event = ignore_event});
    authority_follow(g->authority, g->upstream, changed, g);
    g->book = record_book_new(&(struct record_book_options){.loop = g->on.box,
                                                            .catalogue = g->catalogue,
                                                            .authority = g->authority,
                                                            .upstream = g->upstream});
    liar_stage_run_ms(&g->on, 5000);
}

static void stop(struct stage *g)
{
    g->book = record_book_free(g->book);
    g->authority = authority_close(g->authority);
    g->upstream = upstream_free(g->upstream);
    liar_stage_run_ms(&g->on, 1000);
}

static void make_trust(struct stage *g)
{
    struct trust trust = {.org = "acme",
                          .version = 1,
                          .threshold = 1,
                          .root_count = 1,
                          .roots = {g->publics[ROOT_KEY]},
                          .hub_key = g->publics[HUB_KEY],
                          .issued_wall_s = loop_wall_s(g->on.hub)};

    snprintf(g->trust.path, sizeof g->trust.path, "/v1/trust/1");
    assert_int_equal(trust_encode(&trust, &g->keys[ROOT_KEY], 1, &g->trust.bytes).code, ALB_OK);
    sha256(buf_peek(&g->trust.bytes), buf_size(&g->trust.bytes), &g->pin);
}

static int setup(void **state)
{
    struct stage *g = xalloc(sizeof *g);

    liar_stage_open(&g->on);
    g->on.liar.answer = answer;
    g->on.liar.arg = g;
    liar_listen(&g->on.liar);
    for (unsigned i = 1; i < KEYS; i++)
        cast_key(i, &g->keys[i], &g->publics[i]);
    buf_init(&g->trust.bytes, SIGNED_MAX);
    buf_init(&g->list.bytes, SIGNED_MAX);
    buf_init(&g->record.bytes, SIGNED_MAX);
    make_trust(g);
    g->catalogue = ram_catalogue_new(&(struct ram_options){0});
    start(g);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct stage *g = *state;

    stop(g);
    liar_stage_close(&g->on);
    catalogue_close(g->catalogue);
    buf_release(&g->trust.bytes);
    buf_release(&g->list.bytes);
    buf_release(&g->record.bytes);
    free(g);
    return 0;
}

static void told(struct record_wait *w, struct alb_status st, const uint8_t *bytes, size_t size,
                 bool is_stale)
{
    struct told *t = ALB_CONTAINER(w, struct told, wait);

    (void)bytes;
    (void)size;
    t->count++;
    t->code = st.code;
    t->is_stale = is_stale;
}

static enum alb_code get(struct stage *g, const struct thing *what, bool *is_stale)
{
    struct told t = {.wait.done = told};

    record_book_get(g->book, what->path + 4, &t.wait); /* behind "/v1/" */
    liar_stage_run_ms(&g->on, 30000);
    assert_int_equal(t.count, 1);
    *is_stale = t.is_stale;
    return t.code;
}

/* The parent says so of "to root 7" and "set 9", whatever is in `r`. */
static void say(struct stage *g, const struct delta_set_record *r, unsigned signer)
{
    struct delta_set_list l = {.count = 1};

    buf_clear(&g->record.bytes);
    buf_clear(&g->list.bytes);
    assert_int_equal(delta_set_record_encode(r, &g->keys[signer], &g->record.bytes).code, ALB_OK);
    l.bytes[0] = buf_peek(&g->record.bytes);
    l.sizes[0] = buf_size(&g->record.bytes);
    assert_int_equal(delta_set_list_encode(&l, &g->list.bytes).code, ALB_OK);
}

static void expect_neither(struct stage *g)
{
    bool is_stale = false;

    assert_int_equal(get(g, &g->list, &is_stale), ALB_CORRUPT);
    assert_int_equal(get(g, &g->record, &is_stale), ALB_CORRUPT);
}

static void sets_are_believed_of_the_layer_and_root_asked_for_and_kept(void **state)
{
    struct stage *g = *state;
    struct delta_set_record r = {.org = "acme",
                                 .layer = "base/x",
                                 .from = {{6}},
                                 .to = {{7}},
                                 .set = {{9}},
                                 .root_bytes = 100,
                                 .bytes = 5000,
                                 .made_wall_s = 1800000000};
    char hex[DIGEST_HEX_SIZE];
    bool is_stale = true;

    snprintf(g->list.path, sizeof g->list.path, "/v1/deltas/base/x@root:%s",
             digest_hex(&r.to, hex));
    snprintf(g->record.path, sizeof g->record.path, "/v1/record/base/x@root:%s",
             digest_hex(&r.set, hex));
    assert_int_equal(get(g, &g->list, &is_stale), ALB_NOT_FOUND);
    say(g, &r, OTHER_KEY);
    expect_neither(g);
    r.to.bytes[0] = r.set.bytes[0] = 8;
    say(g, &r, HUB_KEY);
    expect_neither(g);
    r.to.bytes[0] = 7;
    r.set.bytes[0] = 9;
    r.layer[5] = 'y';
    say(g, &r, HUB_KEY);
    expect_neither(g);
    r.layer[5] = 'x';
    say(g, &r, HUB_KEY);
    assert_int_equal(get(g, &g->list, &is_stale), ALB_OK);
    assert_false(is_stale);
    assert_int_equal(get(g, &g->record, &is_stale), ALB_OK);
    g->is_down = true;
    stop(g);
    start(g);
    assert_int_equal(get(g, &g->list, &is_stale), ALB_OK); /* as it was kept */
    assert_true(is_stale);
    assert_int_equal(get(g, &g->record, &is_stale), ALB_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sets_are_believed_of_the_layer_and_root_asked_for_and_kept,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
