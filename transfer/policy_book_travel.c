/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/policy_book_travel.c – from the parent, and on to those below. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "transfer/policy_book_impl.h"
#include "transfer/serve.h"
#include "wire/token.h"

/* Documents up to this size travel in the event, as revocation lists do (feed_revoked.h): on a busy
 * line a question and its answer each wait behind what is under way. */
enum { SAID_MAX = 3 << 10 };
/* A parent that could not answer just now (503) is asked again after this. */
#define AGAIN_LEAST_NS (2 * NS_PER_S)
#define AGAIN_MOST_NS (10 * NS_PER_S)

/* A large document comes in parts, for it comes before everything else: one as large as a thin line
 * takes in seconds, and between two it is everybody else's as long as the last one took. */
enum { PART_LEAST = 8 << 10, PART_MOST = 256 << 10 };
#define PART_SOON_NS (250 * NS_PER_MS) /* whoever is so fast gets twice as much */

static void ask(struct policy_copy *c);

/* ---- from the parent ------------------------------------------------------------------------- */

static void note_refused(struct policy_book *b, enum policy_part part, struct alb_status st)
{
    if (log_limit_passes(&b->refused_lines, loop_now_ns(b->options.loop)))
        log_status(LOG_ERROR, "policy.refused", st, "name=%s held=%" PRIu64, policy_part_name(part),
                   policy_book_number(b, part));
}

static void forget_parts(struct policy_copy *c)
{
    buf_clear(&c->parts);
    c->part_size = PART_LEAST;
}

/* A parent that knows no parts sends all of it each time, and that may be as large as a part. */
static bool is_again(const struct policy_copy *c, const struct upstream_answer *answer)
{
    return answer->size > 0 && answer->size == buf_size(&c->parts) &&
           memcmp(answer->body, buf_peek(&c->parts), answer->size) == 0;
}

/* … and any other size, at once. */
static bool is_last(const struct policy_copy *c, const struct upstream_answer *answer)
{
    return answer->size != c->part_size;
}

static void await_next(struct policy_copy *c)
{
    const uint64_t took_ns = loop_now_ns(c->book->options.loop) - c->asked_ns;

    if (took_ns < PART_SOON_NS && c->part_size < PART_MOST)
        c->part_size *= 2;
    timer_set_in(&c->next, took_ns);
}

/* What does not verify may be parts of two: then it is asked for once more. */
static void take_whole(struct policy_copy *c, bool is_in_parts)
{
    struct policy_book *b = c->book;
    struct alb_status st = policy_book_take(b, c->part, buf_peek(&c->parts), buf_size(&c->parts));

    if (alb_failed(st))
        note_refused(b, c->part, st);
    if (alb_failed(st) && is_in_parts && !c->was_torn)
        c->ask_again = c->was_torn = true;
    else
        c->was_torn = false;
}

static void take_part(struct policy_copy *c, const struct upstream_answer *answer)
{
    const bool is_in_parts = buf_size(&c->parts) > 0;

    if (!is_again(c, answer) && !alb_failed(buf_append(&c->parts, answer->body, answer->size)) &&
        !is_last(c, answer)) {
        await_next(c);
        return;
    }
    take_whole(c, is_in_parts);
    forget_parts(c);
}

static void came(void *arg, const struct upstream_answer *answer)
{
    struct policy_copy *c = arg;
    struct policy_book *b = c->book;

    c->asking = NULL;
    if (!alb_failed(answer->st))
        take_part(c, answer);
    else if (answer->status >= 400 && answer->status < 500)
        forget_parts(c);
    const bool again = c->ask_again && answer->status != 0; /* else the line coming up asks */
    if (timer_is_set(&c->next))
        return;
    c->ask_again = false;
    if (answer->status >= 500) {
        timer_set_in(&b->ask_again,
                     loop_random_between(b->options.loop, AGAIN_LEAST_NS, AGAIN_MOST_NS));
    }
    if (again)
        ask(c);
}

static void ask(struct policy_copy *c)
{
    struct policy_book *b = c->book;
    char path[128];
    const struct upstream_ask question = {.method = "GET",
                                          .path = path,
                                          .expect_bytes = SIGNED_MAX,
                                          .fail_when_down = true,
                                          .may_wait = policy_book_number(b, c->part) > 0};

    if (c->asking != NULL || timer_is_set(&c->next)) {
        c->ask_again = true;
        return;
    }
    if (c->part_size == 0)
        forget_parts(c);
    c->asked_ns = loop_now_ns(b->options.loop);
    snprintf(path, sizeof path, "/v1/%s?after=%" PRIu64 "&from=%zu&size=%zu",
             policy_part_name(c->part), policy_book_number(b, c->part), buf_size(&c->parts),
             c->part_size);
    c->asking = upstream_request(b->upstream, &question, came, c);
}

void policy_book_refresh(struct policy_book *b)
{
    if (b->upstream == NULL)
        return;
    for (int part = 0; part < POLICY_PARTS; part++)
        if (part != POLICY_STATES || !b->options.without_states)
            ask(&b->copies[part]);
}

static void on_again(void *book)
{
    policy_book_refresh(book);
}

static void on_up(struct upstream_listener *l)
{
    policy_book_refresh(ALB_CONTAINER(l, struct policy_book, listener));
}

static void on_down(struct upstream_listener *l)
{
    (void)l; /* what is held goes on being in force */
}

static void on_next(void *copy)
{
    ask(copy);
}

void policy_book_init_travel(struct policy_book *b)
{
    for (int part = 0; part < POLICY_PARTS; part++) {
        buf_init(&b->copies[part].parts, SIGNED_MAX);
        timer_init(&b->copies[part].next, b->options.loop, on_next, &b->copies[part]);
    }
    timer_init(&b->ask_again, b->options.loop, on_again, b);
}

void policy_book_follow(struct policy_book *b, struct upstream *u)
{
    b->upstream = u;
    b->listener = (struct upstream_listener){.up = on_up, .down = on_down};
    upstream_listen(u, &b->listener);
    if (upstream_is_up(u))
        policy_book_refresh(b);
}

void policy_book_stop_travel(struct policy_book *b)
{
    timer_stop(&b->ask_again);
    for (int part = 0; part < POLICY_PARTS; part++) {
        timer_stop(&b->copies[part].next);
        buf_release(&b->copies[part].parts);
    }
    if (b->upstream == NULL)
        return;
    upstream_unlisten(b->upstream, &b->listener);
    for (int part = 0; part < POLICY_PARTS; part++)
        upstream_cancel(b->copies[part].asking);
    b->upstream = NULL;
}

/* ---- events ---------------------------------------------------------------------------------- */

void policy_book_say(const struct policy_book *b, enum policy_part part, struct feed *f)
{
    char line[FEED_LINE_MAX];
    size_t size = 0;
    const uint8_t *bytes = policy_book_bytes(b, part, &size);
    int n = snprintf(line, sizeof line, "%s", policy_part_name(part));

    if (size > 0 && size <= SAID_MAX) {
        line[n++] = ' ';
        base64url_encode(bytes, size, line + n);
    }
    feed_say(f, line);
}

/* What does not verify may be signed by a key that a trust file on its way names. */
static void hear_part(struct policy_copy *c, const char *rest)
{
    uint8_t bytes[SAID_MAX];
    size_t size = 0;

    if (*rest == '\0' || alb_failed(base64url_decode(rest + 1, bytes, sizeof bytes, &size)) ||
        alb_failed(policy_book_take(c->book, c->part, bytes, size)))
        if (c->book->upstream != NULL)
            ask(c);
}

bool policy_book_hear(struct policy_book *b, const char *line)
{
    for (int part = 0; part < POLICY_PARTS; part++) {
        const char *word = policy_part_name((enum policy_part)part);
        const size_t n = strlen(word);

        if (strncmp(line, word, n) == 0 && (line[n] == '\0' || line[n] == ' ')) {
            if (part != POLICY_STATES || !b->options.without_states)
                hear_part(&b->copies[part], line + n);
            return true;
        }
    }
    return false;
}

/* ---- those below ask ------------------------------------------------------------------------- */

/* Who lies about it makes numbers skip ahead, by no more than this at a time. */
enum { SKIP_MAX = 1000000 };

static void hear_below(struct policy_book *b, enum policy_part part, uint64_t after,
                       const struct identity *who)
{
    const uint64_t held = policy_book_highest(b, part);
    struct policy_copy *c = &b->copies[part];

    if (b->upstream != NULL || who->role != ROLE_REFLECTOR || after <= held ||
        after - held > SKIP_MAX)
        return;
    if (!LIST_EMPTY(&b->readings)) /* it may be about to be in force here, too */
        return;
    c->said_below = after;
    log_event(LOG_WARN, "policy.behind",
              "name=%s held=%" PRIu64 " below=%" PRIu64 " device=%s what=\"a reflector has a newer "
              "one: was this hub restored from a backup? Set it again\"",
              policy_part_name(part), policy_book_number(b, part), after, who->device);
}

uint64_t policy_book_highest(const struct policy_book *b, enum policy_part part)
{
    const uint64_t number = policy_book_number(b, part);

    return b->copies[part].said_below > number ? b->copies[part].said_below : number;
}

/* Absent: `out` stays.  False: it is no number. */
static bool number_of(struct serve_request *rq, const char *name, uint64_t *out)
{
    char text[32];

    return !serve_query(rq, name, text, sizeof text) ||
           !alb_failed(parse_u64(text, SIGNED_MAX, out));
}

static void answer_part(struct policy_book *b, enum policy_part part, struct serve_request *rq)
{
    size_t size = 0;
    const uint8_t *bytes = policy_book_bytes(b, part, &size);
    char text[32];
    uint64_t after = 0;

    if (serve_query(rq, "after", text, sizeof text) &&
        alb_failed(parse_u64(text, INT64_MAX, &after))) {
        serve_refuse(rq, ALB_INVALID, "after: it is the number of the one you have");
        return;
    }
    hear_below(b, part, after, &rq->session->who);
    uint64_t from = 0, most = SIGNED_MAX;
    if (!number_of(rq, "from", &from) || !number_of(rq, "size", &most))
        serve_refuse(rq, ALB_INVALID, "from and size: they are numbers of bytes");
    else if (policy_book_number(b, part) <= after)
        serve_refuse(rq, ALB_NOT_FOUND, after == 0 ? "there is none yet" : "there is none newer");
    else {
        from = from < size ? from : size;
        serve_answer(rq, "application/octet-stream", bytes + from,
                     size - from < most ? size - from : most);
    }
}

static void answer_policy(void *book, struct serve_request *rq)
{
    answer_part(book, POLICY_RULES, rq);
}

static void answer_override(void *book, struct serve_request *rq)
{
    answer_part(book, POLICY_OVERRIDES, rq);
}

static void answer_states(void *book, struct serve_request *rq)
{
    answer_part(book, POLICY_STATES, rq);
}

void policy_book_serve(struct policy_book *b, struct serve *s)
{
    serve_set(s, ROUTE_POLICY, answer_policy, b);
    serve_set(s, ROUTE_OVERRIDE, answer_override, b);
    serve_set(s, ROUTE_STATES, answer_states, b);
}
