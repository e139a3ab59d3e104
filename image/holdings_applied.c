/* SPDX-License-Identifier: Apache-2.0 */
/* image/holdings_applied.c – what was applied to a tree is known without reading it.
 *
 * The record says how each file was when it was put there, what its digest is and of which chunks
 * it is made; a file that is still so holds those chunks.  Whoever uses one verifies it anyway.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "chunk/cut.h"
#include "image/apply_impl.h"

static void cache_entry(struct cached_file *f, const struct manifest_entry *e,
                        const struct stamp *stamp);

struct cached_tree *applied_tree_read(int top_fd)
{
    struct applied_record r;
    struct cached_tree *tree;
    struct alb_status st = applied_record_read(top_fd, &r);

    if (alb_failed(st)) {
        if (st.code != ALB_NOT_FOUND)
            log_status(LOG_WARN, "applied.ignored", st, "by=holdings");
        return NULL;
    }
    tree = xalloc(sizeof(*tree));
    tree->files = xcalloc(r.applied.manifest.count, sizeof(*tree->files));
    for (size_t i = 0; i < r.applied.manifest.count; i++)
        if (r.applied.manifest.entries[i].type == ENTRY_FILE)
            cache_entry(&tree->files[tree->count++], &r.applied.manifest.entries[i], &r.stamps[i]);
    applied_record_release(&r);
    return tree;
}

/* Only large files are cut by themselves; of a pack a small file is just a part. */
static void cache_entry(struct cached_file *f, const struct manifest_entry *e,
                        const struct stamp *stamp)
{
    uint64_t at = 0;

    f->path = xstrdup(e->path);
    f->stamp = *stamp;
    f->content = e->content;
    if (e->size < cut_content.min)
        return;
    f->chunks = xcalloc(e->slice_count, sizeof(*f->chunks));
    for (size_t i = 0; i < e->slice_count; i++) {
        const struct slice *slice = &e->slices[i];

        if (slice->offset == 0 && slice->key.kind == KEY_PLAIN)
            f->chunks[f->chunk_count++] = (struct held_chunk){
                .digest = slice->key.digest, .offset = at, .length = slice->length};
        at += slice->length;
    }
}
