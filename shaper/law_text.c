/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/law_text.c – the words of the control law: states, reasons, and the table of constants. */
#include "shaper/law.h"

#include <stdio.h>

#include "base/units.h"

const struct law_constants law_constants_default = {
#define LAW_CONSTANT(name, value, unit, why) .name = (value),
#include "shaper/law_constants.def"
#undef LAW_CONSTANT
};

bool law_constant_at(const struct law_constants *c, size_t i, struct law_constant *out)
{
    const struct law_constant rows[] = {
#define LAW_CONSTANT(name, value, unit, why) {#name, c->name, unit, why},
#include "shaper/law_constants.def"
#undef LAW_CONSTANT
    };
    if (i >= sizeof(rows) / sizeof(rows[0]))
        return false;
    *out = rows[i];
    return true;
}

const char *law_state_name(enum law_state state)
{
    switch (state) {
    case LAW_START: return "start";
    case LAW_CRUISE: return "cruise";
    case LAW_YIELD: return "yield";
    case LAW_RECOVER: return "recover";
    case LAW_CAPPED: return "capped";
    case LAW_OFF: return "off";
    }
    return "?";
}

/* The stable word, and what the text says after the figures; NULL: nothing. */
struct reason_row {
    const char *name, *says;
};

static struct reason_row row_of(enum law_reason reason)
{
    switch (reason) {
    case LAW_BECAUSE_STARTING: return (struct reason_row){"starting", "looking for the capacity"};
    case LAW_BECAUSE_LATECOMER:
        return (struct reason_row){"latecomer", "somebody was using the link before us"};
    case LAW_BECAUSE_ROOM: return (struct reason_row){"room", NULL};
    case LAW_BECAUSE_STEADY: return (struct reason_row){"steady", NULL};
    case LAW_BECAUSE_OWN_QUEUE: return (struct reason_row){"own-queue", "the queue is our own"};
    case LAW_BECAUSE_SISTER_QUEUE:
        return (struct reason_row){"sister-queue", "the queue is of other sites' updates"};
    case LAW_BECAUSE_FOREIGN_QUEUE: return (struct reason_row){"foreign-queue", NULL};
    case LAW_BECAUSE_SHORTFALL:
        return (struct reason_row){"shortfall", "others take their part of the link"};
    case LAW_BECAUSE_LOSS: return (struct reason_row){"loss", "others' bytes and ours are dropped"};
    case LAW_BECAUSE_PROBES_LOST: return (struct reason_row){"probes-lost", "no probe comes back"};
    case LAW_BECAUSE_HOLDING: return (struct reason_row){"holding", NULL};
    case LAW_BECAUSE_RECOVERING: return (struct reason_row){"recovering", NULL};
    case LAW_BECAUSE_NEW_CAPACITY:
        return (struct reason_row){"new-capacity", "the link has become slower"};
    case LAW_BECAUSE_NEW_BASE: return (struct reason_row){"new-base", "the way has become longer"};
    case LAW_BECAUSE_CEILING: return (struct reason_row){"ceiling", "the limit set by policy"};
    case LAW_BECAUSE_CROWD:
        return (struct reason_row){"crowd", "a safe part, as nobody tells how many share the line"};
    case LAW_BECAUSE_COMPANY:
        return (struct reason_row){"company", "a part, while somebody comes and goes"};
    case LAW_BECAUSE_OFF: return (struct reason_row){"off", "policy allows nothing now"};
    case LAW_BECAUSE_INSISTING:
        return (struct reason_row){"insisting", "policy says not to give way"};
    case LAW_BECAUSE_IDLE: return (struct reason_row){"idle", "little is asked for"};
    case LAW_BECAUSE_SENDER: return (struct reason_row){"sender", "the sender is the slower one"};
    case LAW_BECAUSE_BLIND: return (struct reason_row){"blind", "no delay measured lately"};
    case LAW_BECAUSE_RESUMED: return (struct reason_row){"resumed", "just woke up"};
    }
    return (struct reason_row){"?", NULL};
}

const char *law_reason_name(enum law_reason reason)
{
    return row_of(reason).name;
}

static const char *figures_text(const struct law_verdict *v, char *out, size_t size)
{
    char capacity[UNITS_TEXT_SIZE], delivered[UNITS_TEXT_SIZE];
    double queue_ms = (double)v->queue_ns / 1e6;
    if (v->capacity_bps == 0)
        snprintf(out, size, "queue %.0f ms, delivered %s", queue_ms,
                 format_rate(v->delivered_bps, delivered));
    else
        snprintf(out, size, "queue %.0f ms, delivered %u %% of %s", queue_ms,
                 (unsigned)(v->delivered_bps * 100 / v->capacity_bps),
                 format_rate(v->capacity_bps, capacity));
    return out;
}

const char *law_reason_text(const struct law_verdict *v, char *out, size_t size)
{
    char figures[96], hold[32] = "";
    const char *state = law_state_name(v->state), *says = row_of(v->reason).says;
    if (v->state == LAW_OFF) {
        snprintf(out, size, "%s: %s", state, says != NULL ? says : "");
        return out;
    }
    if (v->reason == LAW_BECAUSE_HOLDING)
        snprintf(hold, sizeof(hold), ", back in %.1f s", (double)v->hold_ns / 1e9);
    snprintf(out, size, "%s: %s%s%s%s", state, figures_text(v, figures, sizeof(figures)),
             says != NULL ? ", " : "", says != NULL ? says : "", hold);
    return out;
}
