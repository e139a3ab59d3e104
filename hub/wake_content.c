/* SPDX-License-Identifier: Apache-2.0 */
/* hub/wake_content.c – first the content is at the branch, then those who need it are woken.
 *
 *     site without a reflector that accepts ──> STRAIGHT: woken at once, each fetches for itself
 *     its first reflector ──> hub/prefetch.h ──> COMING ──> HELD: its machines are let go
 *                              │ away for AWAY_NS ──> the next one      └──> FAILED: not woken
 *
 * One reflector of a site is told: what its siblings lack they take from it, over the LAN.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/wake_impl.h"

#define AWAY_NS (120 * NS_PER_S) /* a box that restarts is back by then */
#define LOOK_NS (5 * NS_PER_S)

static const char *const STATES[] = {
    [WAKE_CONTENT_STRAIGHT] = "straight",
    [WAKE_CONTENT_COMING] = "coming",
    [WAKE_CONTENT_HELD] = "held",
    [WAKE_CONTENT_FAILED] = "failed",
};

/* ---- by whom --------------------------------------------------------------------------------- */

static bool serves_there(const struct roster_entry *e, const char *site)
{
    const struct announce *a = e->announce;

    return a->is_reflector && a->goes == ANNOUNCE_STAYS && strcmp(a->place.site, site) == 0 &&
           a->serves != NULL && a->serves->state == REFLECTOR_ACCEPT;
}

struct search {
    const char *site, *but;
    const struct roster_entry *best;
};

static bool look_at(void *arg, const struct roster_entry *e)
{
    struct search *s = arg;

    if (serves_there(e, s->site) && strcmp(e->announce->device, s->but) != 0 &&
        (s->best == NULL || strcmp(e->announce->device, s->best->announce->device) < 0))
        s->best = e;
    return true;
}

/* The one that the site's entry in the directory names first, else the first by name; `but` is out.
 * NULL: there is none. */
static const struct roster_entry *find_reflector(const struct hub *h, const char *site,
                                                 const char *but)
{
    const struct site *entry = h->sites == NULL ? NULL : sites_find_name(h->sites, site);
    struct search s = {.site = site, .but = but};

    for (size_t i = 0; entry != NULL && i < entry->reflector_count; i++) {
        const struct roster_entry *e = roster_find(h->roster, entry->reflectors[i]);
        if (e != NULL && serves_there(e, site) && strcmp(entry->reflectors[i], but) != 0)
            return e;
    }
    if (site[0] != '\0')
        roster_each(h->roster, site, look_at, &s);
    return s.best;
}

/* ---- begun ----------------------------------------------------------------------------------- */

static void set_state(struct wake_content *c, enum wake_content_state state, const char *why)
{
    c->state = state;
    snprintf(c->why, sizeof c->why, "%s", why);
    c->change = wake_job_note(c->wake->core);
    log_event(LOG_INFO, "wake.content", "job=%s site=%s reflector=%s state=%s why=\"%s\"",
              c->wake->id, c->site, c->reflector, STATES[state], why);
}

static void on_changed(struct prefetch_user *u)
{
    struct wake_content *c = ALB_CONTAINER(u, struct wake_content, user);

    c->change = wake_job_note(c->wake->core);
    hub_wake_touch(c->wake);
}

static void order(struct wake_content *c, const char *but)
{
    const struct wake_errand *errand = &c->wake->errand;
    struct hub *h = c->wake->all->hub;
    const struct roster_entry *e = find_reflector(h, c->site, but);

    if (e == NULL) {
        set_state(c, but[0] == '\0' ? WAKE_CONTENT_STRAIGHT : WAKE_CONTENT_FAILED,
                  but[0] == '\0' ? "no reflector of the site is here and accepts: each machine "
                                   "fetches for itself"
                                 : "its reflector went away, and the site has no other one");
        return;
    }
    snprintf(c->reflector, sizeof c->reflector, "%s", e->announce->device);
    c->user = (struct prefetch_user){.changed = on_changed};
    const struct alb_status st =
        hub_prefetch_begin(h->prefetches, c->reflector, errand->layer, &errand->root, &c->user);
    if (alb_failed(st)) {
        set_state(c, WAKE_CONTENT_FAILED, st.what);
        return;
    }
    c->last = *hub_prefetch_report(&c->user);
    set_state(c, WAKE_CONTENT_COMING, "");
}

static unsigned find_content(const struct hub_wake *k, const char *site)
{
    unsigned i = 0;

    while (i < k->content_count && strcmp(k->contents[i].site, site) != 0)
        i++;
    return i;
}

struct alb_status hub_wake_contents_begin(struct hub_wake *k)
{
    if (k->errand.layer[0] == '\0')
        return ALB_STATUS_OK;
    k->contents = xcalloc(WAKE_CONTENTS_MAX, sizeof *k->contents);
    for (size_t i = 0; i < wake_job_count(k->core); i++) {
        struct wake_sleeper *s = &k->sleepers[i];

        if (wake_job_machine(k->core, i)->stage == WAKE_DONE)
            continue;
        s->content = find_content(k, s->site);
        if (s->content == WAKE_CONTENTS_MAX)
            return alb_fail(ALB_FULL, "one job brings a layer to 256 sites at most");
        struct wake_content *c = &k->contents[s->content];
        c->machines++;
        if (s->content == k->content_count) {
            k->content_count++;
            c->wake = k;
            memcpy(c->site, s->site, sizeof c->site);
            order(c, "");
        }
        wake_job_hold(k->core, i, true); /* hub_wake_contents_look() lets go */
    }
    return ALB_STATUS_OK;
}

/* ---- looked at ------------------------------------------------------------------------------- */

static void let_go(struct hub_wake *k, unsigned content)
{
    for (size_t i = 0; i < wake_job_count(k->core); i++)
        if (k->sleepers[i].content == content)
            wake_job_hold(k->core, i, false);
}

static void give_up(struct hub_wake *k, unsigned content)
{
    const uint64_t now_ns = loop_now_ns(k->all->hub->options.loop);
    char why[WAKE_WHY_MAX];

    snprintf(why, sizeof why, "what it was to be woken for is not at its branch: %.100s",
             k->contents[content].why);
    for (size_t i = 0; i < wake_job_count(k->core); i++)
        if (k->sleepers[i].content == content && wake_job_machine(k->core, i)->stage != WAKE_DONE)
            wake_job_settle(k->core, i, WAKE_REFUSED, why, now_ns);
}

static void look(struct wake_content *c)
{
    struct hub_prefetches *p = c->wake->all->hub->prefetches;
    const uint64_t now_ns = loop_now_ns(c->wake->all->hub->options.loop),
                   away_ns = hub_prefetch_away_since_ns(&c->user);
    char before[sizeof c->reflector];

    c->last = *hub_prefetch_report(&c->user);
    if (c->last.state == PREFETCH_HELD) {
        hub_prefetch_leave(p, &c->user);
        set_state(c, WAKE_CONTENT_HELD, "");
    } else if (c->last.state == PREFETCH_FAILED) {
        hub_prefetch_leave(p, &c->user);
        set_state(c, WAKE_CONTENT_FAILED, c->last.why);
    } else if (away_ns != 0 && now_ns >= away_ns + AWAY_NS) {
        hub_prefetch_leave(p, &c->user);
        memcpy(before, c->reflector, sizeof before);
        order(c, before);
    }
}

void hub_wake_contents_look(struct hub_wake *k)
{
    for (unsigned i = 0; i < k->content_count; i++) {
        struct wake_content *c = &k->contents[i];

        if (c->state == WAKE_CONTENT_COMING)
            look(c);
        if (c->state == WAKE_CONTENT_COMING || c->machines == 0)
            continue;
        c->machines = 0; /* they are told once */
        if (c->state == WAKE_CONTENT_FAILED)
            give_up(k, i);
        else
            let_go(k, i);
    }
}

uint64_t hub_wake_contents_next_ns(const struct hub_wake *k)
{
    for (size_t i = 0; i < k->content_count; i++)
        if (k->contents[i].state == WAKE_CONTENT_COMING)
            return loop_now_ns(k->all->hub->options.loop) + LOOK_NS;
    return UINT64_MAX;
}

void hub_wake_contents_end(struct hub_wake *k)
{
    for (size_t i = 0; i < k->content_count; i++)
        hub_prefetch_leave(k->all->hub->prefetches, &k->contents[i].user);
}

/* ---- shown ----------------------------------------------------------------------------------- */

void hub_wake_contents_show(const struct hub_wake *k, struct json_writer *w)
{
    if (k->errand.layer[0] == '\0')
        return;
    json_object_begin(w, "for");
    json_text(w, "layer", k->errand.layer);
    json_text(w, "version", k->errand.version);
    json_bool(w, "sleep_after", k->errand.sleeps_after);
    json_end(w);
    json_array_begin(w, "contents");
    for (size_t i = 0; i < k->content_count; i++) {
        const struct wake_content *c = &k->contents[i];

        json_object_begin(w, NULL);
        json_text(w, "site", c->site);
        json_text(w, "reflector", c->reflector);
        json_text(w, "state", STATES[c->state]);
        json_number(w, "chunks", c->last.chunks);
        json_number(w, "chunks_here", c->last.chunks_here);
        json_number(w, "bytes", c->last.bytes);
        json_number(w, "bytes_here", c->last.bytes_here);
        json_number(w, "fetched_bytes", c->last.fetched_bytes);
        json_text(w, "line", c->last.line);
        json_text(w, "why", c->why[0] != '\0' ? c->why : c->last.why);
        json_end(w);
    }
    json_end(w);
}
