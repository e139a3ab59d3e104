/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/roster_take.c – children of the roster: what they say, and when they are lost. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "transfer/roster_impl.h"

/* ---- children ---- */

static void child_free(void *child)
{
    free(child);
}

void roster_child_bury(struct child *via)
{
    loop_bury(via->roster->options.loop, child_free, via);
}

static void maybe_drop_child(struct roster *r, struct child *via)
{
    if (via->count > 0 || via->is_in_round)
        return;
    timer_stop(&via->lost);
    (void)map_remove(&r->children, &via->key);
    r->figures.children--;
    roster_child_bury(via);
}

static void on_lost(void *arg)
{
    struct child *via = arg;
    struct claim *c;

    log_event(LOG_INFO, "roster.lost", "child=%s devices=%zu", via->name, via->count);
    while ((c = TAILQ_FIRST(&via->claims)) != NULL)
        roster_remove_claim(via->roster, c, ANNOUNCE_LOST);
    via->is_in_round = false;
    maybe_drop_child(via->roster, via);
}

struct child *roster_child_of(const struct roster *r, const char *name)
{
    const struct chunk_key key = map_text_key(name);

    return map_get(&r->children, &key);
}

static struct child *child_enter(struct roster *r, const char *name)
{
    struct child *via = roster_child_of(r, name);

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
    struct child *child = roster_child_of(r, via);

    if (child != NULL)
        timer_set_in(&child->lost, ROSTER_LOST_NS);
}

size_t roster_count_via(const struct roster *r, const char *via)
{
    const struct child *child = roster_child_of(r, via);

    return child == NULL ? 0 : child->count;
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
    struct claim *c = roster_claim_of(r, via, device);

    if (c != NULL)
        roster_remove_claim(r, c, goes);
}

/* What was not named since the round began is gone. */
static void end_round(struct roster *r, struct child *via)
{
    struct claim *c = TAILQ_FIRST(&via->claims), *next;

    via->is_in_round = false;
    for (; c != NULL; c = next) {
        next = TAILQ_NEXT(c, of_child);
        if (c->round != via->round)
            roster_remove_claim(r, c, ANNOUNCE_LOST);
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
        if (!roster_put_claim(r, via, a))
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
