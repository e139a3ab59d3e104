/* SPDX-License-Identifier: Apache-2.0 */
/* hub/token_list.c – the tokens that may still be used, and withdrawing one before it is used up.
 *
 * A withdrawn token stays, with the reason, so that whoever still tries it is told why.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/device.h"
#include "hub/hub_impl.h"
#include "hub/tokens.h"

/* ---- GET /v1/tokens -------------------------------------------------------------------------- */

struct token_list {
    struct json_writer *w;
    int64_t now_wall_s;
};

static bool put_token(void *arg, const char *name, const void *value, size_t size,
                      uint64_t swap_version)
{
    struct token_list *list = arg;
    struct token_record *t;

    (void)swap_version;
    t = xalloc(sizeof *t);
    if (!alb_failed(token_record_decode(value, size, t)) && t->uses > 0 &&
        t->withdrawn[0] == '\0' && t->expires_wall_s > list->now_wall_s) {
        json_object_begin(list->w, NULL);
        json_text(list->w, "token", strchr(name, '/') == NULL ? name : strchr(name, '/') + 1);
        json_text(list->w, "role", t->role);
        json_text(list->w, "site", t->site);
        json_text(list->w, "name", t->name);
        json_text(list->w, "layers", t->layers);
        json_number(list->w, "uses", t->uses);
        json_signed(list->w, "expires", t->expires_wall_s);
        json_end(list->w);
    }
    free(t);
    return true;
}

static void list_run(struct hub_task *t)
{
    struct token_list list = {.w = json_writer_new(), .now_wall_s = t->now_wall_s};

    json_object_begin(list.w, NULL);
    json_array_begin(list.w, "tokens");
    t->st = catalogue_list(t->hub->options.catalogue, "token/", put_token, &list);
    json_end(list.w);
    json_end(list.w);
    struct alb_status st = json_writer_finish(list.w, &t->answer);
    if (!alb_failed(t->st))
        t->st = st;
}

void hub_handle_tokens(void *hub, struct serve_request *rq)
{
    struct hub_task *t = hub_task_new(hub, rq, sizeof *t);

    t->content_type = "application/json";
    t->run = list_run;
    hub_task_start(t, JOB_SHARED, 64 << 10);
}

/* ---- POST /v1/token-revoke/ID ---------------------------------------------------------------- */

struct alb_status token_withdraw(struct catalogue *c, const char *id, const char *why)
{
    AUTO_FREE struct token_record *record = xalloc(sizeof *record);
    uint64_t swap_version;
    struct alb_status st = token_id_check(id);

    if (!alb_failed(st))
        st = token_record_read(c, id, record, &swap_version);
    if (alb_failed(st) || record->withdrawn[0] != '\0')
        return st;
    snprintf(record->withdrawn, sizeof record->withdrawn, "%s", why);
    return token_record_write(c, record, swap_version);
}

struct withdraw_task {
    struct hub_task task; /* first */
    char id[64];
};

static void withdraw_run(struct hub_task *t)
{
    const char *id = ((struct withdraw_task *)t)->id;

    t->st = token_withdraw(t->hub->options.catalogue, id, "an administrator withdrew it");
    if (t->st.code == ALB_NOT_FOUND || t->st.code == ALB_INVALID)
        hub_task_refuse(t, ALB_NOT_FOUND, "no such token; 'albedo token list' shows them");
    else if (!alb_failed(t->st))
        hub_audit(&t->who, "token.revoke", "id=%s", id);
}

void hub_handle_token_revoke(void *hub, struct serve_request *rq)
{
    struct withdraw_task *p = hub_task_new(hub, rq, sizeof *p);

    snprintf(p->id, sizeof p->id, "%.63s", rq->rest);
    p->task.run = withdraw_run;
    hub_task_start(&p->task, JOB_ORDERED, 4 << 10);
}
