/* SPDX-License-Identifier: Apache-2.0 */
/* hub/reflectors.c – GET /v1/reflectors: who serves others, where, and what operators said of them.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "hub/device.h"
#include "hub/hub_impl.h"
#include "hub/states.h"

struct reflector_row {
    char device[JSON_NAME], site[JSON_NAME];
};

struct reflectors_task {
    struct hub_task task; /* first */
    struct reflector_row *rows;
    size_t count;
    struct device_record record; /* the one being looked at */
};

static bool note_reflector(void *arg, const char *name, const void *value, size_t size,
                           uint64_t version)
{
    struct reflectors_task *p = arg;
    const struct device_record *d = &p->record;

    (void)name;
    (void)version;
    if (alb_failed(device_decode(value, size, &p->record)) || d->is_revoked ||
        strcmp(d->role, "reflector") != 0)
        return true;
    if ((p->count & (p->count - 1)) == 0) /* room doubles at each power of two */
        p->rows = xrealloc(p->rows, (p->count == 0 ? 1 : 2 * p->count) * sizeof p->rows[0]);
    struct reflector_row *row = &p->rows[p->count++];
    snprintf(row->device, sizeof row->device, "%s", d->device);
    snprintf(row->site, sizeof row->site, "%s", d->site);
    return true;
}

static void list_run(struct hub_task *t)
{
    t->st = catalogue_list(t->hub->ledger.catalogue, "device/", note_reflector, t);
}

/* As it says itself, if it is there. */
static void put_presence(const struct hub *h, const char *device, struct json_writer *w)
{
    const struct roster_entry *e = roster_find(h->roster, device);
    const struct announce_serves *s = e == NULL ? NULL : e->announce->serves;

    json_bool(w, "online", e != NULL);
    if (s == NULL)
        return;
    json_number(w, "sessions", s->sessions);
    if (s->max_sessions != 0)
        json_number(w, "max_sessions", s->max_sessions);
    json_number(w, "load_percent", s->load_percent);
    json_text(w, "obeys", reflector_state_word(s->state));
}

static void put_row(const struct hub *h, const struct reflector_row *row, struct json_writer *w)
{
    const struct state_entry *e = states_find(policy_book_states(h->policy), row->device);

    json_object_begin(w, NULL);
    json_text(w, "device", row->device);
    json_text(w, "site", row->site);
    json_text(w, "state", reflector_state_word(e == NULL ? REFLECTOR_ACCEPT : e->state));
    put_presence(h, row->device, w);
    if (e != NULL) {
        json_bool(w, "wipe", e->wipe);
        json_signed(w, "since", e->since_wall_s);
        json_text(w, "by", e->by);
        json_text(w, "why", e->why);
    }
    json_end(w);
}

/* On the loop, where the states are. */
static void list_after(struct hub_task *t)
{
    const struct reflectors_task *p = (const struct reflectors_task *)t;
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_number(w, "number", policy_book_number(t->hub->policy, POLICY_STATES));
    json_array_begin(w, "reflectors");
    for (size_t i = 0; i < p->count; i++)
        put_row(t->hub, &p->rows[i], w);
    json_end(w);
    json_end(w);
    const struct alb_status st = json_writer_finish(w, &t->answer);
    if (!alb_failed(t->st))
        t->st = st;
    hub_task_end(t);
}

static void list_release(struct hub_task *t)
{
    free(((struct reflectors_task *)t)->rows);
}

void hub_handle_reflectors(void *hub, struct serve_request *rq)
{
    struct reflectors_task *p = hub_task_new(hub, rq, sizeof *p);

    p->task.content_type = "application/json";
    p->task.run = list_run;
    p->task.after = list_after;
    p->task.release = list_release;
    hub_task_start(&p->task, JOB_SHARED, 64 << 10);
}
