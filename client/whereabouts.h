/* SPDX-License-Identifier: Apache-2.0 */
/* client/whereabouts.h – where this machine is: told by the kernel, handed to those who act by it.
 *
 *     net/netlink.h ──> place ──┬──> moved(): nearby_book, chooser     (client/endpoint.c)
 *                               └──> own addresses, for rules by subnet
 *
 * Where the kernel does not tell (a system call filter), the certificate's site counts, and nothing
 * is noticed when the machine is carried elsewhere.
 */
#pragma once

#include "net/netlink.h"
#include "net/net_place.h"
#include "net/own_address.h"
#include "transfer/upstream.h"

struct json_writer;
struct whereabouts;

struct whereabouts_options {
    struct loop *loop;               /* all borrowed */
    struct own_addresses *addresses; /* kept current */
    /* The place is known, or another.  `is_elsewhere`: more than a gateway that became known. */
    void (*moved)(void *arg, const struct net_place *place, bool is_elsewhere);
    void (*seen)(void *arg); /* the picture of links and neighbours is another */
    void *arg;
};

/* Nothing is told before the loop runs. */
struct whereabouts *whereabouts_new(const struct whereabouts_options *options);
/* NULL is fine. */
struct whereabouts *whereabouts_free(struct whereabouts *w);

/* What the bytes to that place go through, now; NET_WIRED where nobody knows. */
enum net_nature whereabouts_way(const struct whereabouts *w, const struct upstream_place *to);
/* NULL until it is known. */
const struct net_place *whereabouts_place(const struct whereabouts *w);
const struct net_picture *whereabouts_picture(const struct whereabouts *w);
/* As an object "place" of the object being written. */
void whereabouts_put_place(const struct net_place *place, struct json_writer *json);
