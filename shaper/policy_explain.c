/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/policy_explain.c – what holds and what comes next, in words. */
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "shaper/policy.h"
#include "shaper/policy_sites.h"

/* A line that is cut where it ends, not refused. */
struct line {
    char *text;
    size_t size;
};

static void put(struct line *l, const char *format, ...) ALB_PRINTF(2, 3);

static void put(struct line *l, const char *format, ...)
{
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(l->text + l->size, POLICY_LINE_MAX - l->size, format, args);
    va_end(args);
    l->size += size > 0 ? (size_t)size : 0;
    if (l->size >= POLICY_LINE_MAX)
        l->size = POLICY_LINE_MAX - 1;
}

static void put_action(struct line *l, const struct policy_action *a)
{
    char rate[UNITS_TEXT_SIZE];

    put(l, "%s", policy_mode_word(a->mode));
    if (a->rate_bps > 0)
        put(l, ", %s", format_rate(a->rate_bps, rate));
    if (a->mode == POLICY_CAPPED && a->percent > 0)
        put(l, ", then %u %% of the capacity that is measured, which is no more than that",
            a->percent);
    else if (a->percent > 0)
        put(l, ", at most %u %% of the measured capacity", a->percent);
    if (a->ceiling_bps > 0)
        put(l, ", at most %s", format_rate(a->ceiling_bps, rate));
    if (a->ceiling_bps > 0 && a->percent > 0 && a->mode != POLICY_CAPPED)
        put(l, " (more is not measured)");
    if (a->floor_bps > 0)
        put(l, ", at least %s", format_rate(a->floor_bps, rate));
    if (a->profile != POLICY_PROFILE_UNSET)
        put(l, ", profile %s", policy_profile_word(a->profile));
    if (a->max_queue_ms > 0)
        put(l, ", adding at most %u ms of delay", a->max_queue_ms);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): it is written to through the line */
const char *policy_action_text(const struct policy_action *a, char out[POLICY_LINE_MAX])
{
    struct line l = {out, 0};

    put_action(&l, a);
    return out;
}

static void put_override(struct line *l, const struct policy_override *o)
{
    char until[UNITS_TEXT_SIZE];

    put(l, "%s %s by %s until %s", policy_what_word(o->what), o->id, o->by,
        format_time(o->until_s, until));
    if (o->why[0] != '\0')
        put(l, " (%s)", o->why);
    put(l, ": ");
}

static void put_terms(struct line *l, const struct policy *p, const struct policy_terms *t,
                      bool has_clock)
{
    const struct policy_doc *d = policy_peek(p);

    switch (t->source) {
    case POLICY_BY_DEFAULT: put(l, "no rule holds: "); break;
    case POLICY_BY_RULE: put(l, "rule %u (%s): ", t->index + 1, d->rules[t->index].name); break;
    case POLICY_BY_OVERRIDE: put_override(l, &policy_peek_overrides(p)->list[t->index]); break;
    case POLICY_BY_STRICTEST:
        put(l, "%s, so the strictest that could hold, as in rule %u (%s): ",
            has_clock ? "the site's time zone is not known here" : "the time is not known here",
            t->index + 1, d->rules[t->index].name);
        break;
    }
    put_action(l, &t->action);
}

/* "Mon 2026-11-23 18:00 (Europe/Oslo)" by the clock of the site. */
static void put_local(struct line *l, int64_t wall_s, const struct policy_local *where)
{
    static const char *const DAYS[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    int64_t local_s = wall_s + where->east_s;
    char text[UNITS_TEXT_SIZE];

    (void)format_time(local_s, text);
    put(l, "%s %.10s %.5s", DAYS[(local_s / 86400 % 7 + 7) % 7], text, text + 11);
    if (local_s % 60 != 0)
        put(l, "%.3s", text + 16);
    put(l, " (%s)", where->zone_is_known ? where->zone : "UTC");
}

const char *policy_terms_text(const struct policy *p, const struct policy_terms *t, bool has_clock,
                              /* NOLINTNEXTLINE(readability-non-const-parameter): as above */
                              char out[POLICY_LINE_MAX])
{
    struct line l = {out, 0};

    if (policy_has_terms(p, t))
        put_terms(&l, p, t, has_clock);
    else
        put_action(&l, &t->action);
    return out;
}

/* ---- what stops everything ---- */

/* A window may end where the next one, as strict, begins. */
static int64_t until_of(const struct policy *p, const struct policy_place *place, int64_t wall_s)
{
    enum { STEPS_MAX = 32 };
    int64_t next_s = policy_next_change(p, place, wall_s);

    for (int i = 0; i < STEPS_MAX && next_s != POLICY_NEVER; i++) {
        int64_t after_s;

        if (policy_now_and_next(p, place, next_s, &after_s).action.mode != POLICY_OFF)
            return next_s;
        next_s = after_s;
    }
    return POLICY_NEVER;
}

static void put_until(struct line *l, const struct policy *p, const struct policy_place *place,
                      int64_t until_s)
{
    struct policy_local local;

    if (until_s == POLICY_NEVER) {
        put(l, ", and nothing says until when");
        return;
    }
    policy_place_zone(p, place, until_s, &local);
    put(l, " until ");
    put_local(l, until_s, &local);
}

static void put_pause(struct line *l, const struct policy *p, const struct policy_place *place,
                      const struct policy_hold *h)
{
    const struct policy_override *o = &policy_peek_overrides(p)->list[h->terms.index];
    struct policy_local local;

    policy_place_zone(p, place, o->since_s, &local);
    put(l, "paused by %s since ", o->by);
    put_local(l, o->since_s, &local);
    if (o->why[0] != '\0')
        put(l, ": '%s',", o->why);
    put_until(l, p, place, h->until_s);
    put(l, "; `albedo resume %s` ends it", o->id);
}

bool policy_hold(const struct policy *p, const struct policy_place *place, int64_t wall_s,
                 struct policy_hold *out)
{
    const struct policy_terms now = policy_now(p, place, wall_s);
    struct line l = {out->text, 0};
    const char *name;

    if (now.action.mode != POLICY_OFF)
        return false;
    out->terms = now;
    out->until_s = until_of(p, place, wall_s);
    if (now.source == POLICY_BY_OVERRIDE) {
        put_pause(&l, p, place, out);
        return true;
    }
    name = policy_peek(p)->rules[now.index].name; /* without a rule nothing is off */
    put(&l, "paused by rule %u (%s)", now.index + 1, name);
    if (now.source == POLICY_BY_RULE)
        put_until(&l, p, place, out->until_s);
    else
        put(&l, ", the strictest that could hold: %s",
            policy_is_clock(wall_s)
                ? "the site's time zone is not known here; install the time zone files"
                : "the clock here is behind the last verified time; set it");
    return true;
}

/* ---- both ---- */

static void explain_next(const struct policy *p, const struct policy_place *place, int64_t wall_s,
                         struct policy_explanation *out)
{
    struct line l = {out->next_text, 0};
    struct policy_local local;

    out->next_s = policy_next_change(p, place, wall_s);
    if (out->next_s == POLICY_NEVER) {
        put(&l, out->clock_is_known && out->zone_is_known
                    ? "nothing else, ever"
                    : "nothing else before the time is known");
        return;
    }
    policy_place_zone(p, place, out->next_s, &local);
    out->next = policy_now(p, place, out->next_s);
    put(&l, "at ");
    put_local(&l, out->next_s, &local);
    put(&l, ": ");
    put_terms(&l, p, &out->next, true);
}

void policy_explain(const struct policy *p, const struct policy_place *place, int64_t wall_s,
                    struct policy_explanation *out)
{
    struct line l = {out->now_text, 0};
    struct policy_local local;

    *out = (struct policy_explanation){.next_s = POLICY_NEVER};
    policy_place_zone(p, place, wall_s, &local);
    out->now = policy_now(p, place, wall_s);
    out->now_east_s = local.east_s;
    out->zone_is_known = local.zone_is_known;
    out->clock_is_known = local.clock_is_known;
    (void)snprintf(out->zone, sizeof out->zone, "%s", local.zone);
    put_terms(&l, p, &out->now, local.clock_is_known);
    explain_next(p, place, wall_s, out);
}
