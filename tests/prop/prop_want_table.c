/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_want_table.c – one search per chunk and one outcome per waiter, however calls
 * interleave. */
/* LINKS: transfer store wire chunk net shaper base */
#include "transfer/want_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "support/gen.h"

enum { KEYS = 12, PLACES = 4, WAITERS = 64, MOST_WANTS = 9, MOST_WAITERS = 40, STEPS = 200000 };

static struct gen gen;

/* The model: who waits for what, as the test knows it. */
struct asker {
    struct waiter waiter;
    unsigned key;
    bool waits;
    unsigned told;
    enum alb_code code;
    uint64_t order; /* of asking */
};

static struct model {
    struct want_table table;
    struct asker askers[WAITERS];
    struct want *searches[KEYS];
    uint64_t asks, last_told_order;
    size_t waiting;
    bool asks_from_done;
} model;

static struct chunk_key key_of(unsigned n)
{
    return (struct chunk_key){.kind = KEY_PLAIN, .digest = {{(uint8_t)(n + 1)}}};
}

static size_t searches(void)
{
    size_t n = 0;

    for (unsigned k = 0; k < KEYS; k++)
        n += model.searches[k] != NULL;
    return n;
}

static void ask(struct asker *a, unsigned key, unsigned place);

static void told(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct asker *a = ALB_CONTAINER(w, struct asker, waiter);

    (void)chunk;
    assert_true(a->waits);
    assert_null(w->want);
    assert_true(a->order > model.last_told_order); /* in the order they asked */
    model.last_told_order = a->order;
    a->waits = false;
    a->told++;
    a->code = st.code;
    model.waiting--;
    if (model.asks_from_done && gen_chance(&gen, 1, 3))
        ask(a, a->key, (unsigned)gen_below(&gen, PLACES));
}

static void ask(struct asker *a, unsigned key, unsigned place)
{
    const struct chunk_key k = key_of(key);
    struct want *started = NULL;
    bool full =
        model.waiting >= MOST_WAITERS || (model.searches[key] == NULL && searches() >= MOST_WANTS);

    a->waiter = (struct waiter){.done = told};
    a->waiter.where = (struct where){.layer = "l", .root = {{(uint8_t)place}}, .position = key};
    struct alb_status st = want_table_ask(&model.table, &k, &a->waiter, 0, &started);
    assert_int_equal(st.code, full ? ALB_FULL : ALB_OK);
    if (full) {
        assert_null(a->waiter.want);
        return;
    }
    assert_int_equal(started != NULL, model.searches[key] == NULL); /* one search per chunk */
    if (started != NULL)
        model.searches[key] = started;
    a->key = key;
    a->waits = true;
    a->order = ++model.asks;
    model.waiting++;
}

static void leave(struct asker *a)
{
    want_table_leave(&model.table, &a->waiter);
    a->waits = false;
    model.waiting--;
}

static void finish(unsigned key, enum alb_code code)
{
    struct want *want = model.searches[key];
    unsigned before[WAITERS];
    bool waited[WAITERS];

    for (unsigned i = 0; i < WAITERS; i++) {
        before[i] = model.askers[i].told;
        waited[i] = model.askers[i].waits && model.askers[i].key == key;
    }
    model.searches[key] = NULL;
    model.last_told_order = 0;
    want_table_finish(&model.table, want, (struct alb_status){.code = code}, NULL);
    for (unsigned i = 0; i < WAITERS; i++) {
        assert_int_equal(model.askers[i].told, before[i] + waited[i]);
        if (waited[i])
            assert_int_equal(model.askers[i].code, code);
    }
}

/* The place being asked says no. */
static void refuse(unsigned key)
{
    struct want *want = model.searches[key];
    bool another = false;

    for (unsigned i = 0; i < WAITERS; i++) {
        const struct asker *a = &model.askers[i];
        if (a->waits && a->key == key && !a->waiter.refused &&
            a->waiter.where.root.bytes[0] != want->where.root.bytes[0])
            another = true;
    }
    unsigned place = want->where.root.bytes[0];
    assert_int_equal(want_table_next_place(want), another);
    if (another)
        assert_int_not_equal(want->where.root.bytes[0], place);
    else
        finish(key, ALB_NOT_FOUND);
}

static void step(void)
{
    struct asker *a = &model.askers[gen_below(&gen, WAITERS)];
    unsigned key = (unsigned)gen_below(&gen, KEYS);

    if (gen_chance(&gen, 1, 2)) {
        if (!a->waits)
            ask(a, key, (unsigned)gen_below(&gen, PLACES));
        else if (gen_chance(&gen, 1, 4))
            leave(a);
    } else if (model.searches[key] != NULL) {
        if (gen_chance(&gen, 1, 2))
            refuse(key);
        else
            finish(key, gen_chance(&gen, 1, 2) ? ALB_OK : ALB_IO);
    }
    assert_int_equal(model.table.waiters, model.waiting);
    assert_int_equal(model.table.wants.count, searches());
}

static void walk(bool asks_from_done)
{
    model = (struct model){.asks_from_done = asks_from_done};
    want_table_init(&model.table, MOST_WANTS, MOST_WAITERS);
    for (unsigned i = 0; i < STEPS; i++)
        step();
    assert_true(model.table.started > 1000 && model.table.joined > 1000);
    assert_true(model.table.refused > 100);
    want_table_release(&model.table);
}

static void one_search_per_chunk_however_calls_interleave(void **state)
{
    (void)state;
    walk(false);
}

static void and_when_those_told_ask_again_at_once(void **state)
{
    (void)state;
    walk(true);
}

static int seed(void **state)
{
    (void)state;
    (void)gen_init_from_env(&gen);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_search_per_chunk_however_calls_interleave),
        cmocka_unit_test(and_when_those_told_ask_again_at_once),
    };
    return cmocka_run_group_tests(tests, seed, NULL);
}
