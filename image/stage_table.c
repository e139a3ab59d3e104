/* SPDX-License-Identifier: Apache-2.0 */
/* image/stage_table.c – which files are to be staged,
 * and which slices of which chunks they want. */
#include "base/alloc.h"
#include "base/map.h"
#include "image/stage_impl.h"

/* Copies of small files go in groups: enough to be worth a job, few enough to share out. */
enum { UNIT_BYTES = 4 << 20, UNIT_FILES = 128 };

static struct alb_status add_files(struct stage *s);
static bool is_in_place(const struct stage *s, const struct manifest_entry *e);
static struct alb_status add_uses(struct stage *s, const struct map *positions);
static void add_uses_of(struct stage *s, const struct map *positions, size_t file);
static struct alb_status sort_by_position(struct stage *s);
static int compare_units(const void *a, const void *b);

void *stage_array(size_t count, size_t size)
{
    void *array;

    if (count > SIZE_MAX / size - 1)
        return NULL;
    array = try_alloc((count + 1) * size);
    if (array != NULL)
        memset(array, 0, (count + 1) * size);
    return array;
}

struct alb_status stage_table_make(struct stage *s)
{
    const struct manifest *m = s->manifest;
    struct map positions;
    struct alb_status st = add_files(s);

    if (alb_failed(st))
        return st;
    map_init(&positions);
    for (size_t i = 0; i < m->content_key_count; i++)
        (void)map_put(&positions, &m->content_keys[i], (void *)(uintptr_t)(i + 1));
    st = add_uses(s, &positions);
    map_release(&positions);
    return alb_failed(st) ? st : sort_by_position(s);
}

static struct alb_status add_files(struct stage *s)
{
    const struct manifest *m = s->manifest;

    s->files = stage_array(m->count, sizeof(*s->files));
    if (s->files == NULL)
        return alb_fail(ALB_FULL, "memory for the stage's files");
    for (uint32_t i = 0; i < m->count; i++) {
        const struct manifest_entry *e = &m->entries[i];
        struct stage_file *f = &s->files[s->file_count];
        struct holding held;

        if (e->type != ENTRY_FILE)
            continue;
        if (is_in_place(s, e)) {
            s->counted.bytes_unchanged += e->size;
            continue;
        }
        *f = (struct stage_file){.entry = i, .place = s->entry_places[i], .state = STAGE_PIECES};
        if (e->size == 0 || holdings_file(s->holdings, &e->content, e->size, &held))
            f->state = STAGE_WHOLE;
        s->staged[i] = true;
        s->file_count++;
    }
    return ALB_STATUS_OK;
}

static bool is_in_place(const struct stage *s, const struct manifest_entry *e)
{
    struct digest here;

    return s->scan != NULL && holdings_digest_of(s->holdings, e->path, &here) &&
           digest_equal(&here, &e->content);
}

/* The position of `key` in list C.  The decoder made that list from these very slices. */
static uint32_t position_of(const struct map *positions, const struct chunk_key *key)
{
    uintptr_t found = (uintptr_t)map_get(positions, key);

    alb_assert(found > 0);
    return (uint32_t)(found - 1);
}

static struct alb_status add_uses(struct stage *s, const struct map *positions)
{
    size_t total = 0;

    for (size_t i = 0; i < s->file_count; i++)
        total += stage_entry(s, s->files[i].entry)->slice_count;
    s->uses = stage_array(total, sizeof(*s->uses));
    if (s->uses == NULL)
        return alb_fail(ALB_FULL, "memory for the stage's chunks");
    for (size_t i = 0; i < s->file_count; i++)
        add_uses_of(s, positions, i);
    return ALB_STATUS_OK;
}

static void add_uses_of(struct stage *s, const struct map *positions, size_t file)
{
    struct stage_file *f = &s->files[file];
    const struct manifest_entry *e = stage_entry(s, f->entry);
    uint64_t at = 0;
    struct holding held;

    f->first_use = s->use_count;
    f->use_count = e->slice_count;
    f->unfilled = (uint32_t)e->slice_count;
    for (size_t k = 0; k < e->slice_count; k++) {
        const struct slice *slice = &e->slices[k];

        s->uses[s->use_count++] = (struct stage_use){
            .file = (uint32_t)file,
            .position = position_of(positions, &slice->key),
            .offset = slice->offset,
            .length = slice->length,
            .file_offset = at,
            .local = f->state == STAGE_PIECES && holdings_chunk(s->holdings, &slice->key, &held),
        };
        at += slice->length;
    }
}

/* Counting sort: `by_position` lists the uses of position 0, then of 1, and so on. */
static struct alb_status sort_by_position(struct stage *s)
{
    size_t count = s->manifest->content_key_count;
    size_t *starts = stage_array(count + 1, sizeof(*starts));

    s->position_starts = starts;
    s->by_position = stage_array(s->use_count, sizeof(*s->by_position));
    s->positions = stage_array(count, sizeof(*s->positions));
    if (starts == NULL || s->by_position == NULL || s->positions == NULL)
        return alb_fail(ALB_FULL, "memory for the stage's chunks");
    for (size_t i = 0; i < s->use_count; i++)
        starts[s->uses[i].position + 1]++;
    for (size_t i = 0; i < count; i++)
        starts[i + 1] += starts[i];
    /* Filling moves each start to its end, which is the next one's start; then shift back. */
    for (size_t i = 0; i < s->use_count; i++)
        s->by_position[starts[s->uses[i].position]++] = i;
    memmove(starts + 1, starts, count * sizeof(*starts));
    starts[0] = 0;
    return ALB_STATUS_OK;
}

static bool wants_local(const struct stage *s, const struct stage_file *f)
{
    if (f->state != STAGE_PIECES)
        return f->state == STAGE_WHOLE;
    for (size_t i = 0; i < f->use_count; i++)
        if (s->uses[f->first_use + i].local && !s->uses[f->first_use + i].filled)
            return true;
    return false;
}

struct alb_status stage_units_make(struct stage *s)
{
    size_t listed = 0;

    s->units = stage_array(s->file_count, sizeof(*s->units));
    s->unit_files = stage_array(s->file_count, sizeof(*s->unit_files));
    if (s->units == NULL || s->unit_files == NULL)
        return alb_fail(ALB_FULL, "memory for the stage's files");
    for (size_t i = 0; i < s->file_count; i++) {
        struct stage_unit *u = s->unit_count > 0 ? &s->units[s->unit_count - 1] : NULL;

        if (!wants_local(s, &s->files[i]))
            continue;
        if (u == NULL || u->bytes >= UNIT_BYTES || u->count == UNIT_FILES) {
            u = &s->units[s->unit_count++];
            u->first = listed;
        }
        u->count++;
        u->bytes += stage_entry(s, s->files[i].entry)->size;
        s->unit_files[listed++] = i;
    }
    qsort(s->units, s->unit_count, sizeof(*s->units), compare_units);
    return ALB_STATUS_OK;
}

/* Large ones first, so that threads end together; in order otherwise. */
static int compare_units(const void *a, const void *b)
{
    const struct stage_unit *left = a, *right = b;
    bool left_large = left->bytes > 2 * (uint64_t)UNIT_BYTES;
    bool right_large = right->bytes > 2 * (uint64_t)UNIT_BYTES;

    if (left_large != right_large)
        return left_large ? -1 : 1;
    return left->first < right->first ? -1 : left->first > right->first;
}
