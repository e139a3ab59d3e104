/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/chooser_show.c – the whole decision, for people: every candidate, and why not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/units.h"
#include "transfer/chooser_impl.h"
#include "wire/json.h"

/* In whole seconds from now; nothing when it is over. */
static void show_left(struct json_writer *w, const char *key, uint64_t until_ns, uint64_t now_ns)
{
    if (until_ns > now_ns && until_ns != UINT64_MAX)
        json_number(w, key, (until_ns - now_ns + NS_PER_S - 1) / NS_PER_S);
}

static void show_answer(struct json_writer *w, const struct chooser_candidate *m, uint64_t now_ns)
{
    if (m->answered_ns == 0)
        return;
    json_number(w, "asked_s_ago", (now_ns - m->answered_ns) / NS_PER_S);
    json_number(w, "sessions", m->sessions);
    if (m->max_sessions != 0)
        json_number(w, "max_sessions", m->max_sessions);
    if (m->line_state[0] != '\0')
        json_text(w, "line", m->line_state);
    if (m->down_bps != 0)
        json_number(w, "down_bps", m->down_bps);
    if (m->cut_off_since_s != 0)
        json_signed(w, "cut_off_since", m->cut_off_since_s);
}

static void show_candidate(struct json_writer *w, const struct choice_candidate *f,
                           const struct chooser_candidate *m, enum choice_reason reason,
                           uint64_t now_ns)
{
    json_object_begin(w, NULL);
    json_text(w, "device", f->device);
    json_text(w, "place", upstream_place_text(&f->place).text);
    json_text(w, "from", choice_from_word(f->from));
    json_text(w, "tier", choice_tier_word(f->tier));
    json_number(w, "depth", f->depth);
    json_number(w, "order", f->order);
    json_text(w, "state", reflector_state_word(f->state));
    json_text(w, "reason", choice_reason_word(reason));
    json_text(w, "because", choice_reason_text(reason));
    if (m->words[0] != '\0' && f->good_since_ns == 0)
        json_text(w, "words", m->words);
    if (f->latency_us != 0)
        json_number(w, "latency_us", f->latency_us);
    json_number(w, "load_percent", f->load_percent);
    show_answer(w, m, now_ns);
    if (f->good_since_ns != 0)
        json_number(w, "good_s", (now_ns - f->good_since_ns) / NS_PER_S);
    show_left(w, "refused_s", f->refused_until_ns, now_ns);
    show_left(w, "asked_again_s", f->failed_until_ns, now_ns);
    show_left(w, "lacks_s", f->lacks_until_ns, now_ns);
    json_end(w);
}

static void show_terms(struct json_writer *w, const struct site_terms *terms)
{
    json_object_begin(w, "terms");
    json_text(w, "use", site_use_word(terms->use == SITE_USE_UNSET ? SITE_USE_PREFER : terms->use));
    if (terms->latency_ms != 0)
        json_number(w, "latency_ms", terms->latency_ms);
    if (terms->load_percent != 0)
        json_number(w, "load_percent", terms->load_percent);
    json_end(w);
}

static void show_all(const struct chooser *c, struct json_writer *w,
                     const struct choice_candidate *facts, const struct chooser_candidate *more,
                     size_t count, const struct choice *choice)
{
    const uint64_t now_ns = loop_now_ns(c->options.loop);

    if (c->list.number != 0) {
        json_text(w, "site", c->list.site);
        json_number(w, "list", c->list.number);
    }
    show_terms(w, &c->terms);
    json_text(w, "device", choice->chosen == CHOICE_NONE ? "" : facts[choice->chosen].device);
    json_array_begin(w, "candidates");
    for (size_t i = 0; i < count; i++)
        show_candidate(w, &facts[i], &more[i], choice->reasons[i], now_ns);
    json_end(w);
}

/* The upstream's figures say whether it is up; here it says why that one. */
void chooser_show(const struct chooser *c, struct json_writer *w)
{
    const uint64_t now_ns = loop_now_ns(c->options.loop);
    const struct choice_held held = {.index = chooser_held(c),
                                     .is_up = c->upstream != NULL && upstream_is_up(c->upstream),
                                     .is_busy =
                                         c->upstream != NULL && upstream_is_busy(c->upstream),
                                     .since_ns = c->moved_ns,
                                     .return_after_ns = c->return_after_ns};
    struct choice choice;

    choice_decide(c->facts, c->count, &c->terms, &held, now_ns, &choice);
    json_object_begin(w, "choice");
    json_bool(w, "up", held.is_up);
    json_bool(w, "waits", c->is_waiting);
    json_number(w, "moves", c->moves);
    json_number(w, "return_after_s", c->return_after_ns / NS_PER_S);
    show_all(c, w, c->facts, c->more, c->count, &choice);
    json_end(w);
}

void chooser_what_if(const struct chooser *c, const struct net_place *place, struct json_writer *w)
{
    struct choice_candidate *facts = xalloc(sizeof c->facts);
    struct chooser_candidate *more = xalloc(sizeof c->more);
    const size_t count = chooser_candidates(c, place, facts, more);
    const struct choice_held nobody = {.index = CHOICE_NONE, .return_after_ns = c->return_after_ns};
    struct choice choice;

    for (size_t i = 0; i < count; i++) /* who was never asked might well answer there */
        if (facts[i].bad_since_ns == 0 && facts[i].good_since_ns == 0)
            facts[i].good_since_ns = 1;
    choice_decide(facts, count, &c->terms, &nobody, loop_now_ns(c->options.loop), &choice);
    json_object_begin(w, "choice");
    json_bool(w, "what_if", true);
    show_all(c, w, facts, more, count, &choice);
    json_end(w);
    free(facts);
    free(more);
}
