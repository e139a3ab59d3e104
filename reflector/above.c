/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/above.c – who is above this box, and since when it is cut off: what it says of itself
 * to those who think of coming.
 *
 *     line up, "here" from the parent ──> GET /v1/here ──> parent's word: its chain, cut off since
 *                                                             │ another than before
 *     a state, the line down ──────────────────────────────> "here" to all below, a second later
 *
 * So whoever chooses a parent sees the whole way up, and nobody chooses somebody behind himself;
 * and all of a branch know since when none of them hears the hub.
 */
#include <stdio.h>

#include "base/log.h"
#include "reflector/reflector_impl.h"

#define SAY_NS NS_PER_S
#define ASK_MOST_NS (2 * NS_PER_S) /* all of a level hear "here" at once */
#define DOWN_FOR_NS (5 * NS_PER_S) /* a line that comes back at once was no cut */

static void ask(void *reflector);
static void say(void *reflector);

void reflector_open_above(struct reflector *r)
{
    timer_init(&r->above.ask_soon, r->options.loop, ask, r);
    timer_init(&r->above.say_soon, r->options.loop, say, r);
}

void reflector_close_above(struct reflector *r)
{
    if (r->above.ask_soon.loop == NULL)
        return;
    timer_stop(&r->above.ask_soon);
    timer_stop(&r->above.say_soon);
    upstream_cancel(r->above.asking);
    r->above.asking = NULL;
}

/* ---- told ------------------------------------------------------------------------------------ */

static void say(void *reflector)
{
    struct reflector *r = reflector;

    feed_say(r->feed, "here");
}

void reflector_say_here(struct reflector *r)
{
    if (!timer_is_set(&r->above.say_soon))
        timer_set_in(&r->above.say_soon, upstream_is_up(r->upstream) ? SAY_NS : DOWN_FOR_NS);
}

/* ---- asked ----------------------------------------------------------------------------------- */

static bool says_the_same(const struct here *a, const struct here *b)
{
    bool is_same = strcmp(a->device, b->device) == 0 && a->above_count == b->above_count &&
                   a->cut_off_since_wall_s == b->cut_off_since_wall_s;

    for (size_t i = 0; is_same && i < a->above_count; i++)
        is_same = strcmp(a->above[i], b->above[i]) == 0;
    return is_same;
}

static void take(struct reflector *r, const struct here *parent)
{
    const bool is_new = !says_the_same(parent, &r->above.parent);

    r->above.parent = *parent;
    if (is_new && here_leads_to(parent, r->options.device))
        log_event(LOG_ERROR, "reflector.loop",
                  "parent=%s what=\"the parent is behind this reflector itself\" next=\"another "
                  "parent is needed: look at 'parents' in the configurations of both\"",
                  parent->device);
    if (is_new)
        reflector_say_here(r);
}

/* A parent that does not know the question is known by its certificate. */
static void take_certificate(struct reflector *r)
{
    const struct identity *id = upstream_parent(r->upstream, 0);
    struct here parent = {.device = ""};

    if (id == NULL)
        return;
    snprintf(parent.device, sizeof parent.device, "%s", id->device);
    parent.is_hub = id->role == ROLE_HUB;
    take(r, &parent);
}

static void came(void *arg, const struct upstream_answer *answer)
{
    struct reflector *r = arg;
    struct here parent;

    r->above.asking = NULL;
    if (!alb_failed(answer->st) && !alb_failed(here_decode(answer->body, answer->size, &parent)))
        take(r, &parent);
    else if (answer->st.code == ALB_NOT_FOUND)
        take_certificate(r);
    if (r->above.ask_again && upstream_is_up(r->upstream))
        reflector_ask_above(r);
}

static void ask(void *reflector)
{
    struct reflector *r = reflector;

    if (r->above.asking != NULL) {
        r->above.ask_again = true;
        return;
    }
    r->above.ask_again = false;
    r->above.asking = upstream_request(r->upstream,
                                       &(struct upstream_ask){.method = "GET",
                                                              .path = "/v1/here",
                                                              .expect_bytes = HERE_BYTES_MAX,
                                                              .fail_when_down = true},
                                       came, r);
}

void reflector_ask_above(struct reflector *r)
{
    if (!timer_is_set(&r->above.ask_soon))
        timer_set_in(&r->above.ask_soon, loop_random_between(r->options.loop, 0, ASK_MOST_NS));
}

/* ---- GET /v1/here ---------------------------------------------------------------------------- */

/* Its own line's, or what the parent says of the one above. */
int64_t reflector_cut_off_since_wall_s(const struct reflector *r, const struct upstream_figures *up)
{
    const int64_t above_s = r->above.parent.cut_off_since_wall_s;
    const uint64_t for_ns = loop_now_ns(r->options.loop) - up->since_ns;
    const int64_t own_s = loop_wall_s(r->options.loop) - (int64_t)(for_ns / NS_PER_S);

    if (up->is_up)
        return above_s;
    return above_s != 0 && above_s < own_s ? above_s : own_s;
}

const char *reflector_line_word(const struct reflector *r)
{
    struct policy_hold hold;

    if (!upstream_is_up(r->upstream))
        return "down";
    if (r->duty.entry.state == REFLECTOR_SUSPEND)
        return "suspended";
    return line_hold(r->line, WAN_DOWN, NULL, false, &hold) ? "paused" : "up";
}

static void fill_above(const struct reflector *r, struct here *out)
{
    const struct here *parent = &r->above.parent;

    if (parent->device[0] == '\0')
        return;
    snprintf(out->above[out->above_count++], NAME_MAX_SIZE, "%s", parent->device);
    for (size_t i = 0; i < parent->above_count && out->above_count < HERE_ABOVE_MAX; i++)
        memcpy(out->above[out->above_count++], parent->above[i], NAME_MAX_SIZE);
}

void reflector_here(const struct reflector *r, struct here *out)
{
    struct upstream_figures up;
    struct wan_figures wan;

    *out = (struct here){.device = ""};
    upstream_figures(r->upstream, &up);
    wan_figures(line_wan(r->line), WAN_DOWN, &wan);
    serve_here(r->serve, out);
    snprintf(out->device, sizeof out->device, "%s", r->options.device);
    snprintf(out->line_state, sizeof out->line_state, "%s", reflector_line_word(r));
    out->down_bps = wan.verdict.capacity_bps != 0 ? wan.verdict.capacity_bps : wan.line_bps / 8;
    out->cut_off_since_wall_s = reflector_cut_off_since_wall_s(r, &up);
    fill_above(r, out);
}

void reflector_handle_here(void *reflector, struct serve_request *rq)
{
    struct here here;

    reflector_here(reflector, &here);
    serve_answer_here(rq, &here);
}
