/* SPDX-License-Identifier: Apache-2.0 */
/* client/progress.h – how far a long command is: a bar on a terminal, lines elsewhere, JSON events.
 *
 * The owner calls progress_show() as often as it likes; what is printed is limited to ten a second
 * on a terminal, once a second as JSON, and once in five seconds as lines.  Nothing here reads a
 * clock.
 *
 *     fetching [####------]  40 %  12.3 MB of 30.1 MB  WAN 2 MB, branch 8 MB, …  16s left
 */
#pragma once

#include "client/output.h"

struct progress_figures {
    uint64_t done_bytes, total_bytes; /* total 0: not known yet       */
    uint64_t done_items, total_items; /* files; total 0: not known    */
    bool has_sources;                 /* the next three mean something */
    uint64_t wan_bytes, branch_bytes, local_bytes;
    const char *held; /* what stops it, told already where there is no bar; NULL: nothing */
};

enum { PROGRESS_TEXT_SIZE = 256 };

struct progress {
    struct output *output;
    const char *phase; /* "scanning", "fetching": a literal */
    uint64_t begun_ns, shown_ns;
    uint64_t rated_ns, rated_bytes; /* when the rate was last taken, and what was done then */
    double rate_bps;                /* smoothed bytes per second */
};

void progress_begin(struct progress *p, struct output *o, const char *phase, uint64_t now_ns);
void progress_show(struct progress *p, const struct progress_figures *f, uint64_t now_ns);
/* Show the end figures whatever the limit, and leave the line. */
void progress_end(struct progress *p, const struct progress_figures *f, uint64_t now_ns);
/* The line of text, without colours or cursor movement; `columns` bounds it.  Returns `out`. */
const char *progress_text(const struct progress *p, const struct progress_figures *f,
                          size_t columns, char *out /* PROGRESS_TEXT_SIZE */);
