/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_http_server.c – any bytes come to an HTTP server: each exchange ends,
 * and so does it. */
/* LINKS: net base sim_world */
#include "base/units.h"
#include "fuzz/target.h"
#include "net/http.h"
#include "sim/world.h"
#include "sim/world_script.h"

const struct fuzz_bound fuzz_bound = {.fixed = 512 << 10, .per_byte = 64};

enum { BODY_LIMIT = 1000, PULLS = 3 };

struct owner {
    unsigned open, pulls;
    bool is_closed;
};

static size_t pull(void *arg, uint8_t *out, size_t size, bool *ended)
{
    struct owner *o = arg;

    memset(out, 'x', size);
    *ended = ++o->pulls % PULLS == 0;
    return size;
}

static uint64_t on_head(void *arg, struct http_exchange *x)
{
    struct owner *o = arg;

    o->open++;
    if (http_exchange_header(x, "x-now") != NULL)
        http_answer(x, 200, NULL, "now", 3);
    return BODY_LIMIT;
}

static void on_request(void *arg, struct http_exchange *x)
{
    const struct http_source source = {pull, arg};
    size_t size = buf_size(http_exchange_body(x));

    alb_assert(size <= BODY_LIMIT);
    if (http_exchange_query(x)[0] != '\0')
        http_answer_stream(x, 200, "text/plain", &source);
    else if (http_exchange_path(x)[0] == '/')
        http_answer(x, 200, "text/plain", buf_peek(http_exchange_body(x)), size);
    else
        http_exchange_abort(x);
}

static void on_closed(void *arg, struct http_exchange *x)
{
    struct owner *o = arg;

    (void)x;
    o->open--;
}

static void on_session_closed(void *arg, struct http_session *s, struct alb_status st)
{
    struct owner *o = arg;

    (void)s;
    alb_assert(alb_failed(st) && o->open == 0);
    o->is_closed = true;
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    static const struct http_server_ops ops = {on_head, on_request, on_closed, on_session_closed};
    struct world *w = world_new(1);
    struct loop *loop = world_add_node(w, "server", NULL);
    struct owner owner = {0};

    (void)http_serve(world_script_stream(loop, bytes, size), NULL, &ops, &owner);
    world_run(w, (size + 60) * NS_PER_S);
    alb_assert(owner.is_closed);
    world_free(w);
}
