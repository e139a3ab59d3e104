/* SPDX-License-Identifier: Apache-2.0 */
/* net/gate.h – transport asks, policy answers: may these bytes leave now?
 *
 * The shaper stands behind this door.  A stream asks before each write and tells afterwards what
 * went; an answer of 0 names the time at which asking again is worth it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct gate;

struct gate_ops {
    /* How many of `want` bytes may leave now; 0 sets *retry_ns to an absolute time. */
    size_t (*ask)(struct gate *g, size_t want, uint64_t now_ns, uint64_t *retry_ns);
    void (*spent)(struct gate *g, size_t bytes, uint64_t now_ns);
};

struct gate {
    const struct gate_ops *ops;
    uint64_t passed_bytes; /* kept by stream_write() */
};

/* Lets everything through, and counts. */
void gate_init_open(struct gate *g);
