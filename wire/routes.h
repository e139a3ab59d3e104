/* SPDX-License-Identifier: Apache-2.0 */
/* wire/routes.h – the table of requests, made from routes.def.
 *
 * Role bits are those of net/identity.h (wire does not include net; routes.c asserts nothing about
 * them, the programs do): 1 nobody, 2 hub, 4 reflector, 8 endpoint, 16 publisher, 32 admin, 64
 * bearer token.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum route_role {
    RR_NONE = 1,
    RR_HUB = 2,
    RR_REFLECTOR = 4,
    RR_ENDPOINT = 8,
    RR_PUBLISHER = 16,
    RR_ADMIN = 32,
    RR_BEARER = 64
};
enum route_port { PORT_TREE = 1, PORT_ADMIN = 2 };

#define ROUTE(id, method, pattern, roles, limit, ports, text) ROUTE_##id,
enum route_id {
#include "wire/routes.def"
    ROUTE_COUNT,
};
#undef ROUTE

struct route {
    enum route_id id;
    const char *name; /* "ENROL" */
    const char *method;
    const char *pattern;
    unsigned roles; /* mask of route_role */
    uint64_t body_limit;
    unsigned ports; /* mask of route_port */
    const char *text;
};

extern const struct route routes[ROUTE_COUNT];

/* The row for a request on a port, or NULL (answer 404).  *rest is what a '*' took ("" otherwise),
 * borrowed from `path`. */
const struct route *route_find(unsigned port, const char *method, const char *path,
                               const char **rest);

/* Every request of one program to another carries this header; a server refuses another value by
 * name and takes a request without it (curl). */
#define PROTO_HEADER "albedo-proto"
/* Of a batch request: stored bytes that the asker lacks of the layer still, in decimal. */
#define LEFT_HEADER "albedo-left"
/* Of a batch request: "1", answered at once with what is held here and "missing" for all else. */
#define HELD_HEADER "albedo-held"
#define PROTO_VERSION "1"
