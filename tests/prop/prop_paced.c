/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_paced.c – whatever a gate allows, and whenever, no more than that comes, and all of it.
 *
 * LINKS: sim_world net base
 *
 * A paced session of a simulated world.  Random calls are made and given up, random amounts are
 * allowed in random pieces, credit is taken back, W and the quantum change, links lose segments.
 * Laws: at no time have more body bytes come than were spent; what is outstanding is within W; when
 * the gate stays open every call that was not given up ends with all of its bytes, and the session
 * is open still.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "base/units.h"
#include "net/http_pace.h"
#include "sim/world_duo.h"
#include "support/gen.h"

enum { ROUNDS = 300, STEPS = 120, CALLS = 40, BODY_MOST = 300000 };

struct purse {
    struct gate gate;
    uint64_t has, spent;
    struct gen *g;
};

static size_t purse_ask(struct gate *gate, size_t want, uint64_t now_ns, uint64_t *retry_ns)
{
    struct purse *p = (struct purse *)gate;

    if (p->has == 0) {
        *retry_ns = gen_chance(p->g, 1, 3) ? now_ns + gen_below(p->g, NS_PER_S) : GATE_WILL_CALL;
        return 0;
    }
    size_t most = p->has < want ? (size_t)p->has : want;
    return gen_chance(p->g, 1, 2) ? most : 1 + (size_t)gen_below(p->g, most);
}

static void purse_spent(struct gate *gate, size_t bytes, uint64_t now_ns)
{
    struct purse *p = (struct purse *)gate;

    (void)now_ns;
    assert_true(bytes <= p->has);
    p->has -= bytes;
    p->spent += bytes;
}

static const struct gate_ops purse_ops = {.ask = purse_ask, .spent = purse_spent};

struct play {
    struct gen g;
    struct duo *duo;
    struct purse purse;
    struct duo_call *calls[CALLS];
    uint64_t sizes[CALLS];
    size_t count;
    uint64_t window_most;
};

static void call_something(struct play *p)
{
    static const char *const paths[] = {"/flow", "/flow", "/lent", "/trickle"};
    char path[64];

    if (p->count == CALLS)
        return;
    uint64_t size = gen_skewed(&p->g, BODY_MOST);
    (void)snprintf(path, sizeof(path), "%s?%llu", paths[gen_below(&p->g, 4)],
                   (unsigned long long)size);
    p->sizes[p->count] = size;
    p->calls[p->count++] = duo_get(p->duo, path, size + gen_below(&p->g, 2) * 1000);
}

static void give_one_up(struct play *p)
{
    struct duo_call *r = p->count == 0 ? NULL : p->calls[gen_below(&p->g, p->count)];

    if (r == NULL || r->call == NULL)
        return;
    http_call_cancel(r->call);
    r->call = NULL;
}

static void allow_something(struct play *p)
{
    p->purse.has += gen_skewed(&p->g, 200000);
    gate_wake(&p->purse.gate);
}

static void set_something(struct play *p)
{
    uint64_t window = gen_range(&p->g, 3000, 200000);

    if (window > p->window_most)
        p->window_most = window;
    http_session_set_window(p->duo->client, window);
    http_session_set_quantum(p->duo->client, gen_skewed(&p->g, 300000));
    http_session_set_frame_size(p->duo->server, (uint32_t)gen_skewed(&p->g, 20000));
}

static void step(struct play *p)
{
    switch (gen_below(&p->g, 8)) {
    case 0:
    case 1: call_something(p); break;
    case 2:
    case 3:
    case 4: allow_something(p); break;
    case 5: set_something(p); break;
    case 6: http_session_revoke_credit(p->duo->client); break;
    default:
        if (gen_chance(&p->g, 1, 3))
            give_one_up(p);
    }
}

static void look(struct play *p)
{
    uint64_t in = 0, out = 0;

    assert_non_null(p->duo->client);
    http_session_counts(p->duo->client, &in, &out);
    assert_true(in <= p->purse.spent);
    assert_true(http_session_outstanding_bytes(p->duo->client) <= p->window_most);
}

/* Calls that were given up hear no end, those that were broken off to take back their credit hear
 * that; all the others must be whole. */
static void settle(struct play *p)
{
    for (unsigned i = 0; i < 600; i++) {
        p->purse.has += 1 << 20;
        gate_wake(&p->purse.gate);
        duo_run_ms(p->duo, 100);
        look(p);
    }
    for (size_t i = 0; i < p->count; i++) {
        const struct duo_call *r = p->calls[i];

        assert_null(r->call);
        assert_false(r->is_damaged);
        if (r->ends == 0)
            continue; /* given up */
        assert_int_equal(r->ends, 1);
        if (r->code == ALB_REFUSED)
            continue;
        assert_int_equal(r->code, ALB_OK);
        assert_int_equal(r->bytes, p->sizes[i]);
    }
    struct duo_call *last = duo_get(p->duo, "/flow?200000", 200000);
    duo_run_ms(p->duo, 5000);
    p->purse.has += 1 << 20;
    gate_wake(&p->purse.gate);
    duo_run_ms(p->duo, 20000);
    assert_int_equal(last->ends, 1);
    assert_int_equal(last->bytes, 200000);
}

static void round_of(struct gen *g)
{
    struct play p = {.g = gen_fork(g), .duo = duo_new(gen_range(g, 60000, 20000000))};

    p.purse = (struct purse){.gate.ops = &purse_ops, .g = &p.g};
    world_link_set_loss(p.duo->link, gen_chance(g, 1, 3) ? 20000 : 0);
    p.duo->client_options.is_paced = true;
    duo_connect(p.duo);
    http_session_use_credit_gate(p.duo->client, &p.purse.gate);
    http_session_set_window(p.duo->client, p.window_most = 20000);
    duo_run_ms(p.duo, 1000);
    for (unsigned i = 0; i < STEPS; i++) {
        step(&p);
        duo_run_ms(p.duo, gen_skewed(&p.g, 300));
        look(&p);
    }
    settle(&p);
    duo_free(p.duo);
}

static void no_more_comes_than_was_allowed_and_all_of_it(void **state)
{
    struct gen g;

    (void)state;
    gen_init_from_env(&g);
    for (unsigned i = 0; i < ROUNDS; i++)
        round_of(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_comes_than_was_allowed_and_all_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
