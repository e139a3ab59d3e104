/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/policy_book_watch.c – those who must know what holds now, told when it becomes something
 * else: by a document, the clock, the hub's clock, or the files of a time zone. */
#include "transfer/policy_book_impl.h"

/* At least this often a watch is looked at, whatever the clock did meanwhile; and so do zone files,
 * a stat each. */
#define LOOK_MOST_NS (60 * NS_PER_S)
/* The wall clock has whole seconds: within the last one before a change it is looked at often. */
#define LOOK_LEAST_NS (100 * NS_PER_MS)
/* A turn asks the policy of no more places than this, 1 ms where there are 1,000 rules; and passes
 * by no more of those that nothing is asked of. */
enum { ASKS_A_TURN = 32, LOOKS_A_TURN = 2048 };

static void look(void *book);
static void on_clock_set(void *book);

void policy_book_init_watches(struct policy_book *b)
{
    TAILQ_INIT(&b->watches);
    b->over_s = POLICY_NEVER;
    timer_init(&b->look, b->options.loop, look, b);
    loop_on_clock_set(b->options.loop, on_clock_set, b);
}

void policy_book_stop_watches(struct policy_book *b)
{
    alb_assert(TAILQ_EMPTY(&b->watches));
    timer_stop(&b->look);
    loop_on_clock_set(b->options.loop, NULL, NULL);
}

/* ---- by the hub's clock ---------------------------------------------------------------------- */

/* What was left of an override when the hub signed the list has passed here since the list came.  A
 * restart counts anew, since nobody knows how long the machine was off: a pause then stays for too
 * long rather than for too short. */
int64_t policy_book_least_s(const struct policy_book *b)
{
    const struct policy_copy *c = &b->copies[POLICY_OVERRIDES];
    const uint64_t passed_ns = loop_now_ns(b->options.loop) - c->since_ns;

    return c->issued_wall_s == 0 ? 0 : c->issued_wall_s + (int64_t)(passed_ns / NS_PER_S);
}

void policy_book_note_least(const struct policy_book *b)
{
    policy_set_least(b->policy, policy_book_least_s(b));
}

/* When the next one is over so; POLICY_NEVER: none is left. */
static int64_t next_over_s(const struct policy_book *b)
{
    const struct policy_overrides *o = policy_peek_overrides(b->policy);
    const int64_t now_s = policy_book_least_s(b);
    int64_t next_s = POLICY_NEVER;

    for (size_t i = 0; i < o->count; i++)
        if (o->list[i].until_s > now_s && o->list[i].until_s < next_s)
            next_s = o->list[i].until_s;
    return next_s;
}

/* ---- watches --------------------------------------------------------------------------------- */

struct policy_terms policy_book_terms(const struct policy_book *b, const struct policy_place *place)
{
    return policy_now(policy_book_peek(b), place, policy_book_now_s(b));
}

static void ask(const struct policy_book *b, struct policy_watch *w, int64_t now_s)
{
    w->terms = policy_now_and_next(b->policy, &w->place, now_s, &w->next_s);
}

static void look_within(struct policy_book *b, uint64_t delay_ns)
{
    const uint64_t at_ns = loop_now_ns(b->options.loop) + delay_ns;

    if (!timer_is_set(&b->look) || at_ns < b->look.at_ns)
        timer_set(&b->look, at_ns);
}

static uint64_t delay_until(int64_t next_s, int64_t now_s)
{
    if (now_s == POLICY_NO_CLOCK || next_s == POLICY_NEVER)
        return LOOK_MOST_NS;
    const int64_t left_s = next_s - now_s;
    if (left_s <= 1)
        return LOOK_LEAST_NS;
    return left_s > 60 ? LOOK_MOST_NS : (uint64_t)(left_s - 1) * NS_PER_S;
}

static void note_next(struct policy_book *b, const struct policy_watch *w)
{
    if (w->next_s < b->next_s)
        b->next_s = w->next_s;
}

void policy_book_watch(struct policy_book *b, struct policy_watch *w)
{
    const int64_t now_s = policy_book_now_s(b);

    ask(b, w, now_s);
    w->round = b->round;
    TAILQ_INSERT_TAIL(&b->watches, w, link);
    note_next(b, w);
    look_within(b, delay_until(w->next_s, now_s));
}

void policy_book_unwatch(struct policy_book *b, struct policy_watch *w)
{
    TAILQ_REMOVE(&b->watches, w, link);
    if (TAILQ_EMPTY(&b->watches) && !b->is_changed)
        timer_stop(&b->look);
}

void policy_book_look_soon(struct policy_book *b)
{
    b->is_changed = true;
    timer_set_in(&b->look, 0);
}

static void on_clock_set(void *book)
{
    policy_book_look_soon(book);
}

/* Looking for the next change costs far more than what holds now: only when it can have moved.
 * Whether it was asked. */
static bool look_at(struct policy_book *b, struct policy_watch *w, int64_t now_s)
{
    const struct policy_terms before = w->terms;
    const bool is_changed = w->round < b->changed_round, is_due = is_changed || now_s >= w->next_s;

    w->round = b->round;
    if (is_due)
        ask(b, w, now_s);
    note_next(b, w);
    if (!policy_terms_equal(&before, &w->terms) || (is_changed && w->hears_all))
        w->changed(w); /* it may be the end of `w`, and of the book */
    return is_due;
}

/* A clock that was set back, lost or found may be within any window. */
static void begin_round(struct policy_book *b, int64_t now_s)
{
    const bool is_changed = b->is_changed || now_s < b->looked_s ||
                            (b->looked_s == POLICY_NO_CLOCK && now_s != POLICY_NO_CLOCK);

    if (b->is_looking && !is_changed)
        return;
    b->round++;
    if (is_changed)
        b->changed_round = b->round;
    b->is_changed = false;
    b->is_looking = true;
    b->next_s = POLICY_NEVER;
}

static bool has_more(const struct policy_book *b)
{
    const struct policy_watch *w = TAILQ_FIRST(&b->watches);

    return w != NULL && w->round != b->round;
}

/* What may change the terms beside documents and the clock: an override that is over by the hub's
 * clock; and time zones that were updated under us, of which we hear in a moment. */
static bool see_others(struct policy_book *b)
{
    const uint64_t now_ns = loop_now_ns(b->options.loop);
    const bool is_other = b->over_s <= policy_book_least_s(b);

    policy_book_note_least(b);
    b->over_s = next_over_s(b);
    if (now_ns >= b->zones_ns) {
        b->zones_ns = now_ns + LOOK_MOST_NS;
        policy_book_check_zones(b);
    }
    return is_other;
}

static uint64_t next_delay_ns(const struct policy_book *b, int64_t now_s)
{
    const uint64_t by_clock = delay_until(b->next_s, now_s);
    const uint64_t by_hub = delay_until(b->over_s, policy_book_least_s(b));

    return by_hub < by_clock ? by_hub : by_clock;
}

/* What changes in the midst of a round begins another with those that waited longest.  Whoever is
 * told may watch, unwatch, or close the book. */
static void look(void *book)
{
    struct policy_book *b = book;
    const int64_t now_s = policy_book_now_s(b);
    unsigned asked = 0, passed = 0;

    if (see_others(b))
        b->is_changed = true;
    begin_round(b, now_s);
    b->looked_s = now_s;
    while (!b->is_over && has_more(b) && asked < ASKS_A_TURN && passed++ < LOOKS_A_TURN) {
        struct policy_watch *w = TAILQ_FIRST(&b->watches);
        TAILQ_REMOVE(&b->watches, w, link);
        TAILQ_INSERT_TAIL(&b->watches, w, link);
        asked += look_at(b, w, now_s);
    }
    if (b->is_over || TAILQ_EMPTY(&b->watches))
        return;
    b->is_looking = has_more(b);
    look_within(b, b->is_looking || b->is_changed ? 0 : next_delay_ns(b, now_s));
}
