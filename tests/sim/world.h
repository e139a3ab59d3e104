/* SPDX-License-Identifier: Apache-2.0 */
/* sim/world.h – a world in one process: a virtual clock, nodes, links, and streams that cross them.
 *
 *     struct world *w = world_new(1);
 *     struct loop *hub = world_add_node(w, "hub", &hub_identity);
 *     struct loop *box = world_add_node(w, "site1", &box_identity);
 *     struct world_link *wan = world_add_link(w, "hub--site1", 250 * 1000, 20 * NS_PER_MS);
 *     world_route(w, hub, box, &wan, 1);
 *     … start programs on `hub` and `box` as on any other loop …
 *     world_run(w, 60 * NS_PER_S);
 *     printf("%lu\n", world_link_bytes(wan, WORLD_DOWN));
 *
 * A node is a `struct loop`: what runs on it cannot tell it from the kernel's.  A hundred nodes
 * share one thread, one clock and one seed, so a run says the same every time and no second is
 * waited for.
 *
 * How true it is.  Streams are cut into segments of at most 1,460 bytes (on links above 1.4 MB/s:
 * what one millisecond carries), each with 40 bytes of headers.  All segments that cross a link
 * share its queue.  A stream has a send buffer, a receive window and a congestion window that opens
 * as acknowledgements come, up to twice the path's bandwidth × delay.  A dial is three flights of
 * TCP and TLS 1.3.  Queues never drop; a lost segment comes a round trip late and costs its bytes
 * twice; a link that is down keeps what waits, and wakes a moment after it is up, as senders that
 * have backed off do.  What is in flight on the wire when it goes down still arrives.
 *
 * A datagram is a packet of its own on the same queues; loss loses it, and so does a link that is
 * down when it comes there.
 *
 * A job runs when it is submitted and is done after 20 µs + work_bytes / 400 MB/s on one of two
 * workers (or on the ordered lane).
 */
#pragma once

#include "net/identity.h"
#include "net/loop.h"

struct world;
struct world_link;

/* "Down" is from the node named first in world_route() to the second: from the hub outwards. */
enum world_direction { WORLD_DOWN, WORLD_UP };

struct world *world_new(uint64_t seed);
/* Frees the nodes' loops and whatever is still on its way.  Programs on them must be gone. */
struct world *world_free(struct world *w);

/* A host reached by `name` in dial_options.host.  `identity` NULL: it shows no certificate. */
struct loop *world_add_node(struct world *w, const char *name, const struct identity *identity);
struct loop *world_node(struct world *w, const char *name); /* or NULL */

/* The node's machine slept for that long just now: its loop_asleep_ns() grows. */
void world_node_sleep(struct loop *node, uint64_t ns);

/* Its wall clock is set: from now on that far before the world's (behind it: negative). */
void world_node_set_clock(struct loop *node, int64_t ahead_s);

/* `rate_bps` in bytes per second in each direction; `delay_ns` one way. */
struct world_link *world_add_link(struct world *w, const char *name, uint64_t rate_bps,
                                  uint64_t delay_ns);
struct world_link *world_find_link(struct world *w, const char *name); /* or NULL */
/* Say which links lie between two nodes, in order from `upper`.  A pair without a route cannot
 * dial. */
void world_route(struct world *w, struct loop *upper, struct loop *lower,
                 struct world_link *const *links, size_t count);

void world_link_set_up(struct world_link *l, bool is_up);
void world_link_set_loss(struct world_link *l, uint32_t per_million);
/* IP bytes that left on it so far, headers, acknowledgements and repetitions included. */
uint64_t world_link_bytes(const struct world_link *l, enum world_direction direction);
/* The longest that 95 % of the segments waited in its queue, to the millisecond. */
uint64_t world_link_queueing_p95_ns(const struct world_link *l, enum world_direction direction);

/* Call fn(arg) at a time, from no node.  In the past: as soon as possible. */
void world_at(struct world *w, uint64_t at_ns, loop_fn fn, void *arg);

uint64_t world_now_ns(const struct world *w);
/* Run everything up to `until_ns`; the clock then shows that. */
void world_run(struct world *w, uint64_t until_ns);
/* The same, but stop when done(arg) is true; says whether it became so. */
bool world_run_until(struct world *w, uint64_t until_ns, bool (*done)(void *arg), void *arg);
/* How many events there were: two runs with one seed agree on it. */
uint64_t world_events(const struct world *w);
