/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/root_book.c – one entry per root; the journey is drawn in the header. */
#include "transfer/root_book.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log_limit.h"
#include "base/log.h"
#include "base/map.h"
#include "chunk/codec.h"

enum { ROOTS_DEFAULT = 64, KEYS_MAX = 2 << 20 /* 74 MiB of list C */, REFUSED_MAX = 1024 };
/* As long as heads are fresh: who publishes what was asked for too early waits no longer. */
#define REFUSED_NS (5 * NS_PER_S)

TAILQ_HEAD(root_waits, root_wait);
TAILQ_HEAD(root_entries, root_entry);

struct part { /* one manifest chunk on its way */
    struct waiter waiter;
    struct root_entry *entry;
    struct chunk *chunk; /* a reference once it is here */
    bool is_waiting;
};

struct root_entry {
    struct root_book *book;
    struct root_view view;
    struct root_waits waits;
    struct record_wait record_wait;
    struct waiter root_waiter;
    struct part *parts;
    size_t parts_here;
    bool is_open, is_opening, is_telling, waits_record, waits_root;
    unsigned turn;        /* grows with each telling: who asks meanwhile belongs to the next */
    unsigned users;       /* views handed out and not closed */
    struct chunk_key key; /* layer and root: its name in the map */
    TAILQ_ENTRY(root_entry) link;
};

/* A root that is not to be had, so that asking again and again troubles nobody. */
struct refused_root {
    struct chunk_key key;
    struct alb_status st;
    uint64_t until_ns;
    TAILQ_ENTRY(refused_root) link;
};
TAILQ_HEAD(refused_roots, refused_root);

/* Decoding on a worker: sees copies and references only. */
struct decode {
    struct job job;
    struct root_entry *entry; /* NULL once the book is gone */
    struct chunk **chunks;
    struct root_chunk *expected;
    size_t count;
    uint64_t manifest_bytes;
    struct manifest_limits limits;
    struct manifest manifest;
    struct alb_status st;
    TAILQ_ENTRY(decode) link;
};
TAILQ_HEAD(decodes, decode);

struct root_book {
    struct root_book_options options;
    struct root_entries entries; /* most recently used first */
    struct map by_key, refused_by_key;
    struct refused_roots refused; /* oldest first */
    struct root_waits hearing;    /* who asked for one of those */
    size_t hearing_count;
    struct decodes decodes;
    size_t open_count, open_keys;
    struct timer soon;
    struct log_limit lines;
    bool is_over;
};

static void begin(struct root_entry *e);
static void record_came(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                        size_t size, bool is_stale);
static void root_came(struct waiter *w, struct alb_status st, struct chunk *chunk);
static void ask_parts(struct root_entry *e);
static void part_came(struct waiter *w, struct alb_status st, struct chunk *chunk);
static void decode_start(struct root_entry *e);
static void decode_run(struct job *job);
static void decode_done(struct job *job);
static void finish(struct root_entry *e, struct alb_status st);
static void tell(struct root_entry *e, struct alb_status st);
static void tell_open(void *arg);
static void drop_entry(struct root_entry *e);
static void drop_refused(struct root_book *b, struct refused_root *r);

struct root_book *root_book_new(const struct root_book_options *options)
{
    struct root_book *b = xalloc(sizeof *b);

    b->options = *options;
    if (b->options.max_roots == 0)
        b->options.max_roots = ROOTS_DEFAULT;
    TAILQ_INIT(&b->entries);
    TAILQ_INIT(&b->decodes);
    TAILQ_INIT(&b->refused);
    TAILQ_INIT(&b->hearing);
    map_init(&b->by_key);
    map_init(&b->refused_by_key);
    log_limit_init(&b->lines, "root.not_opened");
    timer_init(&b->soon, options->loop, tell_open, b);
    return b;
}

struct root_book *root_book_free(struct root_book *b)
{
    struct decode *d;

    if (b == NULL)
        return NULL;
    b->is_over = true;
    timer_stop(&b->soon);
    TAILQ_FOREACH(d, &b->decodes, link)
    d->entry = NULL;
    while (!TAILQ_EMPTY(&b->entries))
        drop_entry(TAILQ_FIRST(&b->entries));
    root_book_forget_refused(b);
    while (!TAILQ_EMPTY(&b->hearing))
        root_book_leave(b, TAILQ_FIRST(&b->hearing));
    map_release(&b->by_key);
    map_release(&b->refused_by_key);
    loop_bury(b->options.loop, free, b);
    return NULL;
}

static void release_parts(struct root_entry *e)
{
    for (size_t i = 0; e->parts != NULL && i < e->view.root.chunk_count; i++) {
        if (e->parts[i].is_waiting)
            supply_leave(e->book->options.supply, &e->parts[i].waiter);
        chunk_unref(e->parts[i].chunk);
    }
    free(e->parts);
    e->parts = NULL;
    e->parts_here = 0;
}

/* What an opening found so far, or all of an open root. */
static void release_view(struct root_entry *e)
{
    struct root_view *v = &e->view;

    root_release(&v->root);
    if (v->manifest != NULL) {
        manifest_release(v->manifest);
        free(v->manifest);
    } else {
        free(v->content_keys);
        free(v->content_raw_bytes);
    }
    v->root = (struct root){0};
    v->manifest = NULL;
    v->content_keys = NULL;
    v->content_raw_bytes = NULL;
    v->content_key_count = 0;
}

static void drop_entry(struct root_entry *e)
{
    struct root_wait *w;

    while ((w = TAILQ_FIRST(&e->waits)) != NULL) {
        TAILQ_REMOVE(&e->waits, w, link);
        w->entry = NULL;
    }
    TAILQ_REMOVE(&e->book->entries, e, link);
    (void)map_remove(&e->book->by_key, &e->key);
    if (e->is_open) {
        e->book->open_count--;
        e->book->open_keys -= e->view.content_key_count;
    }
    if (e->waits_record)
        record_book_leave(e->book->options.records, &e->record_wait);
    if (e->waits_root)
        supply_leave(e->book->options.supply, &e->root_waiter);
    release_parts(e);
    release_view(e);
    loop_bury(e->book->options.loop, free, e);
}

/* Only what has opened takes a place: a crowd of roots that do not exist displaces nothing. */
static void make_room(struct root_book *b)
{
    struct root_entry *e = TAILQ_LAST(&b->entries, root_entries), *before;

    for (; e != NULL && (b->open_count > b->options.max_roots || b->open_keys > KEYS_MAX);
         e = before) {
        before = TAILQ_PREV(e, root_entries, link);
        if (e->is_open && e->users == 0 && !e->is_telling && TAILQ_EMPTY(&e->waits))
            drop_entry(e);
    }
}

static struct chunk_key key_of(const char *layer, const struct digest *root)
{
    char text[NAME_MAX_SIZE + DIGEST_HEX_SIZE + 1], hex[DIGEST_HEX_SIZE];

    snprintf(text, sizeof text, "%s@%s", layer, digest_hex(root, hex));
    return map_text_key(text);
}

static struct root_entry *entry_of(struct root_book *b, const char *layer,
                                   const struct digest *root, const struct chunk_key *key)
{
    struct root_entry *e = map_get(&b->by_key, key);

    if (e != NULL) {
        TAILQ_REMOVE(&b->entries, e, link);
        TAILQ_INSERT_HEAD(&b->entries, e, link);
        return e;
    }
    e = xalloc(sizeof *e);
    e->book = b;
    e->key = *key;
    (void)map_put(&b->by_key, key, e);
    snprintf(e->view.layer, sizeof e->view.layer, "%s", layer);
    e->view.digest = *root;
    TAILQ_INIT(&e->waits);
    TAILQ_INSERT_HEAD(&b->entries, e, link);
    return e;
}

/* ---- what is not to be had ------------------------------------------------------------------ */

static void drop_refused(struct root_book *b, struct refused_root *r)
{
    TAILQ_REMOVE(&b->refused, r, link);
    (void)map_remove(&b->refused_by_key, &r->key);
    free(r);
}

/* A rule that will not change by itself, or a no: no line that was lost, no disk that failed. */
static bool is_final(enum alb_code code)
{
    return code == ALB_NOT_FOUND || code == ALB_CORRUPT || code == ALB_INVALID ||
           code == ALB_REFUSED;
}

static void remember_refused(struct root_book *b, const struct root_entry *e, struct alb_status st)
{
    struct refused_root *r;

    if (!is_final(st.code))
        return;
    if (b->refused_by_key.count >= REFUSED_MAX)
        drop_refused(b, TAILQ_FIRST(&b->refused));
    r = xalloc(sizeof *r);
    *r = (struct refused_root){
        .key = e->key, .st = st, .until_ns = loop_now_ns(b->options.loop) + REFUSED_NS};
    TAILQ_INSERT_TAIL(&b->refused, r, link);
    (void)map_put(&b->refused_by_key, &r->key, r);
}

/* NULL: none, or it is time to ask again. */
static struct refused_root *refused_of(struct root_book *b, const struct chunk_key *key)
{
    struct refused_root *r = map_get(&b->refused_by_key, key);

    if (r == NULL || loop_now_ns(b->options.loop) < r->until_ns)
        return r;
    drop_refused(b, r);
    return NULL;
}

void root_book_forget_refused(struct root_book *b)
{
    while (!TAILQ_EMPTY(&b->refused))
        drop_refused(b, TAILQ_FIRST(&b->refused));
}

/* ---- asking --------------------------------------------------------------------------------- */

static void tell_soon(struct root_book *b)
{
    if (!timer_is_set(&b->soon))
        timer_set_in(&b->soon, 0);
}

void root_book_open(struct root_book *b, const char *layer, const struct digest *root,
                    struct root_wait *w)
{
    const struct chunk_key key = key_of(layer, root);
    struct refused_root *r = refused_of(b, &key);

    w->entry = NULL;
    w->is_refused = r != NULL;
    if (r != NULL) {
        w->st = r->st;
        b->hearing_count++;
        TAILQ_INSERT_TAIL(&b->hearing, w, link);
        tell_soon(b);
        return;
    }
    struct root_entry *e = entry_of(b, layer, root, &key);
    w->entry = e;
    w->turn = e->turn;
    TAILQ_INSERT_TAIL(&e->waits, w, link);
    if (e->is_open)
        tell_soon(b);
    else if (!e->is_opening)
        begin(e);
}

bool root_book_is_open(const struct root_book *b, const char *layer, const struct digest *root)
{
    const struct chunk_key key = key_of(layer, root);
    const struct root_entry *e = map_get(&b->by_key, &key);

    return e != NULL && e->is_open;
}

void root_book_leave(struct root_book *b, struct root_wait *w)
{
    if (w->entry != NULL)
        TAILQ_REMOVE(&w->entry->waits, w, link);
    if (w->is_refused) {
        TAILQ_REMOVE(&b->hearing, w, link);
        b->hearing_count--;
    }
    w->entry = NULL;
    w->is_refused = false;
}

void root_book_close_view(struct root_book *b, const struct root_view *view)
{
    struct root_entry *e;

    TAILQ_FOREACH(e, &b->entries, link)
    {
        if (&e->view == view) {
            alb_assert(e->users > 0);
            e->users--;
            make_room(b);
            return;
        }
    }
}

/* As many as there are now: whoever asks again from done() waits for the next turn. */
static void tell_refused(struct root_book *b)
{
    struct root_wait *w;

    for (size_t n = b->hearing_count; n > 0 && (w = TAILQ_FIRST(&b->hearing)) != NULL; n--) {
        root_book_leave(b, w);
        w->done(w, w->st, NULL);
    }
    if (!b->is_over && !TAILQ_EMPTY(&b->hearing))
        tell_soon(b);
}

/* From the start after each, since whoever is told may open others or free the book. */
static void tell_open(void *arg)
{
    struct root_book *b = arg;
    struct root_entry *e;

    tell_refused(b);
    for (size_t n = b->open_count + 1; n > 0 && !b->is_over; n--) {
        TAILQ_FOREACH(e, &b->entries, link)
        {
            if (e->is_open && !TAILQ_EMPTY(&e->waits))
                break;
        }
        if (e == NULL)
            return;
        tell(e, ALB_STATUS_OK);
    }
    if (!b->is_over)
        timer_set_in(&b->soon, 0);
}

/* ---- RECORD --------------------------------------------------------------------------------- */

static void begin(struct root_entry *e)
{
    char name[CATALOGUE_NAME_MAX + 1], hex[DIGEST_HEX_SIZE];

    e->is_opening = true;
    e->waits_record = true;
    e->record_wait.done = record_came;
    snprintf(name, sizeof name, "record/%s@root:%s", e->view.layer,
             digest_hex(&e->view.digest, hex));
    record_book_get(e->book->options.records, name, &e->record_wait);
}

/* Of a version or of a delta set: each says by its first line which it is. */
static struct alb_status judge_record(struct root_entry *e, const uint8_t *bytes, size_t size)
{
    const struct trust *trust = authority_trust(e->book->options.authority);
    struct root_view *v = &e->view;

    if (trust == NULL)
        return alb_fail(ALB_REFUSED, "there is no trust file yet to judge a version record by");
    v->is_delta = delta_set_is_record(bytes, size);
    struct alb_status st = v->is_delta ? delta_set_record_decode(bytes, size, trust, &v->delta)
                                       : record_decode(bytes, size, trust, &v->record);
    if (alb_failed(st))
        return st;
    const struct digest *root = v->is_delta ? &v->delta.set : &v->record.root;
    const char *layer = v->is_delta ? v->delta.layer : v->record.layer;
    if (!digest_equal(root, &v->digest) || strcmp(layer, v->layer) != 0)
        return alb_fail(ALB_CORRUPT, "the version record names another root");
    return st;
}

static void record_came(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                        size_t size, bool is_stale)
{
    struct root_entry *e = ALB_CONTAINER(w, struct root_entry, record_wait);

    (void)is_stale; /* neither kind of record ever changes what it means */
    e->waits_record = false;
    if (!alb_failed(st))
        st = judge_record(e, bytes, size);
    if (alb_failed(st)) {
        finish(e, st);
        return;
    }
    struct where where = {.root = e->view.digest, .list = LIST_ROOT};
    snprintf(where.layer, sizeof where.layer, "%s", e->view.layer);
    const struct chunk_key key = {KEY_PLAIN, e->view.digest};
    e->root_waiter = (struct waiter){.done = root_came, .where = where};
    e->waits_root = true;
    supply_ask(e->book->options.supply, &key, &e->root_waiter);
}

/* ---- ROOT OBJECT ---------------------------------------------------------------------------- */

static struct alb_status read_version_root(struct root_view *v, const struct buf *raw)
{
    struct alb_status st = root_decode(buf_peek(raw), buf_size(raw), &v->root);

    if (!alb_failed(st) &&
        (v->root.content_bytes != v->record.content_bytes || v->root.entries != v->record.entries))
        st = alb_fail(ALB_CORRUPT, "root object and version record disagree about sizes");
    return st;
}

/* Both lists are in it: nothing is left to fetch. */
static struct alb_status read_delta_root(struct root_view *v, const struct buf *raw)
{
    struct delta_set_root set;
    struct alb_status st = delta_set_root_decode(buf_peek(raw), buf_size(raw), &set);

    if (alb_failed(st))
        return st;
    if (!digest_equal(&set.from, &v->delta.from) || !digest_equal(&set.to, &v->delta.to)) {
        delta_set_root_release(&set);
        return alb_fail(ALB_CORRUPT, "the delta set is not from and to where its record says");
    }
    v->content_key_count = set.stream_count;
    v->content_keys = xcalloc(set.stream_count, sizeof *v->content_keys);
    v->content_raw_bytes = xcalloc(set.stream_count, sizeof *v->content_raw_bytes);
    for (size_t i = 0; i < set.stream_count; i++) {
        v->content_keys[i] = set.chunks[set.index_count + i].key;
        v->content_raw_bytes[i] = set.chunks[set.index_count + i].raw_bytes;
    }
    v->root = (struct root){.manifest_bytes = set.index_bytes,
                            .content_bytes = v->delta.bytes,
                            .chunks = take_ptr(&set.chunks),
                            .chunk_count = set.index_count};
    return st;
}

static struct alb_status open_root(struct root_entry *e, const struct chunk *chunk)
{
    const uint64_t expected =
        e->view.is_delta ? e->view.delta.root_bytes : e->view.record.root_bytes;
    struct codec *codec = codec_new();
    struct buf raw;

    buf_init(&raw, ROOT_OBJECT_MAX);
    struct alb_status st = codec_expand(codec, chunk->bytes, chunk->size, ROOT_OBJECT_MAX, &raw);
    if (!alb_failed(st) && buf_size(&raw) != expected)
        st = alb_fail(ALB_CORRUPT, "the root object is not as long as its version record says");
    if (!alb_failed(st))
        st = e->view.is_delta ? read_delta_root(&e->view, &raw) : read_version_root(&e->view, &raw);
    buf_release(&raw);
    codec_free(codec);
    return st;
}

static void root_came(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct root_entry *e = ALB_CONTAINER(w, struct root_entry, root_waiter);

    e->waits_root = false;
    if (!alb_failed(st))
        st = open_root(e, chunk);
    if (alb_failed(st) || e->view.is_delta)
        finish(e, st);
    else
        ask_parts(e);
}

/* ---- MANIFEST CHUNKS ------------------------------------------------------------------------ */

static void ask_parts(struct root_entry *e)
{
    const struct root *root = &e->view.root;

    e->parts = xcalloc(root->chunk_count + 1, sizeof *e->parts);
    for (size_t i = 0; i < root->chunk_count; i++) {
        struct part *part = &e->parts[i];
        struct chunk_key key;
        part->entry = e;
        part->waiter.done = part_came;
        part->is_waiting = true;
        root_view_key(&e->view, LIST_MANIFEST, (uint32_t)i, &key, &part->waiter.where);
        supply_ask(e->book->options.supply, &key, &part->waiter);
    }
    if (root->chunk_count == 0)
        decode_start(e);
}

static void part_came(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct part *part = ALB_CONTAINER(w, struct part, waiter);
    struct root_entry *e = part->entry;

    part->is_waiting = false;
    if (alb_failed(st)) {
        finish(e, st);
        return;
    }
    part->chunk = chunk_ref(chunk);
    if (++e->parts_here == e->view.root.chunk_count)
        decode_start(e);
}

/* ---- DECODE --------------------------------------------------------------------------------- */

static void decode_start(struct root_entry *e)
{
    struct root_book *b = e->book;
    struct decode *d = xalloc(sizeof *d);
    const struct root *root = &e->view.root;

    d->entry = e;
    d->count = root->chunk_count;
    d->manifest_bytes = root->manifest_bytes;
    d->chunks = xcalloc(d->count + 1, sizeof *d->chunks);
    d->expected = xcalloc(d->count + 1, sizeof *d->expected);
    for (size_t i = 0; i < d->count; i++) {
        d->chunks[i] = take_ptr(&e->parts[i].chunk);
        d->expected[i] = root->chunks[i];
    }
    release_parts(e);
    d->limits = b->options.limits != NULL ? *b->options.limits : manifest_limits_default;
    if ((e->view.record.flags & RECORD_DEVICES) != 0)
        d->limits.allow_devices = true;
    d->job = (struct job){
        .run = decode_run, .done = decode_done, .work_bytes = root->manifest_bytes * 4};
    TAILQ_INSERT_TAIL(&b->decodes, d, link);
    loop_submit(b->options.loop, &d->job);
}

static struct alb_status join_manifest(struct decode *d, struct buf *stream)
{
    struct codec *codec = codec_new();
    struct alb_status st = ALB_STATUS_OK;

    for (size_t i = 0; i < d->count && !alb_failed(st); i++) {
        size_t before = buf_size(stream);
        st = codec_expand(codec, d->chunks[i]->bytes, d->chunks[i]->size, d->expected[i].raw_bytes,
                          stream);
        if (!alb_failed(st) && buf_size(stream) - before != d->expected[i].raw_bytes)
            st = alb_fail(ALB_CORRUPT, "a manifest chunk has another size than the root says");
    }
    codec_free(codec);
    return st;
}

static void decode_run(struct job *job)
{
    struct decode *d = ALB_CONTAINER(job, struct decode, job);
    struct buf stream;

    if (d->manifest_bytes > d->limits.max_bytes) {
        d->st = alb_fail(ALB_FULL, "the manifest is larger than this program accepts");
        return;
    }
    buf_init(&stream, d->manifest_bytes);
    d->st = join_manifest(d, &stream);
    if (!alb_failed(d->st) && buf_size(&stream) != d->manifest_bytes)
        d->st = alb_fail(ALB_CORRUPT, "the manifest is not as long as the root object says");
    if (!alb_failed(d->st))
        d->st = manifest_decode(buf_peek(&stream), buf_size(&stream), &d->limits, &d->manifest);
    buf_release(&stream);
}

static void keep_manifest(struct root_entry *e, struct decode *d)
{
    e->view.content_key_count = d->manifest.content_key_count;
    if (e->book->options.keep_manifests) {
        e->view.manifest = xalloc(sizeof *e->view.manifest);
        *e->view.manifest = d->manifest;
        e->view.content_keys = d->manifest.content_keys;
        e->view.content_raw_bytes = d->manifest.content_raw_bytes;
    } else {
        /* Only list C is needed from here on: 37 bytes a chunk instead of the whole tree. */
        size_t count = d->manifest.content_key_count;
        e->view.content_keys = xcalloc(count + 1, sizeof *e->view.content_keys);
        e->view.content_raw_bytes = xcalloc(count + 1, sizeof *e->view.content_raw_bytes);
        for (size_t i = 0; i < count; i++) {
            e->view.content_keys[i] = d->manifest.content_keys[i];
            e->view.content_raw_bytes[i] = d->manifest.content_raw_bytes[i];
        }
        manifest_release(&d->manifest);
    }
    d->manifest = (struct manifest){0};
}

static void decode_done(struct job *job)
{
    struct decode *d = ALB_CONTAINER(job, struct decode, job);
    struct root_entry *e = d->entry;
    struct alb_status st = d->st;

    if (e != NULL) {
        TAILQ_REMOVE(&e->book->decodes, d, link);
        if (!alb_failed(st) && (d->manifest.content_key_count != e->view.root.content_chunks ||
                                d->manifest.content_bytes != e->view.root.content_bytes ||
                                d->manifest.count != e->view.root.entries))
            st = alb_fail(ALB_CORRUPT, "manifest and root object disagree about sizes");
        if (!alb_failed(st))
            keep_manifest(e, d);
    }
    if (!alb_failed(d->st))
        manifest_release(&d->manifest);
    for (size_t i = 0; i < d->count; i++)
        chunk_unref(d->chunks[i]);
    free(d->chunks);
    free(d->expected);
    free(d);
    if (e != NULL)
        finish(e, st);
}

static void finish(struct root_entry *e, struct alb_status st)
{
    struct root_book *b = e->book;
    char hex[DIGEST_HEX_SIZE];

    release_parts(e);
    e->is_opening = false;
    e->is_open = !alb_failed(st);
    if (alb_failed(st)) {
        if (log_limit_passes(&b->lines, loop_now_ns(b->options.loop)))
            log_status(LOG_WARN, "root.not_opened", st, "layer=%s root=%s", e->view.layer,
                       digest_hex(&e->view.digest, hex));
        release_view(e);
        remember_refused(b, e, st);
    } else {
        b->open_count++;
        b->open_keys += e->view.content_key_count;
    }
    tell(e, st);
    if (!b->is_over && !e->is_open && !e->is_opening)
        drop_entry(e);
    else if (!b->is_over)
        make_room(b);
}

static void tell(struct root_entry *e, struct alb_status st)
{
    struct root_book *b = e->book;
    const unsigned turn = e->turn++;
    struct root_wait *w;

    e->is_telling = true;
    /* Any of them may ask again, make others leave, or free the book. */
    while (!b->is_over && (w = TAILQ_FIRST(&e->waits)) != NULL && w->turn == turn) {
        TAILQ_REMOVE(&e->waits, w, link);
        w->entry = NULL;
        if (!alb_failed(st))
            e->users++;
        w->done(w, st, alb_failed(st) ? NULL : &e->view);
    }
    e->is_telling = false;
}

/* ---- positions ------------------------------------------------------------------------------ */

bool root_view_key(const struct root_view *v, enum chunk_list list, uint32_t position,
                   struct chunk_key *key, struct where *where)
{
    *where = (struct where){.root = v->digest, .list = list, .position = position};
    snprintf(where->layer, sizeof where->layer, "%s", v->layer);
    switch (list) {
    case LIST_ROOT: *key = (struct chunk_key){KEY_PLAIN, v->digest}; return position == 0;
    case LIST_MANIFEST:
        if (position >= v->root.chunk_count)
            return false;
        *key = v->root.chunks[position].key;
        where->raw_bytes = v->root.chunks[position].raw_bytes;
        return true;
    case LIST_CONTENT:
        if (position >= v->content_key_count)
            return false;
        *key = v->content_keys[position];
        where->raw_bytes = v->content_raw_bytes[position];
        return true;
    }
    return false;
}
