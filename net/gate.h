/* SPDX-License-Identifier: Apache-2.0 */
/* net/gate.h – transport asks, policy answers: may these bytes leave now?
 *
 * The shaper stands behind this door.  Two askers come to it: a stream before each write (every
 * byte that leaves) and a session before it grants credit (bytes that others may send us).  Each
 * tells afterwards what went, and nothing is spent by asking.  An answer of 0 says when asking
 * again is worth it: at a time, or when the gate calls.
 *
 * A gate that ever answers "I shall call" has one asker.  The others may be shared.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct gate;

/* *retry_ns of an answer of 0: the gate will call gate_wake(). */
#define GATE_WILL_CALL UINT64_MAX

struct gate_ops {
    /* How many of `want` (> 0) bytes may leave now; 0 sets *retry_ns to an absolute time or to
     * GATE_WILL_CALL.  Asking again before that is fine, also with another `want`. */
    size_t (*ask)(struct gate *g, size_t want, uint64_t now_ns, uint64_t *retry_ns);
    void (*spent)(struct gate *g, size_t bytes, uint64_t now_ns);
    /* Who was told to wait for a call wants nothing any more.  NULL: nobody cares. */
    void (*forget)(struct gate *g);
};

struct gate {
    const struct gate_ops *ops;
    uint64_t passed_bytes; /* kept by the askers */
    /* The asker's: it has no use for less, unless it wants less; then 0 is the better answer.  A
     * gate that does not know better may give less all the same. */
    size_t least;
    /* Who waits for a call; set by the asker when it is told to, NULL: nobody. */
    void (*wake)(void *wake_arg);
    void *wake_arg;
};

/* Lets everything through, and counts. */
void gate_init_open(struct gate *g);

/* ---- for gates ------------------------------------------------------------------------------- */

/* Whoever waits may ask again; nothing when nobody does.  What it does about it happens from the
 * loop, later, so this may be called from anywhere. */
void gate_wake(struct gate *g);

/* ---- for askers ------------------------------------------------------------------------------ */

/* ask(), and when the gate will call: `wake(wake_arg)`. */
size_t gate_ask(struct gate *g, size_t want, uint64_t now_ns, uint64_t *retry_ns);
void gate_await(struct gate *g, void (*wake)(void *wake_arg), void *wake_arg);
void gate_spend(struct gate *g, size_t bytes, uint64_t now_ns);
/* Waits no longer, if it is `wake_arg` who does. */
void gate_forget(struct gate *g, const void *wake_arg);
