/* SPDX-License-Identifier: Apache-2.0 */
/* sim/world_duo.c – a hub that serves, a box that calls, and the link between them. */
#include "sim/world_duo.h"

#include <stdlib.h>
#include <string.h>

#include "base/units.h"

enum { PORT = 7443, EVERY_MS = 5 };

/* An answer that is made as it leaves: `left` bytes, at once or DUO_TRICKLE every EVERY_MS. */
struct flow {
    struct duo *duo;
    struct http_exchange *exchange;
    struct timer timer;
    uint64_t at, left, ready;
    bool trickles;
};

uint8_t duo_pattern(uint64_t at)
{
    return (uint8_t)((at * 31) ^ (at >> 8));
}

static void at_moment(struct duo *d, enum duo_moment now)
{
    if (d->close_at != now)
        return;
    if (d->close_server_side && d->server != NULL)
        http_session_close(d->server);
    if (!d->close_server_side && d->client != NULL)
        http_session_close(d->client);
}

/* ---- the server's side ----------------------------------------------------------------------- */

static size_t flow_pull(void *arg, uint8_t *out, size_t size, bool *ended)
{
    struct flow *f = arg;
    uint64_t n = f->trickles ? f->ready : f->left;

    n = n < size ? n : size;
    for (uint64_t i = 0; i < n; i++)
        out[i] = duo_pattern(f->at + i);
    f->at += n;
    f->left -= n;
    f->ready -= f->trickles ? n : 0;
    f->duo->pulled += n;
    *ended = f->left == 0;
    at_moment(f->duo, IN_SERVER_PULL);
    return n;
}

static void on_flow_timer(void *arg)
{
    struct flow *f = arg;

    f->ready = f->left < DUO_TRICKLE ? f->left : DUO_TRICKLE;
    http_exchange_resume(f->exchange);
    if (f->left > 0)
        timer_set_in(&f->timer, EVERY_MS * NS_PER_MS);
}

static void answer_flow(struct duo *d, struct http_exchange *x, bool trickles)
{
    struct flow *f = calloc(1, sizeof(*f));
    struct http_source source = {flow_pull, f};

    alb_assert(f != NULL);
    f->duo = d;
    f->exchange = x;
    f->trickles = trickles;
    f->left = strtoull(http_exchange_query(x), NULL, 10);
    timer_init(&f->timer, d->hub, on_flow_timer, f);
    if (trickles)
        timer_set_in(&f->timer, EVERY_MS * NS_PER_MS);
    http_exchange_set_user(x, f);
    http_answer_stream(x, 200, "application/octet-stream", &source);
}

struct lent {
    struct duo *duo;
    uint8_t *bytes;
};

static void on_given_back(void *arg)
{
    struct lent *l = arg;

    l->duo->given_back++;
    free(l->bytes); /* whoever still reads them is found out */
    free(l);
}

static void answer_lent(struct duo *d, struct http_exchange *x)
{
    struct lent *l = calloc(1, sizeof(*l));
    size_t size = strtoull(http_exchange_query(x), NULL, 10);

    alb_assert(l != NULL);
    *l = (struct lent){d, malloc(size + 1)};
    alb_assert(l->bytes != NULL);
    for (size_t i = 0; i < size; i++)
        l->bytes[i] = duo_pattern(i);
    d->lent++;
    const struct http_loan loan = {l->bytes, size, on_given_back, l};
    http_answer_lent(x, 200, NULL, &loan);
}

static uint64_t server_head(void *arg, struct http_exchange *x)
{
    struct duo *d = arg;

    d->heads++;
    d->exchanges_seen++;
    if (++d->in_flight > d->most)
        d->most = d->in_flight;
    if (strcmp(http_exchange_path(x), "/refuse") == 0)
        http_answer(x, 403, "text/plain", "no", 2);
    at_moment(d, IN_SERVER_HEAD);
    return DUO_BODY_LIMIT;
}

static void server_request(void *arg, struct http_exchange *x)
{
    struct duo *d = arg;
    const char *path = http_exchange_path(x);

    d->requests++;
    at_moment(d, IN_SERVER_REQUEST);
    if (strcmp(path, "/hello") == 0)
        http_answer(x, 200, "text/plain", "hello", 5);
    else if (strcmp(path, "/echo") == 0)
        http_answer(x, 200, NULL, buf_peek(http_exchange_body(x)), buf_size(http_exchange_body(x)));
    else if (strcmp(path, "/flow") == 0)
        answer_flow(d, x, false);
    else if (strcmp(path, "/trickle") == 0)
        answer_flow(d, x, true);
    else if (strcmp(path, "/lent") == 0)
        answer_lent(d, x);
    else if (strcmp(path, "/abort") == 0)
        http_exchange_abort(x);
    else if (strcmp(path, "/never") != 0)
        http_answer(x, 404, NULL, NULL, 0);
}

static void server_closed(void *arg, struct http_exchange *x)
{
    struct duo *d = arg;
    struct flow *f = http_exchange_user(x);

    d->exchanges_closed++;
    d->in_flight--;
    if (f != NULL)
        timer_stop(&f->timer);
    free(f);
    at_moment(d, IN_SERVER_CLOSED);
}

static void server_session_closed(void *arg, struct http_session *s, struct alb_status st)
{
    struct duo *d = arg;

    (void)s;
    alb_assert(d->exchanges_closed == d->exchanges_seen);
    d->is_server_closed = true;
    d->server_code = st.code;
    d->server = NULL;
}

static const struct http_server_ops server_ops = {server_head, server_request, server_closed,
                                                  server_session_closed};

static void accepted(void *arg, struct stream *stream)
{
    struct duo *d = arg;

    alb_assert(d->server == NULL);
    d->server = http_serve(stream, &d->server_options, &server_ops, d);
}

/* ---- the client's side ----------------------------------------------------------------------- */

static void call_head(void *arg, struct http_call *c, unsigned status)
{
    struct duo_call *r = arg;

    alb_assert(c == r->call);
    r->status = status;
    at_moment(r->duo, IN_HEAD);
}

static void call_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct duo_call *r = arg;

    (void)c;
    for (size_t i = 0; i < size; i++)
        r->is_damaged |= bytes[i] != duo_pattern(r->bytes + i);
    r->bytes += size;
    at_moment(r->duo, IN_DATA);
}

static void call_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct duo_call *r = arg;

    alb_assert(c == r->call);
    r->ends++;
    r->code = st.code;
    r->call = NULL;
    r->duo->ends_after_closed += r->duo->is_client_closed;
    at_moment(r->duo, IN_END);
}

static const struct http_call_ops call_ops = {call_head, call_data, call_end};

static void client_opened(void *arg, struct http_session *s)
{
    struct duo *d = arg;

    alb_assert(s == d->client);
    d->is_opened = true;
    at_moment(d, IN_OPENED);
}

static void client_closed(void *arg, struct http_session *s, struct alb_status st)
{
    struct duo *d = arg;

    alb_assert(s == d->client);
    d->is_client_closed = true;
    d->client_code = st.code;
    d->client = NULL;
}

static const struct http_client_ops client_ops = {client_opened, client_closed};

struct duo_call *duo_start(struct duo *d, const struct http_call_options *options)
{
    struct duo_call *r = &d->records[d->started++];

    alb_assert(d->started <= DUO_CALLS_MAX);
    r->duo = d;
    r->call = http_call_start(d->client, options, &call_ops, r);
    return r;
}

struct duo_call *duo_get(struct duo *d, const char *path, uint64_t expect_bytes)
{
    struct http_call_options options = {
        .method = "GET", .path = path, .expect_bytes = expect_bytes};

    return duo_start(d, &options);
}

/* ---- the stage ------------------------------------------------------------------------------- */

struct duo *duo_new(uint64_t rate_bps)
{
    struct duo *d = calloc(1, sizeof(*d));
    struct listen_options listen = {.address = "0.0.0.0", .port = PORT};

    alb_assert(d != NULL);
    d->world = world_new(1);
    d->hub = world_add_node(d->world, "hub", NULL);
    d->box = world_add_node(d->world, "box", NULL);
    d->link = world_add_link(d->world, "hub--box", rate_bps, 20 * NS_PER_MS);
    world_route(d->world, d->hub, d->box, &d->link, 1);
    alb_assert(!alb_failed(loop_listen(d->hub, &listen, accepted, d, &d->listener)));
    return d;
}

void duo_connect(struct duo *d)
{
    struct dial_options dial = {.host = "hub", .port = PORT, .timeout_ns = 5 * NS_PER_S};

    d->client = http_connect(loop_dial(d->box, &dial), &d->client_options, &client_ops, d);
}

struct duo *duo_connected(uint64_t rate_bps)
{
    struct duo *d = duo_new(rate_bps);

    duo_connect(d);
    return d;
}

void duo_run_ms(struct duo *d, uint64_t ms)
{
    world_run(d->world, world_now_ns(d->world) + ms * NS_PER_MS);
}

void duo_free(struct duo *d)
{
    if (d->client != NULL)
        http_session_close(d->client);
    duo_run_ms(d, 100);
    if (d->server != NULL)
        http_session_close(d->server);
    duo_run_ms(d, 30000);
    alb_assert(d->client == NULL);
    alb_assert(d->server == NULL);
    alb_assert(d->exchanges_closed == d->exchanges_seen);
    alb_assert(d->ends_after_closed == 0);
    listener_free(d->listener);
    world_free(d->world);
    free(d);
}
