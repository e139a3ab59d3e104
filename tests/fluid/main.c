/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/main.c – fluid_run: the matrix in virtual time, as a table.
 *
 * usage: fluid_run [--must] [--slack PERCENT] [--runs N] [--law albedo|ledbat++] [ROW…]
 *        fluid_run --sweep [--worst N] [--law albedo|ledbat++]
 *        fluid_run --constants
 * Each figure is the median of N runs (5); with --must it fails when one misses its MUST bar by
 * more than the slack (0).  The sweep goes over links that no row names, one run each, and tells
 * the N worst (3) of each figure.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fluid/rows.h"
#include "fluid/sweep.h"

static bool is_time(enum figure f)
{
    return f == FIG_P50 || f == FIG_P95 || f == FIG_P99 || f == FIG_CALL95 || f == FIG_BASE;
}

static void print_value(enum figure f, double value)
{
    if (value >= FIGURE_NEVER)
        printf("%9s", "never");
    else if (is_time(f))
        printf("%6.1f ms", value * 1e3);
    else if (f == FIG_YIELD || f == FIG_RECOVER || f == FIG_DOWN || f == FIG_UP || f == FIG_STALL)
        printf("%7.1f s", value);
    else
        printf("%7.1f %%", value * 100);
}

static bool print_bar(const struct bar *b, double value, double slack)
{
    double eased = figure_is_good_high(b->figure) ? b->must * (1 - slack) : b->must * (1 + slack);
    bool must = bar_holds(b->figure, value, b->must), goal = bar_holds(b->figure, value, b->goal);
    printf("  %-12s", figure_name(b->figure));
    print_value(b->figure, value);
    printf("   must");
    print_value(b->figure, b->must);
    printf("   goal");
    print_value(b->figure, b->goal);
    printf("   %s\n", goal ? "goal" : must ? "must" : "MISSED");
    return bar_holds(b->figure, value, eased);
}

struct order {
    bool must, sweep;
    unsigned runs, worst;
    double slack;
    const struct fluid_law *law;
    const char *names[64];
    unsigned name_count;
};

static bool run_row(const struct row *r, const struct order *o)
{
    double of[FIGURES];
    struct trial t = r->trial();
    trial_median(&t, o->law, t.end_s > 1000 ? 1 : o->runs, of);
    printf("%-12s %s (%s)\n", r->name, r->what, o->law->name);
    bool holds = true;
    for (size_t i = 0; i < ROW_BARS && (r->bars[i].must > 0 || r->bars[i].goal > 0); i++)
        holds = print_bar(&r->bars[i], of[r->bars[i].figure], o->slack) && holds;
    return holds;
}

static int print_constants(void)
{
    struct law_constant row;
    for (size_t i = 0; law_constant_at(&law_constants_default, i, &row); i++)
        printf("%-18s %10g %-12s %s\n", row.name, row.value, row.unit, row.why);
    return 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: fluid_run [--must] [--slack PERCENT] [--runs N] "
                    "[--law albedo|ledbat++] [ROW...]\n"
                    "       fluid_run --sweep [--worst N] [--law albedo|ledbat++]\n"
                    "       fluid_run --constants\n");
    return 2;
}

static bool read_order(int argc, char **argv, struct order *o)
{
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--must") == 0) {
            o->must = true;
        } else if (strcmp(argv[i], "--runs") == 0) {
            o->runs = (unsigned)strtoul(next, NULL, 10);
            i++;
        } else if (strcmp(argv[i], "--slack") == 0) {
            o->slack = strtod(next, NULL) / 100;
            i++;
        } else if (strcmp(argv[i], "--law") == 0) {
            o->law = strcmp(next, fluid_ledbat.name) == 0      ? &fluid_ledbat
                     : strcmp(next, fluid_scavenger.name) == 0 ? &fluid_scavenger
                                                               : NULL;
            i++;
        } else if (strcmp(argv[i], "--sweep") == 0) {
            o->sweep = true;
        } else if (strcmp(argv[i], "--worst") == 0) {
            o->worst = (unsigned)strtoul(next, NULL, 10);
            i++;
        } else if (row_find(argv[i]) != NULL && o->name_count < 64) {
            o->names[o->name_count++] = argv[i];
        } else {
            return false;
        }
    }
    return o->runs > 0 && o->law != NULL;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--constants") == 0)
        return print_constants();
    struct order o = {.runs = 5, .worst = 3, .law = &fluid_scavenger};
    if (!read_order(argc, argv, &o))
        return usage();
    if (o.sweep) {
        sweep_print(o.law, o.worst);
        return 0;
    }
    bool holds = true;
    for (size_t i = 0; i < row_count; i++) {
        bool asked = o.name_count == 0;
        for (unsigned k = 0; k < o.name_count; k++)
            asked = asked || strcmp(o.names[k], rows[i].name) == 0;
        if (asked)
            holds = run_row(&rows[i], &o) && holds;
    }
    return o.must && !holds ? 1 : 0;
}
