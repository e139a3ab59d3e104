/* SPDX-License-Identifier: Apache-2.0 */
/* client/agent_show.c – what an agent knows, as the file "agent.json" of its state.
 *
 * Written whole, by a job, a moment after something changed and once a minute.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "client/agent_impl.h"
#include "net/x509.h"

enum { TEXT_MOST = 1 << 20 };
#define SOON_NS (300 * NS_PER_MS)
#define APART_NS NS_PER_S /* whatever strangers have us see */
#define EVERY_NS (60 * NS_PER_S)
#define WAITS_NS (3 * NS_PER_S) /* while a report is on its way */

struct showing {
    struct job job;
    struct agent *agent;
    char *path; /* owned */
    struct buf text;
    struct alb_status st;
};

/* ---- the document ---------------------------------------------------------------------------- */

static int64_t wall_of(const struct agent *a, uint64_t at_ns)
{
    const uint64_t ago_ns = loop_now_ns(a->loop) - at_ns;

    return loop_wall_s(a->loop) - (int64_t)(ago_ns / NS_PER_S);
}

static void put_parent(const struct agent *a, struct json_writer *w)
{
    struct upstream *u = endpoint_upstream(a->endpoint);
    const struct identity *who = upstream_parent(u, 0);
    struct upstream_figures figures;

    upstream_figures(u, &figures);
    json_object_begin(w, "parent");
    json_text(w, "place", figures.place);
    json_bool(w, "is_up", figures.is_up);
    json_signed(w, "since_wall_s", wall_of(a, figures.since_ns));
    if (who != NULL)
        json_text(w, "device", who->device);
    if (who != NULL)
        json_text(w, "kind", role_name(who->role));
    json_text(w, "why_down", figures.is_up ? "" : figures.why_down);
    json_end(w);
}

/* Of all that are followed: from then on that layer is not installed anew.  0: none is known. */
static int64_t first_head_expires(const struct agent *a)
{
    int64_t first_s = 0;

    for (size_t i = 0; i < a->follow_count; i++) {
        const int64_t expires_s = a->follows[i].head_expires_wall_s;
        if (expires_s != 0 && (first_s == 0 || expires_s < first_s))
            first_s = expires_s;
    }
    return first_s;
}

static void put_until(const struct agent *a, struct json_writer *w)
{
    struct identity identity = {.role = ROLE_NONE};

    alb_ignore(x509_identity(a->certificate_pem, &identity), "then it is not told");
    json_object_begin(w, "good_until");
    json_signed(w, "certificate_wall_s", identity.expires_wall_s);
    json_signed(w, "grant_wall_s", endpoint_grant_expires_wall_s(a->endpoint));
    json_signed(w, "head_wall_s", first_head_expires(a));
    json_end(w);
}

static void put_follow(const struct follow *f, struct json_writer *w)
{
    json_object_begin(w, NULL);
    json_text(w, "layer", f->layer);
    json_text(w, "target", f->target);
    json_text(w, "state", follow_state_name(f->state));
    if (f->was_pulled) {
        json_text(w, "version", f->version);
        json_number(w, "sequence", f->sequence);
        json_signed(w, "pulled_wall_s", f->pulled_wall_s);
    }
    if (f->why[0] != '\0')
        json_text(w, "why", f->why);
    if (f->state == FOLLOW_WAITING)
        json_signed(w, "retry_wall_s", f->retry_wall_s);
    json_end(w);
}

static void put_follows(const struct agent *a, struct json_writer *w)
{
    json_array_begin(w, "follows");
    for (size_t i = 0; i < a->follow_count; i++)
        put_follow(&a->follows[i], w);
    json_end(w);
}

static struct alb_status document(const struct agent *a, struct buf *out)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_number(w, "format", 1);
    json_number(w, "pid", (uint64_t)a->lock.pid);
    json_text(w, "device", a->options.state->who.device);
    json_signed(w, "begun_wall_s", a->begun_wall_s);
    json_signed(w, "written_wall_s", loop_wall_s(a->loop));
    put_parent(a, w);
    json_signed(w, "cut_off_since_wall_s", a->cut_off_since_wall_s);
    put_until(a, w);
    endpoint_show_way(a->endpoint, w);
    put_follows(a, w);
    waker_show(a->waker, w);
    agent_told_show(a, w);
    agent_vigil_show(a, w);
    json_end(w);
    return json_writer_finish(w, out);
}

/* ---- when ------------------------------------------------------------------------------------ */

static void show_in(struct agent *a, uint64_t delay_ns)
{
    const uint64_t at_ns = loop_now_ns(a->loop) + delay_ns, least_ns = a->shown_ns + APART_NS;

    a->show_ns = at_ns > least_ns ? at_ns : least_ns;
    timer_set(&a->show, a->show_ns);
}

/* ---- writing it ------------------------------------------------------------------------------ */

static void write_run(struct job *job)
{
    struct showing *s = ALB_CONTAINER(job, struct showing, job);

    s->st = file_replace(s->path, buf_peek(&s->text), buf_size(&s->text), 0600);
}

static void showing_free(struct showing *s)
{
    buf_release(&s->text);
    free(s->path);
    free(s);
}

static void write_done(struct job *job)
{
    struct showing *s = ALB_CONTAINER(job, struct showing, job);
    struct agent *a = s->agent;

    if (alb_failed(s->st))
        log_status(LOG_WARN, "agent.not_shown", s->st, "file=%s", s->path);
    showing_free(s);
    a->is_writing = false;
    show_in(a, a->show_again ? SOON_NS : agent_told_waits(a) ? WAITS_NS : EVERY_NS);
    a->show_again = false;
    loop_stop(a->loop); /* whoever stops may wait for this */
}

static void write_it(void *arg)
{
    struct agent *a = arg;
    struct showing *s = xalloc(sizeof *s);

    *s = (struct showing){.job = {.run = write_run, .done = write_done},
                          .agent = a,
                          .path = path_join(a->options.state->dir, AGENT_FILE)};
    buf_init(&s->text, TEXT_MOST);
    struct alb_status st = document(a, &s->text);
    if (alb_failed(st)) {
        log_status(LOG_WARN, "agent.not_shown", st, "file=%s", s->path);
        showing_free(s);
        show_in(a, EVERY_NS);
        return;
    }
    a->is_writing = true;
    a->shown_ns = loop_now_ns(a->loop);
    loop_submit(a->loop, &s->job);
}

void agent_changed(struct agent *a)
{
    agent_announce(a);
    if (a->is_writing)
        a->show_again = true;
    else if (!a->is_terminated && a->show_ns > loop_now_ns(a->loop) + SOON_NS)
        show_in(a, SOON_NS);
}

void agent_show_init(struct agent *a)
{
    timer_init(&a->show, a->loop, write_it, a);
    write_it(a);
}

void agent_show_stop(struct agent *a)
{
    AUTO_FREE char *path = path_join(a->options.state->dir, AGENT_FILE);

    while (a->is_writing)
        loop_run(a->loop);
    timer_stop(&a->show);
    (void)unlink(path); /* should it stay, the lock says that nobody runs */
}
