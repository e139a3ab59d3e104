/* SPDX-License-Identifier: Apache-2.0 */
/* client/explain_holders.c – POST /v1/holds, a batch's worth of positions at a time, and the chain
 * of parents its answer tells of. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "client/explain.h"
#include "wire/batch.h"

static const char *const state_names[] = {
    [HOLDER_UNKNOWN] = "unknown", [HOLDER_ABSENT] = "absent",         [HOLDER_HELD] = "held",
    [HOLDER_DAMAGED] = "damaged", [HOLDER_UNREADABLE] = "unreadable",
};

const char *holder_state_name(enum holder_state state)
{
    return state_names[state];
}

static enum holder_state state_of(const char *name)
{
    for (size_t i = 0; i < ALB_COUNT(state_names); i++)
        if (strcmp(state_names[i], name) == 0)
            return (enum holder_state)i;
    return HOLDER_UNKNOWN;
}

/* ---- reading an answer ----------------------------------------------------------------------- */

int explain_by_position(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void take_position(struct holders *h, struct holder *holder, const struct json_doc *d,
                          const char *item, const struct holders_ask *ask)
{
    AUTO_FREE char *position = xasprintf("%s.position", item);
    AUTO_FREE char *state = xasprintf("%s.state", item);
    AUTO_FREE char *size = xasprintf("%s.stored_bytes", item);
    const uint32_t number = (uint32_t)json_doc_number(d, position);
    const uint32_t *at =
        bsearch(&number, ask->positions, ask->count, sizeof number, explain_by_position);

    if (at == NULL || holder->says[at - ask->positions] != HOLDER_UNKNOWN)
        return; /* not asked for, or said twice */
    enum holder_state *says = &holder->says[at - ask->positions];
    *says = state_of(json_doc_text(d, state));
    holder->held += *says == HOLDER_HELD;
    if (json_doc_number(d, size) != 0)
        h->stored_bytes = json_doc_number(d, size);
}

static struct holder *holder_at(struct holders *h, size_t depth)
{
    struct holder *holder = &h->items[depth];

    if (depth >= h->count) {
        *holder = (struct holder){.says = xcalloc(h->positions + 1, sizeof *holder->says)};
        h->count = depth + 1;
    }
    return holder;
}

/* One level of the answer; false when there is nothing at `prefix`. */
static bool take_level(struct holders *h, size_t depth, const struct json_doc *d,
                       const char *prefix, const struct holders_ask *ask)
{
    AUTO_FREE char *by = xasprintf("%sby", prefix);
    AUTO_FREE char *error = xasprintf("%serror", prefix);
    AUTO_FREE char *message = xasprintf("%smessage", prefix);
    AUTO_FREE char *list = xasprintf("%sholds", prefix);

    if (json_doc_text(d, by)[0] == '\0' && json_doc_text(d, error)[0] == '\0')
        return false;
    struct holder *holder = holder_at(h, depth);
    snprintf(holder->by, sizeof holder->by, "%s", json_doc_text(d, by));
    if (json_doc_text(d, error)[0] != '\0')
        snprintf(holder->error, sizeof holder->error, "%s", json_doc_text(d, message));
    for (size_t i = 0; i < json_doc_count(d, list); i++) {
        AUTO_FREE char *item = xasprintf("%s.%zu", list, i);
        take_position(h, holder, d, item, ask);
    }
    return true;
}

static void take_answer(struct holders *h, const struct json_doc *d, const struct holders_ask *ask)
{
    AUTO_FREE char *prefix = xstrdup("");

    for (size_t depth = 0; depth < HOLDERS_MAX; depth++) {
        if (!take_level(h, depth, d, prefix, ask))
            return;
        char *next = xasprintf("%sparent.", prefix);
        free(prefix);
        prefix = next;
    }
}

/* ---- asking ---------------------------------------------------------------------------------- */

static enum exit_code ask_some(struct explain *e, const struct holders_ask *ask, size_t from,
                               size_t count, struct holders *out)
{
    AUTO_FREE struct batch_request *request = xalloc(sizeof *request);
    AUTO_FREE char *doing = xasprintf("explaining %s: who holds it", e->what);
    struct link_answer answer;
    struct json_doc *d = NULL;
    struct buf body;

    snprintf(request->layer, sizeof request->layer, "%s", ask->layer);
    request->root = ask->root;
    request->list = ask->list;
    buf_init(&body, BATCH_REQUEST_MAX);
    struct alb_status st = batch_request_set(request, ask->positions + from, count);
    if (!alb_failed(st))
        st = batch_request_encode(request, &body);
    if (alb_failed(st)) {
        buf_release(&body);
        return output_fail_status(e->output, st, "%s", doing);
    }
    link_ask(&e->link,
             &(struct upstream_ask){.method = "POST",
                                    .path = ask->reads ? "/v1/holds?read=1" : "/v1/holds",
                                    .body = buf_peek(&body),
                                    .body_size = buf_size(&body)},
             &answer);
    buf_release(&body);
    if (!alb_failed(answer.st))
        answer.st = json_doc_parse(buf_peek(&answer.body), buf_size(&answer.body), &d);
    enum exit_code code = EXIT_DONE;
    if (alb_failed(answer.st))
        code = link_fail(&e->link, &answer, doing);
    else
        take_answer(out, d, ask);
    json_doc_free(d);
    link_answer_release(&answer);
    return code;
}

enum exit_code explain_holders(struct explain *e, const struct holders_ask *ask,
                               struct holders *out)
{
    enum exit_code code = EXIT_DONE;

    *out = (struct holders){.positions = ask->count};
    for (size_t from = 0; from < ask->count && code == EXIT_DONE; from += BATCH_ITEMS_MAX) {
        const size_t rest = ask->count - from;
        code = ask_some(e, ask, from, rest < BATCH_ITEMS_MAX ? rest : BATCH_ITEMS_MAX, out);
    }
    return code;
}

void holders_release(struct holders *h)
{
    for (size_t i = 0; i < h->count; i++)
        free(h->items[i].says);
    *h = (struct holders){.count = 0};
}

/* ---- telling --------------------------------------------------------------------------------- */

const char *holder_title(const struct holders *h, size_t index)
{
    if (h->items[index].error[0] != '\0')
        return "its parent";
    if (strcmp(h->items[index].by, "hub") == 0)
        return "the hub";
    return index == 0 ? "the reflector" : "its parent, a reflector";
}

void holders_json(const struct holders *h, struct json_writer *w)
{
    for (size_t i = 0; i < h->count; i++) {
        json_object_begin(w, NULL);
        json_text(w, "by", h->items[i].by);
        json_number(w, "held", h->items[i].held);
        json_number(w, "of", h->positions);
        json_text(w, "error", h->items[i].error);
        json_end(w);
    }
}
