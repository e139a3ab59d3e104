/* SPDX-License-Identifier: Apache-2.0 */
/* client/hold.h – a pull or a publication that the policy stops says so: by what, by whom, until
 * when.
 *
 * Its owner tells how far it is, ten times a second; once nothing moves for a second the policy is
 * asked, and when that stops it one line, or the JSON event "held", says so; and another when it
 * goes on.  The bar of a terminal shows hold_text() instead.
 */
#pragma once

#include "client/output.h"
#include "transfer/line.h"

struct hold_options {
    struct loop *loop;
    struct output *output;            /* both borrowed, as are the next three */
    struct line *line;                /* that is gone over */
    const struct policy_book *policy; /* its own */
    const char *layer;                /* NULL: what is moved is no layer to the policy */
    enum wan_way way;
    bool by_reflector; /* which has a line of its own to its parent */
};

struct hold {
    struct hold_options options;
    uint64_t mark, since_ns; /* how far it was, and since when it is there */
    uint64_t looked_ns;
    char text[POLICY_LINE_MAX + 64]; /* "": nothing stops it */
};

void hold_init(struct hold *h, const struct hold_options *options);
/* `mark` is another whenever it got further; `waits`: nothing but the line can bring it further. */
void hold_look(struct hold *h, const char *phase, uint64_t mark, bool waits);
/* NULL: nothing stops it. */
const char *hold_text(const struct hold *h);
