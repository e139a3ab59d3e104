/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/chooser.c – facts come in, a decision is taken a moment later, the upstream is moved.
 *
 *     list, beacons, place ─┐
 *     scouts ───────────────┼─> facts ──> decide() ──> move, or be quiet before it, or wait
 *     upstream up, failed ──┘        ^_______ time alone (choice.again_ns) ___/ and send scouts
 */
#include "transfer/chooser.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/units.h"
#include "store/catalogue.h"
#include "transfer/chooser_impl.h"
#include "transfer/record_keep.h"

#define NEAR_US 5000                   /* of our own building                                  */
#define SETTLE_NS (3 * NS_PER_S)       /* at a new place moves cost nothing                    */
#define FRESH_NS (5 * NS_PER_S)        /* before a return it is asked once more                */
#define CALL_NEAR_NS (2 * NS_PER_S)    /* to be up; then another one may be taken              */
#define CALL_FAR_NS (10 * NS_PER_S)    /* eight round trips and a grant, over a slow line      */
#define QUIET_MOST_NS (10 * NS_PER_S)  /* a cut costs at most a chunk for each connection      */
#define QUIET_LOOK_NS (50 * NS_PER_MS) /* … is it over?                                        */
#define REFUSED_NS (60 * NS_PER_S)     /* when it does not say for how long                      */
#define LOST_FIRST_NS (60 * NS_PER_S)  /* between scouts to one that we can do without         */
#define FOREIGN_NS (600 * NS_PER_S)
#define STALE_NS (120 * NS_PER_S) /* full, busy, far or cut off: perhaps no more */

static void decide(void *arg);
static void settled(void *arg);
static void hesitates(void *arg);

/* ---- birth and death ------------------------------------------------------------------------- */

static void remember(struct chooser *c)
{
    struct buf kept;
    uint64_t version = 0;

    if (c->options.catalogue == NULL)
        return;
    buf_init(&kept, UPSTREAM_HOST_SIZE + 8);
    if (!alb_failed(catalogue_get(c->options.catalogue, CHOOSER_MEMORY, &kept, &version))) {
        char text[UPSTREAM_HOST_SIZE + 8];
        uint64_t port = 0;
        snprintf(text, sizeof text, "%.*s", (int)buf_size(&kept), (const char *)buf_peek(&kept));
        char *space = strchr(text, ' ');
        if (space != NULL && !alb_failed(parse_u64(space + 1, UINT16_MAX, &port))) {
            *space = '\0';
            snprintf(c->remembered.host, sizeof c->remembered.host, "%.255s", text);
            c->remembered.port = (uint16_t)port;
        }
    }
    buf_release(&kept);
}

struct chooser *chooser_new(const struct chooser_options *options)
{
    struct chooser *c = xalloc(sizeof *c);

    c->options = *options;
    c->return_after_ns = choice_return_after(0, 0);
    c->is_new_place = true;
    c->choice.chosen = CHOICE_NONE;
    timer_init(&c->soon, options->loop, decide, c);
    timer_init(&c->settle, options->loop, settled, c);
    timer_init(&c->hesitate, options->loop, hesitates, c);
    timer_init(&c->look, options->loop, chooser_look, c);
    timer_init(&c->refresh, options->loop, chooser_refresh, c);
    for (size_t i = 0; i < CHOOSER_SCOUTS; i++)
        scout_init(&c->scouts[i], c);
    c->listener = chooser_listener;
    remember(c);
    chooser_gather(c);
    return c;
}

struct chooser *chooser_free(struct chooser *c)
{
    if (c == NULL)
        return NULL;
    timer_stop(&c->soon);
    timer_stop(&c->settle);
    timer_stop(&c->hesitate);
    timer_stop(&c->look);
    timer_stop(&c->refresh);
    for (size_t i = 0; i < CHOOSER_SCOUTS; i++)
        scout_release(&c->scouts[i]);
    upstream_cancel(c->asking);
    if (c->upstream != NULL) {
        upstream_use_others(c->upstream, NULL, NULL);
        upstream_unlisten(c->upstream, &c->listener);
    }
    chooser_drop_list(c);
    loop_bury(c->options.loop, free, c);
    return NULL;
}

const struct upstream_place *chooser_first(const struct chooser *c)
{
    const struct choice_held nobody = {.index = CHOICE_NONE};
    struct choice choice;

    if (c->remembered.port != 0)
        return &c->remembered;
    choice_decide(c->facts, c->count, &c->terms, &nobody, loop_now_ns(c->options.loop), &choice);
    if (choice.chosen != CHOICE_NONE)
        return &c->facts[choice.chosen].place;
    return c->options.place_count > 0 ? &c->options.places[0] : &c->options.hub;
}

static bool lacks(void *arg)
{
    return chooser_lacks(arg);
}

void chooser_use_upstream(struct chooser *c, struct upstream *u)
{
    const struct upstream_place first = *upstream_at(u);

    c->upstream = u;
    upstream_listen(u, &c->listener);
    upstream_use_others(u, lacks, c);
    upstream_move(u, &first); /* its other places, if it was given any, are ours to choose among */
    timer_set_in(&c->settle, SETTLE_NS);
    timer_set_in(&c->hesitate, CALL_NEAR_NS);
    chooser_decide_soon(c);
}

/* ---- facts ----------------------------------------------------------------------------------- */

void chooser_decide_soon(struct chooser *c)
{
    if (c->upstream != NULL)
        timer_set_in(&c->soon, 0);
}

size_t chooser_held(const struct chooser *c)
{
    return c->upstream == NULL ? CHOICE_NONE : chooser_find(c, upstream_at(c->upstream));
}

bool chooser_is_lan(const struct chooser *c)
{
    const size_t i = chooser_held(c);

    return i != CHOICE_NONE && c->facts[i].tier <= CHOICE_SAME_SITE;
}

bool chooser_is_near(const struct choice_candidate *c)
{
    return c->tier <= CHOICE_SAME_SITE && c->latency_us < NEAR_US;
}

/* A stolen box answers like any other: what the hub signed of its certificate tells it from them.
 * True when that is news. */
static bool judge_serial(struct chooser *c, size_t i)
{
    static const char REVOKED[] = "the certificate that it shows was revoked";
    struct choice_candidate *f = &c->facts[i];
    struct chooser_candidate *m = &c->more[i];
    const bool was_revoked = f->is_revoked;

    f->is_revoked =
        c->upstream != NULL && m->serial[0] != '\0' && upstream_has_revoked(c->upstream, m->serial);
    if (!f->is_revoked || was_revoked)
        return false;
    memcpy(m->words, REVOKED, sizeof REVOKED);
    log_event(LOG_WARN, "chooser.revoked", "place=%s device=%s serial=%s",
              upstream_place_text(&f->place).text, f->device, m->serial);
    return true;
}

void chooser_judge(struct chooser *c, size_t i, const struct identity *id)
{
    struct choice_candidate *f = &c->facts[i];
    struct chooser_candidate *m = &c->more[i];
    char words[CHOOSER_WORDS];

    f->is_foreign = m->is_expected && strcmp(f->device, id->device) != 0;
    f->is_below = strcmp(id->device, c->options.device) == 0;
    if (f->is_foreign) {
        snprintf(words, sizeof words, "it shows the certificate of %s, not of %s", id->device,
                 f->device);
        memcpy(m->words, words, sizeof m->words);
        log_event(LOG_WARN, "chooser.foreign", "place=%s expected=%s shown=%s",
                  upstream_place_text(&f->place).text, f->device, id->device);
        return;
    }
    if (f->is_below)
        snprintf(m->words, sizeof m->words, "it is this machine");
    if (!m->is_expected)
        snprintf(f->device, sizeof f->device, "%s", id->device);
    if (id->role == ROLE_HUB)
        f->tier = CHOICE_HUB;
    chooser_rank(c, i);
    memcpy(m->serial, id->serial, sizeof m->serial);
    judge_serial(c, i);
}

bool chooser_is_out(const struct choice_candidate *c)
{
    return c->is_foreign || c->is_revoked || c->is_below;
}

uint64_t chooser_jittered(struct chooser *c, uint64_t ns, unsigned percent)
{
    return loop_random_between(c->options.loop, ns - ns / 100 * percent, ns + ns / 100 * percent);
}

/* Short while nobody serves us, long while it would only be a better one. */
static uint64_t rest_ns(struct chooser *c, unsigned failures)
{
    const bool is_up = c->upstream != NULL && upstream_is_up(c->upstream);
    const uint64_t first_ns = is_up ? LOST_FIRST_NS : NS_PER_S / 4;
    const uint64_t most_ns = is_up ? CHOICE_RETURN_MOST_NS : 10 * NS_PER_S;
    const unsigned doublings = failures > 1 ? failures - 1 : 0; /* the first was its loss */
    const uint64_t ns = first_ns << (doublings < 8 ? doublings : 8);

    return chooser_jittered(c, ns < most_ns ? ns : most_ns, 25);
}

void chooser_note_bad(struct chooser *c, size_t i, const char *words)
{
    struct choice_candidate *f = &c->facts[i];
    struct chooser_candidate *m = &c->more[i];
    const uint64_t now_ns = loop_now_ns(c->options.loop);

    f->good_since_ns = 0;
    if (f->bad_since_ns == 0)
        f->bad_since_ns = now_ns;
    if (!m->is_being_asked)
        f->failed_until_ns =
            now_ns + (f->is_foreign || f->is_revoked ? chooser_jittered(c, FOREIGN_NS, 25)
                                                     : rest_ns(c, m->failures));
    m->failures++;
    if (words != m->words)
        snprintf(m->words, sizeof m->words, "%s", words);
    log_event(LOG_INFO, "chooser.bad", "place=%s why=\"%s\"", upstream_place_text(&f->place).text,
              m->words);
    chooser_decide_soon(c);
}

static void note_here(struct chooser *c, size_t i, const struct here *here, bool is_held)
{
    struct choice_candidate *f = &c->facts[i];
    struct chooser_candidate *m = &c->more[i];
    const uint64_t now_ns = loop_now_ns(c->options.loop);

    f->state = here->state;
    f->load_percent = here->load_percent;
    f->is_cut_off = here->cut_off_since_wall_s != 0;
    f->is_below = here_leads_to(here, c->options.device);
    m->sessions = here->sessions;
    m->max_sessions = here->max_sessions;
    m->down_bps = here->down_bps;
    m->cut_off_since_s = here->cut_off_since_wall_s;
    snprintf(m->line_state, sizeof m->line_state, "%s", here->line_state);
    snprintf(m->words, sizeof m->words, "%.159s", here->why);
    f->refused_until_ns = 0;
    if (f->is_below)
        snprintf(m->words, sizeof m->words, "it has this machine above it");
    else if (!here->takes_new && !is_held)
        f->refused_until_ns = now_ns + (here->retry_s != 0 ? here->retry_s * NS_PER_S
                                                           : chooser_jittered(c, REFUSED_NS, 25));
}

void chooser_note_good(struct chooser *c, size_t i, const struct here *here, uint64_t latency_us)
{
    struct choice_candidate *f = &c->facts[i];
    struct chooser_candidate *m = &c->more[i];
    const uint64_t now_ns = loop_now_ns(c->options.loop);
    const bool is_held = i == chooser_held(c) && upstream_is_up(c->upstream);

    f->latency_us = latency_us;
    f->stale_ns = now_ns + chooser_jittered(c, STALE_NS, 25);
    m->answered_ns = now_ns;
    if (here != NULL)
        note_here(c, i, here, is_held);
    if (m->no_session_until_ns > now_ns && !is_held) {
        f->failed_until_ns = m->no_session_until_ns;
        chooser_decide_soon(c);
        return;
    }
    m->failures = 0;
    f->failed_until_ns = 0;
    if (f->is_below || f->refused_until_ns > now_ns) {
        f->good_since_ns = 0;
        f->bad_since_ns = f->bad_since_ns != 0 ? f->bad_since_ns : now_ns;
        f->failed_until_ns =
            f->is_below ? now_ns + chooser_jittered(c, 30 * NS_PER_S, 60) : f->refused_until_ns;
    } else {
        f->bad_since_ns = 0;
        f->good_since_ns = f->good_since_ns != 0 ? f->good_since_ns : now_ns;
    }
    chooser_decide_soon(c);
}

/* ---- the decision ---------------------------------------------------------------------------- */

static bool is_up(const struct chooser *c)
{
    return upstream_is_up(c->upstream);
}

static void be_quiet(struct chooser *c, bool is_quiet)
{
    if (is_quiet == (c->quiet_since_ns != 0))
        return;
    c->quiet_since_ns = is_quiet ? loop_now_ns(c->options.loop) : 0;
    upstream_quiet(c->upstream, is_quiet);
}

static void move(struct chooser *c, size_t to, bool is_return)
{
    const struct upstream_place place = c->facts[to].place;
    const uint64_t now_ns = loop_now_ns(c->options.loop);

    if (c->returned_ns != 0)
        c->return_after_ns = choice_return_after(c->return_after_ns, now_ns - c->returned_ns);
    c->returned_ns = is_return ? now_ns : 0;
    c->moved_ns = now_ns;
    c->facts[to].bad_since_ns = 0;
    c->moves++;
    c->is_waiting = false;
    be_quiet(c, false);
    upstream_cancel(take_ptr(&c->asking));
    log_event(LOG_INFO, "chooser.move", "device=%s place=%s tier=%s better=%s", c->facts[to].device,
              upstream_place_text(&place).text, choice_tier_word(c->facts[to].tier),
              is_return ? "yes" : "no");
    c->is_moving = true;
    upstream_move(c->upstream, &place);
    c->is_moving = false;
    timer_set_in(&c->hesitate, c->facts[to].tier <= CHOICE_SAME_SITE ? CALL_NEAR_NS : CALL_FAR_NS);
}

static void wait_for_somebody(struct chooser *c)
{
    if (c->is_waiting)
        return;
    c->is_waiting = true;
    be_quiet(c, false);
    upstream_cancel(take_ptr(&c->asking));
    log_event(LOG_WARN, "chooser.waits", "use=%s candidates=%zu", site_use_word(c->terms.use),
              c->count);
    c->is_moving = true;
    upstream_wait(c->upstream, c->terms.use == SITE_USE_ALWAYS
                                   ? "no reflector takes this machine now, and its site does not "
                                     "allow the hub; see albedo explain upstream"
                                   : "nobody takes this machine now; see albedo explain upstream");
    c->is_moving = false;
}

static void send_scouts(struct chooser *c, uint64_t now_ns)
{
    size_t i;

    while ((i = choice_worth_asking(c->facts, c->count, &c->terms, c->choice.chosen, now_ns)) !=
               CHOICE_NONE &&
           scout_send(c, i)) {
    }
}

/* The facts about whom we have are the upstream's own. */
static struct choice_held held_now(struct chooser *c, uint64_t now_ns)
{
    struct choice_held held = {.index = chooser_held(c),
                               .is_up = is_up(c),
                               .is_busy = upstream_is_busy(c->upstream),
                               .is_new_place = c->is_new_place,
                               .since_ns = c->moved_ns,
                               .return_after_ns = c->return_after_ns};

    if (c->quiet_since_ns != 0 && now_ns - c->quiet_since_ns >= QUIET_MOST_NS)
        held.is_busy = false;
    if (c->is_waiting)
        held.index = CHOICE_NONE;
    return held;
}

/* A list may have come since they were asked. */
static void judge_serials(struct chooser *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (judge_serial(c, i))
            chooser_note_bad(c, i, c->more[i].words);
}

static void tell_if_changed(struct chooser *c, size_t before)
{
    const bool is_lan = chooser_is_lan(c);

    if ((before != c->choice.chosen || is_lan != c->was_lan) && c->options.changed != NULL)
        c->options.changed(c->options.arg);
    c->was_lan = is_lan;
}

static void decide(void *arg)
{
    struct chooser *c = arg;
    const uint64_t now_ns = loop_now_ns(c->options.loop);

    judge_serials(c);
    const struct choice_held held = held_now(c, now_ns);
    const size_t before = c->choice.chosen;

    choice_decide(c->facts, c->count, &c->terms, &held, now_ns, &c->choice);
    const size_t chosen = c->choice.chosen;
    uint64_t again_ns = c->choice.again_ns;
    if (chosen == CHOICE_NONE) {
        wait_for_somebody(c);
    } else if (c->choice.is_return && now_ns - c->more[chosen].answered_ns > FRESH_NS) {
        if (!c->more[chosen].is_being_asked && !scout_send(c, chosen))
            again_ns = now_ns + NS_PER_S;
        c->choice.chosen = held.index;
    } else if (c->choice.is_move) {
        move(c, chosen, c->choice.is_return);
    } else {
        be_quiet(c, c->choice.awaited != CHOICE_NONE);
    }
    if (c->quiet_since_ns != 0)
        again_ns = now_ns + QUIET_LOOK_NS;
    send_scouts(c, now_ns);
    if (again_ns != UINT64_MAX)
        timer_set(&c->soon, again_ns);
    tell_if_changed(c, before);
}

static void settled(void *arg)
{
    struct chooser *c = arg;

    c->is_new_place = false;
    chooser_decide_soon(c);
}

/* It takes long to come up: whoever else answers may be taken. */
static void hesitates(void *arg)
{
    struct chooser *c = arg;
    const size_t held = chooser_held(c);

    if (held == CHOICE_NONE || is_up(c) || c->facts[held].bad_since_ns != 0)
        return;
    c->facts[held].bad_since_ns = loop_now_ns(c->options.loop);
    snprintf(c->more[held].words, sizeof c->more[held].words, "it is being called for long");
    chooser_decide_soon(c);
}

/* ---- another place --------------------------------------------------------------------------- */

void chooser_moved(struct chooser *c, const struct net_place *place)
{
    const bool is_first = c->place.address_count == 0 && c->place.gateway_count == 0;

    if (net_place_is_same(&c->place, place))
        return;
    c->place = *place;
    scouts_recall(c);
    for (size_t i = 0; i < c->count && !is_first; i++) {
        struct choice_candidate *f = &c->facts[i];
        f->good_since_ns = f->bad_since_ns = f->failed_until_ns = f->latency_us = 0;
        c->more[i].failures = c->more[i].session_failures = 0;
        c->more[i].answered_ns = c->more[i].no_session_until_ns = 0;
    }
    chooser_gather(c);
    c->return_after_ns = choice_return_after(0, 0);
    c->is_new_place = true;
    timer_set_in(&c->settle, SETTLE_NS);
    if (c->upstream == NULL || is_first)
        return;
    log_event(LOG_INFO, "chooser.carried", "addresses=%zu gateways=%zu", place->address_count,
              place->gateway_count);
    const size_t held = chooser_held(c);
    if (is_up(c) && held != CHOICE_NONE) {
        c->facts[held].good_since_ns = loop_now_ns(c->options.loop);
        chooser_ask_held(c, CHOOSER_ANSWER_NS);
    } else if (held != CHOICE_NONE) {
        upstream_move(c->upstream, upstream_at(c->upstream)); /* the way there is another now */
    }
}
