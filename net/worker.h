/* SPDX-License-Identifier: Apache-2.0 */
/* net/worker.h – threads that run jobs for one loop: a shared queue, and a lane that keeps its
 * order.
 *
 * A thread sees only the job it runs.  A finished job goes to a list that the loop collects; the
 * first job on an empty list makes `wake_fd` (an eventfd) readable.  This is the only place of the
 * program, beside the log sink and chunk counts, where a lock is taken.
 */
#pragma once

#include "net/loop.h"

struct worker_pool;

/* `wake_fd` is borrowed.  `threads` is at least 1. */
struct worker_pool *worker_pool_new(unsigned threads, int wake_fd);
/* Runs what is still queued, then ends the threads; worker_pool_take_done() before it. */
struct worker_pool *worker_pool_free(struct worker_pool *w);
void worker_pool_submit(struct worker_pool *w, struct job *job);
/* All jobs finished since the last call, a list in the order they finished; or NULL. */
struct job *worker_pool_take_done(struct worker_pool *w);
