/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/line_show.c – the line's part of a status: every figure that a rate was decided from. */
#include <stdio.h>

#include "base/units.h"
#include "transfer/line_impl.h"
#include "wire/json.h"

enum { NOTES_SHOWN = 16 };

/* A rate that is none is left out. */
static void put_rate(struct json_writer *w, const char *key, uint64_t bps)
{
    if (bps != 0 && bps != LAW_UNLIMITED)
        json_number(w, key, bps);
}

static double in_ms(uint64_t ns)
{
    return (double)ns / (double)NS_PER_MS;
}

/* Which rule it is, in words, and what comes next.  The terms may be those of a layer on it. */
static void put_rule(struct json_writer *w, const struct line *l, enum wan_way way,
                     const struct policy_terms *t)
{
    const struct policy *p = policy_book_peek(l->options.policy);
    const int64_t now_s = policy_book_now_s(l->options.policy);
    struct policy_explanation e;
    char text[POLICY_LINE_MAX];

    policy_explain(p, &l->watch[way].place, now_s, &e);
    json_text(w, "by", policy_source_word(t->source));
    policy_terms_show(p, t, w);
    json_text(w, "holds", policy_terms_text(p, t, e.clock_is_known, text));
    json_text(w, "next", e.next_text);
    if (e.next_s != POLICY_NEVER)
        json_signed(w, "next_wall_s", e.next_s);
}

static void put_policy(struct json_writer *w, const struct line *l, enum wan_way way,
                       const struct policy_terms *t)
{
    char text[POLICY_LINE_MAX];

    json_object_begin(w, "policy");
    json_text(w, "mode", policy_mode_word(t->action.mode));
    json_text(w, "text", policy_action_text(&t->action, text));
    if (l->options.policy != NULL)
        put_rule(w, l, way, t);
    json_end(w);
}

static void put_verdict(struct json_writer *w, const struct law_verdict *v)
{
    char text[LAW_TEXT_SIZE];

    json_text(w, "state", law_state_name(v->state));
    json_text(w, "reason", law_reason_name(v->reason));
    json_text(w, "text", law_reason_text(v, text, sizeof text));
    put_rate(w, "rate_bps", v->rate_bps);
}

/* A rule's max_queue is in it, and how much the line itself varies. */
static const char *queue_text(const struct law_verdict *v, char out[LAW_TEXT_SIZE])
{
    (void)snprintf(out, LAW_TEXT_SIZE, "%.1f ms now, and above %.1f ms it is too much",
                   in_ms(v->queue_ns), in_ms(v->queue_most_ns));
    return out;
}

static void put_law(struct json_writer *w, const struct law_verdict *v)
{
    char text[LAW_TEXT_SIZE];

    json_object_begin(w, "law");
    put_verdict(w, v);
    if (v->window_bytes != LAW_UNLIMITED)
        json_number(w, "window_bytes", v->window_bytes);
    json_decimal(w, "queue_ms", in_ms(v->queue_ns));
    json_decimal(w, "own_queue_ms", in_ms(v->own_queue_ns));
    json_decimal(w, "queue_most_ms", in_ms(v->queue_most_ns));
    json_text(w, "queue_text", queue_text(v, text));
    json_decimal(w, "base_rtt_ms", in_ms(v->base_rtt_ns));
    json_number(w, "delivered_bps", v->delivered_bps);
    put_rate(w, "capacity_bps", v->capacity_bps);
    json_end(w);
}

static void put_history(struct json_writer *w, const struct line *l, enum wan_way way)
{
    const uint64_t now_ns = loop_now_ns(l->options.loop);
    struct wan_note note;

    json_array_begin(w, "history");
    for (size_t i = 0; i < NOTES_SHOWN && wan_note_at(l->wan, way, i, &note); i++) {
        json_object_begin(w, NULL);
        json_number(w, "ago_ms", (now_ns - note.at_ns) / NS_PER_MS);
        put_verdict(w, &note.verdict);
        json_end(w);
    }
    json_end(w);
}

static void put_way(struct json_writer *w, const struct line *l, enum wan_way way)
{
    struct wan_figures f;

    wan_figures(l->wan, way, &f);
    json_object_begin(w, way == WAN_DOWN ? "down" : "up");
    put_policy(w, l, way, &f.terms);
    put_rate(w, "line_bps", f.line_bps);
    if (f.rate_bps != LAW_UNLIMITED)
        json_number(w, "limit_bps", f.rate_bps);
    json_number(w, "recent_bps", f.recent_bps);
    json_number(w, "bulk_bytes", f.bulk_bytes);
    json_number(w, "wire_bytes", f.wire_bytes);
    if (f.is_shaped) {
        put_law(w, &f.verdict);
        put_history(w, l, way);
    }
    json_end(w);
}

static void put_probe(struct json_writer *w, const struct line *l)
{
    struct probe_figures f;

    if (l->probe == NULL || !path_probe_figures(l->probe, &f))
        return;
    json_object_begin(w, "probe");
    json_text(w, "by", probe_mode_name(f.mode));
    json_decimal(w, "rtt_ms", in_ms(f.rtt_ns));
    json_number(w, "sent", f.sent);
    json_number(w, "answered", f.answered);
    json_number(w, "lost", f.lost);
    json_end(w);
}

bool line_hold(const struct line *l, enum wan_way way, const char *layer, bool beyond,
               struct policy_hold *out)
{
    struct policy_place place = l->watch[way].place;

    if (l->options.policy == NULL || (beyond && place.side == POLICY_WAN))
        return false;
    place.job = layer;
    if (beyond) {
        place.side = POLICY_WAN;
        place.device = NULL;
    }
    return policy_hold(policy_book_peek(l->options.policy), &place,
                       policy_book_now_s(l->options.policy), out);
}

void line_show(const struct line *l, struct json_writer *w)
{
    json_object_begin(w, "line");
    json_text(w, "to", l->name);
    json_text(w, "kind", l->is_wan && !l->is_near ? "wan" : "lan");
    json_number(w, "connections", wan_connections(l->wan));
    put_probe(w, l);
    put_way(w, l, WAN_DOWN);
    put_way(w, l, WAN_UP);
    layer_jobs_show(l->jobs, w);
    json_end(w);
}
