/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/told_book.c – reports of pulls, kept in the order they came and handed up. */
#include "transfer/told_book.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "transfer/record_keep.h"

enum { MOST_DEFAULT = 4096 };
#define PREFIX_DEFAULT "told/"
#define AGAIN_LEAST_NS (30 * NS_PER_S)
#define AGAIN_MOST_NS (600 * NS_PER_S)
#define ASK_TIMEOUT_NS (30 * NS_PER_S)

struct kept {
    struct told told;
    uint64_t record; /* the prefix and this, in hexadecimal */
    TAILQ_ENTRY(kept) link;
};
TAILQ_HEAD(kepts, kept);

struct told_taking {
    struct told_book *book; /* NULL: closed */
    struct job job;
    struct catalogue *catalogue;
    const char *prefix;
    struct kept **list; /* owned, as are its elements until they are kept */
    size_t count;
    void (*done)(void *arg, struct alb_status st); /* NULL: cancelled */
    void *arg;
    struct alb_status st;
    TAILQ_ENTRY(told_taking) link;
};

struct told_book {
    struct told_book_options options;
    struct kepts queue;
    size_t count, coming; /* coming: being written */
    uint64_t next_record;
    TAILQ_HEAD(, told_taking) takings;
    struct upstream_listener on_line;
    struct upstream_request *asking;
    size_t asked;   /* of the queue's first */
    bool is_single; /* one in a body, since the parent called a body wrong */
    struct timer timer;
    uint64_t again_ns;
    uint64_t delivered, dropped;
};

static void record_name(const char *prefix, uint64_t record, char out[CATALOGUE_NAME_MAX + 1])
{
    snprintf(out, CATALOGUE_NAME_MAX + 1, "%s%016" PRIx64, prefix, record);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void send_in(struct told_book *b, uint64_t most_ns)
{
    if (b->asking != NULL || TAILQ_EMPTY(&b->queue) || !upstream_is_up(b->options.upstream))
        return;
    timer_set_in(&b->timer, loop_random_between(b->options.loop, most_ns / 2, most_ns));
}

static void forget_first(struct told_book *b)
{
    struct kept *k = TAILQ_FIRST(&b->queue);
    char name[CATALOGUE_NAME_MAX + 1];

    record_name(b->options.prefix, k->record, name);
    if (b->options.catalogue != NULL)
        record_keep(b->options.loop, b->options.catalogue, name, NULL, 0, NULL);
    TAILQ_REMOVE(&b->queue, k, link);
    b->count--;
    free(k);
}

/* Which of several is wrong shows when each is sent alone. */
static void refused(struct told_book *b, const struct upstream_answer *answer)
{
    const struct told *t = &TAILQ_FIRST(&b->queue)->told;

    if (b->asked > 1) {
        b->is_single = true;
        return;
    }
    log_status(LOG_WARN, "told.refused", answer->st,
               "device=%s layer=%s parent_says=\"%s\" next=\"this report is dropped\"", t->device,
               t->layer, answer->message);
    b->dropped++;
    forget_first(b);
}

static void answered(void *arg, const struct upstream_answer *answer)
{
    struct told_book *b = arg;
    const size_t count = b->asked;

    b->asking = NULL;
    if (!alb_failed(answer->st)) {
        for (size_t i = 0; i < count; i++)
            forget_first(b);
        b->delivered += count;
        b->again_ns = 0;
        send_in(b, 0);
    } else if (answer->st.code == ALB_INVALID || answer->st.code == ALB_REFUSED) {
        refused(b, answer);
        send_in(b, 0);
    } else { /* nobody there, no room there, or an older parent that does not know of reports */
        b->again_ns = b->again_ns == 0 ? AGAIN_LEAST_NS : 2 * b->again_ns;
        if (b->again_ns > AGAIN_MOST_NS)
            b->again_ns = AGAIN_MOST_NS;
        send_in(b, b->again_ns);
    }
    b->asked = 0;
}

static void send_now(void *arg)
{
    struct told_book *b = arg;
    AUTO_FREE struct told *list = xcalloc(TOLD_MOST, sizeof *list);
    const size_t most = b->is_single ? 1 : TOLD_MOST;
    struct kept *k;
    struct buf body;
    size_t n = 0;

    if (b->asking != NULL || TAILQ_EMPTY(&b->queue) || !upstream_is_up(b->options.upstream))
        return;
    TAILQ_FOREACH(k, &b->queue, link)
    {
        if (n == most)
            break;
        list[n++] = k->told;
    }
    buf_init(&body, TOLD_BODY_MAX);
    struct alb_status st = told_encode(list, n, &body);
    alb_assert(!alb_failed(st)); /* 64 of the longest are 55 KiB */
    b->asked = n;
    b->asking = upstream_request(b->options.upstream,
                                 &(struct upstream_ask){.method = "POST",
                                                        .path = TOLD_PATH,
                                                        .body = buf_peek(&body),
                                                        .body_size = buf_size(&body),
                                                        .expect_bytes = 4096,
                                                        .timeout_ns = ASK_TIMEOUT_NS,
                                                        .fail_when_down = true,
                                                        .may_wait = true},
                                 answered, b);
    buf_release(&body);
}

static void on_up(struct upstream_listener *l)
{
    struct told_book *b = ALB_CONTAINER(l, struct told_book, on_line);

    b->is_single = false;
    send_in(b, b->options.herd_ns);
}

static void on_down(struct upstream_listener *l)
{
    struct told_book *b = ALB_CONTAINER(l, struct told_book, on_line);

    timer_stop(&b->timer); /* up() sets it again */
}

/* ---- taking ---------------------------------------------------------------------------------- */

static void taking_free(struct told_taking *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->list[i]);
    free(t->list);
    free(t);
}

static void write_run(struct job *job)
{
    struct told_taking *t = ALB_CONTAINER(job, struct told_taking, job);
    char name[CATALOGUE_NAME_MAX + 1];
    struct buf text;

    t->st = ALB_STATUS_OK;
    buf_init(&text, TOLD_BODY_MAX);
    for (size_t i = 0; i < t->count && !alb_failed(t->st); i++) {
        buf_clear(&text);
        record_name(t->prefix, t->list[i]->record, name);
        t->st = told_encode(&t->list[i]->told, 1, &text);
        if (!alb_failed(t->st))
            t->st = catalogue_swap(t->catalogue, name, CATALOGUE_ANY, buf_peek(&text),
                                   buf_size(&text), NULL);
    }
    buf_release(&text);
}

/* What could not be written is not kept, so whoever has it keeps it: a record or two that were
 * written all the same are read at the next start, and counted once at the hub. */
static void keep_all(struct told_book *b, struct told_taking *t)
{
    for (size_t i = 0; i < t->count; i++) {
        TAILQ_INSERT_TAIL(&b->queue, t->list[i], link);
        b->count++;
    }
    t->count = 0;
    if (!timer_is_set(&b->timer))
        send_in(b, b->options.rest_ns);
}

static void write_done(struct job *job)
{
    struct told_taking *t = ALB_CONTAINER(job, struct told_taking, job);
    struct told_book *b = t->book;
    void (*done)(void *arg, struct alb_status st) = t->done;
    void *arg = t->arg;
    const struct alb_status st = t->st;

    if (b != NULL) {
        TAILQ_REMOVE(&b->takings, t, link);
        b->coming -= t->count;
        if (!alb_failed(st))
            keep_all(b, t);
    }
    taking_free(t);
    if (b != NULL && done != NULL)
        done(arg, st);
}

/* Those that are being sent stay: they are about to be forgotten anyway. */
static void make_room(struct told_book *b, size_t count)
{
    while (b->asked == 0 && !TAILQ_EMPTY(&b->queue) &&
           b->count + b->coming + count > b->options.most) {
        forget_first(b);
        b->dropped++;
    }
}

static void nothing_to_write(struct job *job)
{
    (void)job; /* the answer alone is due, from the loop */
}

struct told_taking *told_book_take(struct told_book *b, const struct told *list, size_t count,
                                   void (*done)(void *arg, struct alb_status st), void *arg)
{
    struct told_taking *t = xalloc(sizeof *t);

    if (b->options.forgets_oldest)
        make_room(b, count);
    t->book = b;
    t->catalogue = b->options.catalogue;
    t->prefix = b->options.prefix;
    t->done = done;
    t->arg = arg;
    t->job = (struct job){.run = t->catalogue == NULL ? nothing_to_write : write_run,
                          .done = write_done,
                          .lane = JOB_ORDERED,
                          .work_bytes = 4096 * count};
    if (b->count + b->coming + count > b->options.most) {
        t->st = alb_fail(ALB_FULL, "too many reports of pulls are kept here already");
        t->job.run = nothing_to_write;
    } else {
        t->list = xcalloc(count, sizeof(struct kept *));
        for (size_t i = 0; i < count; i++) {
            t->list[i] = xalloc(sizeof *t->list[i]);
            t->list[i]->told = list[i];
            t->list[i]->record = b->options.by_number ? list[i].number : b->next_record++;
        }
        t->count = count;
        b->coming += count;
    }
    TAILQ_INSERT_TAIL(&b->takings, t, link);
    loop_submit(b->options.loop, &t->job);
    return t;
}

void told_book_cancel(struct told_taking *t)
{
    t->done = NULL;
}

/* ---- opening and closing --------------------------------------------------------------------- */

static bool read_one(void *arg, const char *name, const void *value, size_t size, uint64_t version)
{
    struct told_book *b = arg;
    AUTO_FREE struct told *list = xcalloc(TOLD_MOST, sizeof *list);
    size_t count = 0;

    (void)version;
    struct alb_status st = told_decode(value, size, list, &count);
    if (alb_failed(st) || count != 1) {
        log_status(LOG_WARN, "told.not_loaded", st, "name=%s next=\"left out\"", name);
        return true;
    }
    const uint64_t record = strtoull(name + strlen(b->options.prefix), NULL, 16);
    b->next_record = record + 1;
    if (b->count >= b->options.most)
        return true; /* it stays for a book that has room; its number is taken */
    struct kept *k = xalloc(sizeof *k);
    k->told = list[0];
    k->record = record;
    b->count++;
    TAILQ_INSERT_TAIL(&b->queue, k, link);
    return true;
}

struct told_book *told_book_open(const struct told_book_options *options)
{
    struct told_book *b = xalloc(sizeof *b);

    b->options = *options;
    if (b->options.most == 0)
        b->options.most = MOST_DEFAULT;
    if (b->options.prefix == NULL)
        b->options.prefix = PREFIX_DEFAULT;
    if (b->options.herd_ns < b->options.rest_ns)
        b->options.herd_ns = b->options.rest_ns;
    TAILQ_INIT(&b->queue);
    TAILQ_INIT(&b->takings);
    b->next_record = 1;
    timer_init(&b->timer, options->loop, send_now, b);
    if (options->catalogue != NULL) {
        struct alb_status st = catalogue_list(options->catalogue, b->options.prefix, read_one, b);
        if (alb_failed(st))
            log_status(LOG_WARN, "told.not_loaded", st, "next=\"those kept wait for a restart\"");
    }
    b->on_line = (struct upstream_listener){.up = on_up, .down = on_down};
    upstream_listen(options->upstream, &b->on_line);
    send_in(b, b->options.rest_ns);
    return b;
}

struct told_book *told_book_close(struct told_book *b)
{
    struct told_taking *t;
    struct kept *k;

    if (b == NULL)
        return NULL;
    timer_stop(&b->timer);
    upstream_unlisten(b->options.upstream, &b->on_line);
    if (b->asking != NULL)
        upstream_cancel(b->asking);
    while ((t = TAILQ_FIRST(&b->takings)) != NULL) {
        TAILQ_REMOVE(&b->takings, t, link);
        t->book = NULL;
    }
    while ((k = TAILQ_FIRST(&b->queue)) != NULL) {
        TAILQ_REMOVE(&b->queue, k, link);
        free(k);
    }
    free(b);
    return NULL;
}

size_t told_book_count_of(const struct told_book *b, const char *device)
{
    const struct told_taking *t;
    const struct kept *k;
    size_t n = 0;

    TAILQ_FOREACH(k, &b->queue, link)
    n += strcmp(k->told.device, device) == 0;
    TAILQ_FOREACH(t, &b->takings, link)
    for (size_t i = 0; i < t->count; i++)
        n += strcmp(t->list[i]->told.device, device) == 0;
    return n;
}

void told_book_figures(const struct told_book *b, struct told_book_figures *out)
{
    const struct kept *k;
    struct told_book_figures f = {
        .kept = b->count + b->coming, .delivered = b->delivered, .dropped = b->dropped};

    TAILQ_FOREACH(k, &b->queue, link)
    if (f.oldest_wall_s == 0 || k->told.ended_wall_s < f.oldest_wall_s)
        f.oldest_wall_s = k->told.ended_wall_s;
    *out = f;
}
