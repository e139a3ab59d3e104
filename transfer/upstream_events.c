/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/upstream_events.c – the long answer of GET /v1/events: one line per event, as it
 * happens. */
#include "base/alloc.h"
#include "base/units.h"
#include "transfer/upstream_impl.h"

/* An event line is short (transfer/feed.h); a connection that lives for years stays below this. */
#define EVENTS_EXPECT_BYTES (UINT64_C(1) << 40)

#define AGAIN_LEAST_NS (1 * NS_PER_S)
#define AGAIN_MOST_NS (2 * NS_PER_S)

static void tell(struct upstream *u, const char *line)
{
    if (u->events != NULL) /* else the line before made us hang up */
        u->options.event(u->options.arg, line);
}

static void events_head(void *arg, struct http_call *c, unsigned status)
{
    struct upstream *u = arg;

    (void)c;
    u->events_status = status;
    if (status != 200 || !u->events_broken)
        return;
    u->events_broken = false;
    tell(u, "trust"); /* heads need none: they are believed for seconds only */
    tell(u, "revoked");
    tell(u, "layers");
    tell(u, "policy");
    tell(u, "override");
    tell(u, "states");
    tell(u, "nearby");
}

static void events_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct upstream *u = arg;

    (void)c;
    if (u->events_status != 200)
        return;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n') {
            u->event_line[u->event_size] = '\0';
            u->event_size = 0;
            u->options.event(u->options.arg, u->event_line);
            if (u->events == NULL)
                return; /* the event made us hang up */
        } else if (u->event_size < sizeof u->event_line - 1) {
            u->event_line[u->event_size++] = (char)bytes[i];
        }
    }
}

static void events_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct upstream *u = arg;

    (void)c;
    (void)st;
    u->events = NULL;
    u->events_broken = true;
    /* When it is the whole line that ends, lose() comes next and stops this. */
    if (u->events_status == 200 || u->events_status == 0)
        timer_set_in(&u->events_again,
                     loop_random_between(u->options.loop, AGAIN_LEAST_NS, AGAIN_MOST_NS));
}

static const struct http_call_ops events_ops = {
    .head = events_head, .data = events_data, .end = events_end};

void upstream_start_events(struct upstream *u)
{
    const struct http_call_options call = {.method = "GET",
                                           .path = "/v1/events",
                                           .headers = &proto_header,
                                           .header_count = 1,
                                           .expect_bytes = EVENTS_EXPECT_BYTES};

    u->event_size = 0;
    u->events_status = 0;
    u->events = http_call_start(u->control.session, &call, &events_ops, u);
}

static void on_again(void *arg)
{
    struct upstream *u = arg;

    if (u->events == NULL && u->control.is_greeted && http_session_is_open(u->control.session))
        upstream_start_events(u);
}

void upstream_init_events(struct upstream *u)
{
    timer_init(&u->events_again, u->options.loop, on_again, u);
}

void upstream_stop_events(struct upstream *u)
{
    timer_stop(&u->events_again);
    u->events_broken = false; /* a new line asks for everything anyway */
    if (u->events != NULL) {
        http_call_cancel(u->events);
        u->events = NULL;
    }
}
