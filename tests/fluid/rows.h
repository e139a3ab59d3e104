/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/rows.h – the test matrix of the scavenger as trials with bars. */
#pragma once

#include "fluid/trial.h"

enum { ROW_BARS = 8 };

struct bar {
    enum figure figure;
    double must, goal;
};

struct row {
    const char *name, *what;
    struct trial (*trial)(void);
    struct bar bars[ROW_BARS]; /* up to one of a zero `must` and `goal` */
};

extern const struct row rows[];
extern const size_t row_count;
/* NULL: no such row. */
const struct row *row_find(const char *name);
/* Does `value` hold the bar? */
bool bar_holds(enum figure f, double value, double bar);
