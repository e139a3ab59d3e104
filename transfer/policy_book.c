/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/policy_book.c – two signed documents, and those who must know what they say now. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "transfer/policy_book_impl.h"
#include "transfer/record_keep.h"

/* At least this often a watch is looked at, whatever the clock did meanwhile. */
#define LOOK_MOST_NS (60 * NS_PER_S)
/* The wall clock has whole seconds: within the last one before a change it is looked at often. */
#define LOOK_LEAST_NS (100 * NS_PER_MS)
/* A turn asks the policy of no more places than this, 1 ms where there are 1,000 rules; and passes
 * by no more of those that nothing is asked of. */
enum { ASKS_A_TURN = 32, LOOKS_A_TURN = 2048 };
/* Rules up to this size are read on the loop, in about 2 ms; the largest take 40. */
enum { READ_HERE_MAX = 64 << 10 };

static void load(struct policy_book *b, enum policy_part part);
static struct alb_status understand(struct policy_book *b, enum policy_part part,
                                    const struct policy_seal *seal);
static void hold(struct policy_copy *c, const struct policy_seal *seal, const void *bytes,
                 size_t size, const struct sign_public *key);
static void keep(const struct policy_copy *c);
static void look_soon(struct policy_book *b);
static void look(void *book);
static void on_clock_set(void *book);

struct policy_book *policy_book_open(const struct policy_book_options *options)
{
    struct policy_book *b = xalloc(sizeof *b);

    b->options = *options;
    b->policy = policy_new(policy_doc_new(), NULL);
    TAILQ_INIT(&b->watches);
    LIST_INIT(&b->readings);
    timer_init(&b->look, options->loop, look, b);
    loop_on_clock_set(options->loop, on_clock_set, b);
    log_limit_init(&b->refused_lines, "policy.refused");
    for (int part = 0; part < POLICY_PARTS; part++) {
        b->copies[part].book = b;
        b->copies[part].part = (enum policy_part)part;
        buf_init(&b->copies[part].bytes, SIGNED_MAX);
    }
    policy_book_init_travel(b);
    if (options->catalogue != NULL)
        for (int part = 0; part < POLICY_PARTS; part++)
            load(b, (enum policy_part)part);
    return b;
}

struct policy_book *policy_book_close(struct policy_book *b)
{
    if (b == NULL)
        return NULL;
    alb_assert(TAILQ_EMPTY(&b->watches));
    b->is_over = true;
    timer_stop(&b->look);
    loop_on_clock_set(b->options.loop, NULL, NULL);
    policy_book_stop_travel(b);
    policy_book_stop_reading(b);
    for (int part = 0; part < POLICY_PARTS; part++)
        buf_release(&b->copies[part].bytes);
    policy_free(b->policy);
    b->policy = NULL;
    loop_bury(b->options.loop, free, b); /* a watch may have been told just now */
    return NULL;
}

/* ---- what was kept --------------------------------------------------------------------------- */

/* By the hub key of the trust file in force, or of one before it: the hub signs anew when its key
 * changes, and until that has come the last word holds. */
static struct alb_status judge_kept(const struct policy_book *b, enum policy_part part,
                                    const struct buf *bytes, struct policy_seal *seal,
                                    struct sign_public *key)
{
    const struct trust *newest = authority_trust(b->options.authority);
    struct trust judge = newest == NULL ? (struct trust){.version = 0} : *newest;
    struct alb_status st = policy_seal_decode(part, buf_peek(bytes), buf_size(bytes),
                                              newest == NULL ? NULL : &judge, seal);

    for (uint64_t v = judge.version; v > 1 && st.code == ALB_CORRUPT; v--) {
        struct trust former;
        struct buf file;

        buf_init(&file, SIGNED_MAX);
        if (!alb_failed(authority_trust_bytes(b->options.authority, v - 1, &file)) &&
            !alb_failed(trust_decode_unchecked(buf_peek(&file), buf_size(&file), &former))) {
            judge.hub_key = former.hub_key;
            trust_release(&former);
            st = policy_seal_decode(part, buf_peek(bytes), buf_size(bytes), &judge, seal);
        }
        buf_release(&file);
    }
    *key = judge.hub_key;
    return st;
}

static void load(struct policy_book *b, enum policy_part part)
{
    struct policy_seal seal;
    struct sign_public key;
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    struct alb_status st =
        catalogue_get(b->options.catalogue, policy_part_name(part), &bytes, NULL);
    const bool is_none = st.code == ALB_NOT_FOUND;
    if (!alb_failed(st))
        st = judge_kept(b, part, &bytes, &seal, &key);
    if (!alb_failed(st))
        st = understand(b, part, &seal);
    if (!alb_failed(st))
        hold(&b->copies[part], &seal, buf_peek(&bytes), buf_size(&bytes), &key);
    else if (!is_none)
        log_status(LOG_WARN, "policy.damaged", st,
                   "name=%s next=\"the copy kept here is left out; the parent is asked for it\"",
                   policy_part_name(part));
    buf_release(&bytes);
}

/* ---- taking ---------------------------------------------------------------------------------- */

void policy_book_use_rules(struct policy_book *b, struct policy *next)
{
    policy_set_overrides(next, policy_peek_overrides(b->policy));
    policy_free(b->policy);
    b->policy = next;
}

static struct alb_status read_rules(struct policy_book *b, const struct policy_seal *seal)
{
    struct policy *next = NULL;
    struct alb_status st = policy_rules_read(seal, &next);

    if (!alb_failed(st))
        policy_book_use_rules(b, next);
    return st;
}

static struct alb_status read_overrides(struct policy_book *b, const struct policy_seal *seal)
{
    AUTO_FREE struct policy_overrides *list = xalloc(sizeof *list);
    struct policy_findings findings;

    policy_findings_init(&findings);
    struct alb_status st = policy_overrides_decode(seal->text, seal->text_size, &findings, list);
    policy_findings_release(&findings);
    if (!alb_failed(st))
        policy_set_overrides(b->policy, list);
    return st;
}

/* What the seal holds is put to use, or nothing changes. */
static struct alb_status understand(struct policy_book *b, enum policy_part part,
                                    const struct policy_seal *seal)
{
    return part == POLICY_RULES ? read_rules(b, seal) : read_overrides(b, seal);
}

static void hold(struct policy_copy *c, const struct policy_seal *seal, const void *bytes,
                 size_t size, const struct sign_public *key)
{
    c->number = seal->number;
    c->issued_wall_s = seal->issued_wall_s;
    c->key = *key;
    buf_clear(&c->bytes);
    alb_ignore(buf_append(&c->bytes, bytes, size), "it was opened, so it is within the limit");
    look_soon(c->book);
}

uint64_t policy_book_number(const struct policy_book *b, enum policy_part part)
{
    const struct trust *trust = authority_trust(b->options.authority);
    const struct policy_copy *c = &b->copies[part];

    return trust != NULL && sign_public_equal(&trust->hub_key, &c->key) ? c->number : 0;
}

struct alb_status policy_book_judge_number(const struct policy_book *b, enum policy_part part,
                                           uint64_t number)
{
    const uint64_t held = policy_book_number(b, part);

    if (number < held)
        return alb_fail(ALB_REFUSED, "the policy is older than the one held here");
    if (number == held)
        return alb_fail(ALB_REFUSED, "the policy is another than the one of that number held here");
    return ALB_STATUS_OK;
}

struct alb_status policy_book_take(struct policy_book *b, enum policy_part part, const void *bytes,
                                   size_t size)
{
    const struct trust *trust = authority_trust(b->options.authority);
    const struct policy_copy *copy = &b->copies[part];
    struct policy_candidate c = {.bytes = bytes, .size = size};

    if (size > 0 && size == buf_size(&copy->bytes) &&
        memcmp(bytes, buf_peek(&copy->bytes), size) == 0)
        return ALB_STATUS_OK; /* the one held here */
    struct alb_status st = policy_seal_decode(part, bytes, size, trust, &c.seal);
    if (!alb_failed(st))
        st = policy_book_judge_number(b, part, c.seal.number);
    if (alb_failed(st))
        return st;
    c.key = trust->hub_key;
    if (part == POLICY_RULES && c.seal.text_size > READ_HERE_MAX && !b->options.reads_at_once) {
        policy_book_read_later(b, &c);
        return st;
    }
    st = understand(b, part, &c.seal);
    if (!alb_failed(st))
        policy_book_put_in_force(b, part, &c);
    return st;
}

/* What it says is in use already. */
void policy_book_put_in_force(struct policy_book *b, enum policy_part part,
                              const struct policy_candidate *c)
{
    struct policy_copy *copy = &b->copies[part];

    hold(copy, &c->seal, c->bytes, c->size, &c->key);
    authority_saw_time(b->options.authority, c->seal.issued_wall_s);
    log_event(LOG_INFO, "policy.new", "name=%s number=%" PRIu64, policy_part_name(part),
              copy->number);
    if (b->options.catalogue != NULL)
        keep(copy);
    if (b->options.taken != NULL)
        b->options.taken(b->options.arg, part);
}

const uint8_t *policy_book_bytes(const struct policy_book *b, enum policy_part part, size_t *size)
{
    *size = buf_size(&b->copies[part].bytes);
    return buf_peek(&b->copies[part].bytes);
}

int64_t policy_book_issued_s(const struct policy_book *b, enum policy_part part)
{
    return b->copies[part].issued_wall_s;
}

/* ---- keeping --------------------------------------------------------------------------------- */

/* A disk that is full must not keep a pause from being in force. */
static void keep(const struct policy_copy *c)
{
    record_keep(c->book->options.loop, c->book->options.catalogue, policy_part_name(c->part),
                buf_peek(&c->bytes), buf_size(&c->bytes));
}

/* ---- what holds ------------------------------------------------------------------------------ */

const struct policy *policy_book_peek(const struct policy_book *b)
{
    return b->policy;
}

int64_t policy_book_now_s(const struct policy_book *b)
{
    const int64_t wall_s = loop_wall_s(b->options.loop);
    const int64_t floor_s = authority_floor_s(b->options.authority);

    if (wall_s < floor_s - POLICY_CLOCK_SLACK_S)
        return POLICY_NO_CLOCK;
    return wall_s > floor_s ? wall_s : floor_s;
}

struct policy_terms policy_book_terms(const struct policy_book *b, const struct policy_place *place)
{
    return policy_now(b->policy, place, policy_book_now_s(b));
}

static void ask(const struct policy_book *b, struct policy_watch *w, int64_t now_s)
{
    w->terms = policy_now(b->policy, &w->place, now_s);
    w->next_s = policy_next_change(b->policy, &w->place, now_s);
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

static void look_soon(struct policy_book *b)
{
    b->is_changed = true;
    timer_set_in(&b->look, 0);
}

static void on_clock_set(void *book)
{
    look_soon(book);
}

static bool action_is_same(const struct policy_action *a, const struct policy_action *b)
{
    return a->mode == b->mode && a->rate_bps == b->rate_bps && a->ceiling_bps == b->ceiling_bps &&
           a->floor_bps == b->floor_bps && a->percent == b->percent && a->profile == b->profile &&
           a->max_queue_ms == b->max_queue_ms;
}

static bool is_same(const struct policy_terms *a, const struct policy_terms *b)
{
    return a->scope == b->scope && a->source == b->source && a->index == b->index &&
           action_is_same(&a->action, &b->action);
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
    if (!is_same(&before, &w->terms) || (is_changed && w->hears_all))
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

/* What changes in the midst of a round begins another with those that waited longest.  Whoever is
 * told may watch, unwatch, or close the book. */
static void look(void *book)
{
    struct policy_book *b = book;
    const int64_t now_s = policy_book_now_s(b);
    unsigned asked = 0, passed = 0;

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
    look_within(b, b->is_looking || b->is_changed ? 0 : delay_until(b->next_s, now_s));
}
