/* SPDX-License-Identifier: Apache-2.0 */
/* client/explain_file.c – `albedo explain FILE`: which version it comes from, of which chunks, who
 * has those, and what the next pull does with it.
 *
 *     FACTS of the target → ASK who holds its chunks → NEXT: the current version's entry → told
 *
 * What is known here is told whether or not anyone can be reached; not reaching them is an error.
 */
#include "client/explain_file.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/units.h"
#include "client/explain.h"

enum { SLICES_SHOWN = 16 };

/* What the next pull (without --exact) does with the path. */
enum fate {
    FATE_UNKNOWN,
    FATE_UNCHANGED,
    FATE_METADATA,
    FATE_MADE,
    FATE_REPLACED,
    FATE_KEPT_REPLACED,
    FATE_REMOVED,
    FATE_KEPT_REMOVED,
    FATE_LEFT,
    FATE_CONFLICT,
};

static const struct {
    const char *name, *text;
} fates[] = {
    [FATE_UNKNOWN] = {"unknown", "unknown"},
    [FATE_UNCHANGED] = {"unchanged", "leaves it as it is"},
    [FATE_METADATA] = {"metadata", "sets its mode, owner and times only"},
    [FATE_MADE] = {"made", "brings it"},
    [FATE_REPLACED] = {"replaced", "replaces it"},
    [FATE_KEPT_REPLACED] = {"kept_and_replaced", "keeps what is there now in .albedo/kept, and "
                                                 "replaces it"},
    [FATE_REMOVED] = {"removed", "removes it"},
    [FATE_KEPT_REMOVED] = {"kept_and_removed", "moves what is there now to .albedo/kept"},
    [FATE_LEFT] = {"left", "leaves it alone: it is not the layer's (--exact would remove it)"},
    [FATE_CONFLICT] = {"conflict", "refuses to begin: a symbolic link stands where the version has "
                                   "a directory"},
};

struct file_story {
    struct file_facts facts;
    struct explain explain;
    struct map keys; /* of what is applied: key → its position in list C, plus one */
    bool is_asked;   /* explain is open */
    /* distinct chunks of the file, as positions of list C, ascending */
    uint32_t *positions; /* owned */
    size_t position_count;
    struct holders holders;
    struct explain_version next;
    bool has_next;
    enum fate fate;
    uint64_t fetch_chunks, fetch_bytes; /* that the next version's content needs anew, expanded */
};

/* ---- chunks ---------------------------------------------------------------------------------- */

static void index_keys(const struct manifest *m, struct map *out)
{
    for (size_t i = 0; i < m->content_key_count; i++)
        map_put(out, &m->content_keys[i], (void *)(uintptr_t)(i + 1));
}

/* A manifest's own slices are all in its list. */
static uint32_t position_of(const struct map *keys, const struct slice *slice)
{
    return (uint32_t)((uintptr_t)map_get(keys, &slice->key) - 1);
}

static void find_positions(struct file_story *s)
{
    const struct manifest_entry *e = s->facts.bytes;
    size_t n = 0;

    if (e == NULL || e->slice_count == 0)
        return;
    s->positions = xcalloc(e->slice_count, sizeof *s->positions);
    for (size_t i = 0; i < e->slice_count; i++)
        s->positions[i] = position_of(&s->keys, &e->slices[i]);
    qsort(s->positions, e->slice_count, sizeof *s->positions, explain_by_position);
    for (size_t i = 0; i < e->slice_count; i++)
        if (n == 0 || s->positions[n - 1] != s->positions[i])
            s->positions[n++] = s->positions[i];
    s->position_count = n;
}

/* Other files' bytes are in the chunk, too. */
static bool is_in_pack(const struct file_story *s, const struct slice *slice, uint32_t position)
{
    const uint32_t reach = s->facts.applied.manifest.content_raw_bytes[position];

    return slice->offset > 0 || reach > slice->length;
}

static size_t index_of(const struct file_story *s, uint32_t position)
{
    const uint32_t *at =
        bsearch(&position, s->positions, s->position_count, sizeof position, explain_by_position);

    alb_assert(at != NULL);
    return (size_t)(at - s->positions);
}

/* ---- what the next pull does ----------------------------------------------------------------- */

static enum fate fate_without(const struct file_facts *f)
{
    if (!f->exists)
        return FATE_UNCHANGED;
    if (f->entry == NULL)
        return FATE_LEFT;
    if (f->is == FILE_AS_APPLIED)
        return FATE_REMOVED;
    const bool is_other = S_ISDIR(f->now.st_mode) != (f->entry->type == ENTRY_DIRECTORY) ||
                          S_ISLNK(f->now.st_mode) != (f->entry->type == ENTRY_SYMLINK);
    return is_other ? FATE_LEFT : FATE_KEPT_REMOVED;
}

static enum fate fate_with(const struct file_facts *f, const struct manifest_entry *e,
                           const struct manifest_entry *bytes)
{
    char words[256];

    if (!f->exists)
        return FATE_MADE;
    if (f->is == FILE_UNREADABLE)
        return FATE_UNKNOWN;
    if (file_has(f, e, bytes))
        return bytes != NULL && file_meta_differs(f, bytes, words, sizeof words) ? FATE_METADATA
                                                                                 : FATE_UNCHANGED;
    if (f->is == FILE_AS_APPLIED)
        return FATE_REPLACED;
    if (e->type == ENTRY_DIRECTORY && S_ISLNK(f->now.st_mode))
        return FATE_CONFLICT;
    return FATE_KEPT_REPLACED;
}

static void count_news(struct file_story *s, const struct manifest_entry *bytes)
{
    for (size_t i = 0; i < bytes->slice_count; i++) {
        if (map_get(&s->keys, &bytes->slices[i].key) != NULL)
            continue;
        s->fetch_chunks++;
        s->fetch_bytes += bytes->slices[i].length;
    }
}

static void judge_next(struct file_story *s, const struct manifest *m)
{
    const struct file_facts *f = &s->facts;
    const struct manifest_entry *bytes;
    const struct manifest_entry *e = file_entry_find(m, f->path, &bytes);

    s->fate = e == NULL ? fate_without(f) : fate_with(f, e, bytes);
    if (bytes != NULL && !file_has(f, e, bytes))
        count_news(s, bytes);
}

static enum exit_code look_ahead(struct file_story *s)
{
    struct explain *e = &s->explain;
    const struct root_view *view;

    s->has_next = explain_current(e, s->facts.layer, &s->next);
    if (!s->has_next)
        return EXIT_DONE;
    if (digest_equal(&s->next.root, &s->facts.applied.root)) {
        judge_next(s, &s->facts.applied.manifest);
        return EXIT_DONE;
    }
    struct alb_status st = explain_open(e, &s->next, &view);
    if (alb_failed(st))
        return output_fail_status(e->output, st, "explaining %s: what %s@%s will bring", e->what,
                                  s->next.layer, s->next.version);
    judge_next(s, view->manifest);
    explain_close(e, view);
    return EXIT_DONE;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* A version that this member may not read any more is no reason to fail: it is told so. */
static bool is_readable(struct file_story *s)
{
    for (size_t i = 0; i < explain_layer_count(&s->explain); i++) {
        struct explain_version v;
        for (size_t k = 0; k < explain_version_count(&s->explain, i); k++)
            if (explain_version_at(&s->explain, i, k, &v) && strcmp(v.layer, s->facts.layer) == 0 &&
                digest_equal(&v.root, &s->facts.applied.root))
                return true;
    }
    return false;
}

static enum exit_code ask(struct cli *cli, struct file_story *s, const char *file)
{
    enum exit_code code = explain_begin(cli, file, &s->explain);
    if (code != EXIT_DONE)
        return code;
    s->is_asked = true;
    find_positions(s);
    if (s->position_count > 0 && is_readable(s))
        code = explain_holders(&s->explain,
                               &(struct holders_ask){.layer = s->facts.layer,
                                                     .root = s->facts.applied.root,
                                                     .list = LIST_CONTENT,
                                                     .positions = s->positions,
                                                     .count = s->position_count},
                               &s->holders);
    if (code == EXIT_DONE)
        code = look_ahead(s);
    explain_end(&s->explain);
    return code;
}

/* ---- telling people -------------------------------------------------------------------------- */

static void tell_entry(struct output *o, const struct file_facts *f)
{
    const struct manifest_entry *e = f->entry;
    char hex[DIGEST_HEX_SIZE], size[UNITS_TEXT_SIZE];

    output_say(o, "%s%s%s", f->target, f->path[0] == '\0' ? "" : "/", f->path);
    if (e == NULL) {
        output_say(o,
                   "  from         nothing that was pulled: %s, which is applied here, does not "
                   "have it",
                   f->applied.version);
        return;
    }
    output_say(o, "  from         %s, root %s", f->applied.version,
               digest_hex(&f->applied.root, hex));
    output_say(o, "  is           a %s of %s", file_type_name(e->type),
               e->owner == OWNER_IT ? "IT's" : "the user's");
    if (e->type == ENTRY_SYMLINK || e->type == ENTRY_HARDLINK)
        output_say(o, "  of           %s", e->target);
    if (f->bytes == NULL || f->bytes->type != ENTRY_FILE)
        return;
    output_say(o, "  content      %s, SHA-256 %s", format_size(f->bytes->size, size),
               digest_hex(&f->bytes->content, hex));
}

static void tell_now(struct output *o, const struct file_facts *f)
{
    static const char *const texts[] = {
        [FILE_MISSING] = "missing: it was removed since",
        [FILE_AS_APPLIED] = "as it was applied",
        [FILE_ALTERED] = "altered since it was applied",
        [FILE_FOREIGN] = "the owner's own",
        [FILE_UNREADABLE] = "cannot be read with these rights",
    };
    char hex[DIGEST_HEX_SIZE], words[256];

    if (!f->exists && f->entry == NULL)
        output_say(o, "  on disk      nothing is there");
    else
        output_say(o, "  on disk      %s", texts[f->is]);
    if (f->is == FILE_ALTERED && f->has_content)
        output_say(o, "               its content is now SHA-256 %s", digest_hex(&f->content, hex));
    if (f->exists && f->bytes != NULL && file_meta_differs(f, f->bytes, words, sizeof words))
        output_say(o, "               %s", words);
    for (size_t i = 0; i < f->kept_count; i++)
        output_say(o, "  kept         %s", f->kept[i]);
}

static void tell_slice(struct output *o, const struct file_story *s, size_t index)
{
    const struct manifest_entry *e = s->facts.bytes;
    const struct slice *slice = &e->slices[index];
    const uint32_t position = position_of(&s->keys, slice);
    char hex[DIGEST_HEX_SIZE], who[256] = "";

    for (size_t i = 0; i < s->holders.count; i++) {
        const struct holder *h = &s->holders.items[i];
        const size_t used = strlen(who);
        if (h->error[0] == '\0')
            snprintf(who + used, sizeof who - used, "; %s: %s", holder_title(&s->holders, i),
                     holder_state_name(h->says[index_of(s, position)]));
    }
    output_say(o, "    %s from %" PRIu32 ", %" PRIu32 " bytes%s%s",
               digest_hex(&slice->key.digest, hex), slice->offset, slice->length,
               is_in_pack(s, slice, position) ? ", in a pack" : "", who);
}

static void tell_chunks(struct output *o, const struct file_story *s)
{
    const struct manifest_entry *e = s->facts.bytes;

    if (e == NULL || e->slice_count == 0)
        return;
    output_say(o, "  chunks       %zu%s", e->slice_count,
               s->facts.is == FILE_AS_APPLIED ? ", all of them here, in this file" : "");
    for (size_t i = 0; i < s->holders.count; i++) {
        const struct holder *h = &s->holders.items[i];
        if (h->error[0] != '\0')
            output_say(o, "               %s does not say: %s", holder_title(&s->holders, i),
                       h->error);
        else
            output_say(o, "               %s holds %zu of %zu", holder_title(&s->holders, i),
                       h->held, s->holders.positions);
    }
    for (size_t i = 0; i < e->slice_count && i < SLICES_SHOWN; i++)
        tell_slice(o, s, i);
    if (e->slice_count > SLICES_SHOWN)
        output_say(o, "    … and %zu more (--json lists all)", e->slice_count - SLICES_SHOWN);
}

static void tell_next(struct output *o, const struct file_story *s)
{
    char size[UNITS_TEXT_SIZE];

    if (!s->is_asked)
        return;
    if (!s->has_next) {
        output_say(o, "  next pull    has no current version of %s for this member",
                   s->facts.layer);
        return;
    }
    output_say(o, "  next pull    of %s@%s %s", s->next.layer, s->next.version,
               fates[s->fate].text);
    if (s->fetch_chunks > 0)
        output_say(o, "               %" PRIu64 " more chunks of it (%s) are needed than %s has",
                   s->fetch_chunks, format_size(s->fetch_bytes, size), s->facts.applied.version);
}

/* ---- telling machines ------------------------------------------------------------------------ */

static void put_slices(struct json_writer *w, const struct file_story *s)
{
    const struct manifest_entry *e = s->facts.bytes;
    char hex[DIGEST_HEX_SIZE];

    json_array_begin(w, "slices");
    for (size_t i = 0; e != NULL && i < e->slice_count; i++) {
        const uint32_t position = position_of(&s->keys, &e->slices[i]);
        json_object_begin(w, NULL);
        json_text(w, "chunk", digest_hex(&e->slices[i].key.digest, hex));
        json_number(w, "position", position);
        json_number(w, "offset", e->slices[i].offset);
        json_number(w, "length", e->slices[i].length);
        json_bool(w, "pack", is_in_pack(s, &e->slices[i], position));
        json_array_begin(w, "held");
        for (size_t k = 0; k < s->holders.count; k++)
            json_text(w, NULL, holder_state_name(s->holders.items[k].says[index_of(s, position)]));
        json_end(w);
        json_end(w);
    }
    json_end(w);
}

static void put_entry(struct json_writer *w, const struct file_facts *f)
{
    char hex[DIGEST_HEX_SIZE], words[256] = "";

    json_text(w, "target", f->target);
    json_text(w, "path", f->path);
    json_text(w, "applied", f->applied.version);
    json_text(w, "root", digest_hex(&f->applied.root, hex));
    json_text(w, "type", f->entry == NULL ? "" : file_type_name(f->entry->type));
    json_text(w, "owner", f->entry == NULL || f->entry->owner == OWNER_USER ? "user" : "it");
    if (f->bytes != NULL && f->bytes->type == ENTRY_FILE) {
        json_text(w, "content", digest_hex(&f->bytes->content, hex));
        json_number(w, "size", f->bytes->size);
    }
    json_text(w, "on_disk", file_is_name(f->is));
    json_text(w, "content_now", f->has_content ? digest_hex(&f->content, hex) : "");
    if (f->exists && f->bytes != NULL)
        (void)file_meta_differs(f, f->bytes, words, sizeof words);
    json_text(w, "metadata", words);
    json_array_begin(w, "kept");
    for (size_t i = 0; i < f->kept_count; i++)
        json_text(w, NULL, f->kept[i]);
    json_end(w);
}

static void tell_json(struct output *o, const struct file_story *s)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    put_entry(w, &s->facts);
    json_array_begin(w, "holders");
    holders_json(&s->holders, w);
    json_end(w);
    put_slices(w, s);
    if (s->has_next) {
        json_object_begin(w, "next");
        json_text(w, "version", s->next.version);
        json_text(w, "does", fates[s->fate].name);
        json_number(w, "fetch_chunks", s->fetch_chunks);
        json_number(w, "fetch_bytes", s->fetch_bytes);
        json_end(w);
    }
    json_end(w);
    output_json(o, w);
}

/* ---- the whole of it ------------------------------------------------------------------------- */

static void tell(struct output *o, const struct file_story *s)
{
    if (o->json) {
        tell_json(o, s);
        return;
    }
    tell_entry(o, &s->facts);
    tell_now(o, &s->facts);
    tell_chunks(o, s);
    tell_next(o, s);
}

enum exit_code explain_file(struct cli *cli, const char *file, const char *target, bool is_local)
{
    struct file_story s = {.fate = FATE_UNKNOWN};

    map_init(&s.keys);
    enum exit_code code = file_facts_find(cli->output, file, target, &s.facts);
    if (code == EXIT_DONE) {
        index_keys(&s.facts.applied.manifest, &s.keys);
        if (!is_local)
            code = ask(cli, &s, file);
        tell(cli->output, &s);
    }
    holders_release(&s.holders);
    free(s.positions);
    map_release(&s.keys);
    file_facts_release(&s.facts);
    return code;
}
