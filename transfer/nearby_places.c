/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/nearby_places.c – which gateway and which subnet is at which site, as parents said. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "transfer/nearby_shelf_impl.h"
#include "transfer/record_keep.h"
#include "wire/subnets.h"

enum { TEXT_MOST = NEARBY_SHELF_PLACES * 160 };

static const char RECORD[] = "nearby-places";

/* ---- notes ----------------------------------------------------------------------------------- */

static bool is_same_place(const struct nearby_place_note *a, const struct nearby_place_note *b)
{
    if (a->is_gateway != b->is_gateway)
        return false;
    if (a->is_gateway)
        return memcmp(&a->mac, &b->mac, sizeof a->mac) == 0;
    return a->subnet.bits == b->subnet.bits &&
           memcmp(a->subnet.address, b->subnet.address, sizeof a->subnet.address) == 0;
}

static void drop(struct nearby_shelf *s, size_t index)
{
    s->place_count--;
    memmove(&s->places[index], &s->places[index + 1],
            (s->place_count - index) * sizeof s->places[0]);
}

/* The oldest of those that are at no site, which anybody can invent; else the oldest. */
static size_t least_wanted(const struct nearby_shelf *s)
{
    for (size_t i = s->place_count; i-- > 0;)
        if (s->places[i].site[0] == '\0')
            return i;
    return s->place_count - 1;
}

/* To the front; true: it says something that was not known. */
static bool put(struct nearby_shelf *s, const struct nearby_place_note *note)
{
    bool is_news = true;

    for (size_t i = 0; i < s->place_count; i++) {
        if (!is_same_place(&s->places[i], note))
            continue;
        is_news = strcmp(s->places[i].site, note->site) != 0;
        drop(s, i);
        break;
    }
    if (s->place_count == NEARBY_SHELF_PLACES)
        drop(s, least_wanted(s));
    memmove(&s->places[1], &s->places[0], s->place_count * sizeof s->places[0]);
    s->places[0] = *note;
    s->place_count++;
    return is_news;
}

static bool put_gateway(struct nearby_shelf *s, const struct site_mac *mac, const char *site)
{
    struct nearby_place_note note = {.is_gateway = true, .mac = *mac, .is_fresh = true};

    (void)snprintf(note.site, sizeof note.site, "%s", site);
    return put(s, &note);
}

static bool put_subnet(struct nearby_shelf *s, const char *text, const char *site)
{
    struct nearby_place_note note = {.is_fresh = true};

    (void)snprintf(note.site, sizeof note.site, "%s", site);
    return !alb_failed(site_subnet_parse(text, &note.subnet)) && put(s, &note);
}

/* ---- kept ------------------------------------------------------------------------------------ */

static void keep(const struct nearby_shelf *s)
{
    struct alb_status st = ALB_STATUS_OK;
    struct buf text;
    char word[64];

    if (s->options.catalogue == NULL)
        return;
    buf_init(&text, TEXT_MOST);
    for (size_t i = s->place_count; i > 0 && !alb_failed(st); i--) {
        const struct nearby_place_note *n = &s->places[i - 1];
        st = buf_printf(&text, "%s %s %s\n", n->is_gateway ? "gateway" : "subnet",
                        n->is_gateway ? site_mac_text(&n->mac, word)
                                      : site_subnet_text(&n->subnet, word),
                        n->site[0] == '\0' ? "-" : n->site);
    }
    record_keep(s->options.loop, s->options.catalogue, RECORD, buf_peek(&text), buf_size(&text),
                NULL);
    buf_release(&text);
}

static bool load_line(struct nearby_shelf *s, char *line)
{
    char *rest = line;
    const char *kind = strsep(&rest, " ");
    const char *what = rest == NULL ? NULL : strsep(&rest, " ");
    struct site_mac mac;

    if (rest == NULL || what == NULL)
        return false;
    const char *site = strcmp(rest, "-") == 0 ? "" : rest;
    if (site[0] != '\0' && alb_failed(id_check(site)))
        return false;
    if (strcmp(kind, "gateway") != 0)
        return put_subnet(s, what, site);
    return !alb_failed(site_mac_parse(what, &mac)) && put_gateway(s, &mac, site);
}

void nearby_places_load(struct nearby_shelf *s)
{
    struct buf text;
    bool is_whole = true;

    buf_init(&text, CATALOGUE_VALUE_MAX);
    const struct alb_status st = catalogue_get(s->options.catalogue, RECORD, &text, NULL);
    AUTO_FREE char *copy = xstrndup((const char *)buf_peek(&text), buf_size(&text));
    char *rest = copy;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n"))
        is_whole = line[0] == '\0' || (load_line(s, line) && is_whole);
    for (size_t i = 0; i < s->place_count; i++)
        s->places[i].is_fresh = false;
    if ((alb_failed(st) && st.code != ALB_NOT_FOUND) || !is_whole)
        log_event(LOG_WARN, "nearby.not_loaded",
                  "record=%s next=\"what cannot be read is left out; the parent is asked\"",
                  RECORD);
    buf_release(&text);
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* Of the gateways those before the one that decided are at no site; all of them, when none did. */
static bool note_gateways(struct nearby_shelf *s, const struct nearby_question *q,
                          const struct nearby_head *head)
{
    bool is_news = false;
    char text[18];

    for (size_t i = 0; i < q->gateway_count; i++) {
        const bool decides = head->by == NEARBY_BY_GATEWAY &&
                             strcmp(site_mac_text(&q->gateways[i], text), head->what) == 0;
        is_news = put_gateway(s, &q->gateways[i], decides ? head->site : "") || is_news;
        if (decides)
            break;
    }
    return is_news;
}

/* A subnet around one of the addresses that is not what decided is no site's any more, or a wider
 * one; this cannot be told apart, and the narrowest is asked first. */
static bool forget_narrower(struct nearby_shelf *s, const struct nearby_question *q,
                            const struct nearby_head *head)
{
    struct policy_subnet decided = {.bits = 0};
    bool is_news = false;

    if (head->by == NEARBY_BY_SUBNET && alb_failed(site_subnet_parse(head->what, &decided)))
        return false;
    for (size_t i = s->place_count; i > 0; i--) {
        const struct nearby_place_note *n = &s->places[i - 1];
        bool holds = false;

        for (size_t k = 0; k < q->address_count && !n->is_gateway; k++)
            holds = holds || (subnet_holds(&n->subnet, q->addresses[k]) &&
                              subnet_is_of_kind(&n->subnet, q->addresses[k]));
        if (!holds || n->subnet.bits <= decided.bits)
            continue;
        drop(s, i - 1);
        is_news = true;
    }
    return is_news;
}

void nearby_shelf_note(struct nearby_shelf *s, const struct nearby_question *q,
                       const struct nearby_head *head)
{
    bool is_news = note_gateways(s, q, head);

    if (head->by != NEARBY_BY_GATEWAY)
        is_news = forget_narrower(s, q, head) || is_news;
    if (head->by == NEARBY_BY_SUBNET)
        is_news = put_subnet(s, head->what, head->site) || is_news;
    if (is_news)
        keep(s);
}

const struct nearby_place_note *nearby_shelf_gateway(const struct nearby_shelf *s,
                                                     const struct site_mac *mac)
{
    for (size_t i = 0; i < s->place_count; i++)
        if (s->places[i].is_gateway && memcmp(&s->places[i].mac, mac, sizeof *mac) == 0)
            return &s->places[i];
    return NULL;
}

static const struct nearby_place_note *narrowest(const struct nearby_shelf *s,
                                                 const struct nearby_question *q)
{
    const struct nearby_place_note *best = NULL;

    for (size_t i = 0; i < s->place_count; i++) {
        const struct nearby_place_note *n = &s->places[i];

        for (size_t k = 0; k < q->address_count && !n->is_gateway; k++)
            if (subnet_holds(&n->subnet, q->addresses[k]) &&
                subnet_is_of_kind(&n->subnet, q->addresses[k]) &&
                (best == NULL || n->subnet.bits > best->subnet.bits))
                best = n;
    }
    return best;
}

bool nearby_shelf_locate(const struct nearby_shelf *s, const struct nearby_question *q,
                         struct nearby_head *out)
{
    const struct nearby_place_note *n = NULL;

    for (size_t i = 0; i < q->gateway_count && (n == NULL || n->site[0] == '\0'); i++)
        n = nearby_shelf_gateway(s, &q->gateways[i]);
    if (n == NULL || n->site[0] == '\0')
        n = narrowest(s, q);
    if (n == NULL || n->site[0] == '\0')
        return false;
    *out = (struct nearby_head){.by = n->is_gateway ? NEARBY_BY_GATEWAY : NEARBY_BY_SUBNET};
    memcpy(out->site, n->site, sizeof out->site);
    if (n->is_gateway)
        (void)site_mac_text(&n->mac, out->what);
    else
        (void)site_subnet_text(&n->subnet, out->what);
    return true;
}
