/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_http_client.c – any bytes at all answer an HTTP client: each call hears its end,
 * once. */
/* LINKS: net base sim_world */
#include "base/units.h"
#include "fuzz/target.h"
#include "net/http.h"
#include "sim/world.h"
#include "sim/world_script.h"

const struct fuzz_bound fuzz_bound = {.fixed = 512 << 10, .per_byte = 64};

enum { CALLS = 4, EXPECTED = 1000 };

struct owner {
    unsigned open;
    uint64_t got[CALLS];
    struct http_call *calls[CALLS];
    bool is_closed;
};

static struct http_call **place_of(struct owner *o, const struct http_call *c)
{
    for (size_t i = 0; i < CALLS; i++)
        if (o->calls[i] == c)
            return &o->calls[i];
    alb_unreachable();
}

static void on_head(void *arg, struct http_call *c, unsigned status)
{
    alb_assert(status >= 200 && status <= 999);
    alb_assert(*place_of(arg, c) == c);
}

static void on_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct owner *o = arg;

    (void)bytes;
    o->got[place_of(o, c) - o->calls] += size;
    alb_assert(o->got[place_of(o, c) - o->calls] <= EXPECTED);
}

static void on_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct owner *o = arg;

    (void)st;
    *place_of(o, c) = NULL;
    o->open--;
}

static void on_opened(void *arg, struct http_session *s)
{
    (void)arg;
    (void)s;
}

static void on_closed(void *arg, struct http_session *s, struct alb_status st)
{
    struct owner *o = arg;

    (void)s;
    alb_assert(alb_failed(st) && o->open == 0);
    o->is_closed = true;
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    static const struct http_client_ops ops = {on_opened, on_closed};
    static const struct http_call_ops call_ops = {on_head, on_data, on_end};
    static const char body[300] = "a request's body";
    struct http_call_options options = {.method = "GET", .path = "/", .expect_bytes = EXPECTED};
    struct world *w = world_new(1);
    struct loop *loop = world_add_node(w, "client", NULL);
    struct owner owner = {.open = CALLS};
    struct http_session *s =
        http_connect(world_script_stream(loop, bytes, size), NULL, &ops, &owner);

    for (size_t i = 0; i < CALLS; i++) {
        options.body = body;
        options.body_size = i % 2 == 1 ? sizeof(body) : 0;
        owner.calls[i] = http_call_start(s, &options, &call_ops, &owner);
    }
    world_run(w, (size + 60) * NS_PER_S);
    alb_assert(owner.is_closed);
    world_free(w);
}
