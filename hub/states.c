/* SPDX-License-Identifier: Apache-2.0 */
/* hub/states.c – accept, drain, suspend, disable: the list of those who do not accept, made anew.
 *
 * A name that nobody has, or that is no reflector's, refuses all of them: it is a slip of the hand.
 */
#include "hub/states.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/device.h"
#include "hub/hub_impl.h"
#include "hub/policy.h"

enum { DEVICES_MOST = 256 }; /* in one request */

struct states_task {
    struct hub_task task; /* first */
    struct buf sealed;    /* the new list; empty: nothing changed */
    uint64_t highest;     /* number in force anywhere */
};

/* What is asked for, and the list that it changes. */
struct states_change {
    struct json_doc *request;
    struct state_entry entry; /* of each device, but for its name */
    size_t count;
    struct states states;
    struct policy_record record;
    bool changed[DEVICES_MOST];
    size_t changes;
};

static const char *device_at(const struct states_change *c, size_t i)
{
    char path[32];

    snprintf(path, sizeof path, "device.%zu", i);
    return json_doc_text(c->request, path);
}

/* ---- the request ----------------------------------------------------------------------------- */

static void read_words(struct hub_task *t, struct states_change *c)
{
    struct state_entry *e = &c->entry;
    const char *why = json_doc_text(c->request, "why");

    t->st = reflector_state_parse(json_doc_text(c->request, "state"), &e->state);
    if (!alb_failed(t->st))
        t->st = state_why_check(why);
    if (alb_failed(t->st))
        return;
    e->wipe = json_doc_bool(c->request, "wipe");
    e->since_wall_s = t->now_wall_s;
    snprintf(e->why, sizeof e->why, "%s", why);
    snprintf(e->by, sizeof e->by, "%.63s", t->who.device);
    if (e->wipe && e->state != REFLECTOR_DISABLE)
        hub_task_refuse(t, ALB_INVALID, "wipe: only a reflector that is disabled is wiped");
}

static void read_request(struct hub_task *t, struct states_change *c)
{
    t->st = json_doc_parse(buf_peek(&t->body), buf_size(&t->body), &c->request);
    if (alb_failed(t->st))
        return;
    read_words(t, c);
    c->count = json_doc_count(c->request, "device");
    if (!alb_failed(t->st) && (c->count == 0 || c->count > DEVICES_MOST))
        hub_task_refuse(t, ALB_INVALID, "device: a list of 1 to %d reflectors", DEVICES_MOST);
}

/* Who left, or was revoked, may still be taken out of the list. */
static void judge_device(struct hub_task *t, const struct states_change *c, const char *device)
{
    AUTO_FREE struct device_record *d = xalloc(sizeof *d);
    const struct alb_status st = alb_failed(id_check(device))
                                     ? alb_fail(ALB_NOT_FOUND, "no device has such a name")
                                     : device_read(t->hub->ledger.catalogue, device, d, NULL);

    if (c->entry.state == REFLECTOR_ACCEPT && states_find(&c->states, device) != NULL)
        return;
    if (st.code == ALB_NOT_FOUND)
        hub_task_refuse(t, ALB_NOT_FOUND,
                        "no device %.100s is enrolled; 'albedo reflector list' "
                        "lists the reflectors",
                        device);
    else if (alb_failed(st))
        t->st = st;
    else if (strcmp(d->role, "reflector") != 0)
        hub_task_refuse(t, ALB_INVALID,
                        "%s is of role %s: only a reflector can be told whom to serve", device,
                        d->role);
    else if (d->is_revoked)
        hub_task_refuse(t, ALB_INVALID, "%s was revoked: it serves nobody any more", device);
}

/* ---- the list -------------------------------------------------------------------------------- */

static struct alb_status read_list(const struct states_task *p, struct states_change *c)
{
    struct policy_seal *seal = &c->record.seal;
    struct alb_status st = policy_record_read(&p->task.hub->ledger, POLICY_STATES, &c->record);

    if (!alb_failed(st) && seal->number > 0)
        st = states_decode(seal->text, seal->text_size, &c->states);
    return st;
}

static void change_list(struct hub_task *t, struct states_change *c)
{
    for (size_t i = 0; i < c->count && !alb_failed(t->st); i++)
        judge_device(t, c, device_at(c, i));
    for (size_t i = 0; i < c->count && !alb_failed(t->st); i++) {
        snprintf(c->entry.device, sizeof c->entry.device, "%s", device_at(c, i));
        t->st = states_set(&c->states, &c->entry, &c->changed[i]);
        c->changes += c->changed[i];
    }
}

static void write_list(struct states_task *p, struct states_change *c)
{
    struct hub_task *t = &p->task;
    struct buf text;

    if (c->record.seal.number < p->highest)
        c->record.seal.number = p->highest;
    buf_init(&text, POLICY_TEXT_MAX);
    t->st = states_encode(&c->states, &text);
    if (!alb_failed(t->st))
        t->st = policy_record_write(&t->hub->ledger, POLICY_STATES, &c->record, &text,
                                    t->now_wall_s, &p->sealed);
    buf_release(&text);
}

/* ---- told ------------------------------------------------------------------------------------ */

static void audit(const struct hub_task *t, const struct states_change *c)
{
    char why[LOG_TEXT_SIZE];

    for (size_t i = 0; i < c->count; i++)
        if (c->changed[i])
            hub_audit(&t->who, "reflector", "device=%s state=%s wipe=%s why=%.300s",
                      device_at(c, i), reflector_state_word(c->entry.state),
                      c->entry.wipe ? "yes" : "no", log_text(c->entry.why, why));
}

static void answer(struct hub_task *t, const struct states_change *c, bool is_written)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_number(w, "number", c->record.seal.number + (is_written ? 1 : 0));
    json_text(w, "state", reflector_state_word(c->entry.state));
    json_array_begin(w, "changed");
    for (size_t i = 0; i < c->count; i++)
        if (c->changed[i])
            json_text(w, NULL, device_at(c, i));
    json_end(w);
    json_end(w);
    t->content_type = "application/json";
    t->st = json_writer_finish(w, &t->answer);
}

static void put_run(struct hub_task *t)
{
    AUTO_FREE struct states_change *c = xalloc(sizeof *c);
    struct states_task *p = (struct states_task *)t;

    states_init(&c->states);
    policy_record_init(&c->record);
    read_request(t, c);
    if (!alb_failed(t->st))
        t->st = read_list(p, c);
    if (!alb_failed(t->st))
        change_list(t, c);
    if (!alb_failed(t->st) && (c->changes > 0 || c->record.seal.number < p->highest))
        write_list(p, c);
    if (!alb_failed(t->st)) {
        audit(t, c);
        answer(t, c, buf_size(&p->sealed) > 0);
    }
    c->request = json_doc_free(c->request);
    states_release(&c->states);
    policy_record_release(&c->record);
}

static void put_after(struct hub_task *t)
{
    const struct buf *sealed = &((struct states_task *)t)->sealed;

    if (buf_size(sealed) > 0) {
        struct alb_status st = hub_policy_in_force(t->hub, POLICY_STATES, sealed);
        if (alb_failed(st))
            t->st = st;
    }
    hub_task_end(t);
}

static void put_release(struct hub_task *t)
{
    buf_release(&((struct states_task *)t)->sealed);
}

void hub_handle_states_put(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct states_task *p = hub_task_new(h, rq, sizeof *p);
    struct hub_task *t = &p->task;

    buf_init(&p->sealed, SIGNED_MAX);
    p->highest = policy_book_highest(h->policy, POLICY_STATES);
    t->release = put_release;
    if (authority_trust(h->authority) == NULL) {
        hub_task_refuse(t, ALB_REFUSED,
                        "states are judged by the trust file, and there is none yet: run 'albedo "
                        "trust init' first");
        hub_task_end(t);
        return;
    }
    t->run = put_run;
    t->after = put_after;
    hub_task_start(t, JOB_ORDERED, 256 << 10);
}

/* ---- GET /v1/here ---------------------------------------------------------------------------- */

void hub_handle_here(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct here here = {.device = "hub", .is_hub = true};

    serve_here(h->serve, &here);
    serve_answer_here(rq, &here);
}

void hub_handle_arrivals(void *hub, struct serve_request *rq)
{
    (void)hub;
    serve_refuse(rq, ALB_NOT_FOUND, "a hub fetches nothing, so nothing arrives here");
}
