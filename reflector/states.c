/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/states.c – what an operator has this box do, in force the moment the list says so.
 *
 *     state     newcomers   those who are here   what is not here        sessions
 *     accept    taken       served               fetched                 stay
 *     drain     503         served               missing; what was       stay
 *                                                asked for still comes
 *     suspend   taken       served               missing, at once        stay
 *     disable   503         503                  –                       are ended
 *
 * Its own line, events and the policy go on in all of them: so it hears when they end.  The list is
 * kept by the policy book, so a restart begins in the state there was.
 */
#include <stdio.h>

#include "base/log.h"
#include "reflector/reflector_impl.h"

static enum supply_fetching fetching_in(enum reflector_state state)
{
    switch (state) {
    case REFLECTOR_ACCEPT: return SUPPLY_FETCHES;
    case REFLECTOR_DRAIN: return SUPPLY_FINISHES;
    case REFLECTOR_SUSPEND:
    case REFLECTOR_DISABLE: return SUPPLY_FETCHES_NOTHING;
    }
    alb_unreachable();
}

static void set_door(struct reflector *r)
{
    const struct reflector_duty *d = &r->duty;
    struct serve_door door = {
        .state = d->entry.state, .max_devices = d->max_sessions, .load_percent = d->load_percent};

    snprintf(door.why, sizeof door.why, "%s", d->entry.why);
    if (r->serve != NULL) /* what is kept may be read before it is there */
        serve_set_door(r->serve, &door);
}

static bool is_same(const struct state_entry *a, const struct state_entry *b)
{
    return a->state == b->state && a->wipe == b->wipe && strcmp(a->why, b->why) == 0;
}

static void say_state(const struct reflector *r)
{
    const struct state_entry *e = &r->duty.entry;
    char why[LOG_TEXT_SIZE];

    log_event(e->state == REFLECTOR_ACCEPT ? LOG_INFO : LOG_WARN, "reflector.state",
              "state=%s wipe=%s by=%s why=%s", reflector_state_word(e->state),
              e->wipe ? "yes" : "no", e->by, log_text(e->why, why));
}

void reflector_obey_states(struct reflector *r)
{
    const struct state_entry *e = states_find(policy_book_states(r->policy), r->options.device);
    const struct state_entry next = e == NULL ? (struct state_entry){.device = ""} : *e;
    struct reflector_duty *d = &r->duty;

    if (is_same(&next, &d->entry) || r->serve == NULL)
        return;
    d->entry = next;
    say_state(r);
    set_door(r);
    reflector_beacon_obey(r, next.state);
    supply_set_fetching(r->supply, fetching_in(next.state));
    root_book_forget_refused(r->roots);
    if (next.wipe)
        reflector_start_wipe(r);
    else
        reflector_stop_wipe(r);
    reflector_say_here(r);
    reflector_look_roster(r);
}

void reflector_set_terms(struct reflector *r, uint32_t max_sessions, uint32_t load_percent)
{
    struct reflector_duty *d = &r->duty;

    if (d->max_sessions == max_sessions && d->load_percent == load_percent)
        return;
    d->max_sessions = max_sessions;
    d->load_percent = load_percent;
    set_door(r);
    reflector_look_roster(r);
}

void reflector_open_states(struct reflector *r)
{
    set_door(r); /* terms may have been there first */
    reflector_obey_states(r);
}

void reflector_close_states(struct reflector *r)
{
    reflector_stop_wipe(r);
}

void reflector_show_state(const struct reflector *r, struct json_writer *w)
{
    const struct reflector_duty *d = &r->duty;

    json_object_begin(w, "state");
    json_text(w, "state", reflector_state_word(d->entry.state));
    if (d->entry.state != REFLECTOR_ACCEPT) {
        json_signed(w, "since_wall_s", d->entry.since_wall_s);
        json_text(w, "by", d->entry.by);
        json_text(w, "why", d->entry.why);
    }
    if (d->entry.wipe)
        json_bool(w, "wiped", d->is_wiped);
    if (d->max_sessions != 0)
        json_number(w, "max_sessions", d->max_sessions);
    json_end(w);
}
