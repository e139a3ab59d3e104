/* SPDX-License-Identifier: Apache-2.0 */
/* hub/roster.c – presence that outlasts the hub: notes of who changed, written by a job.
 *
 * A note waits in `due` until a job takes it, and for a minute after that in `resting`; what
 * changes meanwhile is written then.
 */
#include "hub/roster.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "hub/device.h"
#include "hub/hub_impl.h"

enum {
    BATCH = 64,
    NOTES_MOST = ROSTER_HUB_DEVICES, /* of more, the newest are dropped, and counted */
    VALUE_MOST = ANNOUNCE_ONE_MAX,
    SESSIONS_PER_S = 100, /* that should come back: handshakes for a tenth of a core */
};
#define REST_NS (60 * NS_PER_S)

struct note {
    struct chunk_key key;
    char device[64];
    struct buf value; /* the next; empty: nothing new */
    bool is_resting;
    uint64_t rested_ns;
    TAILQ_ENTRY(note) link;
};
TAILQ_HEAD(notes, note);

struct hub_presences {
    struct hub *hub;
    struct roster_listener listener;
    struct map by_device;
    struct notes due, resting;
    size_t count, due_count;
    struct timer timer; /* the first of `resting` has rested */
    bool is_writing, is_stopped;
    struct presences_figures figures;
};

static void on_rested(void *arg);
static void write_some(struct hub_presences *p);
static struct note *note_of(struct hub_presences *p, const char *device);

/* ---- what is kept ---------------------------------------------------------------------------- */

/* "1 SEEN WORD VIA", a newline, and the announcement without what it serves.  What it holds is
 * kept, so that nobody wakes a machine for what it has. */
static struct alb_status encode(const struct hub *h, const struct roster_entry *e, struct buf *out)
{
    struct announce a = *e->announce;
    struct json_writer *w;
    const char *word = announce_goes_word(a.goes);

    a.goes = ANNOUNCE_STAYS;
    a.serves = NULL;
    a.since_wall_s = 0; /* each line has another: not worth a write */
    struct alb_status st =
        buf_printf(out, "1 %lld %s %s\n", (long long)loop_wall_s(h->options.loop),
                   word[0] == '\0' ? "here" : word, e->via);
    if (alb_failed(st))
        return st;
    w = json_writer_new();
    announce_write(&a, NULL, w);
    return json_writer_finish(w, out);
}

struct alb_status presence_decode(const void *value, size_t size, struct presence *out)
{
    const char *end = memchr(value, '\n', size);
    const size_t line = end == NULL ? 0 : (size_t)(end - (const char *)value);
    struct presence p = {.seen_wall_s = 0};
    char text[128], word[8];
    long long seen;

    if (end == NULL || line >= sizeof text)
        return alb_fail(ALB_CORRUPT, "a record of presence");
    memcpy(text, value, line);
    text[line] = '\0';
    if (sscanf(text, "1 %lld %7s %63s", &seen, word, p.via) != 3)
        return alb_fail(ALB_CORRUPT, "a record of presence");
    p.seen_wall_s = seen;
    for (enum announce_goes i = ANNOUNCE_BYE; i <= ANNOUNCE_LOST; i++)
        if (strcmp(word, announce_goes_word(i)) == 0)
            p.goes = i;
    struct alb_status st = announce_read(end + 1, size - line - 1, &p.announce);
    if (alb_failed(st))
        return alb_fail(ALB_CORRUPT, "the announcement in a record of presence");
    *out = p;
    return ALB_STATUS_OK;
}

void presence_release(struct presence *p)
{
    free(p->announce);
    *p = (struct presence){.announce = NULL};
}

static void name_of(const char *device, char out[CATALOGUE_NAME_MAX + 1])
{
    (void)snprintf(out, CATALOGUE_NAME_MAX + 1, "presence/%s", device);
}

struct alb_status presence_read(struct catalogue *c, const char *device, struct presence *out)
{
    char name[CATALOGUE_NAME_MAX + 1];
    uint64_t version;
    struct buf value;

    name_of(device, name);
    buf_init(&value, CATALOGUE_VALUE_MAX);
    struct alb_status st = catalogue_get(c, name, &value, &version);
    if (!alb_failed(st))
        st = presence_decode(buf_peek(&value), buf_size(&value), out);
    buf_release(&value);
    return st;
}

struct visiting {
    presence_visit visit;
    void *arg;
};

static bool visit_one(void *arg, const char *name, const void *value, size_t size, uint64_t version)
{
    const struct visiting *v = arg;
    struct presence p = {.announce = NULL};

    (void)name;
    (void)version;
    if (alb_failed(presence_decode(value, size, &p)))
        return true;
    const bool goes_on = v->visit(v->arg, &p);
    presence_release(&p);
    return goes_on;
}

struct alb_status presence_each(struct catalogue *c, presence_visit visit, void *arg)
{
    struct visiting v = {visit, arg};

    return catalogue_list(c, "presence/", visit_one, &v);
}

/* ---- writing --------------------------------------------------------------------------------- */

struct written {
    char device[64];
    struct buf value;
    bool has_failed;
};

struct presence_task {
    struct hub_task task; /* first */
    struct hub_presences *owner;
    struct written list[BATCH];
    size_t count, written, unchanged, strangers, failed;
    struct alb_status why;
};

/* All but the time. */
static bool says_the_same(const struct buf *a, const struct buf *b)
{
    size_t x = 2, y = 2;

    while (x < buf_size(a) && buf_peek(a)[x] != ' ')
        x++;
    while (y < buf_size(b) && buf_peek(b)[y] != ' ')
        y++;
    return x < buf_size(a) && y < buf_size(b) && buf_size(a) - x == buf_size(b) - y &&
           memcmp(buf_peek(a) + x, buf_peek(b) + y, buf_size(a) - x) == 0;
}

/* A reflector may claim anybody; of whom nobody enrolled nothing is kept. */
static struct alb_status look_up(struct catalogue *c, const char *device, bool *is_ours)
{
    struct device_record d;
    const struct alb_status st = device_read(c, device, &d, NULL);

    *is_ours = st.code != ALB_NOT_FOUND;
    return *is_ours ? st : ALB_STATUS_OK;
}

static void write_one(struct presence_task *t, struct written *one)
{
    struct catalogue *c = t->task.hub->options.catalogue;
    char name[CATALOGUE_NAME_MAX + 1];
    struct buf before;
    uint64_t version;
    bool is_ours = true;

    name_of(one->device, name);
    buf_init(&before, CATALOGUE_VALUE_MAX);
    struct alb_status st = catalogue_get(c, name, &before, &version);
    if (!alb_failed(st) && buf_size(&before) > 2 && says_the_same(&before, &one->value)) {
        t->unchanged++;
    } else {
        st = look_up(c, one->device, &is_ours);
        if (!alb_failed(st) && is_ours)
            st = catalogue_swap(c, name, CATALOGUE_ANY, buf_peek(&one->value),
                                buf_size(&one->value), &version);
        t->strangers += !is_ours;
        t->written += is_ours && !alb_failed(st);
        t->failed += alb_failed(st);
        one->has_failed = alb_failed(st);
        if (alb_failed(st))
            t->why = st;
    }
    buf_release(&before);
}

static void write_run(struct hub_task *task)
{
    struct presence_task *t = (struct presence_task *)task;

    for (size_t i = 0; i < t->count; i++)
        write_one(t, &t->list[i]);
}

static void write_release(struct hub_task *task)
{
    struct presence_task *t = (struct presence_task *)task;

    for (size_t i = 0; i < t->count; i++)
        buf_release(&t->list[i].value);
}

/* What could not be written is written with the next change, or when it has rested; where something
 * newer waits already, that is. */
static void give_back(struct hub_presences *p, struct written *one)
{
    struct note *n = note_of(p, one->device);

    if (n == NULL || buf_size(&n->value) > 0)
        return;
    buf_release(&n->value);
    n->value = one->value;
    buf_init(&one->value, VALUE_MOST);
}

static void write_done(struct hub_task *task)
{
    struct presence_task *t = (struct presence_task *)task;
    struct hub_presences *p = t->owner;

    p->figures.written += t->written;
    p->figures.unchanged += t->unchanged;
    p->figures.strangers += t->strangers;
    p->figures.failed += t->failed;
    for (size_t i = 0; i < t->count; i++)
        if (t->list[i].has_failed)
            give_back(p, &t->list[i]);
    if (t->failed > 0)
        log_status(LOG_WARN, "presence.not_kept", t->why, "devices=%zu next=\"in a minute\"",
                   t->failed);
    p->is_writing = false;
    hub_task_end(task);
    write_some(p);
}

static void rest(struct hub_presences *p, struct note *n)
{
    n->is_resting = true;
    n->rested_ns = loop_now_ns(p->hub->options.loop) + REST_NS;
    TAILQ_INSERT_TAIL(&p->resting, n, link);
    if (!timer_is_set(&p->timer))
        timer_set(&p->timer, TAILQ_FIRST(&p->resting)->rested_ns);
}

static void write_some(struct hub_presences *p)
{
    struct presence_task *t;
    struct note *n;

    if (p->is_writing || p->is_stopped || TAILQ_EMPTY(&p->due))
        return;
    p->is_writing = true;
    t = hub_task_new(p->hub, NULL, sizeof *t);
    t->owner = p;
    while (t->count < BATCH && (n = TAILQ_FIRST(&p->due)) != NULL) {
        struct written *one = &t->list[t->count++];
        memcpy(one->device, n->device, sizeof one->device);
        one->value = n->value;
        buf_init(&n->value, VALUE_MOST);
        TAILQ_REMOVE(&p->due, n, link);
        p->due_count--;
        rest(p, n);
    }
    t->task.run = write_run;
    t->task.after = write_done;
    t->task.release = write_release;
    hub_task_start(&t->task, JOB_SHARED, 64 << 10);
}

/* ---- notes ----------------------------------------------------------------------------------- */

static void forget(struct hub_presences *p, struct note *n)
{
    (void)map_remove(&p->by_device, &n->key);
    buf_release(&n->value);
    free(n);
    p->count--;
}

static void on_rested(void *arg)
{
    struct hub_presences *p = arg;
    const uint64_t now_ns = loop_now_ns(p->hub->options.loop);
    struct note *n;

    while ((n = TAILQ_FIRST(&p->resting)) != NULL && n->rested_ns <= now_ns) {
        TAILQ_REMOVE(&p->resting, n, link);
        n->is_resting = false;
        if (buf_size(&n->value) == 0) {
            forget(p, n);
            continue;
        }
        TAILQ_INSERT_TAIL(&p->due, n, link);
        p->due_count++;
    }
    if (n != NULL)
        timer_set(&p->timer, n->rested_ns);
    write_some(p);
}

static struct note *note_of(struct hub_presences *p, const char *device)
{
    const struct chunk_key key = map_text_key(device);
    struct note *n = map_get(&p->by_device, &key);

    if (n != NULL)
        return n;
    if (p->count == NOTES_MOST) {
        p->figures.dropped++;
        return NULL;
    }
    n = xalloc(sizeof *n);
    n->key = key;
    (void)snprintf(n->device, sizeof n->device, "%s", device);
    buf_init(&n->value, VALUE_MOST);
    (void)map_put(&p->by_device, &key, n);
    TAILQ_INSERT_TAIL(&p->due, n, link);
    p->due_count++;
    p->count++;
    return n;
}

struct alb_status presence_due(const struct hub *h, const char *device, struct presence *out)
{
    const struct chunk_key key = map_text_key(device);
    const struct note *n = map_get(&h->presences->by_device, &key);

    if (n == NULL || buf_size(&n->value) == 0)
        return alb_fail(ALB_NOT_FOUND, "nothing of it is to be written");
    return presence_decode(buf_peek(&n->value), buf_size(&n->value), out);
}

static void told(struct roster_listener *l, enum roster_news news, const struct roster_entry *e,
                 const struct announce *before)
{
    struct hub_presences *p = ALB_CONTAINER(l, struct hub_presences, listener);

    if (p->is_stopped)
        return;
    if (news == ROSTER_CHANGED && announce_is_same_place(before, e->announce) &&
        announce_is_same_layers(before, e->announce) &&
        strcmp(before->upstream, e->announce->upstream) == 0)
        return;
    struct note *n = note_of(p, e->announce->device);
    if (n == NULL)
        return;
    buf_clear(&n->value);
    if (alb_failed(encode(p->hub, e, &n->value)))
        buf_clear(&n->value); /* larger than any announcement may be: cannot be */
    write_some(p);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

void hub_open_roster(struct hub *h)
{
    struct hub_presences *p = xalloc(sizeof *p);

    h->roster = roster_new(
        &(struct roster_options){.loop = h->options.loop, .max_devices = ROSTER_HUB_DEVICES});
    roster_serve(h->roster, h->serve);
    serve_set_spread(h->serve, SESSIONS_PER_S);
    p->hub = h;
    map_init(&p->by_device);
    TAILQ_INIT(&p->due);
    TAILQ_INIT(&p->resting);
    timer_init(&p->timer, h->options.loop, on_rested, p);
    p->listener.told = told;
    roster_listen(h->roster, &p->listener);
    h->presences = p;
}

void hub_stop_roster(struct hub *h)
{
    if (h->presences == NULL)
        return;
    h->presences->is_stopped = true;
    timer_stop(&h->presences->timer);
}

static void forget_all(struct hub_presences *p, struct notes *list)
{
    struct note *n;

    while ((n = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, n, link);
        forget(p, n);
    }
}

void hub_close_roster(struct hub *h)
{
    struct hub_presences *p = h->presences;

    if (p == NULL)
        return;
    hub_stop_roster(h);
    roster_unlisten(h->roster, &p->listener);
    h->roster = roster_free(h->roster);
    forget_all(p, &p->due);
    forget_all(p, &p->resting);
    map_release(&p->by_device);
    h->presences = NULL;
    free(p);
}

void hub_presences_figures(const struct hub *h, struct presences_figures *out)
{
    *out = h->presences->figures;
    out->waiting = h->presences->due_count;
}
