/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/choice.c – candidates are ranked by one list of numbers, the smaller the better. */
#include "transfer/choice.h"

#include <string.h>

#include "base/status.h"
#include "base/units.h"

#define NEAR_US 2000 /* one step: two machines of one building are all alike */

/* The parts of a rank in their order; of those from RANK_STEPS on, little
 * differences are no reason to move. */
enum {
    RANK_CLASS,
    RANK_OVER,     /* over the terms                      */
    RANK_DISTANCE, /* sites above; 0 with `use direct`    */
    RANK_LIMITED,  /* it cannot fetch                     */
    RANK_TIER,
    RANK_STEPS,
    RANK_ORDER,
    RANK_PARTS,
};
enum { DISTANCE_HUB = 1000, DISTANCE_ELSEWHERE, STEPS_WORTH = 2, STEPS_MOST = 16 };

enum { BEACONS_AWAITED = 4 }; /* no link has more boxes that its list does not name */

enum { CLASS_GOOD, CLASS_DRAINS, CLASS_LAST, CLASS_LACKS, CLASS_BAD };

struct rank {
    unsigned part[RANK_PARTS];
};

struct question {
    const struct choice_candidate *list;
    size_t count;
    const struct site_terms *terms;
    const struct choice_held *held;
    uint64_t now_ns;
    bool is_crowded; /* with beacons that nobody knows */
};

/* A beacon is anybody's word: until it showed a certificate, it is only worth a question. */
static bool is_unproven(const struct choice_candidate *c)
{
    return c->from == CHOICE_BY_BEACON && c->device[0] == '\0';
}

static bool is_crowded(const struct choice_candidate *list, size_t count)
{
    size_t unproven = 0;

    for (size_t i = 0; i < count; i++)
        unproven += is_unproven(&list[i]);
    return unproven > BEACONS_AWAITED;
}

/* Held, and nothing speaks against it: up, or being called for the first time. */
static bool is_alive(const struct question *q, size_t i)
{
    return i == q->held->index && (q->held->is_up || q->list[i].bad_since_ns == 0);
}

static bool is_hub(const struct choice_candidate *c)
{
    return c->tier == CHOICE_HUB;
}

/* Only while no reflector that is ours answers. */
static bool is_last(const struct choice_candidate *c)
{
    return c->tier >= CHOICE_HUB;
}

static unsigned distance_of(const struct choice_candidate *c)
{
    if (is_last(c))
        return is_hub(c) ? DISTANCE_HUB : DISTANCE_ELSEWHERE;
    return c->tier == CHOICE_PARENT_SITE ? (c->depth > 0 ? c->depth : 1) : 0;
}

/* What speaks against it, whoever else there is; CHOICE_CHOSEN: nothing. */
static enum choice_reason barred(const struct question *q, size_t i)
{
    const struct choice_candidate *c = &q->list[i];

    if (c->is_below)
        return CHOICE_BELOW;
    if (c->is_foreign)
        return CHOICE_FOREIGN;
    if (c->is_revoked)
        return CHOICE_REVOKED;
    if (is_last(c) && q->terms->use == SITE_USE_ALWAYS)
        return CHOICE_FORBIDDEN;
    if (c->state == REFLECTOR_DISABLE)
        return CHOICE_CLOSED;
    if (c->state == REFLECTOR_DRAIN && !(i == q->held->index && q->held->is_up))
        return CHOICE_DRAINING;
    if (c->refused_until_ns > q->now_ns && !(i == q->held->index && q->held->is_up))
        return CHOICE_REFUSED;
    return CHOICE_CHOSEN;
}

/* It could serve us as far as is known, but for nobody having asked it, or a failure. */
static enum choice_reason unusable(const struct question *q, size_t i)
{
    const struct choice_candidate *c = &q->list[i];
    const enum choice_reason reason = barred(q, i);

    if (reason != CHOICE_CHOSEN || is_alive(q, i) || c->good_since_ns != 0)
        return reason;
    return c->bad_since_ns != 0 ? CHOICE_FAILED : CHOICE_UNKNOWN;
}

/* Somebody nearer may be back in a moment. `until_ns`: when that is over; UINT64_MAX: when he was
 * asked. */
static bool must_wait(const struct question *q, size_t i, uint64_t *until_ns)
{
    const unsigned distance = distance_of(&q->list[i]);
    bool must = false;

    *until_ns = 0;
    if (distance == 0 || is_alive(q, i) ||
        (is_hub(&q->list[i]) && q->terms->use == SITE_USE_DIRECT))
        return false;
    for (size_t n = 0; n < q->count; n++) {
        const struct choice_candidate *c = &q->list[n];
        if (distance_of(c) >= distance || barred(q, n) != CHOICE_CHOSEN || c->good_since_ns != 0 ||
            (q->is_crowded && is_unproven(c)))
            continue;
        const uint64_t over_ns =
            c->bad_since_ns == 0 ? UINT64_MAX : c->bad_since_ns + CHOICE_PATIENCE_NS;
        if (over_ns <= q->now_ns)
            continue;
        must = true;
        *until_ns = over_ns > *until_ns ? over_ns : *until_ns;
    }
    return must;
}

static unsigned steps_of(const struct choice_candidate *c)
{
    unsigned steps = c->load_percent / 25;

    for (uint64_t us = c->latency_us; us > NEAR_US && steps < STEPS_MOST; us /= 2)
        steps++;
    return steps;
}

/* Who is held is over the terms a little later. */
static bool is_too_far(const struct question *q, size_t i)
{
    const uint64_t most_us = (uint64_t)q->terms->latency_ms * 1000;
    const uint64_t slack_us = i == q->held->index ? most_us / 4 : 0;

    return most_us > 0 && q->list[i].latency_us > most_us + slack_us;
}

static bool is_too_busy(const struct question *q, size_t i)
{
    const uint32_t most = q->terms->load_percent;
    const uint32_t slack = i == q->held->index ? 15 : 0;

    return most > 0 && q->list[i].load_percent > most + slack;
}

static unsigned class_of(const struct question *q, size_t i)
{
    const struct choice_candidate *c = &q->list[i];

    if (unusable(q, i) != CHOICE_CHOSEN)
        return CLASS_BAD;
    if (c->lacks_until_ns > q->now_ns)
        return CLASS_LACKS;
    if (is_last(c) && q->terms->use != SITE_USE_DIRECT)
        return CLASS_LAST;
    return c->state == REFLECTOR_DRAIN ? CLASS_DRAINS : CLASS_GOOD;
}

static struct rank rank_of(const struct question *q, size_t i)
{
    const struct choice_candidate *c = &q->list[i];
    const bool is_direct = q->terms->use == SITE_USE_DIRECT, is_held = i == q->held->index;
    const bool is_limited = c->state == REFLECTOR_SUSPEND || (c->is_cut_off && !is_held);
    const unsigned steps = steps_of(c), distance = distance_of(c);
    struct rank r = {.part = {[RANK_CLASS] = class_of(q, i),
                              [RANK_OVER] = is_too_far(q, i) || is_too_busy(q, i),
                              [RANK_LIMITED] = is_limited,
                              [RANK_STEPS] = steps,
                              [RANK_ORDER] = c->order}};

    /* One of the two decides; the other one, and the order, when they are equals. */
    if (is_direct) {
        r.part[RANK_ORDER] = distance * CHOICE_MAX + c->order;
        return r;
    }
    r.part[RANK_DISTANCE] = distance;
    r.part[RANK_TIER] = distance == 0 && c->tier != CHOICE_SAME_SUBNET;
    return r;
}

/* Below 0: a before b. */
static int compare(const struct rank *a, const struct rank *b)
{
    for (size_t i = 0; i < RANK_PARTS; i++)
        if (a->part[i] != b->part[i])
            return a->part[i] < b->part[i] ? -1 : 1;
    return 0;
}

/* Another address of the same one: there is one hub. */
static bool is_same_device(const struct choice_candidate *a, const struct choice_candidate *b)
{
    if (is_hub(a) || is_hub(b))
        return is_hub(a) && is_hub(b);
    return a->device[0] != '\0' && strcmp(a->device, b->device) == 0;
}

static bool is_worth_a_move(const struct rank *to, const struct rank *from)
{
    for (size_t i = 0; i < RANK_STEPS; i++)
        if (to->part[i] != from->part[i])
            return to->part[i] < from->part[i];
    if (to->part[RANK_STEPS] == from->part[RANK_STEPS])
        return to->part[RANK_ORDER] < from->part[RANK_ORDER];
    return to->part[RANK_STEPS] + STEPS_WORTH <= from->part[RANK_STEPS];
}

/* Must the held one be left at once, as soon as there is another? */
static bool must_leave(const struct question *q)
{
    const struct choice_held *h = q->held;

    if (h->index == CHOICE_NONE || h->is_new_place || !h->is_up)
        return true;
    const unsigned class = class_of(q, h->index);
    return class == CLASS_BAD || class == CLASS_LACKS || class == CLASS_DRAINS;
}

static void come_again(struct choice *out, const struct question *q, uint64_t at_ns)
{
    if (at_ns > q->now_ns && at_ns < out->again_ns)
        out->again_ns = at_ns;
}

/* May `i` take the held one's place now?  If not, why. */
static enum choice_reason may_take(const struct question *q, size_t i, struct choice *out)
{
    uint64_t until_ns = 0;

    if (i == q->held->index)
        return CHOICE_CHOSEN;
    if (must_wait(q, i, &until_ns)) {
        come_again(out, q, until_ns);
        return CHOICE_NOT_YET;
    }
    const struct rank rank = rank_of(q, i);
    const struct rank held =
        q->held->index == CHOICE_NONE ? (struct rank){{CLASS_BAD}} : rank_of(q, q->held->index);
    if (must_leave(q) && rank.part[RANK_CLASS] < held.part[RANK_CLASS])
        return CHOICE_CHOSEN;
    if (!is_worth_a_move(&rank, &held))
        return compare(&rank, &held) < 0 ? CHOICE_NO_GAIN : CHOICE_WORSE;
    if (must_leave(q))
        return CHOICE_CHOSEN;
    if (is_same_device(&q->list[i], &q->list[q->held->index]))
        return CHOICE_WORSE;
    const uint64_t good_ns = q->list[i].good_since_ns, held_ns = q->held->since_ns;
    const uint64_t ready_ns = (good_ns > held_ns ? good_ns : held_ns) + q->held->return_after_ns;
    if (ready_ns > q->now_ns) {
        come_again(out, q, ready_ns);
        return CHOICE_NOT_YET;
    }
    return q->held->is_busy ? CHOICE_NOT_NOW : CHOICE_CHOSEN;
}

static void take_if_better(const struct question *q, size_t i, size_t *best)
{
    const struct rank rank = rank_of(q, i);
    const struct rank other = *best == CHOICE_NONE ? rank : rank_of(q, *best);

    if (*best == CHOICE_NONE || compare(&rank, &other) < 0)
        *best = i;
}

/* Nobody is usable: who may be called again, the held one if it may. */
static size_t least_bad(const struct question *q)
{
    size_t best = CHOICE_NONE;

    for (size_t i = 0; i < q->count; i++)
        if (barred(q, i) == CHOICE_CHOSEN) {
            uint64_t until_ns = 0;
            if (i == q->held->index)
                return i;
            if (!must_wait(q, i, &until_ns))
                take_if_better(q, i, &best);
        }
    return best;
}

/* Why not `i`, which could be used and was not better, or could not move us. */
static enum choice_reason lost_by(const struct question *q, size_t i, size_t chosen)
{
    const struct rank rank = rank_of(q, i), best = rank_of(q, chosen);

    if (rank.part[RANK_CLASS] == CLASS_LACKS)
        return CHOICE_LACKS;
    if (rank.part[RANK_CLASS] == CLASS_DRAINS)
        return CHOICE_DRAINING;
    if (rank.part[RANK_CLASS] == CLASS_LAST && best.part[RANK_CLASS] < CLASS_LAST)
        return CHOICE_LAST;
    if (rank.part[RANK_OVER] > best.part[RANK_OVER])
        return is_too_far(q, i) ? CHOICE_TOO_FAR : CHOICE_TOO_BUSY;
    return CHOICE_WORSE;
}

static void explain(const struct question *q, struct choice *out)
{
    for (size_t i = 0; i < q->count; i++) {
        const struct choice_candidate *c = &q->list[i];
        come_again(out, q, c->refused_until_ns);
        come_again(out, q, c->failed_until_ns);
        come_again(out, q, c->lacks_until_ns);
        come_again(out, q, c->stale_ns);
        if (i == out->chosen)
            out->reasons[i] = CHOICE_CHOSEN;
        else if (unusable(q, i) != CHOICE_CHOSEN)
            out->reasons[i] = unusable(q, i);
        else if (out->reasons[i] == CHOICE_CHOSEN || out->reasons[i] == CHOICE_WORSE)
            out->reasons[i] =
                out->chosen == CHOICE_NONE ? CHOICE_WORSE : lost_by(q, i, out->chosen);
    }
}

void choice_decide(const struct choice_candidate *candidates, size_t count,
                   const struct site_terms *terms, const struct choice_held *held, uint64_t now_ns,
                   struct choice *out)
{
    const struct question q = {candidates, count,  terms,
                               held,       now_ns, is_crowded(candidates, count)};

    *out = (struct choice){.chosen = CHOICE_NONE, .awaited = CHOICE_NONE, .again_ns = UINT64_MAX};
    for (size_t i = 0; i < count; i++) {
        if (unusable(&q, i) != CHOICE_CHOSEN)
            continue;
        out->reasons[i] = may_take(&q, i, out);
        if (out->reasons[i] == CHOICE_CHOSEN)
            take_if_better(&q, i, &out->chosen);
        else if (out->reasons[i] == CHOICE_NOT_NOW)
            take_if_better(&q, i, &out->awaited);
    }
    if (out->chosen == CHOICE_NONE)
        out->chosen = least_bad(&q);
    out->is_move = out->chosen != held->index;
    out->is_return = out->is_move && !must_leave(&q);
    if (out->is_move)
        out->awaited = CHOICE_NONE;
    explain(&q, out);
}

uint64_t choice_return_after(uint64_t before_ns, uint64_t lasted_ns)
{
    if (before_ns == 0 || lasted_ns >= CHOICE_RETURN_LASTS_NS)
        return CHOICE_RETURN_FIRST_NS;
    return before_ns * 2 < CHOICE_RETURN_MOST_NS ? before_ns * 2 : CHOICE_RETURN_MOST_NS;
}

static bool is_known(const struct choice_candidate *c, uint64_t now_ns)
{
    return c->good_since_ns != 0 && (c->stale_ns == 0 || c->stale_ns > now_ns);
}

size_t choice_worth_asking(const struct choice_candidate *candidates, size_t count,
                           const struct site_terms *terms, size_t chosen, uint64_t now_ns)
{
    const struct choice_held nobody = {.index = CHOICE_NONE};
    struct choice_candidate hopeful;
    const struct question q = {candidates, count,  terms,
                               &nobody,    now_ns, is_crowded(candidates, count)};
    const struct question hope = {&hopeful, 1, terms, &nobody, now_ns, false};
    struct rank best = {{0}}, held = {{CLASS_BAD}};
    size_t first = CHOICE_NONE;
    uint64_t until_ns = 0;

    if (chosen != CHOICE_NONE)
        held = rank_of(&q, chosen);
    for (size_t i = 0; i < count; i++) {
        hopeful = candidates[i];
        if (i == chosen ||
            (held.part[RANK_CLASS] != CLASS_BAD && is_same_device(&hopeful, &candidates[chosen])) ||
            is_known(&hopeful, now_ns) || hopeful.failed_until_ns > now_ns ||
            (must_wait(&q, i, &until_ns) && until_ns == UINT64_MAX))
            continue;
        /* As they were when it was asked last. */
        hopeful.is_foreign = hopeful.is_revoked = hopeful.is_below = false;
        hopeful.is_cut_off = false;
        hopeful.lacks_until_ns = 0;
        hopeful.state = REFLECTOR_ACCEPT;
        hopeful.load_percent = 0;
        hopeful.latency_us = hopeful.good_since_ns != 0 ? hopeful.latency_us / 4 : 0;
        hopeful.good_since_ns = 1;
        struct rank rank = rank_of(&hope, 0);
        if (rank.part[RANK_CLASS] == CLASS_BAD || !is_worth_a_move(&rank, &held))
            continue;
        rank.part[RANK_TIER] |= is_unproven(&hopeful); /* its order puts it behind the list's */
        if (first == CHOICE_NONE || compare(&rank, &best) < 0) {
            first = i;
            best = rank;
        }
    }
    return first;
}

/* ---- words ---- */

static const struct {
    const char *word, *text;
} REASONS[CHOICE_REASONS] = {
    [CHOICE_CHOSEN] = {"chosen", "chosen"},
    [CHOICE_WORSE] = {"worse", "another one is nearer, less busy or preferred"},
    [CHOICE_NOT_YET] = {"not_yet",
                        "not yet: somebody nearer, or this one's own return, is waited for"},
    [CHOICE_NOT_NOW] = {"not_now", "better, and taken as soon as nothing is under way"},
    [CHOICE_NO_GAIN] = {"no_gain", "a little better, which is not worth a move"},
    [CHOICE_UNKNOWN] = {"not_asked", "nobody needed to ask it"},
    [CHOICE_FAILED] = {"failed", "it cannot be reached, or fell silent"},
    [CHOICE_REFUSED] = {"refused", "it takes nobody new for now"},
    [CHOICE_DRAINING] = {"draining", "an operator has it drain: it takes nobody new"},
    [CHOICE_CLOSED] = {"disabled", "an operator disabled it"},
    [CHOICE_LACKS] = {"lacks", "it lacked something that is wanted"},
    [CHOICE_TOO_FAR] = {"too_far", "over the site's latency, and another is not"},
    [CHOICE_TOO_BUSY] = {"too_busy", "over the site's load, and another is not"},
    [CHOICE_LAST] = {"last_resort", "the hub or another site's, and one of the list serves"},
    [CHOICE_FORBIDDEN] = {"forbidden", "the hub or another site's; the list's alone may be used"},
    [CHOICE_FOREIGN] = {"foreign", "it shows another certificate than was expected there"},
    [CHOICE_REVOKED] = {"revoked", "its certificate was revoked: it may be a stolen one"},
    [CHOICE_BELOW] = {"below", "it is this machine, or has it above itself: that would be a loop"},
};

const char *choice_reason_word(enum choice_reason reason)
{
    return REASONS[reason].word;
}

const char *choice_reason_text(enum choice_reason reason)
{
    return REASONS[reason].text;
}

const char *choice_tier_word(enum choice_tier tier)
{
    static const char *const WORDS[] = {"subnet", "site", "parent", "hub", "elsewhere"};

    return WORDS[tier];
}

const char *choice_from_word(enum choice_from from)
{
    static const char *const WORDS[] = {"list", "beacon", "configuration", "memory"};

    return WORDS[from];
}
