/* SPDX-License-Identifier: Apache-2.0 */
/* client/agent_announce.c – what an agent says of its machine: where, by which cards, which layers.
 *
 * Said again whenever something changed; the announcer gathers, compares and paces.  Whether a card
 * can be woken is asked of its driver, which may sleep, by a job, when the cards are others.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "client/agent_impl.h"
#include "net/ethtool_netlink.h"

#define ASK_CARDS_NS (900 * NS_PER_S) /* somebody may have set what wakes them */

/* ---- cards ----------------------------------------------------------------------------------- */

struct card_look {
    struct job job;
    struct agent *agent;
    struct agent_cards cards;
    uint32_t links[ANNOUNCE_CARDS_MAX];
};

static void take_ability(struct announce_card *card, const struct wake_ability *ability)
{
    switch (ability->answer) {
    case WAKE_READY:
    case WAKE_SECURED:
        card->is_known = true;
        card->wake = (uint8_t)ability->active;
        break;
    case WAKE_OFF:
    case WAKE_CANNOT:
        card->is_known = true;
        card->wake = 0;
        break;
    case WAKE_UNASKABLE:
    case WAKE_UNKNOWN: card->is_known = false; break;
    }
}

static void look_run(struct job *job)
{
    struct card_look *look = ALB_CONTAINER(job, struct card_look, job);
    struct wake_ability ability;

    for (size_t i = 0; i < look->cards.count; i++)
        if (!alb_failed(wake_ability_ask(look->links[i], &ability)))
            take_ability(&look->cards.list[i], &ability);
}

static bool are_same(const struct agent_cards *a, const struct agent_cards *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (memcmp(&a->list[i].mac, &b->list[i].mac, sizeof a->list[i].mac) != 0 ||
            strcmp(a->list[i].link, b->list[i].link) != 0)
            return false;
    return a->count == b->count;
}

static void look_done(struct job *job)
{
    struct card_look *look = ALB_CONTAINER(job, struct card_look, job);
    struct agent *a = look->agent;

    a->is_looking = false;
    if (are_same(&a->cards, &look->cards))
        a->cards = look->cards;
    else
        a->asks_cards = true; /* others came while their drivers were asked */
    free(look);
    if (!a->is_terminated)
        agent_announce(a);
    loop_stop(a->loop); /* whoever ends the agent may wait for this; others run it on */
}

static void look_at_cards(struct agent *a, const struct net_picture *p)
{
    struct card_look *look = xalloc(sizeof *look);

    *look = (struct card_look){.job = {.run = look_run, .done = look_done}, .agent = a};
    look->cards.count = announcer_cards_of(p, look->cards.list, look->links);
    if (!are_same(&a->cards, &look->cards)) {
        a->cards = look->cards; /* without an answer until then */
        a->asks_cards = true;
    }
    if (a->is_looking || !a->asks_cards) {
        free(look);
        return;
    }
    a->is_looking = true;
    a->asks_cards = false;
    a->asked_cards_ns = loop_now_ns(a->loop);
    loop_submit(a->loop, &look->job);
}

/* ---- the announcement ------------------------------------------------------------------------ */

static size_t layers_of(const struct agent *a, struct announce_layer out[ANNOUNCE_LAYERS_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < a->follow_count && count < ANNOUNCE_LAYERS_MAX; i++) {
        const struct follow *f = &a->follows[i];
        if (f->was_pulled)
            out[count++] = (struct announce_layer){
                .layer = f->layer, .version = f->version, .sequence = f->sequence};
    }
    return count;
}

static void say(struct agent *a, const struct net_picture *p, const struct net_place *place)
{
    const struct nearby_head *head = nearby_book_head(endpoint_nearby(a->endpoint));
    const struct identity *parent = upstream_parent(endpoint_upstream(a->endpoint), 0);
    struct announce_layer layers[ANNOUNCE_LAYERS_MAX];
    struct announcer_place room;
    struct announce own = {.cards = a->cards.list, .card_count = a->cards.count, .layers = layers};

    snprintf(own.device, sizeof own.device, "%s", a->options.state->who.device);
    snprintf(own.place.site, sizeof own.place.site, "%s", head->site);
    own.place.by = head->by;
    own.place.is_metered = endpoint_way(a->endpoint) == NET_MOBILE;
    announcer_place_of(p, place, &room, &own.place);
    own.layer_count = layers_of(a, layers);
    if (parent != NULL) {
        snprintf(own.upstream, sizeof own.upstream, "%s", parent->device);
        own.upstream_is_hub = parent->role == ROLE_HUB;
    }
    announcer_set_own(a->announcer, &own);
}

void agent_announce(struct agent *a)
{
    const struct whereabouts *w = endpoint_whereabouts(a->endpoint);
    const struct net_picture *p = whereabouts_picture(w);
    const struct net_place *place = whereabouts_place(w);

    if (a->announcer == NULL || a->is_terminated || a->vigil.is_asleep || p == NULL ||
        place == NULL)
        return;
    look_at_cards(a, p);
    say(a, p, place);
}

void agent_ask_cards(struct agent *a)
{
    if (loop_now_ns(a->loop) - a->asked_cards_ns < ASK_CARDS_NS)
        return;
    a->asks_cards = true;
    agent_announce(a);
}

void agent_announce_start(struct agent *a)
{
    a->announcer = announcer_new(
        &(struct announcer_options){.loop = a->loop, .upstream = endpoint_upstream(a->endpoint)});
    agent_announce(a);
}

/* ---- the end --------------------------------------------------------------------------------- */

struct goodbye {
    struct loop *loop;
    bool is_said;
};

static void said(void *arg)
{
    struct goodbye *g = arg;

    g->is_said = true;
    loop_stop(g->loop);
}

void agent_announce_stop(struct agent *a)
{
    struct goodbye goodbye = {.loop = a->loop};

    while (a->is_looking)
        loop_run(a->loop);
    if (a->announcer == NULL)
        return;
    if (announcer_own(a->announcer) != NULL && upstream_is_up(endpoint_upstream(a->endpoint))) {
        announcer_say_goodbye(a->announcer, ANNOUNCE_BYE, said, &goodbye);
        while (!goodbye.is_said)
            loop_run(a->loop);
    }
    a->announcer = announcer_free(a->announcer);
}
