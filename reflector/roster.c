/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/roster.c – who is behind this box, and what it tells its parent of them and of itself.
 *
 * What it says of itself is coarse: a load in tens, a count of sessions to a quarter, looked at
 * every ten seconds.  An idle branch says nothing but that it is still there.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "net/netlink.h"
#include "net/resolve.h"
#include "reflector/reflector_impl.h"
#include "transfer/announcer.h"

#define LOOK_NS (10 * NS_PER_S)
#define ASK_CARDS_NS (900 * NS_PER_S)

/* Asks the drivers by which cards this machine can be woken: they may sleep. */
struct wake_look {
    struct job job;
    struct reflector_self *self; /* NULL: it is gone */
    struct alb_status (*ask)(uint32_t link, struct wake_ability *out);
    uint32_t links[ANNOUNCE_CARDS_MAX];
    struct announce_card cards[ANNOUNCE_CARDS_MAX];
    size_t count;
};

struct reflector_self {
    struct reflector *reflector;
    struct netlink_view *view; /* NULL: this machine does not say where it is */
    bool has_looked;           /* the first picture is here */
    struct announcer_place place_room;
    struct announce_place place;
    struct announce_card cards[ANNOUNCE_CARDS_MAX];
    size_t card_count;
    struct wake_look *wake; /* under way; its job frees it */
    uint64_t asked_ns;      /* when it began last          */
    struct timer look;
};

static void tell(struct reflector_self *self);
static void ask_cards(struct reflector_self *self);

/* ---- whom it serves -------------------------------------------------------------------------- */

/* Exact to a quarter, so that a number that wavers is not told each time. */
static uint64_t coarse(uint64_t n)
{
    unsigned shift = 0;

    while (n >> shift >= 8)
        shift++;
    return n >> shift << shift;
}

static bool is_wildcard(const char *address)
{
    return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

static void add_at(struct announce_serves *s, const uint8_t address[16], uint16_t port)
{
    struct policy_subnet host = {.bits = 128};
    char text[64];

    if (s->at_count == ANNOUNCE_AT_MAX)
        return;
    memcpy(host.address, address, sizeof host.address);
    (void)site_subnet_text(&host, text);
    text[strcspn(text, "/")] = '\0';
    struct nearby_address *at = &s->at[s->at_count++];
    (void)snprintf(at->host, sizeof at->host, "%.45s", text);
    at->port = port;
}

/* Everything where it listens: what only its link knows is in no place's addresses. */
static void say_where(const struct reflector_self *self, struct announce_serves *s)
{
    const struct reflector_options *o = &self->reflector->options;
    const uint16_t port = reflector_port(self->reflector);
    const bool is_v4_only = strcmp(o->listen_address, "0.0.0.0") == 0;
    static const uint8_t V4[12] = {[10] = 0xff, [11] = 0xff};
    uint8_t only[16];

    if (!is_wildcard(o->listen_address)) {
        if (!alb_failed(site_address_parse(o->listen_address, only)))
            add_at(s, only, port);
        return;
    }
    for (size_t i = 0; i < self->place.address_count; i++)
        if (!is_v4_only || memcmp(self->place.addresses[i].bytes, V4, sizeof V4) == 0)
            add_at(s, self->place.addresses[i].bytes, port);
}

static void say_load(const struct reflector *r, struct announce_serves *s)
{
    struct here here;

    reflector_here(r, &here);
    s->state = here.state;
    s->sessions = coarse(here.sessions);
    s->max_sessions = here.max_sessions;
    s->load_percent = (here.load_percent + 5) / 10 * 10;
    s->down_bps = r->options.wan_down_bps;
    s->cut_off_since_wall_s = here.cut_off_since_wall_s;
}

/* ---- what it says of itself ------------------------------------------------------------------ */

static void tell(struct reflector_self *self)
{
    const struct reflector *r = self->reflector;
    struct announce_serves serves = {.at_count = 0};
    struct announce own = {.is_reflector = true, .place = self->place, .serves = &serves};

    if (!self->has_looked)
        return;
    (void)snprintf(own.device, sizeof own.device, "%s", r->options.device);
    (void)snprintf(own.place.site, sizeof own.place.site, "%s", r->options.site);
    own.place.by = r->options.site[0] == '\0' ? NEARBY_BY_NONE : NEARBY_BY_CONFIGURED;
    own.cards = self->cards;
    own.card_count = self->card_count;
    say_where(self, &serves);
    say_load(r, &serves);
    announcer_set_own(r->announcer, &own);
}

void reflector_look_roster(struct reflector *r)
{
    if (r->self != NULL)
        tell(r->self);
}

static void on_look(void *arg)
{
    struct reflector_self *self = arg;

    if (loop_now_ns(self->reflector->options.loop) - self->asked_ns >= ASK_CARDS_NS)
        ask_cards(self); /* somebody may have set what wakes them */
    tell(self);
    timer_set_in(&self->look, LOOK_NS);
}

/* ---- where it is ----------------------------------------------------------------------------- */

static void wake_run(struct job *job)
{
    struct wake_look *w = ALB_CONTAINER(job, struct wake_look, job);
    struct wake_ability ability;

    for (size_t i = 0; i < w->count; i++) {
        if (alb_failed(w->ask(w->links[i], &ability)) || ability.answer == WAKE_UNASKABLE ||
            ability.answer == WAKE_UNKNOWN)
            continue;
        w->cards[i].is_known = true;
        w->cards[i].wake = (uint8_t)ability.active;
    }
}

static bool is_same_card(const struct announce_card *a, const struct announce_card *b)
{
    return memcmp(&a->mac, &b->mac, sizeof a->mac) == 0 && strcmp(a->link, b->link) == 0;
}

/* But for what wakes them. */
static bool are_same_cards(const struct announce_card *a, size_t a_count,
                           const struct announce_card *b, size_t b_count)
{
    bool is_same = a_count == b_count;

    for (size_t i = 0; i < a_count && is_same; i++)
        is_same = is_same_card(&a[i], &b[i]);
    return is_same;
}

static void wake_done(struct job *job)
{
    struct wake_look *w = ALB_CONTAINER(job, struct wake_look, job);
    struct reflector_self *self = w->self;

    if (self != NULL) {
        self->wake = NULL;
        if (are_same_cards(w->cards, w->count, self->cards, self->card_count))
            memcpy(self->cards, w->cards, sizeof self->cards);
        else
            ask_cards(self); /* others came while their drivers were asked */
        tell(self);
    }
    free(w);
}

/* What wakes a card is asked of its driver, on a worker: it may sleep. */
static void ask_cards(struct reflector_self *self)
{
    const struct reflector *r = self->reflector;
    const struct net_picture *p = self->view == NULL ? NULL : netlink_view_peek(self->view);

    if (p == NULL || self->wake != NULL || r->options.ask_wake == NULL)
        return;
    struct wake_look *w = xalloc(sizeof *w);
    w->count = announcer_cards_of(p, w->cards, w->links);
    w->self = self;
    w->ask = r->options.ask_wake;
    w->job = (struct job){.run = wake_run, .done = wake_done, .work_bytes = 4096};
    self->wake = w;
    self->asked_ns = loop_now_ns(r->options.loop);
    loop_submit(r->options.loop, &w->job);
}

/* Other cards than before?  They are told at once, and what wakes them once their drivers said. */
static void look_at_cards(struct reflector_self *self, const struct net_picture *p)
{
    struct announce_card cards[ANNOUNCE_CARDS_MAX] = {{.is_known = false}};
    const size_t count = announcer_cards_of(p, cards, NULL);

    if (are_same_cards(cards, count, self->cards, self->card_count))
        return;
    memcpy(self->cards, cards, sizeof self->cards);
    self->card_count = count;
    ask_cards(self);
}

static void on_moved(void *arg, unsigned parts)
{
    struct reflector_self *self = arg;
    const struct net_picture *p = netlink_view_peek(self->view);
    struct net_place place;

    (void)parts;
    net_place_of(p, &place);
    reflector_nearby_moved(self->reflector, &place);
    if (self->reflector->waker != NULL)
        waker_look(self->reflector->waker);
    reflector_beacon_moved(self->reflector, p);
    reflector_look_siblings(self->reflector);
    announcer_place_of(p, &place, &self->place_room, &self->place);
    look_at_cards(self, p);
    self->has_looked = true;
    tell(self);
}

/* Without netlink: what was read at the start. */
static void go_by_addresses(struct reflector_self *self)
{
    const struct own_addresses *own = &self->reflector->options.addresses;

    for (size_t i = 0; i < own->count && i < ANNOUNCE_ADDRESSES_MAX; i++) {
        memcpy(self->place_room.addresses[i].bytes, own->list[i], 16);
        self->place_room.addresses[i].bits = 128;
        self->place.address_count++;
    }
    self->place.addresses = self->place_room.addresses;
    self->has_looked = true;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

void reflector_open_roster(struct reflector *r)
{
    const struct reflector_options *o = &r->options;
    struct reflector_self *self = xalloc(sizeof *self);

    r->roster = roster_new(&(struct roster_options){
        .loop = o->loop, .max_devices = ROSTER_REFLECTOR_DEVICES, .self = o->device});
    roster_serve(r->roster, r->serve);
    r->announcer = announcer_new(
        &(struct announcer_options){.loop = o->loop, .upstream = r->upstream, .roster = r->roster});
    self->reflector = r;
    r->self = self;
    timer_init(&self->look, o->loop, on_look, self);
    struct alb_status st = netlink_view_open(o->loop, on_moved, self, &self->view);
    if (alb_failed(st)) {
        log_status(LOG_WARN, "reflector.place", st, "the addresses of the start are told instead");
        go_by_addresses(self);
    }
    timer_set_in(&self->look, 0);
    reflector_open_wake(r);
}

const struct net_picture *reflector_picture(void *reflector)
{
    const struct reflector_self *self = ((struct reflector *)reflector)->self;

    return self == NULL || self->view == NULL ? NULL : netlink_view_peek(self->view);
}

/* The last words go up while the sessions end. */
void reflector_leave(struct reflector *r)
{
    timer_stop(&r->self->look);
    announcer_say_goodbye(r->announcer, ANNOUNCE_BYE, NULL, NULL);
}

void reflector_close_roster(struct reflector *r)
{
    struct reflector_self *self = r->self;

    if (self == NULL)
        return;
    r->self = NULL;
    timer_stop(&self->look);
    if (self->wake != NULL)
        self->wake->self = NULL;
    if (self->view != NULL)
        netlink_view_close(self->view);
    r->announcer = announcer_free(r->announcer);
    r->roster = roster_free(r->roster);
    free(self);
}

/* ---- what is said to it alone ---------------------------------------------------------------- */

bool reflector_hear_for(struct reflector *r, const char *line)
{
    const char *rest = NULL;
    char text[LOG_TEXT_SIZE];

    switch (roster_hear(r->roster, r->feed, r->options.device, line, &rest)) {
    case ROSTER_OTHER_LINE: return false;
    case ROSTER_PASSED: return true;
    case ROSTER_FOR_ME: break;
    }
    if (waker_hear(r->waker, rest) || prefetcher_hear(r->prefetcher, rest))
        return true;
    log_event(LOG_DEBUG, "reflector.unknown_word", "line=%s", log_text(rest, text));
    return true;
}
