/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/roster.c – claims: each of one child about one device, the best of them first. */
#include "transfer/roster.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "base/map.h"
#include "wire/json.h"

enum { VIA_SHARE = 4, VIA_LEAST = 64 };

struct claim {
    struct roster_entry entry; /* first: what others are shown is cast back */
    struct announce *announce; /* owned; entry.announce */
    struct member *member;
    struct child *child;
    uint64_t order; /* when its `since` was new, among all */
    uint64_t round; /* of the child: when it was last named */
    TAILQ_ENTRY(claim) of_member, of_child;
};
TAILQ_HEAD(claims, claim);

struct member { /* a device that is here: at least one claim */
    struct chunk_key key;
    struct claims claims; /* the best first */
    size_t count;
    struct ward *ward;
    TAILQ_ENTRY(member) link, of_ward;
};
TAILQ_HEAD(members, member);

struct ward { /* the devices of one site */
    struct chunk_key key;
    struct members members;
};

struct child {
    struct roster *roster;
    struct chunk_key key;
    char name[64];
    struct claims claims;
    size_t count;
    uint64_t round;
    bool is_in_round; /* parts of all there is behind it have come, not the last */
    struct timer lost;
};

struct roster {
    struct roster_options options;
    struct map members, wards, children;
    struct members all;
    TAILQ_HEAD(, roster_listener) listeners;
    uint64_t order;
    struct log_limit full_lines, contested_lines;
    struct roster_figures figures;
};

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

static void remove_claim(struct roster *r, struct claim *c, enum announce_goes goes)
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

/* Takes `a`.  False: there is no room for it. */
static bool put_claim(struct roster *r, struct child *via, struct announce *a)
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
        remove_claim(r, TAILQ_LAST(&m->claims, claims), ANNOUNCE_LOST);
    return true;
}

/* ---- children ---- */

static void child_free(void *child)
{
    free(child);
}

static void maybe_drop_child(struct roster *r, struct child *via)
{
    if (via->count > 0 || via->is_in_round)
        return;
    timer_stop(&via->lost);
    (void)map_remove(&r->children, &via->key);
    r->figures.children--;
    loop_bury(r->options.loop, child_free, via); /* its timer may be ringing */
}

static void on_lost(void *arg)
{
    struct child *via = arg;
    struct claim *c;

    log_event(LOG_INFO, "roster.lost", "child=%s devices=%zu", via->name, via->count);
    while ((c = TAILQ_FIRST(&via->claims)) != NULL)
        remove_claim(via->roster, c, ANNOUNCE_LOST);
    via->is_in_round = false;
    maybe_drop_child(via->roster, via);
}

static struct child *child_of(const struct roster *r, const char *name)
{
    const struct chunk_key key = map_text_key(name);

    return map_get(&r->children, &key);
}

static struct child *child_enter(struct roster *r, const char *name)
{
    struct child *via = child_of(r, name);

    if (via != NULL) {
        timer_stop(&via->lost);
        return via;
    }
    via = xalloc(sizeof *via);
    via->roster = r;
    via->key = map_text_key(name);
    (void)snprintf(via->name, sizeof via->name, "%s", name);
    TAILQ_INIT(&via->claims);
    timer_init(&via->lost, r->options.loop, on_lost, via);
    (void)map_put(&r->children, &via->key, via);
    r->figures.children++;
    return via;
}

void roster_lost(struct roster *r, const char *via)
{
    struct child *child = child_of(r, via);

    if (child != NULL)
        timer_set_in(&child->lost, ROSTER_LOST_NS);
}

size_t roster_count_via(const struct roster *r, const char *via)
{
    const struct child *child = child_of(r, via);

    return child == NULL ? 0 : child->count;
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
    loop_bury(via->roster->options.loop, child_free, via);
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

/* ---- what a child says ---- */

static struct alb_status may_say(const struct roster *r, const char *via, enum role role,
                                 const struct announce_body *b)
{
    const char *self = r->options.self == NULL ? "" : r->options.self;

    for (size_t i = 0; i < b->device_count; i++) {
        const struct announce *a = b->devices[i];

        if (strcmp(a->device, self) == 0)
            return alb_fail(ALB_REFUSED,
                            "an announcement of this very reflector: is it behind itself?");
        if (role != ROLE_REFLECTOR && strcmp(a->device, via) != 0)
            return alb_fail(ALB_REFUSED, "only a reflector may announce others than itself");
        if (strcmp(a->device, via) == 0 && a->is_reflector != (role == ROLE_REFLECTOR))
            return alb_fail(ALB_REFUSED, "an announcement's role is not that of the certificate");
    }
    for (size_t i = 0; i < b->gone_count; i++)
        if (role != ROLE_REFLECTOR && strcmp(b->gone[i], via) != 0)
            return alb_fail(ALB_REFUSED, "only a reflector may say that others are gone");
    return ALB_STATUS_OK;
}

static void drop(struct roster *r, const struct child *via, const char *device,
                 enum announce_goes goes)
{
    struct member *m = member_of(r, device);
    struct claim *c = m == NULL ? NULL : claim_of(m, via);

    if (c != NULL)
        remove_claim(r, c, goes);
}

/* What was not named since the round began is gone. */
static void end_round(struct roster *r, struct child *via)
{
    struct claim *c = TAILQ_FIRST(&via->claims), *next;

    via->is_in_round = false;
    for (; c != NULL; c = next) {
        next = TAILQ_NEXT(c, of_child);
        if (c->round != via->round)
            remove_claim(r, c, ANNOUNCE_LOST);
    }
}

static struct alb_status apply(struct roster *r, struct child *via, struct announce_body *b)
{
    const int64_t now_wall_s = loop_wall_s(r->options.loop);
    struct alb_status st = ALB_STATUS_OK;

    for (size_t i = 0; i < b->device_count; i++) {
        struct announce *a = b->devices[i];

        if (a->goes != ANNOUNCE_STAYS) {
            drop(r, via, a->device, a->goes);
            continue;
        }
        b->devices[i] = NULL;
        if (a->since_wall_s > now_wall_s)
            a->since_wall_s = now_wall_s;
        if (!put_claim(r, via, a))
            st = alb_fail(ALB_FULL, "more devices than are kept count of here");
    }
    for (size_t i = 0; i < b->gone_count; i++)
        drop(r, via, b->gone[i], ANNOUNCE_LOST);
    return st;
}

struct alb_status roster_take(struct roster *r, const char *via, enum role role,
                              enum roster_scope scope, const void *bytes, size_t size)
{
    struct announce_body *b = NULL;
    struct alb_status st = announce_decode(bytes, size, &b);

    r->figures.bodies++;
    if (!alb_failed(st))
        st = may_say(r, via, role, b);
    if (alb_failed(st)) {
        r->figures.refused++;
        announce_body_free(b);
        return st;
    }
    struct child *child = child_enter(r, via);
    if (scope != ROSTER_SOME && !child->is_in_round) {
        child->round++;
        child->is_in_round = true;
    }
    st = apply(r, child, b);
    if (scope == ROSTER_ALL)
        end_round(r, child);
    announce_body_free(b);
    maybe_drop_child(r, child);
    return st;
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
    const struct child *child = child_of(r, via);
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
