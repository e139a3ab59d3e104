/* SPDX-License-Identifier: Apache-2.0 */
/* sim/world_duo.h – a stage for tests of net/http.h: a hub that serves, a box that calls, one link.
 *
 * The server knows these paths; sizes stand in the query (`/flow?5000`):
 *     /hello      "hello"                       /echo     the request's body
 *     /flow       so many bytes, at once        /trickle  the same, 1,000 every 5 ms
 *     /lent       so many bytes, lent           /refuse     403 before the body came
 *     /abort      broken off                    /never    no answer
 *     others      404
 * Bodies that flow follow duo_pattern(), and every call checks what it gets against it.
 */
#pragma once

#include "net/http.h"
#include "sim/world.h"

enum { DUO_CALLS_MAX = 1200, DUO_BODY_LIMIT = 1 << 20, DUO_TRICKLE = 1000 };

/* What the test does inside a callback of its choice. */
enum duo_moment {
    NEVER,
    IN_SERVER_HEAD,
    IN_SERVER_REQUEST,
    IN_SERVER_CLOSED,
    IN_SERVER_PULL,
    IN_OPENED,
    IN_HEAD,
    IN_DATA,
    IN_END,
    MOMENTS,
};

struct duo_call {
    struct duo *duo;
    struct http_call *call;
    unsigned status, ends;
    uint64_t bytes;
    bool is_damaged;
    enum alb_code code;
    uint64_t left, given; /* of the request's source */
};

struct duo {
    struct world *world;
    struct world_link *link;
    struct loop *hub, *box;
    struct listener *listener;
    struct http_session *server, *client;
    struct http_session_options server_options, client_options;
    bool is_server_closed, is_client_closed, is_opened;
    enum alb_code server_code, client_code;
    unsigned ends_after_closed, heads, requests, exchanges_closed, exchanges_seen, in_flight, most;
    uint64_t pulled;
    unsigned lent, given_back;
    enum duo_moment close_at;
    bool close_server_side;
    struct duo_call records[DUO_CALLS_MAX];
    size_t started;
};

uint8_t duo_pattern(uint64_t at);

/* A link of `rate_bps` and 20 ms each way between a hub that listens and a box. */
struct duo *duo_new(uint64_t rate_bps);
void duo_connect(struct duo *d);
struct duo *duo_connected(uint64_t rate_bps);
/* Closes what is open and insists that every exchange and call heard its end. */
void duo_free(struct duo *d);

struct duo_call *duo_start(struct duo *d, const struct http_call_options *options);
struct duo_call *duo_get(struct duo *d, const char *path, uint64_t expect_bytes);
void duo_run_ms(struct duo *d, uint64_t ms);
