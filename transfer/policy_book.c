/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/policy_book.c – three signed documents, and those who must know what they say now. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "transfer/policy_book_impl.h"
#include "transfer/record_keep.h"

/* Rules up to this size are read on the loop, in about 2 ms; the largest take 40. */
enum { READ_HERE_MAX = 64 << 10 };

static void load(struct policy_book *b, enum policy_part part);
static struct alb_status understand(struct policy_book *b, enum policy_part part,
                                    const struct policy_seal *seal);
static void hold(struct policy_copy *c, const struct policy_seal *seal, const void *bytes,
                 size_t size, const struct sign_public *key);
static void keep(const struct policy_copy *c);

struct policy_book *policy_book_open(const struct policy_book_options *options)
{
    struct policy_book *b = xalloc(sizeof *b);

    b->options = *options;
    b->policy = policy_new(policy_doc_new(), NULL);
    states_init(&b->states);
    LIST_INIT(&b->readings);
    policy_book_init_watches(b);
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
    b->is_over = true;
    policy_book_stop_watches(b);
    policy_book_stop_travel(b);
    policy_book_stop_reading(b);
    policy_book_stop_checking(b);
    for (int part = 0; part < POLICY_PARTS; part++)
        buf_release(&b->copies[part].bytes);
    policy_free(b->policy);
    states_release(&b->states);
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

/* Number 0 is what the parent is asked from, so it sends what it has. */
static void note_damaged(struct policy_copy *c, struct alb_status st)
{
    c->is_damaged = true;
    log_status(LOG_ERROR, "policy.damaged", st,
               "name=%s next=\"the copy kept here is left out, nothing of it holds; the parent is "
               "asked for it\"",
               policy_part_name(c->part));
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
        note_damaged(&b->copies[part], st);
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

static struct alb_status read_states(struct policy_book *b, const struct policy_seal *seal)
{
    struct states next;
    struct alb_status st = states_decode(seal->text, seal->text_size, &next);

    if (alb_failed(st))
        return st;
    states_release(&b->states);
    b->states = next;
    return st;
}

/* What the seal holds is put to use, or nothing changes. */
static struct alb_status understand(struct policy_book *b, enum policy_part part,
                                    const struct policy_seal *seal)
{
    switch (part) {
    case POLICY_RULES: return read_rules(b, seal);
    case POLICY_OVERRIDES: return read_overrides(b, seal);
    case POLICY_STATES: return read_states(b, seal);
    }
    alb_unreachable();
}

const struct states *policy_book_states(const struct policy_book *b)
{
    return &b->states;
}

static void hold(struct policy_copy *c, const struct policy_seal *seal, const void *bytes,
                 size_t size, const struct sign_public *key)
{
    c->number = seal->number;
    c->issued_wall_s = seal->issued_wall_s;
    c->since_ns = loop_now_ns(c->book->options.loop);
    c->is_damaged = false;
    c->key = *key;
    buf_clear(&c->bytes);
    alb_ignore(buf_append(&c->bytes, bytes, size), "it was opened, so it is within the limit");
    if (c->part != POLICY_STATES) /* nobody's terms go by them */
        policy_book_look_soon(c->book);
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
                buf_peek(&c->bytes), buf_size(&c->bytes), NULL);
}

/* ---- what holds ------------------------------------------------------------------------------ */

const struct policy *policy_book_peek(const struct policy_book *b)
{
    policy_book_note_least(b);
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
