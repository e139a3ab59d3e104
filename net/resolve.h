/* SPDX-License-Identifier: Apache-2.0 */
/* net/resolve.h – from a host's name to addresses; the look-up blocks and therefore runs in a job.
 */
#pragma once

#include <sys/socket.h>

#include "net/loop.h"

enum { ADDRESS_TEXT_SIZE = 64, ADDRESSES_MAX = 8 /* of one name; the rest are not tried */ };

struct address {
    struct sockaddr_storage storage;
    socklen_t size;
};

struct address_list {
    struct address at[ADDRESSES_MAX];
    size_t count; /* at least 1 after success */
};

/* At once and without asking anybody; false when `host` is a name. */
bool resolve_numeric(const char *host, uint16_t port, struct address_list *out);

struct resolve;
/* From the loop.  `list` is borrowed and holds something only when `st` is OK.  NOT_FOUND: there is
 * no such name; IO: nobody could say. */
typedef void (*resolve_fn)(void *arg, struct alb_status st, const struct address_list *list);
struct resolve *resolve_start(struct loop *loop, const char *host, uint16_t port, resolve_fn fn,
                              void *arg);
/* fn is not called; NULL is fine. */
void resolve_cancel(struct resolve *r);

/* "10.1.2.3:7443", "[::1]:7443"; `out` holds ADDRESS_TEXT_SIZE bytes. */
void address_format(const struct sockaddr_storage *address, char *out);
/* The address of such a text: IPv6, IPv4 as ::ffff:a.b.c.d.  False: there is none in it. */
bool address_parse(const char *text, uint8_t out[16]);
uint16_t address_port(const struct sockaddr_storage *address);
