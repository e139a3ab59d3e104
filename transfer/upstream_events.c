/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/upstream_events.c – the long answer of GET /v1/events: one line per event, as it happens. */
#include "base/alloc.h"
#include "transfer/upstream_impl.h"

/* An event line is under 256 bytes; a connection that lives for years stays below this. */
#define EVENTS_EXPECT_BYTES (UINT64_C(1) << 40)

static void events_head(void *arg, struct http_call *c, unsigned status)
{
    (void)arg;
    (void)c;
    (void)status;
}

static void events_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct upstream *u = arg;

    (void)c;
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
}

static const struct http_call_ops events_ops = {
    .head = events_head, .data = events_data, .end = events_end};

void upstream_start_events(struct upstream *u)
{
    const struct http_call_options call = {
        .method = "GET", .path = "/v1/events", .expect_bytes = EVENTS_EXPECT_BYTES};

    u->event_size = 0;
    u->events = http_call_start(u->control.session, &call, &events_ops, u);
}

void upstream_stop_events(struct upstream *u)
{
    if (u->events != NULL) {
        http_call_cancel(u->events);
        u->events = NULL;
    }
}
