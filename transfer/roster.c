/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/roster.c – claims: each of one child about one device, the best of them first. */
#include "transfer/roster_impl.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "wire/json.h"

enum { VIA_SHARE = 4, VIA_LEAST = 64 };

struct roster *roster_new(const struct roster_options *options)
{
    struct roster *r = xalloc(sizeof *r);

    r->options = *options;
    if (r->options.max_via == 0)
        r->options.max_via = r->options.max_devices / VIA_SHARE;
    if (r->options.max_via < VIA_LEAST)
        r->options.max_via = VIA_LEAST;
    map_init(&r->members);
    map_init(&r->wards);
    map_init(&r->children);
    TAILQ_INIT(&r->all);
    TAILQ_INIT(&r->listeners);
    log_limit_init(&r->full_lines, "roster.full");
    log_limit_init(&r->contested_lines, "roster.moved");
    return r;
}

/* ---- listeners ---- */

void roster_listen(struct roster *r, struct roster_listener *l)
{
    TAILQ_INSERT_TAIL(&r->listeners, l, link);
}

void roster_unlisten(struct roster *r, struct roster_listener *l)
{
    TAILQ_REMOVE(&r->listeners, l, link);
}

static void tell(struct roster *r, enum roster_news news, const struct claim *c,
                 const struct announce *before)
{
    struct roster_listener *l;

    TAILQ_FOREACH(l, &r->listeners, link)
    l->told(l, news, &c->entry, before);
}

/* ---- members, and the sites they are at ---- */

static struct member *member_of(const struct roster *r, const char *device)
{
    const struct chunk_key key = map_text_key(device);

    return map_get(&r->members, &key);
}

static void leave_ward(struct roster *r, struct member *m)
{
    struct ward *w = m->ward;

    if (w == NULL)
        return;
    m->ward = NULL;
    TAILQ_REMOVE(&w->members, m, of_ward);
    if (!TAILQ_EMPTY(&w->members))
        return;
    (void)map_remove(&r->wards, &w->key);
    free(w);
}

static void enter_ward(struct roster *r, struct member *m)
{
    const struct chunk_key key = map_text_key(TAILQ_FIRST(&m->claims)->entry.announce->place.site);
    struct ward *w = map_get(&r->wards, &key);

    if (w != NULL && w == m->ward)
        return;
    if (w == NULL) {
        w = xalloc(sizeof *w);
        w->key = key;
        TAILQ_INIT(&w->members);
        (void)map_put(&r->wards, &key, w);
    }
    leave_ward(r, m);
    m->ward = w;
    TAILQ_INSERT_TAIL(&w->members, m, of_ward);
}

static struct member *member_new(struct roster *r, const char *device)
{
    struct member *m = xalloc(sizeof *m);

    m->key = map_text_key(device);
    TAILQ_INIT(&m->claims);
    (void)map_put(&r->members, &m->key, m);
    TAILQ_INSERT_TAIL(&r->all, m, link);
    return m;
}

static void member_unlink(struct roster *r, struct member *m)
{
    leave_ward(r, m);
    (void)map_remove(&r->members, &m->key);
    TAILQ_REMOVE(&r->all, m, link);
}

/* ---- claims ---- */

static bool is_own_word(const struct claim *c)
{
    return strcmp(c->entry.via, c->announce->device) == 0;
}

static bool is_better(const struct claim *a, const struct claim *b)
{
    if (is_own_word(a) != is_own_word(b))
        return is_own_word(a);
    if (a->announce->since_wall_s != b->announce->since_wall_s)
        return a->announce->since_wall_s > b->announce->since_wall_s;
    return a->order > b->order;
}

static void place_among(struct member *m, struct claim *c)
{
    struct claim *other;

    TAILQ_FOREACH(other, &m->claims, of_member)
    {
        if (is_better(c, other)) {
            TAILQ_INSERT_BEFORE(other, c, of_member);
            return;
        }
    }
    TAILQ_INSERT_TAIL(&m->claims, c, of_member);
}

static struct claim *claim_of(const struct member *m, const struct child *via)
{
    struct claim *c;

    TAILQ_FOREACH(c, &m->claims, of_member)
    if (c->child == via)
        return c;
    return NULL;
}

static struct claim *claim_new(struct roster *r, struct member *m, struct child *via)
{
    struct claim *c = xalloc(sizeof *c);

    c->member = m;
    c->child = via;
    (void)snprintf(c->entry.via, sizeof c->entry.via, "%s", via->name);
    m->count++;
    via->count++;
    r->figures.claims++;
    TAILQ_INSERT_TAIL(&via->claims, c, of_child);
    return c;
}

static void claim_unlink(struct roster *r, struct claim *c)
{
    TAILQ_REMOVE(&c->member->claims, c, of_member);
    TAILQ_REMOVE(&c->child->claims, c, of_child);
    c->member->count--;
    c->child->count--;
    r->figures.claims--;
}

static void claim_free(struct claim *c)
{
    free(c->announce);
    free(c);
}

static void count_in(struct roster *r, const struct announce *a, bool is_in)
{
    r->figures.devices += is_in ? 1 : (size_t)-1;
    if (a->is_reflector)
        r->figures.reflectors += is_in ? 1 : (size_t)-1;
}

void roster_remove_claim(struct roster *r, struct claim *c, enum announce_goes goes)
{
    struct member *m = c->member;
    const bool was_best = TAILQ_FIRST(&m->claims) == c;

    claim_unlink(r, c);
    if (m->count == 0) {
        c->announce->goes = goes;
        member_unlink(r, m);
        count_in(r, c->announce, false);
        r->figures.went++;
        tell(r, ROSTER_WENT, c, NULL);
        free(m);
    } else if (was_best) {
        struct claim *next = TAILQ_FIRST(&m->claims);
        count_in(r, c->announce, false);
        count_in(r, next->announce, true);
        enter_ward(r, m);
        tell(r, ROSTER_CHANGED, next, c->announce);
    }
    claim_free(c);
}

static void note_contested(struct roster *r, const struct claim *was, const struct claim *now)
{
    r->figures.contested++;
    if (log_limit_passes(&r->contested_lines, loop_now_ns(r->options.loop)))
        log_event(LOG_INFO, "roster.moved", "device=%s from=%s to=%s", now->announce->device,
                  was->entry.via, now->entry.via);
}

/* What is now the best claim may be another, or say something else. */
static void settle(struct roster *r, struct member *m, const struct claim *was,
                   const struct announce *before)
{
    const struct claim *now = TAILQ_FIRST(&m->claims);

    if (was == NULL) {
        count_in(r, now->announce, true);
        enter_ward(r, m);
        r->figures.came++;
        tell(r, ROSTER_CAME, now, NULL);
        return;
    }
    if (was == now && announce_is_same(before, now->announce) &&
        before->since_wall_s == now->announce->since_wall_s)
        return;
    if (was != now)
        note_contested(r, was, now);
    count_in(r, before, false);
    count_in(r, now->announce, true);
    enter_ward(r, m);
    tell(r, ROSTER_CHANGED, now, before);
}

struct claim *roster_claim_of(const struct roster *r, const struct child *via, const char *device)
{
    const struct member *m = member_of(r, device);

    return m == NULL ? NULL : claim_of(m, via);
}

static bool has_room(struct roster *r, const struct child *via)
{
    if (r->figures.claims < r->options.max_devices && via->count < r->options.max_via)
        return true;
    r->figures.full++;
    if (log_limit_passes(&r->full_lines, loop_now_ns(r->options.loop)))
        log_event(LOG_WARN, "roster.full",
                  "child=%s behind=%zu all=%zu most=%zu more devices than are kept count of",
                  via->name, via->count, r->figures.claims, r->options.max_devices);
    return false;
}

bool roster_put_claim(struct roster *r, struct child *via, struct announce *a)
{
    struct member *m = member_of(r, a->device);
    struct claim *was = m == NULL ? NULL : TAILQ_FIRST(&m->claims);
    struct claim *c = m == NULL ? NULL : claim_of(m, via);

    if (c == NULL && !has_room(r, via)) {
        free(a);
        return false;
    }
    if (m == NULL)
        m = member_new(r, a->device);
    const struct announce *before = was == NULL ? NULL : was->announce;
    struct announce *replaced = NULL;
    if (c == NULL) {
        c = claim_new(r, m, via);
    } else {
        TAILQ_REMOVE(&m->claims, c, of_member);
        replaced = c->announce;
    }
    c->announce = a;
    c->entry.announce = a;
    c->entry.seen_ns = loop_now_ns(r->options.loop);
    c->round = via->round;
    if (replaced == NULL || replaced->since_wall_s != a->since_wall_s)
        c->order = ++r->order;
    place_among(m, c);
    settle(r, m, was, before);
    free(replaced);
    if (m->count > ROSTER_CLAIMS)
        roster_remove_claim(r, TAILQ_LAST(&m->claims, claims), ANNOUNCE_LOST);
    return true;
}

static bool free_child(void *arg, const struct chunk_key *key, void *value)
{
    struct child *via = value;
    struct claim *c;

    (void)arg;
    (void)key;
    timer_stop(&via->lost);
    while ((c = TAILQ_FIRST(&via->claims)) != NULL) {
        TAILQ_REMOVE(&via->claims, c, of_child);
        claim_free(c);
    }
    roster_child_bury(via);
    return true;
}

static bool free_ward(void *arg, const struct chunk_key *key, void *value)
{
    (void)arg;
    (void)key;
    free(value);
    return true;
}

struct roster *roster_free(struct roster *r)
{
    struct member *m;

    if (r == NULL)
        return NULL;
    map_each(&r->children, free_child, NULL);
    while ((m = TAILQ_FIRST(&r->all)) != NULL) {
        TAILQ_REMOVE(&r->all, m, link);
        free(m);
    }
    map_each(&r->wards, free_ward, NULL);
    map_release(&r->members);
    map_release(&r->wards);
    map_release(&r->children);
    free(r);
    return NULL;
}

/* ---- asked ---- */

const struct roster_entry *roster_find(const struct roster *r, const char *device)
{
    const struct member *m = member_of(r, device);

    return m == NULL ? NULL : &TAILQ_FIRST(&m->claims)->entry;
}

void roster_each(const struct roster *r, const char *site, roster_visit visit, void *arg)
{
    const struct member *m;

    if (site == NULL) {
        TAILQ_FOREACH(m, &r->all, link)
        if (!visit(arg, &TAILQ_FIRST(&m->claims)->entry))
            return;
        return;
    }
    const struct chunk_key key = map_text_key(site);
    const struct ward *w = map_get(&r->wards, &key);
    if (w == NULL)
        return;
    TAILQ_FOREACH(m, &w->members, of_ward)
    if (!visit(arg, &TAILQ_FIRST(&m->claims)->entry))
        return;
}

void roster_each_via(const struct roster *r, const char *via, roster_visit visit, void *arg)
{
    const struct child *child = roster_child_of(r, via);
    const struct claim *c;

    if (child == NULL)
        return;
    TAILQ_FOREACH(c, &child->claims, of_child)
    if (TAILQ_FIRST(&c->member->claims) == c && !visit(arg, &c->entry))
        return;
}

void roster_figures(const struct roster *r, struct roster_figures *out)
{
    *out = r->figures;
}

void roster_show(const struct roster *r, struct json_writer *w)
{
    const struct roster_figures *f = &r->figures;

    json_object_begin(w, "roster");
    json_number(w, "devices", f->devices);
    json_number(w, "reflectors", f->reflectors);
    json_number(w, "children", f->children);
    json_number(w, "bodies", f->bodies);
    json_number(w, "refused", f->refused);
    json_number(w, "full", f->full);
    json_number(w, "moved", f->contested);
    json_number(w, "came", f->came);
    json_number(w, "went", f->went);
    json_end(w);
}
