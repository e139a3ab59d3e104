/* SPDX-License-Identifier: Apache-2.0 */
/* emu/queue_trace.c – looks at both links at fixed times. */
#include "emu/queue_trace.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define BUFFER_BYTES 1048576u /* minutes of lines: while a disk is written, no packet moves */

bool queue_trace_open(struct queue_trace *trace, const char *path, uint64_t every_ns,
                      uint64_t now_ns, struct emu_error *err)
{
    *trace = (struct queue_trace){.every_ns = every_ns, .next_ns = now_ns + every_ns};
    if (path == NULL)
        return true;
    trace->file = fopen(path, "we");
    if (trace->file == NULL)
        return emu_fail(err, "cannot write the queue trace %.200s (%s); check --queue-trace", path,
                        strerrordesc_np(errno));
    (void)setvbuf(trace->file, NULL, _IOFBF, BUFFER_BYTES);
    (void)fputs("t_s,dir,rate_bits,backlog_bytes,backlog_ms,sent_bytes,drops\n", trace->file);
    return true;
}

bool queue_trace_close(struct queue_trace *trace, struct emu_error *err)
{
    FILE *file = trace->file;
    trace->file = NULL;
    if (file == NULL)
        return true;
    bool had_error = ferror(file) != 0;
    if (fclose(file) != 0 || had_error)
        return emu_fail(err, "the queue trace is not complete (%s); is the disk full?",
                        strerrordesc_np(errno));
    return true;
}

uint64_t queue_trace_next_ns(const struct queue_trace *trace)
{
    return trace->file == NULL ? UINT64_MAX : trace->next_ns;
}

static void line_write(struct queue_trace *trace, const struct link *link, int i, uint64_t now_ns)
{
    struct link_backlog backlog = link_backlog(link, now_ns);
    uint64_t drops = link_dropped(link);
    (void)fprintf(trace->file, "%.6f,%s,%" PRIu64 ",%" PRIu64 ",%.3f,%" PRIu64 ",%" PRIu64 "\n",
                  (double)now_ns / 1e9, i == 0 ? "ab" : "ba", link->params.rate_bits, backlog.bytes,
                  (double)backlog.ns / 1e6, link->counts.sent_bytes - trace->before[i].sent_bytes,
                  drops - trace->before[i].drops);
    trace->before[i].sent_bytes = link->counts.sent_bytes;
    trace->before[i].drops = drops;
}

void queue_trace_run(struct queue_trace *trace, struct wire wires[2], uint64_t now_ns)
{
    if (now_ns < queue_trace_next_ns(trace))
        return;
    for (int i = 0; i < 2; i++) {
        link_advance(&wires[i].link, now_ns);
        line_write(trace, &wires[i].link, i, now_ns);
    }
    /* On the grid, so that lateness does not add up; what a stall missed is one longer interval. */
    trace->next_ns += (1 + (now_ns - trace->next_ns) / trace->every_ns) * trace->every_ns;
}

void queue_trace_flush(struct queue_trace *trace)
{
    if (trace->file != NULL)
        (void)fflush(trace->file); /* a failure shows again at the end */
}
