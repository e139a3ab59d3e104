/* SPDX-License-Identifier: Apache-2.0 */
/* hub/policy_override.c – pause, go, resume: the list of overrides, shortened and lengthened.
 *
 * A new one goes to the front, so that it holds over what was said before of the same; when it
 * ends, that holds again.  What has expired leaves the list with the next change.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/device.h"
#include "hub/hub_impl.h"
#include "hub/policy.h"

enum { LONGEST_S = 366 * 86400 };

struct override_task {
    struct hub_task task; /* first */
    struct buf sealed;    /* the new list; empty: nothing changed */
    uint64_t highest;     /* number in force anywhere */
};

/* The list as it is, and what to swap it with. */
struct override_list {
    struct policy_overrides overrides, ended;
    struct policy_record record;
};

/* ---- the list -------------------------------------------------------------------------------- */

static struct alb_status read_list(const struct override_task *p, struct override_list *out)
{
    struct policy_seal *seal = &out->record.seal;
    struct policy_findings findings;
    struct alb_status st = policy_record_read(&p->task.hub->ledger, POLICY_OVERRIDES, &out->record);

    policy_findings_init(&findings);
    if (!alb_failed(st) && seal->number > 0)
        st = policy_overrides_decode(seal->text, seal->text_size, &findings, &out->overrides);
    policy_findings_release(&findings);
    if (seal->number < p->highest)
        seal->number = p->highest;
    return st;
}

static void drop_at(struct policy_overrides *o, size_t i)
{
    memmove(&o->list[i], &o->list[i + 1], (o->count - i - 1) * sizeof o->list[0]);
    o->count--;
}

static void drop_expired(struct policy_overrides *o, int64_t now_wall_s)
{
    for (size_t i = o->count; i > 0; i--)
        if (o->list[i - 1].until_s <= now_wall_s)
            drop_at(o, i - 1);
}

static struct alb_status write_list(struct override_task *p, const struct override_list *list)
{
    struct hub_task *t = &p->task;
    struct buf text;

    buf_init(&text, POLICY_TEXT_MAX);
    struct alb_status st = policy_overrides_encode(&list->overrides, &text);
    if (!alb_failed(st))
        st = policy_record_write(&t->hub->ledger, POLICY_OVERRIDES, &list->record, &text,
                                 t->now_wall_s, &p->sealed);
    buf_release(&text);
    return st;
}

/* ---- POST /v1/override-put {"what", "scope", "for_s", "why"} ------------------------------- */

/* A name that nobody has is a slip of the hand, and would do nothing where it was meant to. */
struct site_search {
    const char *site;
    bool is_found;
};

static bool look_at_device(void *arg, const char *name, const void *value, size_t size,
                           uint64_t version)
{
    AUTO_FREE struct device_record *d = xalloc(sizeof *d);
    struct site_search *s = arg;

    (void)name;
    (void)version;
    if (!alb_failed(device_decode(value, size, d)) && strcmp(d->site, s->site) == 0)
        s->is_found = true;
    return !s->is_found;
}

static bool policy_names_site(const struct ledger *l, const char *site)
{
    struct policy_findings findings;
    struct policy_doc *doc = NULL;
    struct policy_record r;
    bool is_found = false;

    policy_record_init(&r);
    policy_findings_init(&findings);
    if (!alb_failed(policy_record_read(l, POLICY_RULES, &r)) && r.seal.number > 0 &&
        !alb_failed(policy_doc_decode(r.seal.text, r.seal.text_size, NULL, NULL, &findings, &doc)))
        for (size_t i = 0; i < doc->site_count && !is_found; i++)
            is_found = strcmp(doc->sites[i].name, site) == 0;
    policy_doc_free(doc);
    policy_findings_release(&findings);
    policy_record_release(&r);
    return is_found;
}

static bool site_is_known(const struct ledger *l, const char *site)
{
    struct site_search s = {.site = site};

    alb_ignore(catalogue_list(l->catalogue, "device/", look_at_device, &s), "then it is not found");
    return s.is_found || policy_names_site(l, site);
}

static bool device_is_known(const struct ledger *l, const char *device)
{
    AUTO_FREE struct device_record *d = xalloc(sizeof *d);

    return !alb_failed(device_read(l->catalogue, device, d, NULL));
}

static void judge_scope(struct hub_task *t, const struct policy_override *o)
{
    const struct ledger *l = &t->hub->ledger;

    if (o->scope == POLICY_SITE && !site_is_known(l, o->of))
        hub_task_refuse(t, ALB_NOT_FOUND,
                        "no site %s: no device is of it and the policy does not name it; 'albedo "
                        "site list' shows the sites there are",
                        o->of);
    if (o->scope == POLICY_CLIENT && !device_is_known(l, o->of))
        hub_task_refuse(t, ALB_NOT_FOUND, "no device %s is enrolled; 'albedo devices' lists them",
                        o->of);
}

static void judge_why(struct hub_task *t, const char *why)
{
    if (*why == '\0')
        hub_task_refuse(t, ALB_INVALID, "why: an override says why it is there");
    if (strlen(why) >= POLICY_NOTE_MAX)
        hub_task_refuse(t, ALB_INVALID, "why: at most %d bytes", POLICY_NOTE_MAX - 1);
    for (const char *c = why; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            hub_task_refuse(t, ALB_INVALID, "why: one line of text, without control characters");
}

/* Everything but its id, which is the number of the list it comes with. */
static void read_request(struct hub_task *t, struct policy_override *out)
{
    struct json_doc *d = NULL;

    t->st = json_doc_parse(buf_peek(&t->body), buf_size(&t->body), &d);
    if (alb_failed(t->st))
        return;
    const char *what = json_doc_text(d, "what"), *why = json_doc_text(d, "why");
    const uint64_t for_s = json_doc_number(d, "for_s");
    *out = (struct policy_override){.what = strcmp(what, "go") == 0 ? POLICY_GO : POLICY_PAUSE,
                                    .directions = POLICY_BOTH,
                                    .places = POLICY_BOTH,
                                    .since_s = t->now_wall_s,
                                    .until_s = t->now_wall_s + (int64_t)(for_s % INT32_MAX)};
    if (strcmp(what, "go") != 0 && strcmp(what, "pause") != 0)
        hub_task_refuse(t, ALB_INVALID, "what: pause or go");
    if (for_s == 0 || for_s > LONGEST_S)
        hub_task_refuse(t, ALB_INVALID, "for_s: a second to 366 days: every override expires");
    judge_why(t, why);
    if (!alb_failed(t->st)) {
        t->st = policy_scope_parse(json_doc_text(d, "scope"), &out->scope, out->of);
        snprintf(out->why, sizeof out->why, "%s", why);
        snprintf(out->by, sizeof out->by, "%.63s", t->who.device);
    }
    json_doc_free(d);
}

static void put_override(struct override_task *p, struct override_list *list,
                         const struct policy_override *o)
{
    struct hub_task *t = &p->task;
    struct policy_overrides *all = &list->overrides;

    t->st = read_list(p, list);
    if (alb_failed(t->st))
        return;
    drop_expired(all, t->now_wall_s);
    if (all->count == POLICY_OVERRIDES_MAX) {
        hub_task_refuse(t, ALB_FULL, "there are %d overrides already: 'albedo resume' ends some",
                        POLICY_OVERRIDES_MAX);
        return;
    }
    memmove(&all->list[1], &all->list[0], all->count * sizeof all->list[0]);
    all->list[0] = *o;
    snprintf(all->list[0].id, sizeof all->list[0].id, "o%" PRIu64, list->record.seal.number + 1);
    all->count++;
    t->st = write_list(p, list);
}

static void audit_put(const struct hub_task *t, const struct policy_override *o)
{
    char why[LOG_TEXT_SIZE], scope[128], until[UNITS_TEXT_SIZE];

    hub_audit(&t->who, "override", "id=%s do=%s scope=%s until=%s why=%.300s", o->id,
              policy_what_word(o->what), policy_scope_text(o->scope, o->of, scope),
              format_time(o->until_s, until), log_text(o->why, why));
}

static void answer_put(struct hub_task *t, const struct policy_override *o, uint64_t number)
{
    struct json_writer *w = json_writer_new();
    char scope[128];

    json_object_begin(w, NULL);
    json_text(w, "id", o->id);
    json_text(w, "what", policy_what_word(o->what));
    json_text(w, "scope", policy_scope_text(o->scope, o->of, scope));
    json_signed(w, "until", o->until_s);
    json_number(w, "number", number);
    json_end(w);
    t->content_type = "application/json";
    t->st = json_writer_finish(w, &t->answer);
}

static void put_run(struct hub_task *t)
{
    AUTO_FREE struct override_list *list = xalloc(sizeof *list);
    struct policy_override o;

    policy_record_init(&list->record);
    read_request(t, &o);
    if (!alb_failed(t->st))
        judge_scope(t, &o);
    if (!alb_failed(t->st))
        put_override((struct override_task *)t, list, &o);
    if (!alb_failed(t->st)) {
        audit_put(t, &list->overrides.list[0]);
        answer_put(t, &list->overrides.list[0], list->record.seal.number + 1);
    }
    policy_record_release(&list->record);
}

/* ---- POST /v1/override-end {"which": ID, SCOPE or "all"} ------------------------------------- */

static void end_those(struct override_list *list, const char *which)
{
    struct policy_overrides *o = &list->overrides;
    char scope[128];

    for (size_t i = o->count; i > 0; i--) {
        const struct policy_override *one = &o->list[i - 1];

        if (strcmp(which, "all") != 0 && strcmp(which, one->id) != 0 &&
            strcmp(which, policy_scope_text(one->scope, one->of, scope)) != 0)
            continue;
        list->ended.list[list->ended.count++] = *one;
        drop_at(o, i - 1);
    }
}

static void audit_end(const struct hub_task *t, const struct policy_overrides *ended)
{
    char scope[128];

    for (size_t i = 0; i < ended->count; i++) {
        const struct policy_override *one = &ended->list[i];

        hub_audit(&t->who, "resume", "id=%s did=%s scope=%s", one->id, policy_what_word(one->what),
                  policy_scope_text(one->scope, one->of, scope));
    }
}

static void answer_end(struct hub_task *t, size_t ended)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_number(w, "ended", ended);
    json_end(w);
    t->content_type = "application/json";
    t->st = json_writer_finish(w, &t->answer);
}

static void end_run(struct hub_task *t)
{
    AUTO_FREE struct override_list *list = xalloc(sizeof *list);
    struct json_doc *d = NULL;

    policy_record_init(&list->record);
    t->st = json_doc_parse(buf_peek(&t->body), buf_size(&t->body), &d);
    if (!alb_failed(t->st))
        t->st = read_list((struct override_task *)t, list);
    if (!alb_failed(t->st)) {
        const char *which = json_doc_text(d, "which");

        drop_expired(&list->overrides, t->now_wall_s);
        end_those(list, which);
        if (list->ended.count == 0)
            hub_task_refuse(t, ALB_NOT_FOUND,
                            "no override %.100s is in force; 'albedo policy show' lists them",
                            which);
    }
    if (!alb_failed(t->st))
        t->st = write_list((struct override_task *)t, list);
    if (!alb_failed(t->st)) {
        audit_end(t, &list->ended);
        answer_end(t, list->ended.count);
    }
    json_doc_free(d);
    policy_record_release(&list->record);
}

/* ---- both ------------------------------------------------------------------------------------ */

static void override_after(struct hub_task *t)
{
    const struct buf *sealed = &((struct override_task *)t)->sealed;

    if (buf_size(sealed) > 0) {
        struct alb_status st = hub_policy_in_force(t->hub, POLICY_OVERRIDES, sealed);
        if (alb_failed(st))
            t->st = st;
    }
    hub_task_end(t);
}

static void override_release(struct hub_task *t)
{
    buf_release(&((struct override_task *)t)->sealed);
}

static void start(struct hub *h, struct serve_request *rq, void (*run)(struct hub_task *t))
{
    struct override_task *p = hub_task_new(h, rq, sizeof *p);
    struct hub_task *t = &p->task;

    buf_init(&p->sealed, SIGNED_MAX);
    p->highest = policy_book_highest(h->policy, POLICY_OVERRIDES);
    t->release = override_release;
    if (authority_trust(h->authority) == NULL) {
        hub_task_refuse(t, ALB_REFUSED,
                        "overrides are judged by the trust file, and there is none yet: run "
                        "'albedo trust init' first");
        hub_task_end(t);
        return;
    }
    t->run = run;
    t->after = override_after;
    hub_task_start(t, JOB_ORDERED, 256 << 10);
}

void hub_handle_override_put(void *hub, struct serve_request *rq)
{
    start(hub, rq, put_run);
}

void hub_handle_override_end(void *hub, struct serve_request *rq)
{
    start(hub, rq, end_run);
}
