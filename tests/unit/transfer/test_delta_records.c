/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_delta_records.c – records of delta sets from a parent that lies. */
/* LINKS: sim_world */
#include "support/record_stage.h"

#include "wire/delta_set.h"

struct paths { /* of what is asked for */
    char list[200], record[200];
};

static enum alb_code get(struct stage *g, const char *path, bool *is_stale)
{
    struct told t;

    ask(g, &t, path + 4); /* behind "/v1/" */
    run_ms(g, 30000);
    assert_int_equal(t.count, 1);
    *is_stale = t.is_stale;
    buf_release(&t.bytes);
    return t.code;
}

/* The parent says so of "to root 7" and "set 9", whatever is in `r`. */
static void say(struct stage *g, const struct paths *p, const struct delta_set_record *r,
                unsigned signer)
{
    struct buf *record = thing(g, p->record);
    struct delta_set_list l = {.count = 1};

    assert_int_equal(delta_set_record_encode(r, &g->keys[signer], record).code, ALB_OK);
    l.bytes[0] = buf_peek(record);
    l.sizes[0] = buf_size(record);
    assert_int_equal(delta_set_list_encode(&l, thing(g, p->list)).code, ALB_OK);
}

static void expect_neither(struct stage *g, const struct paths *p)
{
    bool is_stale = false;

    assert_int_equal(get(g, p->list, &is_stale), ALB_CORRUPT);
    assert_int_equal(get(g, p->record, &is_stale), ALB_CORRUPT);
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
    struct paths p;
    bool is_stale = true;

    snprintf(p.list, sizeof p.list, "/v1/deltas/base/x@root:%s", digest_hex(&r.to, hex));
    snprintf(p.record, sizeof p.record, "/v1/record/base/x@root:%s", digest_hex(&r.set, hex));
    run_ms(g, 5000);
    assert_int_equal(get(g, p.list, &is_stale), ALB_NOT_FOUND);
    say(g, &p, &r, OTHER_KEY);
    expect_neither(g, &p);
    r.to.bytes[0] = r.set.bytes[0] = 8;
    say(g, &p, &r, HUB_KEY);
    expect_neither(g, &p);
    r.to.bytes[0] = 7;
    r.set.bytes[0] = 9;
    r.layer[5] = 'y';
    say(g, &p, &r, HUB_KEY);
    expect_neither(g, &p);
    r.layer[5] = 'x';
    say(g, &p, &r, HUB_KEY);
    assert_int_equal(get(g, p.list, &is_stale), ALB_OK);
    assert_false(is_stale);
    assert_int_equal(get(g, p.record, &is_stale), ALB_OK);
    g->refusal = 503;
    stop(g);
    start(g);
    run_ms(g, 5000);
    assert_int_equal(get(g, p.list, &is_stale), ALB_OK); /* as it was kept */
    assert_true(is_stale);
    assert_int_equal(get(g, p.record, &is_stale), ALB_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sets_are_believed_of_the_layer_and_root_asked_for_and_kept,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
