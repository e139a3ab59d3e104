/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/chooser_held.c – the one we hold: its ups and downs, its word of itself, its silence. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/units.h"
#include "transfer/chooser_impl.h"
#include "transfer/record_keep.h"

#define STALE_NS (60 * NS_PER_S) /* after a loss, others are believed for that long      */
#define LACKS_NS (60 * NS_PER_S)
#define SESSION_MOST_NS (60 * NS_PER_S)
#define REFUSED_LEAST_NS (5 * NS_PER_S)
#define REFUSED_MOST_NS (600 * NS_PER_S)
#define LOOK_NS (NS_PER_S / 2)
#define MUTE_MOST_NS (10 * NS_PER_S) /* two "queued" left out */
/* More than answers to PINGs in that time: part of a record, so it is slow and not silent. */
enum { TRICKLE_BYTES = 1024 };

static void on_up(struct upstream_listener *l);
static void on_down(struct upstream_listener *l);
static void on_failed(struct upstream_listener *l);
static void on_asked(struct upstream_listener *l);

const struct upstream_listener chooser_listener = {
    .up = on_up, .down = on_down, .failed = on_failed, .asked = on_asked};

static bool is_up(const struct chooser *c)
{
    return upstream_is_up(c->upstream);
}

static void keep_memory(struct chooser *c, const struct upstream_place *at)
{
    char text[UPSTREAM_HOST_SIZE + 8];

    if (at->port == c->remembered.port && strcmp(at->host, c->remembered.host) == 0)
        return;
    c->remembered = *at;
    snprintf(text, sizeof text, "%s %u", at->host, at->port);
    if (c->options.catalogue != NULL)
        record_keep(c->options.loop, c->options.catalogue, CHOOSER_MEMORY, text, strlen(text),
                    NULL);
}

static void on_up(struct upstream_listener *l)
{
    struct chooser *c = ALB_CONTAINER(l, struct chooser, listener);
    const size_t i = chooser_held(c);

    timer_stop(&c->hesitate);
    if (i == CHOICE_NONE)
        return;
    const struct identity *id = upstream_parent(c->upstream, 0);
    struct choice_candidate *f = &c->facts[i];
    if (id != NULL)
        chooser_judge(c, i, id);
    if (chooser_is_out(f)) {
        chooser_note_bad(c, i, c->more[i].words);
        return;
    }
    c->more[i].session_failures = 0;
    c->more[i].no_session_until_ns = 0;
    c->more[i].failures = 0;
    f->refused_until_ns = 0;
    f->lacks_until_ns = 0;
    f->bad_since_ns = 0;
    if (f->good_since_ns == 0)
        f->good_since_ns = loop_now_ns(c->options.loop);
    if (f->tier < CHOICE_HUB)
        keep_memory(c, &f->place); /* the hub is found again without it */
    chooser_ask_held(c, 10 * NS_PER_S);
    chooser_decide_soon(c);
    if (c->options.changed != NULL)
        c->options.changed(c->options.arg);
}

void chooser_hear(struct chooser *c)
{
    if (c->upstream != NULL && is_up(c) && c->asking == NULL)
        chooser_ask_held(c, 10 * NS_PER_S);
}

/* Of the others, who answered a while ago is asked before he is believed; and at once. */
static void hurry(struct chooser *c, size_t held)
{
    const uint64_t now_ns = loop_now_ns(c->options.loop);

    for (size_t i = 0; i < c->count; i++) {
        struct choice_candidate *f = &c->facts[i];
        if (i == held)
            continue;
        if (now_ns - c->more[i].answered_ns > STALE_NS && !c->more[i].is_being_asked) {
            f->good_since_ns = 0;
            f->bad_since_ns = 0;
        }
        if (f->refused_until_ns <= now_ns && !c->more[i].is_being_asked && !f->is_foreign &&
            !f->is_revoked)
            f->failed_until_ns = 0;
    }
}

static void lost(struct chooser *c)
{
    struct upstream_figures figures;
    const size_t i = chooser_held(c);
    const uint64_t now_ns = loop_now_ns(c->options.loop);

    upstream_figures(c->upstream, &figures);
    if (i == CHOICE_NONE) {
        chooser_decide_soon(c);
        return;
    }
    struct choice_candidate *f = &c->facts[i];
    const int64_t wall_s = loop_wall_s(c->options.loop);
    if (figures.refused_until_wall_s > wall_s) {
        const uint64_t ns = (uint64_t)(figures.refused_until_wall_s - wall_s) * NS_PER_S;
        f->refused_until_ns = now_ns + (ns < REFUSED_LEAST_NS  ? REFUSED_LEAST_NS
                                        : ns > REFUSED_MOST_NS ? REFUSED_MOST_NS
                                                               : ns);
    }
    chooser_note_bad(c, i, figures.why_down);
}

static void on_down(struct upstream_listener *l)
{
    struct chooser *c = ALB_CONTAINER(l, struct chooser, listener);

    timer_stop(&c->refresh);
    timer_stop(&c->look);
    if (c->is_moving)
        return;
    hurry(c, chooser_held(c));
    lost(c);
}

/* It may well answer scouts and yet not let us in: those do not count for a while. */
static void on_failed(struct upstream_listener *l)
{
    struct chooser *c = ALB_CONTAINER(l, struct chooser, listener);
    const size_t i = chooser_held(c);

    if (i != CHOICE_NONE) {
        struct chooser_candidate *m = &c->more[i];
        const uint64_t ns = NS_PER_S << (m->session_failures < 6 ? m->session_failures : 6);
        m->session_failures++;
        m->no_session_until_ns =
            loop_now_ns(c->options.loop) +
            chooser_jittered(c, ns < SESSION_MOST_NS ? ns : SESSION_MOST_NS, 25);
    }
    lost(c);
}

static void held_answered(void *arg, const struct upstream_answer *answer)
{
    struct chooser *c = arg;
    const size_t i = chooser_held(c);
    const uint64_t now_ns = loop_now_ns(c->options.loop);
    struct here here;

    c->asking = NULL;
    if (i == CHOICE_NONE || !is_up(c))
        return;
    if (answer->status == 0) {
        c->is_mute = true;
        if (c->is_new_place) { /* carried away from it, by the look of it */
            chooser_note_bad(c, i, "it does not answer from here");
            upstream_suspect(c->upstream, answer->st);
        }
        return;
    }
    const bool is_here =
        !alb_failed(answer->st) && !alb_failed(here_decode(answer->body, answer->size, &here));
    chooser_note_good(c, i, is_here ? &here : NULL, (now_ns - c->asking_ns) / 1000 + 1);
}

void chooser_ask_held(struct chooser *c, uint64_t timeout_ns)
{
    /* Who has others below is asked often: no loop shall stay. */
    const uint64_t every_ns = c->options.is_reflector ? 60 * NS_PER_S : 600 * NS_PER_S;

    timer_set_in(&c->refresh, chooser_jittered(c, every_ns, 25));
    upstream_cancel(c->asking);
    c->asking_ns = loop_now_ns(c->options.loop);
    c->asking = upstream_request(c->upstream,
                                 &(struct upstream_ask){.method = "GET",
                                                        .path = "/v1/here",
                                                        .expect_bytes = HERE_BYTES_MAX,
                                                        .timeout_ns = timeout_ns,
                                                        .fail_when_down = true},
                                 held_answered, c);
}

void chooser_refresh(void *arg)
{
    struct chooser *c = arg;

    if (is_up(c))
        chooser_ask_held(c, 10 * NS_PER_S);
}

/* ---- silence --------------------------------------------------------------------------------- */

static void on_asked(struct upstream_listener *l)
{
    struct chooser *c = ALB_CONTAINER(l, struct chooser, listener);

    if (timer_is_set(&c->look))
        return;
    c->brought_bytes = upstream_brought_bytes(c->upstream);
    c->wire_bytes = upstream_wire_bytes(c->upstream);
    c->silent_since_ns = loop_now_ns(c->options.loop);
    c->has_asked_silent = c->is_mute = false;
    timer_set_in(&c->look, LOOK_NS);
}

/* Another one on our LAN that was asked since the silence began and answered. */
static bool has_neighbour(const struct chooser *c, size_t held)
{
    for (size_t i = 0; i < c->count; i++)
        if (i != held && chooser_is_near(&c->facts[i]) && c->facts[i].good_since_ns != 0 &&
            c->facts[i].state == REFLECTOR_ACCEPT && !c->facts[i].is_cut_off &&
            c->more[i].answered_ns >= c->silent_since_ns)
            return true;
    return false;
}

static void ask_neighbours(struct chooser *c, size_t held)
{
    for (size_t i = 0; i < c->count; i++)
        if (i != held && c->facts[i].tier <= CHOICE_SAME_SITE && !c->more[i].is_being_asked &&
            !chooser_is_out(&c->facts[i]))
            (void)scout_send(c, i);
}

static void hedge(struct chooser *c, size_t held, uint64_t silent_ns)
{
    if (!c->has_asked_silent) {
        c->has_asked_silent = true;
        c->is_mute = false;
        chooser_ask_held(c, CHOOSER_ANSWER_NS);
        ask_neighbours(c, held);
    } else if ((c->is_mute || silent_ns >= MUTE_MOST_NS) && has_neighbour(c, held)) {
        log_event(LOG_WARN, "chooser.hangs", "place=%s silent_ms=%" PRIu64,
                  upstream_place_text(&c->facts[held].place).text, silent_ns / NS_PER_MS);
        chooser_note_bad(c, held, "it fell silent while something was asked of it");
        upstream_suspect(c->upstream, alb_fail(ALB_TIMEOUT, "the parent fell silent, and another "
                                                            "one on this network answers"));
    }
}

void chooser_look(void *arg)
{
    struct chooser *c = arg;
    const size_t held = chooser_held(c);
    const uint64_t now_ns = loop_now_ns(c->options.loop);
    const uint64_t held_until_ns = upstream_held_until_ns(c->upstream);

    if (held == CHOICE_NONE || !is_up(c) || !upstream_is_busy(c->upstream))
        return;
    const uint64_t brought = upstream_brought_bytes(c->upstream);
    const uint64_t wire = upstream_wire_bytes(c->upstream);
    if (brought != c->brought_bytes || wire >= c->wire_bytes + TRICKLE_BYTES ||
        held_until_ns > c->silent_since_ns) {
        c->brought_bytes = brought;
        c->wire_bytes = wire;
        c->silent_since_ns = now_ns;
        c->has_asked_silent = false;
    }
    timer_set_in(&c->look, LOOK_NS);
    if (now_ns - c->silent_since_ns >= CHOOSER_HANG_NS && chooser_is_near(&c->facts[held]))
        hedge(c, held, now_ns - c->silent_since_ns);
}

bool chooser_lacks(struct chooser *c)
{
    const size_t i = chooser_held(c);
    const uint64_t now_ns = loop_now_ns(c->options.loop);

    if (i == CHOICE_NONE || c->count < 2 || !is_up(c))
        return false;
    struct choice_candidate *f = &c->facts[i];
    if (now_ns - c->more[i].answered_ns > 2 * NS_PER_S) {
        if (c->asking == NULL)
            chooser_ask_held(c, 10 * NS_PER_S);
        return true; /* does it lack it, or is it not allowed to fetch it?  In a moment we know */
    }
    if (f->state == REFLECTOR_ACCEPT && !f->is_cut_off)
        return false; /* it asked its own parent: nobody has it */
    f->lacks_until_ns = now_ns + LACKS_NS;
    chooser_decide_soon(c);
    for (size_t k = 0; k < c->count; k++)
        if (k != i && c->facts[k].lacks_until_ns <= now_ns && !chooser_is_out(&c->facts[k]) &&
            !(c->facts[k].tier >= CHOICE_HUB && c->terms.use == SITE_USE_ALWAYS))
            return true;
    return false;
}
