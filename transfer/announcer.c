/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/announcer.c – what changed since the parent heard of it, told in bodies, one at a time.
 *
 *     REST ──line up──> ALL, in parts ──taken──> REST ──something changed, 500 ms──> SOME ──> REST
 *      │                  ^    │                                                      │
 *      └──15 min──> COUNT ┘409 └─ 507, 503 … ─30–60 s─> ALL <─────────────────────────┘
 */
#include "transfer/announcer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "wire/json.h"

#define RETRY_LEAST_NS (30 * NS_PER_S)
#define RETRY_MOST_NS (60 * NS_PER_S)
#define GOODBYE_NS (2 * NS_PER_S)
#define ASK_TIMEOUT_NS (60 * NS_PER_S)
enum { PATH_SIZE = 64, ANSWER_MOST = 16 << 10 };
enum { CHANGES_MOST = 2 * ROSTER_REFLECTOR_DEVICES }; /* of more, all is told */
/* A body may be so large before the last device is added, and hold so many. */
enum { BODY_ENOUGH = ANNOUNCE_BODY_MAX - 2 * ANNOUNCE_ONE_MAX, DEVICES_ENOUGH = 512 };

/* Somebody behind us of whom the parent is to hear. */
struct change {
    struct chunk_key key;
    char device[64];
    bool is_reflector;
    enum announce_goes goes; /* its last word, if it went */
    TAILQ_ENTRY(change) link;
};
TAILQ_HEAD(changes, change);

enum saying { SAYING_NOTHING, SAYING_SOME, SAYING_LAST /* of all */, SAYING_COUNT };

struct announcer {
    struct announcer_options options;
    struct announce *own; /* owned; NULL: nothing is said yet */
    struct upstream_listener on_line;
    struct roster_listener on_roster;
    struct timer due; /* gathering, resting, or about to try again */
    struct changes changes;
    struct map by_device;
    size_t change_count;
    bool own_changed, owes_all;
    bool is_in_round; /* parts of all were said, not the last; of what was not, `changes` are */
    bool is_deaf;     /* the parent: it does not know the request */
    bool has_left;    /* last words were said: nothing more until it is back … */
    bool is_over;     /* … and after a bye it never is                         */
    int64_t since_wall_s;
    enum saying saying;
    struct upstream_request *asking;
    size_t body_size;
    loop_fn left;
    void *left_arg;
    struct timer leaving;
    struct announcer_figures figures;
};

static void on_due(void *arg);
static void on_line_up(struct upstream_listener *l);
static void on_line_down(struct upstream_listener *l);
static void on_roster(struct roster_listener *l, enum roster_news news,
                      const struct roster_entry *e, const struct announce *before);
static void on_leaving_over(void *arg);
static void answered(void *arg, const struct upstream_answer *answer);

struct announcer *announcer_new(const struct announcer_options *options)
{
    struct announcer *a = xalloc(sizeof *a);

    a->options = *options;
    TAILQ_INIT(&a->changes);
    map_init(&a->by_device);
    timer_init(&a->due, options->loop, on_due, a);
    timer_init(&a->leaving, options->loop, on_leaving_over, a);
    a->on_line = (struct upstream_listener){.up = on_line_up, .down = on_line_down};
    upstream_listen(options->upstream, &a->on_line);
    a->on_roster = (struct roster_listener){.told = on_roster};
    if (options->roster != NULL)
        roster_listen(options->roster, &a->on_roster);
    return a;
}

static void unlink_change(struct announcer *a, struct change *c)
{
    TAILQ_REMOVE(&a->changes, c, link);
    (void)map_remove(&a->by_device, &c->key);
    a->change_count--;
}

static void forget_changes(struct announcer *a)
{
    struct change *c;

    while ((c = TAILQ_FIRST(&a->changes)) != NULL) {
        unlink_change(a, c);
        free(c);
    }
}

struct announcer *announcer_free(struct announcer *a)
{
    if (a == NULL)
        return NULL;
    if (a->asking != NULL)
        upstream_cancel(a->asking);
    upstream_unlisten(a->options.upstream, &a->on_line);
    if (a->options.roster != NULL)
        roster_unlisten(a->options.roster, &a->on_roster);
    timer_stop(&a->due);
    timer_stop(&a->leaving);
    forget_changes(a);
    map_release(&a->by_device);
    free(a->own);
    free(a);
    return NULL;
}

/* ---- what there is to say -------------------------------------------------------------------- */

static bool may_say(const struct announcer *a)
{
    return a->own != NULL && !a->is_deaf && !a->has_left && upstream_is_up(a->options.upstream);
}

/* Soon, unless it is being gathered already. */
static void gather(struct announcer *a)
{
    const uint64_t at_ns = loop_now_ns(a->options.loop) + ANNOUNCER_GATHER_NS;

    if (!may_say(a) || a->asking != NULL || (timer_is_set(&a->due) && a->due.at_ns <= at_ns))
        return;
    timer_set(&a->due, at_ns);
}

static void rest(struct announcer *a)
{
    timer_set_in(&a->due,
                 loop_random_between(a->options.loop, ANNOUNCER_AGAIN_NS - ANNOUNCER_AGAIN_NS / 10,
                                     ANNOUNCER_AGAIN_NS + ANNOUNCER_AGAIN_NS / 10));
}

static void note_change(struct announcer *a, const struct announce *about, enum announce_goes goes)
{
    const struct chunk_key key = map_text_key(about->device);
    struct change *c = map_get(&a->by_device, &key);

    if (c == NULL) {
        c = xalloc(sizeof *c);
        c->key = key;
        (void)snprintf(c->device, sizeof c->device, "%s", about->device);
        (void)map_put(&a->by_device, &key, c);
        TAILQ_INSERT_TAIL(&a->changes, c, link);
        a->change_count++;
    }
    c->is_reflector = about->is_reflector;
    c->goes = goes;
}

static void on_roster(struct roster_listener *l, enum roster_news news,
                      const struct roster_entry *e, const struct announce *before)
{
    struct announcer *a = ALB_CONTAINER(l, struct announcer, on_roster);

    (void)before;
    if (!may_say(a) || (a->owes_all && !a->is_in_round))
        return; /* all of it is told then */
    note_change(a, e->announce, news == ROSTER_WENT ? e->announce->goes : ANNOUNCE_STAYS);
    if (a->change_count > CHANGES_MOST && !a->is_in_round) {
        forget_changes(a);
        a->owes_all = true;
    }
    gather(a);
}

/* ---- the own entry --------------------------------------------------------------------------- */

static void note_parent(struct announcer *a, struct announce *own)
{
    const struct identity *parent = upstream_parent(a->options.upstream, 0);

    own->upstream[0] = '\0';
    own->upstream_is_hub = parent != NULL && parent->role == ROLE_HUB;
    if (parent != NULL)
        (void)snprintf(own->upstream, sizeof own->upstream, "%s", parent->device);
}

void announcer_set_own(struct announcer *a, const struct announce *own)
{
    if (a->is_over)
        return; /* a card moved, or a driver answered, while the program ends */
    struct announce *next = announce_copy(own);
    const bool was_away = a->own == NULL || a->has_left;

    next->goes = ANNOUNCE_STAYS;
    next->since_wall_s = a->since_wall_s;
    note_parent(a, next);
    const bool is_same = a->own != NULL && announce_is_same(a->own, next);
    free(a->own);
    a->own = next;
    a->has_left = false;
    if (was_away)
        on_line_up(&a->on_line);
    if (is_same)
        return;
    a->own_changed = true;
    gather(a);
}

const struct announce *announcer_own(const struct announcer *a)
{
    return a->own;
}

/* Each line has a later time than the one before, even where the clock was set back. */
static void on_line_up(struct upstream_listener *l)
{
    struct announcer *a = ALB_CONTAINER(l, struct announcer, on_line);
    const int64_t now_wall_s = loop_wall_s(a->options.loop);

    a->is_deaf = false;
    a->since_wall_s = now_wall_s > a->since_wall_s ? now_wall_s : a->since_wall_s + 1;
    if (a->own == NULL || !upstream_is_up(a->options.upstream))
        return;
    a->own->since_wall_s = a->since_wall_s;
    note_parent(a, a->own);
    a->owes_all = true;
    timer_set_in(&a->due, 0);
}

static void on_line_down(struct upstream_listener *l)
{
    struct announcer *a = ALB_CONTAINER(l, struct announcer, on_line);

    if (a->asking != NULL)
        upstream_cancel(a->asking);
    a->asking = NULL;
    a->saying = SAYING_NOTHING;
    a->is_in_round = false;
    timer_stop(&a->due);
    forget_changes(a);
}

/* ---- bodies ---------------------------------------------------------------------------------- */

/* At most so many changes as one body may hold, taken off the list. */
static void take_batch(struct announcer *a, struct changes *batch)
{
    size_t bytes = announcer_size_of(a->own), count = 1;
    struct change *c;

    TAILQ_INIT(batch);
    while ((c = TAILQ_FIRST(&a->changes)) != NULL && count < DEVICES_ENOUGH &&
           bytes < BODY_ENOUGH) {
        const struct roster_entry *e = roster_find(a->options.roster, c->device);
        bytes += e == NULL ? sizeof c->device + 64 : announcer_size_of(e->announce);
        count++;
        unlink_change(a, c);
        TAILQ_INSERT_TAIL(batch, c, link);
    }
}

/* Who is here, and who said a last word. */
static void write_one(const struct announcer *a, struct change *c, struct json_writer *w)
{
    const struct roster_entry *e = roster_find(a->options.roster, c->device);
    struct announce last = {.is_reflector = c->is_reflector, .goes = c->goes};

    if (e != NULL) {
        c->goes = ANNOUNCE_STAYS;
        announce_write(e->announce, NULL, w);
    } else if (c->goes == ANNOUNCE_BYE || c->goes == ANNOUNCE_SLEEP) {
        (void)snprintf(last.device, sizeof last.device, "%s", c->device);
        announce_write(&last, NULL, w);
    } else {
        c->goes = ANNOUNCE_LOST;
    }
}

static void write_batch(const struct announcer *a, bool with_own, struct changes *batch,
                        struct buf *body)
{
    struct json_writer *w = json_writer_new();
    struct change *c;

    json_object_begin(w, NULL);
    json_array_begin(w, "devices");
    if (with_own)
        announce_write(a->own, NULL, w);
    TAILQ_FOREACH(c, batch, link)
    write_one(a, c, w);
    json_end(w);
    json_array_begin(w, "gone");
    while ((c = TAILQ_FIRST(batch)) != NULL) {
        if (c->goes == ANNOUNCE_LOST)
            json_text(w, NULL, c->device);
        TAILQ_REMOVE(batch, c, link);
        free(c);
    }
    json_end(w);
    json_end(w);
    alb_ignore(json_writer_finish(w, body), "bounded above; an empty body is refused and logged");
}

static void ask(struct announcer *a, enum saying saying, const char *path, const struct buf *body)
{
    const struct upstream_ask question = {.method = "POST",
                                          .path = path,
                                          .body = buf_peek(body),
                                          .body_size = buf_size(body),
                                          .expect_bytes = ANSWER_MOST,
                                          .timeout_ns = ASK_TIMEOUT_NS,
                                          .may_wait = true};

    a->saying = saying;
    a->body_size = buf_size(body);
    timer_stop(&a->due);
    a->asking = upstream_request(a->options.upstream, &question, answered, a);
}

static void say_changes(struct announcer *a)
{
    const bool with_own = a->own_changed;
    const char *path = "/v1/announce";
    struct changes batch;
    struct buf body;

    a->own_changed = false;
    buf_init(&body, ANNOUNCE_BODY_MAX);
    take_batch(a, &batch);
    write_batch(a, with_own, &batch, &body);
    const bool is_last = a->is_in_round && TAILQ_EMPTY(&a->changes);
    if (a->is_in_round)
        path = is_last ? "/v1/announce?all=1" : "/v1/announce?all=1&more=1";
    ask(a, is_last ? SAYING_LAST : SAYING_SOME, path, &body);
    buf_release(&body);
}

static void say_count(struct announcer *a)
{
    struct roster_figures f = {.devices = 0};
    char path[PATH_SIZE];
    struct buf none;

    if (a->options.roster != NULL)
        roster_figures(a->options.roster, &f);
    (void)snprintf(path, sizeof path, "/v1/announce?count=%zu", f.devices + 1);
    buf_init(&none, 1);
    ask(a, SAYING_COUNT, path, &none);
    buf_release(&none);
    a->figures.counts++;
}

static bool add_each(void *arg, const struct roster_entry *e)
{
    note_change(arg, e->announce, ANNOUNCE_STAYS);
    return true;
}

static void begin_round(struct announcer *a)
{
    forget_changes(a);
    a->is_in_round = true;
    a->own_changed = true;
    if (a->options.roster != NULL)
        roster_each(a->options.roster, NULL, add_each, a);
}

static void on_due(void *arg)
{
    struct announcer *a = arg;

    if (!may_say(a) || a->asking != NULL)
        return;
    if (a->owes_all && !a->is_in_round)
        begin_round(a);
    if (a->own_changed || a->is_in_round || !TAILQ_EMPTY(&a->changes))
        say_changes(a);
    else
        say_count(a);
}

/* ---- what the parent makes of it ------------------------------------------------------------- */

static void fail(struct announcer *a, const struct upstream_answer *answer)
{
    const bool is_refusal = answer->status == 400 || answer->status == 403;
    char text[128], quoted[LOG_TEXT_SIZE];

    a->figures.failures++;
    (void)snprintf(a->figures.why, sizeof a->figures.why, "%.127s",
                   answer->message[0] != '\0' ? answer->message
                                              : alb_status_text(answer->st, text, sizeof text));
    log_event(is_refusal ? LOG_WARN : LOG_INFO, "announce.failed", "status=%u why=%s",
              answer->status, log_text(a->figures.why, quoted));
    a->is_in_round = false;
    a->owes_all = true;
    a->is_deaf = answer->status == 404;
    if (is_refusal)
        rest(a);
    else if (!a->is_deaf)
        timer_set_in(&a->due, loop_random_between(a->options.loop, RETRY_LEAST_NS, RETRY_MOST_NS));
}

static void answered(void *arg, const struct upstream_answer *answer)
{
    struct announcer *a = arg;
    const enum saying said = a->saying;

    a->asking = NULL;
    a->saying = SAYING_NOTHING;
    if (said == SAYING_COUNT && answer->status == 409) {
        a->owes_all = true;
        timer_set_in(&a->due, 0);
        return;
    }
    if (alb_failed(answer->st)) {
        fail(a, answer);
        return;
    }
    a->figures.why[0] = '\0';
    a->figures.bodies += said != SAYING_COUNT;
    a->figures.bytes += a->body_size;
    if (said == SAYING_LAST) {
        a->is_in_round = false;
        a->owes_all = false;
    }
    rest(a);
    if (a->is_in_round)
        timer_set_in(&a->due, 0);
    else if (a->own_changed || !TAILQ_EMPTY(&a->changes))
        gather(a);
}

/* ---- last words ------------------------------------------------------------------------------ */

static void on_leaving_over(void *arg)
{
    struct announcer *a = arg;
    loop_fn left = a->left;

    if (a->asking != NULL)
        upstream_cancel(a->asking);
    a->asking = NULL;
    a->left = NULL;
    if (left != NULL)
        left(a->left_arg);
}

static void goodbye_taken(void *arg, const struct upstream_answer *answer)
{
    struct announcer *a = arg;

    (void)answer; /* whoever did not hear it hears that the session ends */
    a->asking = NULL;
    timer_set_in(&a->leaving, 0);
}

static void write_goodbye(struct announcer *a, enum announce_goes goes, struct buf *body)
{
    struct json_writer *w = json_writer_new();

    a->own->goes = goes;
    json_object_begin(w, NULL);
    json_array_begin(w, "devices");
    announce_write(a->own, NULL, w);
    json_end(w);
    json_end(w);
    alb_ignore(json_writer_finish(w, body), "one device is small");
}

void announcer_say_goodbye(struct announcer *a, enum announce_goes goes, loop_fn done, void *arg)
{
    const bool can_say = may_say(a);
    struct upstream_ask question = {.method = "POST",
                                    .path = "/v1/announce",
                                    .expect_bytes = ANSWER_MOST,
                                    .timeout_ns = GOODBYE_NS};
    struct buf body;

    on_line_down(&a->on_line);
    a->left = done;
    a->left_arg = arg;
    a->has_left = true;
    a->is_over = goes == ANNOUNCE_BYE;
    timer_set_in(&a->leaving, can_say ? GOODBYE_NS : 0);
    if (!can_say)
        return;
    buf_init(&body, ANNOUNCE_ONE_MAX);
    write_goodbye(a, goes, &body);
    question.body = buf_peek(&body);
    question.body_size = buf_size(&body);
    a->asking = upstream_request(a->options.upstream, &question, goodbye_taken, a);
    buf_release(&body);
}

void announcer_figures(const struct announcer *a, struct announcer_figures *out)
{
    *out = a->figures;
}
