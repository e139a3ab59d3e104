/* SPDX-License-Identifier: Apache-2.0 */
/* client/explain_chunk.c – `albedo explain CHUNK`: which versions name it, in which files, and who
 * holds it.
 *
 * Every version that may be read is looked into; a chunk that none of them names is told as
 * unknown, whether it exists or not.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/units.h"
#include "client/explain.h"

enum { DIGITS_LEAST = 8, DIGITS_MOST = 64, PATHS_SHOWN = 10 };

struct use { /* a version that names it */
    struct explain_version version;
    enum chunk_list list;
    uint32_t position, raw_bytes;
    uint64_t file_count;
    char *paths[PATHS_SHOWN]; /* owned */
    size_t path_count;
};

struct search {
    const char *digits; /* lower case */
    struct chunk_key key;
    bool is_found, is_ambiguous;
    struct chunk_key other; /* when it is ambiguous */
    struct use *uses;       /* owned */
    size_t use_count, looked_into, not_opened;
    struct alb_status why_not; /* of the last one that was not opened */
};

bool explain_is_chunk(const char *text)
{
    const size_t size = strlen(text);

    return size >= DIGITS_LEAST && size <= DIGITS_MOST &&
           strspn(text, "0123456789abcdefABCDEF") == size;
}

/* ---- looking --------------------------------------------------------------------------------- */

static bool matches(struct search *s, const struct chunk_key *key)
{
    char hex[DIGEST_HEX_SIZE];

    if (s->is_found && chunk_key_equal(key, &s->key))
        return true;
    if (strncmp(digest_hex(&key->digest, hex), s->digits, strlen(s->digits)) != 0)
        return false;
    if (s->is_found) {
        s->is_ambiguous = true;
        s->other = *key;
        return false;
    }
    s->is_found = true;
    s->key = *key;
    return true;
}

static void note_files(struct use *u, const struct manifest *m, const struct chunk_key *key)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct manifest_entry *e = &m->entries[i];
        bool has = false;
        for (size_t k = 0; k < e->slice_count && !has; k++)
            has = chunk_key_equal(&e->slices[k].key, key);
        if (has && u->file_count++ < PATHS_SHOWN)
            u->paths[u->path_count++] = xstrdup(e->path);
    }
}

static void note_use(struct search *s, const struct explain_version *v,
                     const struct root_view *view, enum chunk_list list, uint32_t position)
{
    struct chunk_key key;
    struct where where;

    s->uses = xrealloc(s->uses, (s->use_count + 1) * sizeof *s->uses);
    struct use *u = &s->uses[s->use_count++];
    *u = (struct use){.version = *v, .list = list, .position = position};
    if (root_view_key(view, list, position, &key, &where))
        u->raw_bytes = where.raw_bytes;
    if (list == LIST_CONTENT)
        note_files(u, view->manifest, &s->key);
}

static void look_at_list(struct search *s, const struct explain_version *v,
                         const struct root_view *view, enum chunk_list list, size_t count)
{
    struct chunk_key key;
    struct where where;

    for (uint32_t i = 0; i < count && !s->is_ambiguous; i++) {
        if (root_view_key(view, list, i, &key, &where) && matches(s, &key)) {
            note_use(s, v, view, list, i);
            if (strlen(s->digits) == DIGITS_MOST)
                return; /* it is in a list once; a prefix may match another */
        }
    }
}

static enum exit_code look_into(struct explain *e, struct search *s,
                                const struct explain_version *v)
{
    const struct root_view *view;
    struct alb_status st = explain_open(e, v, &view);

    if (e->link.interrupted)
        return output_interrupted(e->output, "explaining %s: interrupted", e->what);
    if (alb_failed(st)) {
        s->not_opened++;
        s->why_not = st;
        return EXIT_DONE;
    }
    s->looked_into++;
    look_at_list(s, v, view, LIST_ROOT, 1);
    look_at_list(s, v, view, LIST_MANIFEST, view->root.chunk_count);
    look_at_list(s, v, view, LIST_CONTENT, view->content_key_count);
    explain_close(e, view);
    return EXIT_DONE;
}

static enum exit_code look_everywhere(struct explain *e, struct search *s, const char *only)
{
    struct explain_version v;
    enum exit_code code = EXIT_DONE;

    for (size_t i = 0; i < explain_layer_count(e); i++) {
        for (size_t k = explain_version_count(e, i); k-- > 0 && code == EXIT_DONE;)
            if (explain_version_at(e, i, k, &v) && (only == NULL || strcmp(v.layer, only) == 0))
                code = look_into(e, s, &v);
    }
    return code;
}

static enum exit_code judge(struct explain *e, const struct search *s)
{
    char one[DIGEST_HEX_SIZE], other[DIGEST_HEX_SIZE], why[256];

    if (s->is_ambiguous)
        return output_fail(e->output, ALB_INVALID,
                           "CHUNK %s: more than one begins so, %s and %s among them; give more "
                           "digits",
                           e->what, digest_hex(&s->key.digest, one),
                           digest_hex(&s->other.digest, other));
    if (s->is_found)
        return EXIT_DONE;
    if (s->not_opened > 0)
        return output_fail(e->output, s->why_not.code,
                           "CHUNK %s: none of the %zu versions that could be looked into names it; "
                           "%zu could not: %s",
                           e->what, s->looked_into, s->not_opened,
                           alb_status_text(s->why_not, why, sizeof why));
    return output_fail(e->output, ALB_NOT_FOUND,
                       "CHUNK %s: no version that this member may read names it (%zu looked into); "
                       "`albedo layers` lists them",
                       e->what, s->looked_into);
}

/* ---- telling --------------------------------------------------------------------------------- */

static void tell_use(struct output *o, const struct use *u)
{
    output_say(o, "  %s@%s%s: %s", u->version.layer, u->version.version,
               u->version.is_current ? " (current)" : "",
               u->list == LIST_ROOT       ? "its root object"
               : u->list == LIST_MANIFEST ? "a part of its manifest"
                                          : "file content");
    for (size_t i = 0; i < u->path_count; i++)
        output_say(o, "      %s", u->paths[i]);
    if (u->file_count > u->path_count)
        output_say(o, "      … and %" PRIu64 " more", u->file_count - u->path_count);
}

static void tell(struct explain *e, const struct search *s, const struct holders *h)
{
    struct output *o = e->output;
    char hex[DIGEST_HEX_SIZE], raw[UNITS_TEXT_SIZE], stored[UNITS_TEXT_SIZE];

    output_say(o, "chunk %s", digest_hex(&s->key.digest, hex));
    if (s->uses[0].raw_bytes > 0)
        output_say(o, "  %s, %s as it is kept and sent", format_size(s->uses[0].raw_bytes, raw),
                   h->stored_bytes > 0 ? format_size(h->stored_bytes, stored) : "size unknown");
    output_say(o, "named by");
    for (size_t i = 0; i < s->use_count; i++)
        tell_use(o, &s->uses[i]);
    if (s->not_opened > 0)
        output_say(o, "  %zu more versions could not be looked into", s->not_opened);
    output_say(o, "held by");
    for (size_t i = 0; i < h->count; i++)
        output_say(o, "  %-24s %s", holder_title(h, i),
                   h->items[i].error[0] != '\0' ? h->items[i].error
                                                : holder_state_name(h->items[i].says[0]));
}

static void put_use(struct json_writer *w, const struct use *u)
{
    char hex[DIGEST_HEX_SIZE];

    json_object_begin(w, NULL);
    json_text(w, "layer", u->version.layer);
    json_text(w, "version", u->version.version);
    json_bool(w, "current", u->version.is_current);
    json_text(w, "root", digest_hex(&u->version.root, hex));
    json_text(w, "list", chunk_list_word(u->list));
    json_number(w, "position", u->position);
    json_number(w, "files", u->file_count);
    json_array_begin(w, "paths");
    for (size_t i = 0; i < u->path_count; i++)
        json_text(w, NULL, u->paths[i]);
    json_end(w);
    json_end(w);
}

static void tell_json(struct explain *e, const struct search *s, const struct holders *h)
{
    struct json_writer *w = json_writer_new();
    char hex[DIGEST_HEX_SIZE];

    json_object_begin(w, NULL);
    json_text(w, "chunk", digest_hex(&s->key.digest, hex));
    json_number(w, "raw_bytes", s->uses[0].raw_bytes);
    json_number(w, "stored_bytes", h->stored_bytes);
    json_array_begin(w, "versions");
    for (size_t i = 0; i < s->use_count; i++)
        put_use(w, &s->uses[i]);
    json_end(w);
    json_number(w, "not_looked_into", s->not_opened);
    json_array_begin(w, "holders");
    for (size_t i = 0; i < h->count; i++) {
        json_object_begin(w, NULL);
        json_text(w, "by", h->items[i].by);
        json_text(w, "state", holder_state_name(h->items[i].says[0]));
        json_text(w, "error", h->items[i].error);
        json_end(w);
    }
    json_end(w);
    json_end(w);
    output_json(e->output, w);
}

/* ---- at the hub ------------------------------------------------------------------------------ */

static enum exit_code tell_hub(struct cli *cli, const struct json_doc *d)
{
    struct output *o = cli->output;
    const bool hurts = strcmp(json_doc_text(d, "state"), "held") != 0;

    output_say(o, "at the hub");
    output_say(o, "  state     %s%s%s", json_doc_text(d, "state"),
               json_doc_text(d, "why")[0] != '\0' ? ": " : "", json_doc_text(d, "why"));
    if (json_doc_text(d, "file")[0] != '\0')
        output_say(o, "  place     %s, offset %" PRIu64 ", %" PRIu64 " bytes",
                   json_doc_text(d, "file"), json_doc_number(d, "offset"),
                   json_doc_number(d, "stored_bytes"));
    output_say(o, "  %s", hurts ? "hurts" : "needed by");
    for (size_t i = 0; i < json_doc_count(d, "versions"); i++) {
        AUTO_FREE char *layer = xasprintf("versions.%zu.layer", i);
        AUTO_FREE char *version = xasprintf("versions.%zu.version", i);
        AUTO_FREE char *list = xasprintf("versions.%zu.list", i);
        AUTO_FREE char *files = xasprintf("versions.%zu.files", i);
        output_say(o, "    %s@%s: %s, %" PRIu64 " file%s", json_doc_text(d, layer),
                   json_doc_text(d, version), json_doc_text(d, list), json_doc_number(d, files),
                   json_doc_number(d, files) == 1 ? "" : "s");
    }
    if (json_doc_count(d, "versions") == 0)
        output_say(o, "    no version");
    if (json_doc_count(d, "not_looked_into") > 0)
        output_say(o, "  %zu versions could not be looked into: their own manifest is damaged",
                   json_doc_count(d, "not_looked_into"));
    return EXIT_DONE;
}

static enum exit_code ask_hub(struct cli *cli, const char *hex)
{
    AUTO_FREE char *path = xasprintf("/v1/explain/%s", hex);

    return link_show(cli, &(struct link_options){.at_hub = true}, path,
                     "explaining a chunk at the hub", tell_hub);
}

/* ---- the whole of it ------------------------------------------------------------------------- */

static void search_release(struct search *s)
{
    for (size_t i = 0; i < s->use_count; i++)
        for (size_t k = 0; k < s->uses[i].path_count; k++)
            free(s->uses[i].paths[k]);
    free(s->uses);
}

static enum exit_code tell_holders(struct explain *e, const struct search *s)
{
    struct holders holders;

    alb_assert(s->use_count > 0); /* it was found */
    const struct use *u = &s->uses[0];
    enum exit_code code = explain_holders(e,
                                          &(struct holders_ask){.layer = u->version.layer,
                                                                .root = u->version.root,
                                                                .list = u->list,
                                                                .positions = &u->position,
                                                                .count = 1,
                                                                .reads = true},
                                          &holders);
    if (code == EXIT_DONE && e->output->json)
        tell_json(e, s, &holders);
    else if (code == EXIT_DONE)
        tell(e, s, &holders);
    holders_release(&holders);
    return code;
}

static enum exit_code search_and_tell(struct cli *cli, struct search *s, const char *what,
                                      bool at_hub, const char *layer)
{
    struct explain e;

    enum exit_code code = explain_begin(cli, what, &e);
    if (code != EXIT_DONE)
        return code;
    code = look_everywhere(&e, s, layer);
    if (code == EXIT_DONE)
        code = judge(&e, s);
    if (code == EXIT_DONE && !at_hub)
        code = tell_holders(&e, s);
    explain_end(&e);
    return code;
}

enum exit_code explain_chunk(struct cli *cli, const char *digits, bool at_hub, const char *layer)
{
    AUTO_FREE char *lower = xstrdup(digits);
    struct search s = {.digits = lower};
    char hex[DIGEST_HEX_SIZE];
    enum exit_code code = EXIT_DONE;

    for (char *c = lower; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    if (at_hub && strlen(lower) == DIGITS_MOST)
        return ask_hub(cli, lower);
    code = search_and_tell(cli, &s, digits, at_hub, layer);
    if (code == EXIT_DONE && at_hub)
        code = ask_hub(cli, digest_hex(&s.key.digest, hex));
    search_release(&s);
    return code;
}
