/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/keeper.h – verified chunks on their way into the store, in groups.
 *
 * The loop hands over one verified chunk at a time; the keeper collects them for at most 5 ms or 8
 * MiB and posts them as one put_many to the ordered lane, so the store has one writer and one sync
 * pays for many (DESIGN §6).  Until a chunk is durable, or refused, keeper_peek() finds it, so
 * nobody fetches again what is only waiting for the disk.
 *
 * `kept` is called once per chunk, from the loop: OK means durable.  UNKNOWN is tried again here;
 * put is idempotent.  With more than `max_pending_bytes` waiting, keeper_put() refuses with
 * ALB_FULL.
 *
 * A store that takes nothing (a full disk, a broken one) is in `trouble` from the first group that
 * fails until as much is kept again; the log hears of both, and of nothing in between.
 */
#pragma once

#include "base/map.h"
#include "net/loop.h"
#include "store/chunk_store.h"

struct keeper;

typedef void (*keeper_done)(void *arg, struct alb_status st);

struct keeper_stats {
    uint64_t chunks, bytes, groups, failed;
    size_t pending_bytes;
    struct alb_status trouble; /* why groups are not kept; OK: they are */
    uint64_t trouble_since_ns, trouble_chunks;
};

struct keeper *keeper_new(struct loop *loop, struct chunk_store *store, size_t max_pending_bytes);
/* Only when nothing is pending (keeper_idle()); a job in flight keeps pointing here. */
struct keeper *keeper_free(struct keeper *k);
/* Takes its own reference; `kept` may be NULL. */
ALB_MUST_USE struct alb_status keeper_put(struct keeper *k, struct chunk *chunk, keeper_done kept,
                                          void *arg);
/* A chunk handed over but not yet in the store; borrowed, or NULL. */
struct chunk *keeper_peek(const struct keeper *k, const struct chunk_key *key);
bool keeper_is_idle(const struct keeper *k);
/* fn(arg) from the loop once everything handed over so far has been told. */
void keeper_when_idle(struct keeper *k, loop_fn fn, void *arg);
void keeper_stats(const struct keeper *k, struct keeper_stats *out);
/* "ok", "full" or "failing": the store as the last group found it, in a word for people. */
const char *keeper_state(const struct keeper_stats *stats);
