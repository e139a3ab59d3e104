/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/nearby_book.c – one machine's question, asked again when its answer may be another. */
#include "transfer/nearby_book.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "transfer/upstream.h"
#include "wire/json.h"

/* A parent that could not answer just now (503) is asked again after this. */
#define AGAIN_LEAST_NS (2 * NS_PER_S)
#define AGAIN_MOST_NS (10 * NS_PER_S)
#define SPENT_LEAST_NS (3600 * NS_PER_S) /* between two questions because a list is half spent */

enum { PATH_MOST = 2 << 10, ANSWER_MOST = NEARBY_BYTES_MAX + 512 };

TAILQ_HEAD(nearby_listeners, nearby_listener);

struct nearby_book {
    struct nearby_book_options options;
    char site[64]; /* of the certificate */
    struct nearby_shelf *shelf;
    struct nearby_shelf *own_shelf;    /* NULL: it is borrowed */
    struct nearby_question place;      /* where the machine is */
    struct nearby_head head;           /* which site that is   */
    bool is_answered;                  /* a parent said so, of this very place */
    struct nearby_listeners listeners; /* who is told */
    struct nearby_listener *next_told; /* while they are */
    struct digest told;                /* what the list said then; zero: there was none */
    struct timer tell, ask, spent;
    struct upstream *upstream;
    struct upstream_listener on_line;
    struct upstream_request *asking;
    struct log_limit refused_lines;
};

static void ask_now(void *book);
static void tell_all(void *book);

/* ---- what is known --------------------------------------------------------------------------- */

/* Before a parent was asked: by what was noted before, else by the certificate. */
static void guess_head(struct nearby_book *b)
{
    b->is_answered = false;
    if (nearby_shelf_locate(b->shelf, &b->place, &b->head))
        return;
    b->head = (struct nearby_head){.by = b->place.site[0] == '\0' ? NEARBY_BY_NONE
                                                                  : NEARBY_BY_CONFIGURED};
    memcpy(b->head.site, b->place.site, sizeof b->head.site);
}

struct nearby_book *nearby_book_open(const struct nearby_book_options *options)
{
    struct nearby_book *b = xalloc(sizeof *b);

    b->options = *options;
    (void)snprintf(b->site, sizeof b->site, "%s", options->site == NULL ? "" : options->site);
    b->options.site = b->site;
    if (options->shelf == NULL)
        b->own_shelf =
            nearby_shelf_open(&(struct nearby_shelf_options){.loop = options->loop,
                                                             .authority = options->authority,
                                                             .catalogue = options->catalogue,
                                                             .max_lists = NEARBY_BOOK_LISTS});
    b->shelf = options->shelf != NULL ? options->shelf : b->own_shelf;
    TAILQ_INIT(&b->listeners);
    timer_init(&b->tell, options->loop, tell_all, b);
    timer_init(&b->ask, options->loop, ask_now, b);
    timer_init(&b->spent, options->loop, ask_now, b);
    log_limit_init(&b->refused_lines, "nearby.refused");
    memcpy(b->place.site, b->site, sizeof b->place.site);
    guess_head(b);
    return b;
}

struct nearby_book *nearby_book_close(struct nearby_book *b)
{
    if (b == NULL)
        return NULL;
    timer_stop(&b->tell);
    timer_stop(&b->ask);
    timer_stop(&b->spent);
    upstream_cancel(b->asking);
    if (b->upstream != NULL)
        upstream_unlisten(b->upstream, &b->on_line);
    nearby_shelf_close(b->own_shelf);
    loop_bury(b->options.loop, free, b); /* a listener may have been told just now */
    return NULL;
}

const struct nearby *nearby_book_peek(const struct nearby_book *b)
{
    const struct nearby_shelved *list = nearby_shelf_find(b->shelf, b->head.site);

    return list == NULL ? NULL : &list->list;
}

const struct nearby_head *nearby_book_head(const struct nearby_book *b)
{
    return &b->head;
}

bool nearby_book_is_stale(const struct nearby_book *b)
{
    const struct nearby *list = nearby_book_peek(b);

    return !b->is_answered || b->head.is_stale || list == NULL || nearby_is_over(b->shelf, list);
}

/* ---- who is told ----------------------------------------------------------------------------- */

void nearby_book_listen(struct nearby_book *b, struct nearby_listener *l)
{
    TAILQ_INSERT_TAIL(&b->listeners, l, link);
}

void nearby_book_unlisten(struct nearby_book *b, struct nearby_listener *l)
{
    if (b->next_told == l)
        b->next_told = TAILQ_NEXT(l, link);
    TAILQ_REMOVE(&b->listeners, l, link);
}

static void list_digest(const struct nearby_book *b, struct digest *out)
{
    const struct nearby *list = nearby_book_peek(b);

    *out = (struct digest){{0}};
    if (list != NULL)
        nearby_digest(list, out);
}

static void tell_all(void *book)
{
    struct nearby_book *b = book;

    list_digest(b, &b->told);
    for (struct nearby_listener *l = TAILQ_FIRST(&b->listeners); l != NULL; l = b->next_told) {
        b->next_told = TAILQ_NEXT(l, link);
        l->changed(l);
    }
    b->next_told = NULL;
}

static void tell_soon(struct nearby_book *b)
{
    if (!timer_is_set(&b->tell))
        timer_set_in(&b->tell, 0);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void ask_within(struct nearby_book *b, uint64_t least_ns, uint64_t most_ns)
{
    if (!timer_is_set(&b->ask))
        timer_set_in(&b->ask, loop_random_between(b->options.loop, least_ns, most_ns));
}

/* Half of its time before it is over, whoever has it asks for the next. */
static void set_spent(struct nearby_book *b)
{
    const struct nearby *list = nearby_book_peek(b);
    uint64_t in_ns = SPENT_LEAST_NS;

    if (list == NULL)
        return;
    const int64_t half_s = list->issued_wall_s + (list->expires_wall_s - list->issued_wall_s) / 2;
    const int64_t left_s = half_s - loop_wall_s(b->options.loop);
    if (left_s > 0 && left_s < 2 * (int64_t)NEARBY_LIFETIME_S)
        in_ns += (uint64_t)left_s * NS_PER_S;
    timer_set_in(&b->spent, loop_random_between(b->options.loop, in_ns - in_ns / 10, in_ns));
}

static void note_refused(struct nearby_book *b, struct alb_status st)
{
    if (log_limit_passes(&b->refused_lines, loop_now_ns(b->options.loop)))
        log_status(LOG_ERROR, "nearby.refused", st, "site=%s",
                   b->head.site[0] == '\0' ? "-" : b->head.site);
}

/* The line, then a list unless ours is the newest. */
static struct alb_status take(struct nearby_book *b, const struct upstream_answer *answer)
{
    const struct nearby_head before = b->head;
    struct nearby_shelved *list = NULL;
    struct nearby_head head;
    struct digest says;
    bool is_another = false; /* than on the shelf, where a child's question may have put it first */
    size_t used;
    struct alb_status st = nearby_head_read(answer->body, answer->size, &head, &used);

    if (alb_failed(st))
        return st;
    if (used < answer->size)
        st = nearby_shelf_take(b->shelf, answer->body + used, answer->size - used, &list,
                               &is_another);
    else if ((list = nearby_shelf_find(b->shelf, head.site)) == NULL)
        st = alb_fail(ALB_IO, "the parent says that we have a list that is not here");
    if (alb_failed(st))
        return st;
    if (list == NULL || strcmp(list->list.site, head.site) != 0)
        return alb_fail(ALB_CORRUPT, "the parent answered with the list of another site");
    /* An event that came while this was on its way may concern it: it is asked for again. */
    list->is_fresh = !head.is_stale && !timer_is_set(&b->ask);
    if (!head.is_stale)
        nearby_shelf_note(b->shelf, &b->place, &head);
    b->head = head;
    list_digest(b, &says);
    if (!digest_equal(&says, &b->told) || !b->is_answered || before.is_stale != head.is_stale ||
        strcmp(before.site, head.site) != 0 || before.by != head.by)
        tell_soon(b);
    b->is_answered = true;
    return st;
}

static void came(void *arg, const struct upstream_answer *answer)
{
    struct nearby_book *b = arg;

    b->asking = NULL;
    if (alb_failed(answer->st)) { /* 404: a parent that is older than lists */
        if (answer->status != 404)
            ask_within(b, AGAIN_LEAST_NS, AGAIN_MOST_NS);
        return;
    }
    const struct alb_status st = take(b, answer);
    if (alb_failed(st))
        note_refused(b, st);
    set_spent(b);
}

static void ask_now(void *book)
{
    struct nearby_book *b = book;
    struct nearby_question q = b->place;
    struct buf path;

    timer_stop(&b->ask);
    if (b->upstream == NULL || !upstream_is_up(b->upstream))
        return;
    upstream_cancel(b->asking);
    b->asking = NULL;
    q.after = nearby_shelf_number(b->shelf, nearby_shelf_find(b->shelf, b->head.site));
    buf_init(&path, PATH_MOST);
    if (!alb_failed(nearby_question_write(&q, &path)))
        b->asking = upstream_request(b->upstream,
                                     &(struct upstream_ask){.method = "GET",
                                                            .path = buf_text(&path),
                                                            .expect_bytes = ANSWER_MOST,
                                                            .fail_when_down = true,
                                                            .may_wait = b->is_answered},
                                     came, b);
    buf_release(&path);
}

static void ask_soon(struct nearby_book *b)
{
    if (nearby_book_peek(b) == NULL || !b->is_answered)
        ask_now(b);
    else
        ask_within(b, 0, NEARBY_BOOK_JITTER_NS);
}

static void on_up(struct upstream_listener *l)
{
    ask_soon(ALB_CONTAINER(l, struct nearby_book, on_line));
}

static void on_down(struct upstream_listener *l)
{
    struct nearby_book *b = ALB_CONTAINER(l, struct nearby_book, on_line);

    timer_stop(&b->ask);
}

void nearby_book_follow(struct nearby_book *b, struct upstream *u)
{
    b->upstream = u;
    b->on_line = (struct upstream_listener){.up = on_up, .down = on_down};
    upstream_listen(u, &b->on_line);
    ask_now(b);
}

static void question_of(const struct nearby_book *b, const struct net_place *place,
                        struct nearby_question *q)
{
    *q = (struct nearby_question){.after = 0};
    if (place == NULL || !place->has_vpn || !b->options.roams)
        memcpy(q->site, b->site, sizeof q->site);
    if (place == NULL)
        return;
    for (size_t i = 0; i < place->address_count && i < NEARBY_ASK_ADDRESSES; i++)
        memcpy(q->addresses[q->address_count++], place->addresses[i], sizeof q->addresses[0]);
    for (size_t i = 0; i < place->gateway_count && i < NEARBY_ASK_GATEWAYS; i++)
        memcpy(q->gateways[q->gateway_count++].bytes, place->gateways[i], sizeof q->gateways[0]);
}

void nearby_book_where(struct nearby_book *b, const struct net_place *place)
{
    struct nearby_question q;

    question_of(b, place, &q);
    if (memcmp(&q, &b->place, sizeof q) == 0)
        return;
    b->place = q;
    guess_head(b);
    tell_soon(b);
    ask_now(b);
}

/* Is the site one of the words? */
static bool is_named(const char *words, const char *site)
{
    const size_t size = strlen(site);

    for (const char *at = words; *at != '\0'; at += strcspn(at, " ")) {
        at += strspn(at, " ");
        if (size > 0 && strcspn(at, " ") == size && strncmp(at, site, size) == 0)
            return true;
    }
    return false;
}

bool nearby_book_hear(struct nearby_book *b, const char *line)
{
    static const char WORD[] = "nearby";
    const char *rest = line + sizeof WORD - 1;

    if (strncmp(line, WORD, sizeof WORD - 1) != 0 || (*rest != '\0' && *rest != ' '))
        return false;
    if (*rest == '\0' || is_named(rest, b->head.site))
        ask_within(b, 0, NEARBY_BOOK_JITTER_NS);
    return true;
}

void nearby_book_refresh(struct nearby_book *b)
{
    ask_soon(b);
}

/* ---- shown ----------------------------------------------------------------------------------- */

void nearby_book_show(const struct nearby_book *b, struct json_writer *w)
{
    const struct nearby *list = nearby_book_peek(b);

    json_object_begin(w, "nearby");
    json_text(w, "at", b->head.site);
    json_text(w, "by", nearby_by_word(b->head.by));
    json_text(w, "what", b->head.what);
    json_bool(w, "stale", nearby_book_is_stale(b));
    if (list != NULL)
        nearby_show(list, w);
    json_end(w);
}
