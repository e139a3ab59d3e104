/* SPDX-License-Identifier: Apache-2.0 */
/* hub/told.c – what became of pulls: counted once for each device, the last one kept.
 *
 * Kept as "told/DEVICE" (wire/told.h).  A reflector may tell of anybody: of pulls that never were,
 * too, as it could keep silent about those that were; nothing is decided by it.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "hub/hub_impl.h"
#include "wire/told.h"

enum { TRIES = 16 /* another report of the same device is being written meanwhile */ };

struct told_task {
    struct hub_task task; /* first */
    struct told list[TOLD_MOST];
    size_t count;
    uint64_t applied, failed; /* counted now */
};

static void record_name(const char *device, char out[CATALOGUE_NAME_MAX + 1])
{
    snprintf(out, CATALOGUE_NAME_MAX + 1, "told/%s", device);
}

static struct alb_status read_seen(struct catalogue *c, const char *device, struct told_seen *out,
                                   uint64_t *swap_version)
{
    char name[CATALOGUE_NAME_MAX + 1];
    struct buf text;

    record_name(device, name);
    buf_init(&text, TOLD_BODY_MAX);
    struct alb_status st = catalogue_get(c, name, &text, swap_version);
    if (!alb_failed(st))
        st = told_seen_decode(buf_peek(&text), buf_size(&text), out);
    buf_release(&text);
    return st;
}

/* A damaged record begins anew: what it had counted is lost, not the reports that come. */
static struct alb_status count_once(struct told_task *p, const char *device, bool *is_written)
{
    struct catalogue *c = p->task.hub->options.catalogue;
    AUTO_FREE struct told_seen *seen = xalloc(sizeof *seen);
    uint64_t swap_version = CATALOGUE_ABSENT, applied = 0, failed = 0;
    char name[CATALOGUE_NAME_MAX + 1];
    struct buf text;

    struct alb_status st = read_seen(c, device, seen, &swap_version);
    if (alb_failed(st) && st.code != ALB_NOT_FOUND && st.code != ALB_CORRUPT)
        return st;
    for (size_t i = 0; i < p->count; i++) {
        const struct told *t = &p->list[i];
        if (strcmp(t->device, device) != 0 || !told_count(seen, t))
            continue;
        applied += t->outcome == TOLD_APPLIED;
        failed += t->outcome == TOLD_FAILED;
    }
    *is_written = true;
    if (applied + failed == 0)
        return ALB_STATUS_OK;
    record_name(device, name);
    buf_init(&text, TOLD_BODY_MAX);
    st = told_seen_encode(seen, &text);
    if (!alb_failed(st))
        st = catalogue_swap(c, name, swap_version, buf_peek(&text), buf_size(&text), NULL);
    buf_release(&text);
    *is_written = !alb_failed(st);
    p->applied += *is_written ? applied : 0;
    p->failed += *is_written ? failed : 0;
    return st.code == ALB_CONFLICT ? ALB_STATUS_OK : st;
}

static struct alb_status count_device(struct told_task *p, const char *device)
{
    struct alb_status st = ALB_STATUS_OK;
    bool is_written = false;

    for (unsigned n = 0; n < TRIES && !is_written && !alb_failed(st); n++)
        st = count_once(p, device, &is_written);
    if (!alb_failed(st) && !is_written)
        st = alb_fail(ALB_TIMEOUT, "others write this device's reports; tell them again");
    return st;
}

static bool is_first_of_its_device(const struct told_task *p, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(p->list[k].device, p->list[i].device) == 0)
            return false;
    return true;
}

static void judge(struct told_task *p)
{
    struct hub_task *t = &p->task;

    for (size_t i = 0; i < p->count; i++)
        if (t->who.role != ROLE_REFLECTOR && strcmp(p->list[i].device, t->who.device) != 0)
            hub_task_refuse(t, ALB_REFUSED, "only a reflector may tell of another device's pulls");
}

/* Who is not enrolled here is not kept: a name costs a record. */
static void told_run(struct hub_task *t)
{
    struct told_task *p = (struct told_task *)t;
    AUTO_FREE struct device_record *device = xalloc(sizeof *device);

    t->st = told_decode(buf_peek(&t->body), buf_size(&t->body), p->list, &p->count);
    if (!alb_failed(t->st))
        judge(p);
    for (size_t i = 0; i < p->count && !alb_failed(t->st); i++) {
        if (!is_first_of_its_device(p, i))
            continue;
        struct alb_status st =
            device_read(t->hub->options.catalogue, p->list[i].device, device, NULL);
        if (!alb_failed(st))
            t->st = count_device(p, p->list[i].device);
        else if (st.code != ALB_NOT_FOUND)
            t->st = st;
    }
    if (!alb_failed(t->st))
        t->st = buf_printf(&t->answer, "{\"taken\":%zu}", p->count);
}

static void told_after(struct hub_task *t)
{
    const struct told_task *p = (const struct told_task *)t;

    t->hub->told_applied += p->applied;
    t->hub->told_failed += p->failed;
    hub_task_end(t);
}

void hub_handle_told(void *hub, struct serve_request *rq)
{
    struct told_task *p = hub_task_new(hub, rq, sizeof *p);

    p->task.content_type = "application/json";
    p->task.run = told_run;
    p->task.after = told_after;
    hub_task_start(&p->task, JOB_SHARED, 64 << 10);
}

void hub_told_show(struct catalogue *c, const char *device, struct json_writer *w)
{
    AUTO_FREE struct told_seen *seen = xalloc(sizeof *seen);

    if (alb_failed(read_seen(c, device, seen, NULL)))
        return;
    json_object_begin(w, "pulls");
    json_number(w, "applied", seen->applied);
    json_number(w, "failed", seen->failed);
    json_object_begin(w, "last");
    told_write(&seen->last, w);
    json_end(w);
    json_end(w);
}
