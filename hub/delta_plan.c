/* SPDX-License-Identifier: Apache-2.0 */
/* hub/delta_plan.c – which contents are new, from what, and what they cost as chunks. */
#include "hub/delta_plan.h"

#include "base/alloc.h"

struct new_chunk {
    uint32_t stored;
    uint64_t used; /* bytes of it that targets use */
};

static char held; /* a map's value for "it is there" */

static bool has_content(const struct manifest_entry *e)
{
    return e->type == ENTRY_FILE && e->size > 0;
}

static struct chunk_key content_key(const struct manifest_entry *e)
{
    return (struct chunk_key){KEY_PLAIN, e->content};
}

/* ---- targets ---- */

static void find_targets(struct delta_plan *p)
{
    struct map seen;

    map_init(&seen);
    for (size_t i = 0; i < p->from.count; i++) {
        const struct chunk_key key = content_key(&p->from.entries[i]);
        if (has_content(&p->from.entries[i]))
            (void)map_put(&seen, &key, &held);
    }
    p->targets = xcalloc(p->to.count + 1, sizeof *p->targets);
    for (size_t i = 0; i < p->to.count; i++) {
        const struct manifest_entry *e = &p->to.entries[i];
        const struct chunk_key key = content_key(e);
        if (has_content(e) && map_put(&seen, &key, &held) == NULL)
            p->targets[p->target_count++].file = e;
    }
    map_release(&seen);
}

/* ---- what they are worth ---- */

static struct alb_status size_chunks(struct delta_source *s, struct delta_plan *p)
{
    struct alb_status st = ALB_STATUS_OK;
    struct map old;

    map_init(&old);
    for (size_t i = 0; i < p->from.content_key_count; i++)
        (void)map_put(&old, &p->from.content_keys[i], &held);
    p->all = xcalloc(p->to.content_key_count + 1, sizeof *p->all);
    for (size_t i = 0; i < p->to.content_key_count && !alb_failed(st); i++) {
        const struct chunk_key *key = &p->to.content_keys[i];
        if (map_get(&old, key) != NULL)
            continue;
        st = delta_source_stored(s, key, &p->all[i].stored);
        (void)map_put(&p->chunks, key, &p->all[i]);
    }
    map_release(&old);
    return st;
}

static void share_chunks(struct delta_plan *p)
{
    for (size_t i = 0; i < p->target_count; i++) {
        const struct manifest_entry *e = p->targets[i].file;

        for (size_t n = 0; n < e->slice_count; n++) {
            struct new_chunk *c = map_get(&p->chunks, &e->slices[n].key);
            if (c != NULL)
                c->used += e->slices[n].length;
        }
    }
    for (size_t i = 0; i < p->to.content_key_count; i++)
        if (p->all[i].used > 0)
            p->worth += p->all[i].stored;
}

uint64_t delta_plan_worth(const struct delta_plan *p, const struct manifest_entry *file,
                          uint64_t at, uint64_t length)
{
    uint64_t begin = 0, worth = 0;

    for (size_t i = 0; i < file->slice_count; i++) {
        const uint64_t end = begin + file->slices[i].length;
        const uint64_t first = at > begin ? at : begin;
        const uint64_t last = at + length < end ? at + length : end;
        const struct new_chunk *c = first < last ? map_get(&p->chunks, &file->slices[i].key) : NULL;

        if (c != NULL && c->used > 0)
            worth += c->stored * (last - first) / c->used;
        begin = end;
    }
    return worth;
}

/* ---- predecessors ---- */

static struct resemble_file resemble_of(const struct manifest_entry *e)
{
    return (struct resemble_file){.path = e->path, .size = e->size, .digest = e->content};
}

static struct alb_status find_candidates(struct delta_plan *p)
{
    AUTO_FREE struct resemble_file *files = xcalloc(p->from.count + 1, sizeof *files);
    AUTO_FREE const struct manifest_entry **entries = xcalloc(p->from.count + 1, sizeof *entries);
    struct resemble_index *index = NULL;
    size_t count = 0;

    for (size_t i = 0; i < p->from.count; i++) {
        if (!has_content(&p->from.entries[i]))
            continue;
        entries[count] = &p->from.entries[i];
        files[count++] = resemble_of(&p->from.entries[i]);
    }
    struct alb_status st = resemble_index_new(files, count, &index);
    if (alb_failed(st))
        return st;
    for (size_t i = 0; i < p->target_count; i++) {
        struct delta_target *t = &p->targets[i];
        const struct resemble_file file = resemble_of(t->file);
        struct resemble_answer answers[RESEMBLE_ANSWERS];

        t->candidate_count = resemble_find(index, &file, answers);
        for (size_t n = 0; n < t->candidate_count; n++)
            t->candidates[n] = entries[answers[n].file];
    }
    resemble_index_free(index);
    return st;
}

struct alb_status delta_plan_make(struct delta_source *s, const struct digest *from,
                                  const struct digest *to, struct delta_plan *out)
{
    struct delta_plan p = {.target_count = 0};

    map_init(&p.chunks);
    struct alb_status st = delta_source_tree(s, from, &p.from);
    if (!alb_failed(st))
        st = delta_source_tree(s, to, &p.to);
    if (!alb_failed(st)) {
        find_targets(&p);
        st = size_chunks(s, &p);
    }
    if (!alb_failed(st)) {
        share_chunks(&p);
        st = find_candidates(&p);
    }
    if (alb_failed(st))
        delta_plan_release(&p);
    else
        *out = p;
    return st;
}

void delta_plan_release(struct delta_plan *p)
{
    if (p->from.arena != NULL)
        manifest_release(&p->from);
    if (p->to.arena != NULL)
        manifest_release(&p->to);
    map_release(&p->chunks);
    free(p->targets);
    free(p->all);
    *p = (struct delta_plan){.target_count = 0};
}
