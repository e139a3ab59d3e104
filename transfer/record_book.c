/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/record_book.c – one entry per name; the journey of a question:
 *
 *     memory (fresh, or never changing) → told
 *     with a parent:     never changing → CATALOGUE → PARENT → KEEP, told
 *                        head, deltas   → (CATALOGUE, once) → PARENT → KEEP, told
 *                                         cut off, or not believed → told stale
 *     without a parent:  CATALOGUE → told
 */
#include "transfer/record_book.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "transfer/record_keep.h"
#include "wire/delta_set.h"

enum { ENTRIES_MAX = 8192 };
#define FRESH_DEFAULT_NS (5 * NS_PER_S)
#define PARENT_TIMEOUT_NS (20 * NS_PER_S) /* shorter than our own askers' patience, 60 s */

TAILQ_HEAD(record_waits, record_wait);

struct record_entry {
    struct record_book *book;
    char *name;
    struct buf bytes;  /* what is held; empty: nothing */
    uint64_t asked_ns; /* when `bytes` were last confirmed; 0: never */
    bool is_mutable, is_busy, is_todo;
    bool was_read; /* the catalogue has said what it kept of something mutable */
    struct record_waits waits;
    unsigned turn; /* grows with each telling: who asks meanwhile belongs to the next */
    struct upstream_request *request;
    TAILQ_ENTRY(record_entry) link; /* in the book's todo */
};
TAILQ_HEAD(record_entries, record_entry);

/* A look into the catalogue on a worker. */
struct record_job {
    struct job job;
    struct record_book *book; /* NULL once the book is gone */
    struct catalogue *catalogue;
    char name[CATALOGUE_NAME_MAX + 1];
    struct buf bytes;
    struct alb_status st;
    TAILQ_ENTRY(record_job) link;
};
TAILQ_HEAD(record_jobs, record_job);

struct record_book {
    struct record_book_options options;
    struct map entries;
    struct record_jobs jobs;
    struct record_entries todo; /* asked for, and nobody at work on it */
    struct timer soon;          /* … which happens from here           */
    bool is_over;
};

static void see_to(struct record_book *b, struct record_entry *e);
static void look(struct record_book *b, struct record_entry *e);
static void ask_parent(struct record_book *b, struct record_entry *e);
static void parent_answered(void *arg, const struct upstream_answer *answer);
static void take_bytes(struct record_book *b, struct record_entry *e,
                       const struct upstream_answer *answer);
static void read_catalogue(struct record_book *b, struct record_entry *e);
static void catalogue_read(struct record_book *b, struct record_job *job);
static void tell(struct record_entry *e, struct alb_status st, bool is_stale);
static void tell_known(void *arg);

struct record_book *record_book_new(const struct record_book_options *options)
{
    struct record_book *b = xalloc(sizeof *b);

    b->options = *options;
    if (b->options.fresh_ns == 0)
        b->options.fresh_ns = FRESH_DEFAULT_NS;
    map_init(&b->entries);
    TAILQ_INIT(&b->jobs);
    TAILQ_INIT(&b->todo);
    timer_init(&b->soon, options->loop, tell_known, b);
    return b;
}

static void free_entry(struct record_entry *e)
{
    struct record_wait *w;

    while ((w = TAILQ_FIRST(&e->waits)) != NULL) {
        TAILQ_REMOVE(&e->waits, w, link);
        w->entry = NULL;
    }
    upstream_cancel(e->request);
    buf_release(&e->bytes);
    free(e->name);
    free(e);
}

static bool free_each(void *arg, const struct chunk_key *key, void *value)
{
    (void)arg;
    (void)key;
    free_entry(value);
    return true;
}

struct record_book *record_book_free(struct record_book *b)
{
    struct record_job *job;

    if (b == NULL)
        return NULL;
    b->is_over = true;
    timer_stop(&b->soon);
    TAILQ_FOREACH(job, &b->jobs, link)
    job->book = NULL;
    map_each(&b->entries, free_each, NULL);
    map_release(&b->entries);
    loop_bury(b->options.loop, free, b);
    return NULL;
}

static bool drop_idle(void *arg, const struct chunk_key *key, void *value)
{
    struct record_entry *e = value, **victim = arg;

    (void)key;
    if (!e->is_busy && !e->is_todo)
        *victim = e;
    return *victim == NULL;
}

static void drop_entry(struct record_book *b, struct record_entry *e)
{
    const struct chunk_key key = map_text_key(e->name);

    map_remove(&b->entries, &key);
    free_entry(e);
}

static bool begins(const char *name, const char *kind)
{
    return strncmp(name, kind, strlen(kind)) == 0;
}

static struct record_entry *entry_of(struct record_book *b, const char *name)
{
    const struct chunk_key key = map_text_key(name);
    struct record_entry *e = map_get(&b->entries, &key), *victim = NULL;

    if (e != NULL)
        return e;
    if (b->entries.count >= ENTRIES_MAX)
        map_each(&b->entries, drop_idle, &victim);
    if (victim != NULL)
        drop_entry(b, victim);
    e = xalloc(sizeof *e);
    e->book = b;
    e->name = xstrdup(name);
    e->is_mutable = begins(name, "head/") || begins(name, "deltas/");
    buf_init(&e->bytes, SIGNED_MAX);
    TAILQ_INIT(&e->waits);
    map_put(&b->entries, &key, e);
    return e;
}

void record_book_get(struct record_book *b, const char *name, struct record_wait *w)
{
    struct record_entry *e = entry_of(b, name);

    w->entry = e;
    w->turn = e->turn;
    TAILQ_INSERT_TAIL(&e->waits, w, link);
    see_to(b, e);
}

static void see_to(struct record_book *b, struct record_entry *e)
{
    if (e->is_busy || e->is_todo)
        return;
    e->is_todo = true;
    TAILQ_INSERT_TAIL(&b->todo, e, link);
    if (!timer_is_set(&b->soon))
        timer_set_in(&b->soon, 0);
}

void record_book_leave(struct record_book *b, struct record_wait *w)
{
    (void)b;
    if (w->entry != NULL)
        TAILQ_REMOVE(&w->entry->waits, w, link);
    w->entry = NULL;
}

static bool forget_each(void *arg, const struct chunk_key *key, void *value)
{
    struct record_entry *e = value;

    (void)arg;
    (void)key;
    if (e->is_mutable)
        e->asked_ns = 0;
    return true;
}

void record_book_forget(struct record_book *b, const char *name)
{
    if (name == NULL) {
        map_each(&b->entries, forget_each, NULL);
        return;
    }
    const struct chunk_key key = map_text_key(name);
    struct record_entry *e = map_get(&b->entries, &key);
    if (e != NULL)
        e->asked_ns = 0;
}

/* ---- the journey ---------------------------------------------------------------------------- */

static void tell_known(void *arg)
{
    struct record_book *b = arg;
    struct record_entries todo;
    struct record_entry *e;

    /* Those who ask again from done() form a new list. */
    TAILQ_INIT(&todo);
    TAILQ_CONCAT(&todo, &b->todo, link);
    while (!b->is_over && (e = TAILQ_FIRST(&todo)) != NULL) {
        TAILQ_REMOVE(&todo, e, link);
        e->is_todo = false;
        look(b, e);
    }
}

static bool is_sound(const char *name)
{
    return strlen(name) <= CATALOGUE_NAME_MAX &&
           (begins(name, "head/") || begins(name, "record/") || begins(name, "deltas/"));
}

static bool is_known(const struct record_book *b, const struct record_entry *e)
{
    uint64_t now_ns = loop_now_ns(b->options.loop);

    if (buf_size(&e->bytes) == 0 || e->asked_ns == 0)
        return false;
    if (b->options.upstream == NULL)
        return false; /* the catalogue is the truth and may have changed */
    return !e->is_mutable || now_ns - e->asked_ns < b->options.fresh_ns;
}

static void look(struct record_book *b, struct record_entry *e)
{
    const bool has_parent = b->options.upstream != NULL;

    e->is_busy = true; /* until told, so that nobody drops it */
    if (!is_sound(e->name))
        tell(e, alb_fail(ALB_INVALID, "no such kind of record"), false);
    else if (TAILQ_EMPTY(&e->waits) || is_known(b, e))
        tell(e, ALB_STATUS_OK, false); /* when all have left, this only tidies up */
    else if (b->options.catalogue != NULL && !(has_parent && e->is_mutable && e->was_read))
        read_catalogue(b, e);
    else if (has_parent)
        ask_parent(b, e);
    else
        tell(e, alb_fail(ALB_NOT_FOUND, "no such record here"), false);
}

static void ask_parent(struct record_book *b, struct record_entry *e)
{
    char path[CATALOGUE_NAME_MAX + 8];
    const struct upstream_ask ask = {.method = "GET",
                                     .path = path,
                                     .expect_bytes = SIGNED_MAX,
                                     .timeout_ns = PARENT_TIMEOUT_NS,
                                     .fail_when_down = true};

    snprintf(path, sizeof path, "/v1/%s", e->name);
    e->request = upstream_request(b->options.upstream, &ask, parent_answered, e);
}

static const char *layer_of(const char *name, char *out, size_t size)
{
    const char *start = strchr(name, '/');
    size_t length = start == NULL ? 0 : strcspn(start + 1, "@");

    snprintf(out, size, "%.*s", (int)length, start == NULL ? "" : start + 1);
    return out;
}

static struct alb_status judge_head(struct record_entry *e, const struct upstream_answer *answer)
{
    struct authority *authority = e->book->options.authority;
    char layer[NAME_MAX_SIZE];
    struct head head, held;
    struct alb_status st =
        head_decode(answer->body, answer->size, authority_trust(authority), &head);

    if (alb_failed(st))
        return st;
    if (strcmp(head.layer, layer_of(e->name, layer, sizeof layer)) != 0)
        return alb_fail(ALB_CORRUPT, "the parent sent the head of another layer");
    if (buf_size(&e->bytes) > 0 && !alb_failed(head_decode(buf_peek(&e->bytes), buf_size(&e->bytes),
                                                           authority_trust(authority), &held))) {
        if (held.sequence > head.sequence)
            return alb_fail(ALB_REFUSED, "the parent sent an older head than the one held here");
        if (held.sequence == head.sequence && !digest_equal(&held.record, &head.record))
            return alb_fail(ALB_REFUSED, "the parent sent a second head of the same sequence");
    }
    authority_saw_time(authority, head.issued_wall_s);
    return ALB_STATUS_OK;
}

/* The root that "…@root:HEX" names. */
static bool root_of(const char *name, struct digest *out)
{
    const char *which = strchr(name, '@');

    return which != NULL && begins(which, "@root:") && !alb_failed(digest_parse(which + 6, out));
}

static struct alb_status judge_deltas(const struct record_entry *e,
                                      const struct upstream_answer *answer)
{
    char layer[NAME_MAX_SIZE];
    struct digest to;

    if (!root_of(e->name, &to))
        return alb_fail(ALB_INVALID, "delta sets are asked for as LAYER@root:HEX");
    return delta_set_list_judge(answer->body, answer->size,
                                authority_trust(e->book->options.authority),
                                layer_of(e->name, layer, sizeof layer), &to);
}

static struct alb_status judge_delta(const struct record_entry *e,
                                     const struct upstream_answer *answer)
{
    char layer[NAME_MAX_SIZE];
    struct delta_set_record record;
    struct digest set;
    struct alb_status st = delta_set_record_decode(
        answer->body, answer->size, authority_trust(e->book->options.authority), &record);

    if (!alb_failed(st) && (!root_of(e->name, &set) || !digest_equal(&set, &record.set) ||
                            strcmp(record.layer, layer_of(e->name, layer, sizeof layer)) != 0))
        st = alb_fail(ALB_CORRUPT, "the parent sent the record of another delta set");
    return st;
}

/* Does the record answer the question that was asked? */
static struct alb_status judge_version(const struct record_entry *e,
                                       const struct upstream_answer *answer)
{
    const char *which = strchr(e->name, '@');
    char layer[NAME_MAX_SIZE], hex[DIGEST_HEX_SIZE];
    struct version_record record;
    struct digest digest;
    const struct trust *trust = authority_trust(e->book->options.authority);
    bool is_it = false;

    if (trust == NULL) /* record_decode() would not judge it at all */
        return alb_fail(ALB_REFUSED, "there is no trust file yet to judge a version record by");
    struct alb_status st = record_decode(answer->body, answer->size, trust, &record);
    if (alb_failed(st))
        return st;
    sha256(answer->body, answer->size, &digest);
    if (which != NULL && strncmp(which, "@sha256:", 8) == 0)
        is_it = strcmp(which + 8, digest_hex(&digest, hex)) == 0;
    else if (which != NULL && strncmp(which, "@root:", 6) == 0)
        is_it = strcmp(which + 6, digest_hex(&record.root, hex)) == 0;
    else if (which != NULL)
        is_it = strcmp(which + 1, record.version) == 0;
    if (!is_it || strcmp(record.layer, layer_of(e->name, layer, sizeof layer)) != 0)
        return alb_fail(ALB_CORRUPT, "the parent sent another version record than asked for");
    return ALB_STATUS_OK;
}

static struct alb_status judge(struct record_entry *e, const struct upstream_answer *answer)
{
    if (begins(e->name, "head/"))
        return judge_head(e, answer);
    if (begins(e->name, "deltas/"))
        return judge_deltas(e, answer);
    return delta_set_is_record(answer->body, answer->size) ? judge_delta(e, answer)
                                                           : judge_version(e, answer);
}

static void read_run(struct job *job)
{
    struct record_job *j = ALB_CONTAINER(job, struct record_job, job);

    j->st = catalogue_get(j->catalogue, j->name, &j->bytes, NULL);
}

static void read_done(struct job *job)
{
    struct record_job *j = ALB_CONTAINER(job, struct record_job, job);

    if (j->book != NULL) {
        TAILQ_REMOVE(&j->book->jobs, j, link);
        catalogue_read(j->book, j);
    }
    buf_release(&j->bytes);
    free(j);
}

static void keep(struct record_book *b, const char *name, const struct buf *bytes)
{
    record_keep(b->options.loop, b->options.catalogue, name, buf_peek(bytes), buf_size(bytes),
                NULL);
}

/* A record that came by its digest or root is also what its version's name means: cut off from the
 * parent, `pull LAYER@VERSION` finds it here. */
static void keep_by_version(struct record_book *b, const struct record_entry *e)
{
    char name[CATALOGUE_NAME_MAX + 1];
    struct version_record record;
    struct alb_status st = record_decode(buf_peek(&e->bytes), buf_size(&e->bytes),
                                         authority_trust(b->options.authority), &record);

    if (alb_failed(st))
        return; /* it was judged a moment ago; only a new trust file can change that */
    snprintf(name, sizeof name, "record/%s@%.100s", record.layer, record.version);
    if (strcmp(name, e->name) != 0)
        keep(b, name, &e->bytes);
}

static void parent_answered(void *arg, const struct upstream_answer *answer)
{
    struct record_entry *e = arg;
    struct record_book *b = e->book;
    struct alb_status st = answer->st;

    e->request = NULL;
    if (!alb_failed(st))
        st = judge(e, answer);
    if (!alb_failed(st)) {
        e->asked_ns = loop_now_ns(b->options.loop);
        take_bytes(b, e, answer);
        tell(e, ALB_STATUS_OK, false);
        return;
    }
    if (st.code == ALB_CORRUPT || st.code == ALB_REFUSED)
        log_status(LOG_WARN, "record.refused", st, "name=%s", e->name);
    if (st.code != ALB_NOT_FOUND && buf_size(&e->bytes) > 0)
        tell(e, ALB_STATUS_OK, true);
    else
        tell(e, st, false);
}

/* Most answers confirm what is held: nothing to write then. */
static void take_bytes(struct record_book *b, struct record_entry *e,
                       const struct upstream_answer *answer)
{
    if (buf_size(&e->bytes) == answer->size &&
        memcmp(buf_peek(&e->bytes), answer->body, answer->size) == 0)
        return;
    buf_clear(&e->bytes);
    alb_ignore(buf_append(&e->bytes, answer->body, answer->size), "bounded by expect_bytes");
    if (b->options.catalogue == NULL)
        return;
    keep(b, e->name, &e->bytes);
    if (!e->is_mutable)
        keep_by_version(b, e);
}

static void read_catalogue(struct record_book *b, struct record_entry *e)
{
    struct record_job *j = xalloc(sizeof *j);

    j->book = b;
    j->catalogue = b->options.catalogue;
    snprintf(j->name, sizeof j->name, "%s", e->name);
    buf_init(&j->bytes, SIGNED_MAX);
    j->job =
        (struct job){.run = read_run, .done = read_done, .lane = JOB_SHARED, .work_bytes = 4096};
    TAILQ_INSERT_TAIL(&b->jobs, j, link);
    loop_submit(b->options.loop, &j->job);
}

static void catalogue_read(struct record_book *b, struct record_job *job)
{
    const struct chunk_key key = map_text_key(job->name);
    struct record_entry *e = map_get(&b->entries, &key);

    alb_assert(e != NULL && e->is_busy); /* busy entries are not dropped */
    const bool has_parent = b->options.upstream != NULL;
    if (!alb_failed(job->st)) {
        buf_clear(&e->bytes);
        alb_ignore(buf_append(&e->bytes, buf_peek(&job->bytes), buf_size(&job->bytes)),
                   "same limit");
        if (!e->is_mutable)
            e->asked_ns = loop_now_ns(b->options.loop);
    }
    e->was_read = true;
    if (has_parent && (e->is_mutable || alb_failed(job->st)))
        ask_parent(b, e);
    else
        tell(e, job->st, false);
}

static void tell(struct record_entry *e, struct alb_status st, bool is_stale)
{
    struct record_book *b = e->book;
    const unsigned turn = e->turn++;
    struct record_wait *w;

    /* Any of them may ask again, make others leave, or free the book. */
    while (!b->is_over && (w = TAILQ_FIRST(&e->waits)) != NULL && w->turn == turn) {
        TAILQ_REMOVE(&e->waits, w, link);
        w->entry = NULL;
        w->done(w, st, buf_peek(&e->bytes), alb_failed(st) ? 0 : buf_size(&e->bytes), is_stale);
    }
    if (b->is_over)
        return;
    e->is_busy = false;
    if (!TAILQ_EMPTY(&e->waits))
        see_to(b, e);
    else if (buf_size(&e->bytes) == 0)
        drop_entry(b, e); /* a name that stands for nothing takes no place */
}
