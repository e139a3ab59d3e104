/* SPDX-License-Identifier: Apache-2.0 */
/* emu/stats.c – prints the counters. */
#include "emu/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static void direction_print(FILE *file, const char *name, const struct wire *wire)
{
    const struct link_counts *c = &wire->link.counts;
    const struct queue *q = &wire->link.queue;
    const struct lateness *l = &wire->lateness;
    (void)fprintf(file,
                  "  \"%s\": {\"packets\": %" PRIu64 ", \"bytes\": %" PRIu64
                  ", \"dropped\": %" PRIu64 ",\n    \"queue_dropped\": %" PRIu64
                  ", \"aqm_dropped\": %" PRIu64 ", \"marked\": %" PRIu64 ", \"policed\": %" PRIu64
                  ",\n    \"lost\": %" PRIu64 ", \"cut\": %" PRIu64 ", \"pool_dropped\": %" PRIu64
                  ", \"refused\": %" PRIu64 ", \"unseen\": %" PRIu64
                  ",\n    \"lateness_us\": {\"p50\": %" PRIu64 ", \"p99\": %" PRIu64
                  ", \"max\": %" PRIu64 "}},\n",
                  name, wire->counts.packets, wire->counts.bytes, wire_dropped(wire), c->full,
                  q->dropped, q->marked, c->policed, c->lost, c->cut, wire->counts.pool,
                  wire->counts.refused, wire->counts.unseen, lateness_quantile_us(l, 0.50),
                  lateness_quantile_us(l, 0.99), l->max_ns / 1000);
}

/* Processor time of this process so far, in user mode and in the kernel. */
static void cpu_print(FILE *file)
{
    struct rusage used = {0};
    (void)getrusage(RUSAGE_SELF, &used);
    (void)fprintf(file, "  \"cpu_s\": {\"user\": %ld.%06ld, \"system\": %ld.%06ld},\n",
                  (long)used.ru_utime.tv_sec, (long)used.ru_utime.tv_usec,
                  (long)used.ru_stime.tv_sec, (long)used.ru_stime.tv_usec);
}

/* Was the machine quiet, and did the link see every packet?  One that is refused may be meant: a
 * test took the far interface down. */
static bool is_valid(const struct wire *wire)
{
    const struct wire_counts *c = &wire->counts;
    return lateness_is_valid(&wire->lateness) && c->pool + c->unseen == 0;
}

static void print(FILE *file, const struct wire *ab, const struct wire *ba)
{
    bool valid = is_valid(ab) && is_valid(ba);
    (void)fprintf(file, "{\n");
    direction_print(file, "ab", ab);
    direction_print(file, "ba", ba);
    cpu_print(file);
    (void)fprintf(file, "  \"valid\": %s\n}\n", valid ? "true" : "false");
}

bool stats_write(const struct wire *ab, const struct wire *ba, const char *path,
                 struct emu_error *err)
{
    char temporary[PATH_MAX];
    if (path == NULL) {
        print(stdout, ab, ba);
        return fflush(stdout) == 0 || emu_fail(err, "cannot write statistics to standard output");
    }
    if (snprintf(temporary, sizeof temporary, "%s.part", path) >= (int)sizeof temporary)
        return emu_fail(err, "--stats: the path is too long");
    FILE *file = fopen(temporary, "we");
    if (file == NULL)
        return emu_fail(err, "cannot write statistics to %.200s (%s); check --stats", temporary,
                        strerrordesc_np(errno));
    print(file, ab, ba);
    if (fclose(file) != 0 || rename(temporary, path) != 0)
        return emu_fail(err, "cannot write statistics to %.200s (%s); check --stats", path,
                        strerrordesc_np(errno));
    return true;
}
