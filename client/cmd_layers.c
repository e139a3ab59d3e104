/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_layers.c – `albedo layers`: what may be read, and which version is current.
 *
 * {"layers": [{"layer", "current", "head_expires", "versions": [{"version", "entries", …}]}]}
 * becomes a row for each version; of one layer, its delta sets below.
 */
#include "base/alloc.h"
#include "client/link.h"
#include "client/table.h"

enum { ROWS_MOST = 32 << 20 };

static const struct column columns[] = {
    {"LAYER", "layer", CELL_TEXT},
    {"VERSION", "version", CELL_TEXT},
    {"CURRENT", "current", CELL_TEXT},
    {"SIZE", "content_bytes", CELL_SIZE},
    {"ENTRIES", "entries", CELL_NUMBER},
    {"PUBLISHED", "made", CELL_TIME},
    {"HEAD EXPIRES", "head_expires", CELL_TIME},
};

static const struct column delta_columns[] = {
    {"FROM", "from", CELL_TEXT},
    {"TO", "to", CELL_TEXT},
    {"DELTA SET", "outcome", CELL_TEXT},
    {"SIZE", "bytes", CELL_SIZE},
    {"REST AS CHUNKS", "rest_bytes", CELL_SIZE},
    {"ALL AS CHUNKS", "chunk_bytes", CELL_SIZE},
    {"MADE", "made", CELL_TIME},
};

static void put_version(struct json_writer *w, const struct json_doc *d, size_t layer,
                        size_t version)
{
    AUTO_FREE char *of_layer = xasprintf("layers.%zu", layer);
    AUTO_FREE char *of_version = xasprintf("%s.versions.%zu", of_layer, version);
    AUTO_FREE char *name = xasprintf("%s.version", of_version);
    AUTO_FREE char *current = xasprintf("%s.current", of_layer);
    AUTO_FREE char *layer_name = xasprintf("%s.layer", of_layer);
    bool is_current = strcmp(json_doc_text(d, name), json_doc_text(d, current)) == 0;
    static const char *const members[] = {"content_bytes", "entries", "made"};

    json_object_begin(w, NULL);
    json_relay(w, "layer", d, layer_name);
    json_relay(w, "version", d, name);
    json_text(w, "current", is_current ? "current" : "");
    for (size_t i = 0; i < ALB_COUNT(members); i++) {
        AUTO_FREE char *member = xasprintf("%s.%s", of_version, members[i]);
        json_relay(w, members[i], d, member);
    }
    AUTO_FREE char *expires = xasprintf("%s.head_expires", of_layer);
    if (is_current)
        json_relay(w, "head_expires", d, expires);
    json_end(w);
}

static void put_delta(struct json_writer *w, const struct json_doc *d, size_t layer, size_t i)
{
    json_object_begin(w, NULL);
    for (size_t n = 0; n < ALB_COUNT(delta_columns); n++) {
        AUTO_FREE char *path =
            xasprintf("layers.%zu.deltas.%zu.%s", layer, i, delta_columns[n].path);
        json_relay(w, delta_columns[n].path, d, path);
    }
    json_end(w);
}

/* `only`: a layer, or NULL for all. */
static bool is_shown(const struct json_doc *d, size_t layer, const char *only)
{
    AUTO_FREE char *name = xasprintf("layers.%zu.layer", layer);

    return only == NULL || strcmp(json_doc_text(d, name), only) == 0;
}

static void put_rows(struct json_writer *w, const struct json_doc *d, const char *only)
{
    json_array_begin(w, "rows");
    for (size_t layer = 0; layer < json_doc_count(d, "layers"); layer++) {
        AUTO_FREE char *path = xasprintf("layers.%zu.versions", layer);
        const size_t count = is_shown(d, layer, only) ? json_doc_count(d, path) : 0;
        for (size_t version = 0; version < count; version++)
            put_version(w, d, layer, version);
    }
    json_end(w);
}

static void put_deltas(struct json_writer *w, const struct json_doc *d, const char *only)
{
    json_array_begin(w, "deltas");
    for (size_t layer = 0; layer < json_doc_count(d, "layers"); layer++) {
        AUTO_FREE char *path = xasprintf("layers.%zu.deltas", layer);
        const bool is_it = only != NULL && is_shown(d, layer, only);
        const size_t count = is_it ? json_doc_count(d, path) : 0;
        for (size_t i = 0; i < count; i++)
            put_delta(w, d, layer, i);
    }
    json_end(w);
}

static struct alb_status rows_of(const struct json_doc *d, const char *only, struct json_doc **out)
{
    struct json_writer *w = json_writer_new();
    struct buf text;

    buf_init(&text, ROWS_MOST);
    json_object_begin(w, NULL);
    put_rows(w, d, only);
    put_deltas(w, d, only);
    json_end(w);
    struct alb_status st = json_writer_finish(w, &text);
    if (!alb_failed(st))
        st = json_doc_parse(buf_peek(&text), buf_size(&text), out);
    buf_release(&text);
    return st;
}

static enum exit_code print_tables(struct cli *cli, const struct json_doc *d)
{
    const char *only = cli->word_count > 0 ? cli->words[0] : NULL;
    struct output *o = cli->output;
    struct json_doc *rows = NULL;

    struct alb_status st = rows_of(d, only, &rows);
    if (alb_failed(st))
        return output_fail_status(o, st, "listing layers");
    if (json_doc_count(rows, "rows") > 0)
        table_print(o, rows, "rows", columns, ALB_COUNT(columns));
    else if (only == NULL)
        output_note(o, "there are no layers yet that this member may read");
    else
        output_note(o, "there is no layer %s that this member may read", only);
    if (json_doc_count(rows, "deltas") > 0)
        table_print(o, rows, "deltas", delta_columns, ALB_COUNT(delta_columns));
    json_doc_free(rows);
    return EXIT_DONE;
}

enum exit_code cmd_layers(struct cli *cli)
{
    return link_show(cli, &(struct link_options){.wants_grant = true}, "/v1/layers",
                     "listing layers", print_tables);
}
