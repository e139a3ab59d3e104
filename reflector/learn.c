/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/learn.c – GET /v1/trust/1, 2, 3 … until the hub has no next one. */
#include "reflector/learn.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "transfer/authority.h"

#define ASK_TIMEOUT_NS (30 * NS_PER_S)

struct learning {
    struct loop *loop;
    struct authority *authority;
    struct upstream *upstream;
    struct alb_status st;
    char *message;
};

static void ask_next(struct learning *l);

static void finish(struct learning *l, struct alb_status st, const char *message)
{
    l->st = st;
    (void)snprintf(l->message, LEARN_MESSAGE_SIZE, "%s", message);
    loop_stop(l->loop);
}

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

static void came(void *arg, const struct upstream_answer *answer)
{
    struct learning *l = arg;
    struct upstream_figures figures;
    struct alb_status st = answer->st;

    if (st.code == ALB_NOT_FOUND && authority_trust(l->authority) != NULL) {
        finish(l, ALB_STATUS_OK, "");
    } else if (alb_failed(st)) {
        upstream_figures(l->upstream, &figures);
        finish(l, st, answer->status == 0 ? figures.why_down : answer->message);
    } else {
        st = authority_add_trust(l->authority, answer->body, answer->size);
        if (alb_failed(st))
            finish(l, st, "");
        else
            ask_next(l);
    }
}

static void ask_next(struct learning *l)
{
    const struct trust *held = authority_trust(l->authority);
    char path[48];
    const struct upstream_ask ask = {.method = "GET",
                                     .path = path,
                                     .expect_bytes = SIGNED_MAX,
                                     .timeout_ns = ASK_TIMEOUT_NS,
                                     .fail_when_down = true};

    (void)snprintf(path, sizeof path, "/v1/trust/%" PRIu64, held == NULL ? 1 : held->version + 1);
    (void)upstream_request(l->upstream, &ask, came, l);
}

static void travel(struct learning *l, const struct url *hub, struct tls_context *tls)
{
    struct upstream_options options = {.loop = l->loop, .place_count = 1, .tls = tls};
    struct timer last;

    (void)snprintf(options.places[0].host, sizeof options.places[0].host, "%s", hub->host);
    options.places[0].port = hub->port;
    l->upstream = upstream_new(&options);
    ask_next(l);
    loop_run(l->loop);
    upstream_free(l->upstream);
    /* What was closed is freed by the loop, a turn later. */
    timer_init(&last, l->loop, stop_loop, l->loop);
    timer_set_in(&last, 0);
    loop_run(l->loop);
}

struct alb_status learn_trust(const struct url *hub, struct tls_context *tls,
                              const struct digest *pin, struct catalogue *catalogue,
                              char message[LEARN_MESSAGE_SIZE])
{
    struct learning l = {.loop = loop_new(&(struct loop_options){.workers = 0}),
                         .message = message};
    const struct authority_options options = {.loop = l.loop, .catalogue = catalogue, .pin = pin};

    message[0] = '\0';
    l.st = authority_open(&options, &l.authority);
    if (!alb_failed(l.st))
        travel(&l, hub, tls);
    authority_close(l.authority);
    loop_free(l.loop);
    return l.st;
}
