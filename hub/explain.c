/* SPDX-License-Identifier: Apache-2.0 */
/* hub/explain.c – a chunk, explained to an operator: where it lies, whether it is sound, who needs
 * it.
 *
 *     BEGIN: place, state, every version there is → LOOK into one version after another → answered
 *
 *     {"chunk", "state": "held"|"absent"|"damaged"|"unreadable", "why", "file", "offset",
 *      "stored_bytes", "hurts": bool,
 *      "versions": [{"layer", "version", "current", "list", "files", "paths": [first few]}],
 *      "not_looked_into": [{"layer", "version", "why"}]}
 *
 * One manifest is in memory at a time, and each version is a job of its own, so that others get
 * their turn and an operator who leaves ends it.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "chunk/codec.h"
#include "hub/hub_impl.h"
#include "hub/stored_tree.h"
#include "wire/json.h"

enum { PATHS_SHOWN = 10, MANIFEST_MOST = 1 << 30 };

struct version_seen {
    char layer[NAME_MAX_SIZE], version[NAME_MAX_SIZE];
    struct digest root;
    bool is_current, names_it;
    enum chunk_list list; /* where, if it names it */
    uint64_t file_count;
    char *paths[PATHS_SHOWN]; /* owned */
    size_t path_count;
    struct alb_status st; /* why it could not be looked into */
};

struct explain_task {
    struct hub_task task; /* first */
    struct chunk_key key;
    struct chunk_place place; /* file "": nowhere */
    const char *state;
    struct alb_status state_why;
    struct version_seen *versions; /* owned */
    size_t count, next;
    bool has_begun, is_over;
    hub_needing_fn found; /* NULL: a request asks */
};

/* ---- BEGIN ----------------------------------------------------------------------------------- */

/* Its place first: a read that fails may drop the record. */
static void judge(struct explain_task *p)
{
    struct chunk_store *store = p->task.hub->options.store;
    struct codec *codec = codec_new();
    struct chunk *chunk;

    if (alb_failed(chunk_store_locate(store, &p->key, &p->place)))
        p->place.file[0] = '\0';
    struct alb_status st = chunk_store_get(store, &p->key, &chunk);
    if (!alb_failed(st)) {
        p->place.size = (uint32_t)chunk->size;
        st = codec_verify(codec, &p->key, chunk->bytes, chunk->size, NULL);
        chunk_unref(chunk);
        p->state = alb_failed(st) ? "damaged" : "held";
    } else if (st.code == ALB_NOT_FOUND) {
        p->state = "absent";
        st = ALB_STATUS_OK;
    } else {
        p->state = st.code == ALB_CORRUPT ? "damaged" : "unreadable";
    }
    p->state_why = st;
    codec_free(codec);
}

static bool note_version(void *arg, const char *name, const void *value, size_t size,
                         uint64_t swap_version)
{
    struct explain_task *p = arg;
    const char *which = strchr(name, '@');
    struct version_record record;

    (void)swap_version;
    if (which == NULL || strchr(which, ':') != NULL)
        return true; /* the same record by digest or root */
    p->task.st = record_decode(value, size, NULL, &record);
    if (alb_failed(p->task.st))
        return false;
    p->versions = xrealloc(p->versions, (p->count + 1) * sizeof *p->versions);
    struct version_seen *v = &p->versions[p->count++];
    *v = (struct version_seen){.root = record.root};
    memcpy(v->layer, record.layer, sizeof v->layer);
    memcpy(v->version, record.version, sizeof v->version);
    return true;
}

static void mark_current(struct explain_task *p)
{
    const struct ledger *l = &p->task.hub->ledger;

    for (size_t i = 0; i < p->count; i++) {
        struct version_record current;
        if (!alb_failed(ledger_current(l, p->versions[i].layer, NULL, &current)))
            p->versions[i].is_current = strcmp(current.version, p->versions[i].version) == 0;
    }
}

static void begin(struct explain_task *p)
{
    p->has_begun = true;
    judge(p);
    struct alb_status st =
        catalogue_list(p->task.hub->options.catalogue, "record/", note_version, p);
    if (!alb_failed(p->task.st))
        p->task.st = st;
    if (!alb_failed(p->task.st))
        mark_current(p);
}

/* ---- LOOK ------------------------------------------------------------------------------------ */

static bool uses(const struct manifest_entry *e, const struct chunk_key *key)
{
    for (size_t i = 0; i < e->slice_count; i++)
        if (chunk_key_equal(&e->slices[i].key, key))
            return true;
    return false;
}

static void look_for_files(const struct explain_task *p, struct version_seen *v,
                           const struct manifest *m)
{
    for (size_t i = 0; i < m->count; i++) {
        if (!uses(&m->entries[i], &p->key))
            continue;
        v->names_it = true;
        v->list = LIST_CONTENT;
        if (v->file_count++ < PATHS_SHOWN)
            v->paths[v->path_count++] = xstrdup(m->entries[i].path);
    }
}

static struct alb_status look_into_manifest(const struct stored_tree *tree, const struct root *root,
                                            struct version_seen *v, const struct explain_task *p)
{
    struct manifest m;

    if (root->manifest_bytes > MANIFEST_MOST)
        return alb_fail(ALB_FULL, "its manifest is too large to be looked into");
    const struct alb_status st = stored_tree_manifest(tree, root, 0, &m);
    if (alb_failed(st))
        return st;
    look_for_files(p, v, &m);
    manifest_release(&m);
    return st;
}

static struct alb_status look_into_root(struct explain_task *p, struct codec *codec,
                                        struct version_seen *v)
{
    const struct stored_tree tree = {.store = p->task.hub->options.store, .codec = codec};
    const struct chunk_key key = {KEY_PLAIN, v->root};
    struct root root = {.chunk_count = 0};

    v->names_it = chunk_key_equal(&key, &p->key);
    v->list = LIST_ROOT;
    if (v->names_it)
        return ALB_STATUS_OK;
    struct alb_status st = stored_tree_root(&tree, &v->root, &root);
    if (alb_failed(st))
        return st;
    for (size_t i = 0; i < root.chunk_count && !v->names_it; i++)
        v->names_it = chunk_key_equal(&root.chunks[i].key, &p->key);
    v->list = LIST_MANIFEST;
    if (!v->names_it)
        st = look_into_manifest(&tree, &root, v, p);
    root_release(&root);
    return st;
}

static void take_result(struct version_seen *v, const struct version_seen *same)
{
    v->names_it = same->names_it;
    v->list = same->list;
    v->file_count = same->file_count;
    v->st = same->st;
    for (size_t i = 0; i < same->path_count; i++)
        v->paths[v->path_count++] = xstrdup(same->paths[i]);
}

static void look_into_next(struct explain_task *p)
{
    struct version_seen *v = &p->versions[p->next++];

    for (const struct version_seen *same = p->versions; same < v; same++) {
        if (digest_equal(&same->root, &v->root)) {
            take_result(v, same);
            return;
        }
    }
    struct codec *codec = codec_new();
    v->st = look_into_root(p, codec, v);
    codec_free(codec);
}

/* ---- ANSWER ---------------------------------------------------------------------------------- */

static void put_version(const struct version_seen *v, struct json_writer *w)
{
    json_object_begin(w, NULL);
    json_text(w, "layer", v->layer);
    json_text(w, "version", v->version);
    json_bool(w, "current", v->is_current);
    json_text(w, "list", chunk_list_word(v->list));
    json_number(w, "files", v->file_count);
    json_array_begin(w, "paths");
    for (size_t i = 0; i < v->path_count; i++)
        json_text(w, NULL, v->paths[i]);
    json_end(w);
    json_end(w);
}

static void put_not_looked_into(const struct version_seen *v, struct json_writer *w)
{
    json_object_begin(w, NULL);
    json_text(w, "layer", v->layer);
    json_text(w, "version", v->version);
    json_text(w, "why", v->st.what);
    json_end(w);
}

static void put_chunk(const struct explain_task *p, struct json_writer *w)
{
    char hex[DIGEST_HEX_SIZE];
    bool hurts = false;

    for (size_t i = 0; i < p->count; i++)
        hurts |= p->versions[i].names_it && strcmp(p->state, "held") != 0;
    json_text(w, "chunk", digest_hex(&p->key.digest, hex));
    json_text(w, "state", p->state);
    json_text(w, "why", alb_failed(p->state_why) ? p->state_why.what : "");
    json_text(w, "file", p->place.file);
    json_number(w, "offset", p->place.offset);
    json_number(w, "stored_bytes", p->place.size);
    json_bool(w, "hurts", hurts);
}

static struct alb_status show(struct explain_task *p)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    put_chunk(p, w);
    json_array_begin(w, "versions");
    for (size_t i = 0; i < p->count; i++)
        if (p->versions[i].names_it)
            put_version(&p->versions[i], w);
    json_end(w);
    json_array_begin(w, "not_looked_into");
    for (size_t i = 0; i < p->count; i++)
        if (alb_failed(p->versions[i].st))
            put_not_looked_into(&p->versions[i], w);
    json_end(w);
    json_end(w);
    return json_writer_finish(w, &p->task.answer);
}

/* ---- the task -------------------------------------------------------------------------------- */

static void explain_run(struct hub_task *t)
{
    struct explain_task *p = (struct explain_task *)t;

    if (!p->has_begun)
        begin(p);
    else if (p->next < p->count)
        look_into_next(p);
    if (!alb_failed(t->st) && p->next == p->count)
        t->st = show(p);
    p->is_over = alb_failed(t->st) || p->next == p->count;
}

static void tell_found(const struct explain_task *p)
{
    struct hub_needing *needing = xcalloc(p->count + 1, sizeof *needing);
    bool is_all = !alb_failed(p->task.st);
    size_t count = 0;

    for (size_t i = 0; i < p->count; i++) {
        const struct version_seen *v = &p->versions[i];
        is_all = is_all && !alb_failed(v->st);
        if (v->names_it)
            needing[count++] = (struct hub_needing){.layer = v->layer,
                                                    .version = v->version,
                                                    .path = v->path_count > 0 ? v->paths[0] : "",
                                                    .is_current = v->is_current,
                                                    .files = v->file_count};
    }
    p->found(p->task.hub, &p->key, needing, count, is_all);
    free(needing);
}

static void explain_after(struct hub_task *t)
{
    const struct explain_task *p = (struct explain_task *)t;

    if (p->is_over && p->found != NULL)
        tell_found(p);
    if (p->is_over || (t->rq == NULL && p->found == NULL))
        hub_task_end(t);
    else
        hub_task_start(t, JOB_SHARED, 1 << 20);
}

static void explain_release(struct hub_task *t)
{
    struct explain_task *p = (struct explain_task *)t;

    for (size_t i = 0; i < p->count; i++)
        for (size_t k = 0; k < p->versions[i].path_count; k++)
            free(p->versions[i].paths[k]);
    free(p->versions);
}

static struct explain_task *explain_new(struct hub *h, struct serve_request *rq,
                                        const struct chunk_key *key)
{
    struct explain_task *p = hub_task_new(h, rq, sizeof *p);

    p->key = *key;
    p->task.content_type = "application/json";
    p->task.run = explain_run;
    p->task.after = explain_after;
    p->task.release = explain_release;
    return p;
}

void hub_find_needing(struct hub *h, const struct chunk_key *key, hub_needing_fn found)
{
    struct explain_task *p = explain_new(h, NULL, key);

    p->found = found;
    hub_task_start(&p->task, JOB_SHARED, 1 << 20);
}

void hub_handle_explain(void *hub, struct serve_request *rq)
{
    struct chunk_key key = {.kind = KEY_PLAIN};

    if (alb_failed(digest_parse(rq->rest, &key.digest))) {
        serve_refuse(rq, ALB_INVALID, "a chunk is 64 hexadecimal digits");
        return;
    }
    struct explain_task *p = explain_new(hub, rq, &key);
    hub_task_start(&p->task, JOB_SHARED, 1 << 20);
}
