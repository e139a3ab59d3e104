/* SPDX-License-Identifier: Apache-2.0 */
/* client/explain.c – the parent reached, its list of layers read, versions opened one at a time. */
#include "client/explain.h"

#include <stdio.h>

#include "base/alloc.h"

enum { MEMORY_BYTES = 16 << 20 };
#define OPEN_TIMEOUT_NS (60 * NS_PER_S)

/* ---- reaching the parent --------------------------------------------------------------------- */

static void start_books(struct explain *e)
{
    struct loop *loop = e->link.loop;

    e->supply = supply_new(&(struct supply_options){
        .loop = loop, .upstream = e->link.upstream, .cache_bytes = MEMORY_BYTES});
    e->records =
        record_book_new(&(struct record_book_options){.loop = loop,
                                                      .catalogue = e->link.state->catalogue,
                                                      .authority = e->link.authority,
                                                      .upstream = e->link.upstream});
    e->roots = root_book_new(&(struct root_book_options){.loop = loop,
                                                         .records = e->records,
                                                         .supply = e->supply,
                                                         .authority = e->link.authority,
                                                         .max_roots = 1,
                                                         .keep_manifests = true});
}

enum exit_code explain_begin(struct cli *cli, const char *what, struct explain *out)
{
    const struct link_options options = {.wants_grant = true, .follows_trust = true};
    struct explain *e = out;

    *e = (struct explain){.output = cli->output, .what = what};
    enum exit_code code = link_begin(cli, &options, &e->link);
    if (code != EXIT_DONE)
        return code;
    start_books(e);
    AUTO_FREE char *doing = xasprintf("explaining %s", what);
    code = link_get_json(&e->link, "/v1/layers", doing, &e->answer, &e->layers);
    if (code == EXIT_DONE)
        code = link_refresh_trust(&e->link, doing);
    if (code != EXIT_DONE)
        explain_end(e);
    return code;
}

void explain_end(struct explain *e)
{
    json_doc_free(e->layers);
    link_answer_release(&e->answer);
    root_book_free(e->roots);
    record_book_free(e->records);
    supply_free(e->supply);
    link_end(&e->link);
}

/* ---- the list of layers ---------------------------------------------------------------------- */

size_t explain_layer_count(const struct explain *e)
{
    return json_doc_count(e->layers, "layers");
}

size_t explain_version_count(const struct explain *e, size_t layer)
{
    AUTO_FREE char *path = xasprintf("layers.%zu.versions", layer);

    return json_doc_count(e->layers, path);
}

static const char *text_at(const struct explain *e, size_t layer, const char *member)
{
    AUTO_FREE char *path = xasprintf("layers.%zu.%s", layer, member);

    return json_doc_text(e->layers, path);
}

bool explain_version_at(const struct explain *e, size_t layer, size_t version,
                        struct explain_version *out)
{
    AUTO_FREE char *of_version = xasprintf("layers.%zu.versions.%zu", layer, version);
    AUTO_FREE char *name = xasprintf("%s.version", of_version);
    AUTO_FREE char *root = xasprintf("%s.root", of_version);
    struct explain_version v = {.is_current = false};

    snprintf(v.layer, sizeof v.layer, "%s", text_at(e, layer, "layer"));
    snprintf(v.version, sizeof v.version, "%s", json_doc_text(e->layers, name));
    v.is_current = strcmp(v.version, text_at(e, layer, "current")) == 0;
    if (alb_failed(layer_name_check(v.layer)) || alb_failed(version_name_check(v.version)) ||
        alb_failed(digest_parse(json_doc_text(e->layers, root), &v.root)))
        return false;
    *out = v;
    return true;
}

bool explain_current(const struct explain *e, const char *layer, struct explain_version *out)
{
    for (size_t i = 0; i < explain_layer_count(e); i++) {
        if (strcmp(text_at(e, i, "layer"), layer) != 0)
            continue;
        for (size_t k = 0; k < explain_version_count(e, i); k++)
            if (explain_version_at(e, i, k, out) && out->is_current)
                return true;
    }
    return false;
}

/* ---- opening a version ----------------------------------------------------------------------- */

struct opening {
    struct root_wait wait; /* first */
    struct explain *explain;
    struct timer timer;
    const struct root_view *view;
    struct alb_status st;
    bool done;
};

static void opened(struct root_wait *w, struct alb_status st, const struct root_view *view)
{
    struct opening *o = (struct opening *)w;

    o->st = st;
    o->view = view;
    o->done = true;
    loop_stop(o->explain->link.loop);
}

static void too_late(void *arg)
{
    struct opening *o = arg;

    root_book_leave(o->explain->roots, &o->wait);
    o->st = alb_fail(ALB_TIMEOUT, "its manifest did not come within a minute");
    o->done = true;
    loop_stop(o->explain->link.loop);
}

struct alb_status explain_open(struct explain *e, const struct explain_version *v,
                               const struct root_view **out)
{
    struct opening o = {.wait = {.done = opened}, .explain = e};

    timer_init(&o.timer, e->link.loop, too_late, &o);
    timer_set_in(&o.timer, OPEN_TIMEOUT_NS);
    root_book_open(e->roots, v->layer, &v->root, &o.wait);
    if (!link_run(&e->link, &o.done)) {
        root_book_leave(e->roots, &o.wait);
        o.st = alb_fail(ALB_CLOSED, "interrupted");
    }
    timer_stop(&o.timer);
    if (!alb_failed(o.st))
        *out = o.view;
    return o.st;
}

void explain_close(struct explain *e, const struct root_view *view)
{
    root_book_close_view(e->roots, view);
}
