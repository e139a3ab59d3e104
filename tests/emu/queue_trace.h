/* SPDX-License-Identifier: Apache-2.0 */
/* emu/queue_trace.h – the queue over time, as CSV for plots: one line per direction and interval.
 *
 *     t_s,dir,rate_bits,backlog_bytes,backlog_ms,sent_bytes,drops
 *
 * `t_s` is CLOCK_MONOTONIC in seconds, the clock of Python's time.monotonic(), when the backlog
 * was looked at; bytes sent (they left the line) and packets dropped (for whatever reason) are
 * those since the line before.  The file is complete after SIGUSR2 and at the end.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "emu/error.h"
#include "emu/wire.h"

/* A zeroed struct traces nothing. */
struct queue_trace {
    FILE *file;
    uint64_t every_ns;
    uint64_t next_ns; /* when to come again */
    struct {
        uint64_t sent_bytes, drops;
    } before[2];
};

/* `path` may be NULL: trace nothing. */
bool queue_trace_open(struct queue_trace *trace, const char *path, uint64_t every_ns,
                      uint64_t now_ns, struct emu_error *err);
/* Fails if the file is not complete: a full disk, for instance. */
bool queue_trace_close(struct queue_trace *trace, struct emu_error *err);

/* When the next lines are due, or UINT64_MAX. */
uint64_t queue_trace_next_ns(const struct queue_trace *trace);

/* Write a line for each of the two wires, if it is time. */
void queue_trace_run(struct queue_trace *trace, struct wire wires[2], uint64_t now_ns);

/* Let readers see all lines so far. */
void queue_trace_flush(struct queue_trace *trace);
