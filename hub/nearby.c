/* SPDX-License-Identifier: Apache-2.0 */
/* hub/nearby.c – lists of who is nearby: made when asked for, watched while anybody may have
 * them. */
#include "hub/nearby.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/hub_impl.h"
#include "hub/nearby_map.h"
#include "hub/sites.h"
#include "transfer/record_keep.h"
#include "transfer/roster.h"
#include "wire/sites_find.h"

/* Changes come in bursts: a branch's power comes back, an operator drains ten. */
#define GATHER_NS (1 * NS_PER_S)
/* A list is signed anew when one is asked for that is older than this: none is spent when it
 * comes. */
#define FRESH_S (24 * 3600)
#define AHEAD_MOST_MS (UINT64_C(10) * 366 * 24 * 3600 * 1000)

enum {
    CHANGED_MOST = 32,     /* sites remembered by name; beyond it everything is looked at   */
    TURN_PASSES = 2000,    /* … and passed by, about 1 ms                                      */
    TURN_LISTS = 64,       /* looked at in one turn of the loop, about 2 ms                  */
    SAID_MOST = 3 << 10,   /* of an event's names; beyond it nobody is named                 */
    BYTES_MOST = 32 << 20, /* of lists, signed; the one that nobody asked for longest goes   */
    STRANGE_MOST = 256,    /* entries of names that may be invented; the oldest goes           */
    KEPT_MOST = 8 << 10,
};

static const char KEPT[] = "holder/";

struct entry { /* of a site that somebody asked for */
    char site[64];
    struct digest says; /* what its list said when it was last looked at */
    uint64_t number;    /* of `bytes` */
    int64_t issued_wall_s;
    struct buf bytes; /* signed; empty: to be made */
    bool is_strange;  /* without a directory: no reflector is there, so the name may be invented */
    TAILQ_ENTRY(entry) link, of_strange;
};
TAILQ_HEAD(entries, entry);

struct changes {
    char sites[CHANGED_MOST][64];
    size_t count;
    bool is_all;
};

struct hub_nearby {
    struct hub *hub;
    struct nearby_map map;
    struct sites_index *index; /* NULL: there is no directory */
    struct map by_site;        /* entries */
    struct entries entries;    /* who was asked for last is last */
    struct entries strange;    /* likewise */
    size_t strange_count;
    size_t bytes; /* of all of them */
    struct changes pending, looking;
    struct entry **round; /* owned: those still to be looked at, from the end; NULL: none */
    size_t round_left;
    struct buf said; /* names of lists that this round found to be others */
    bool says_all;
    struct timer look;
    struct roster_listener on_roster;
    uint64_t number; /* of the last list */
    struct log_limit behind_lines;
};

static void look(void *nearby);
static void note_said(struct hub_nearby *n, const char *site);

/* ---- making a list --------------------------------------------------------------------------- */

static void compile(const struct hub_nearby *n, const char *site, struct nearby *out)
{
    const struct hub *h = n->hub;
    const struct nearby_facts facts = {.sites = h->sites, .states = policy_book_states(h->policy)};

    (void)snprintf(out->org, sizeof out->org, "%s", h->options.org);
    nearby_map_compile(&n->map, &facts, site, out);
    out->hub_count = h->options.place_count;
    for (size_t i = 0; i < out->hub_count; i++)
        out->hub[i] = h->options.places[i];
}

static void drop_bytes(struct hub_nearby *n, struct entry *e)
{
    n->bytes -= buf_size(&e->bytes);
    buf_release(&e->bytes);
    buf_init(&e->bytes, NEARBY_BYTES_MAX);
}

/* Is its list another than when it was last looked at? */
static bool is_another(struct hub_nearby *n, struct entry *e)
{
    struct nearby list = {.number = 0};
    struct digest says;

    compile(n, e->site, &list);
    nearby_digest(&list, &says);
    nearby_release(&list);
    if (memcmp(&says, &e->says, sizeof says) == 0)
        return false;
    e->says = says;
    drop_bytes(n, e);
    return true;
}

static struct alb_status sign(struct hub_nearby *n, struct entry *e)
{
    struct nearby list = {.number = n->number + 1};
    const struct hub *h = n->hub;
    struct digest says;

    list.issued_wall_s = loop_wall_s(h->options.loop);
    list.expires_wall_s = list.issued_wall_s + NEARBY_LIFETIME_S;
    compile(n, e->site, &list);
    drop_bytes(n, e);
    nearby_digest(&list, &says);
    if (e->number != 0 && memcmp(&says, &e->says, sizeof says) != 0)
        note_said(n, e->site); /* the round that is due would not see it any more */
    e->says = says;
    struct alb_status st = nearby_encode(&list, &h->ledger.key, &e->bytes);
    nearby_release(&list);
    if (alb_failed(st)) {
        buf_clear(&e->bytes);
        return st;
    }
    n->bytes += buf_size(&e->bytes);
    e->number = ++n->number;
    e->issued_wall_s = list.issued_wall_s;
    return st;
}

static bool may_be_invented(const struct hub_nearby *n, const char *site)
{
    return n->index == NULL && site[0] != '\0' && !nearby_map_has_site(&n->map, site);
}

static void mark_strange(struct hub_nearby *n, struct entry *e, bool is_strange)
{
    if (e->is_strange) {
        TAILQ_REMOVE(&n->strange, e, of_strange);
        n->strange_count--;
    }
    e->is_strange = is_strange;
    if (is_strange) {
        TAILQ_INSERT_TAIL(&n->strange, e, of_strange);
        n->strange_count++;
    }
}

/* Also of a round that is under way. */
static void free_entry(struct hub_nearby *n, struct entry *e)
{
    const struct chunk_key key = map_text_key(e->site);

    for (size_t i = 0; i < n->round_left; i++)
        if (n->round[i] == e)
            n->round[i] = NULL;
    mark_strange(n, e, false);
    map_remove(&n->by_site, &key);
    TAILQ_REMOVE(&n->entries, e, link);
    n->bytes -= buf_size(&e->bytes);
    buf_release(&e->bytes);
    free(e);
}

static void forget_strange(struct hub_nearby *n)
{
    while (n->strange_count > STRANGE_MOST) {
        struct entry *e = TAILQ_FIRST(&n->strange);

        if (may_be_invented(n, e->site))
            free_entry(n, e);
        else
            mark_strange(n, e, false);
    }
}

static struct entry *entry_of(struct hub_nearby *n, const char *site)
{
    const struct chunk_key key = map_text_key(site);
    struct entry *e = map_get(&n->by_site, &key);

    if (e != NULL) {
        TAILQ_REMOVE(&n->entries, e, link);
    } else {
        e = xalloc(sizeof *e);
        (void)snprintf(e->site, sizeof e->site, "%s", site);
        buf_init(&e->bytes, NEARBY_BYTES_MAX);
        map_put(&n->by_site, &key, e);
    }
    TAILQ_INSERT_TAIL(&n->entries, e, link);
    mark_strange(n, e, may_be_invented(n, site));
    forget_strange(n); /* never this one: it is the last */
    return e;
}

static void make_room(struct hub_nearby *n, const struct entry *spared)
{
    struct entry *e;

    TAILQ_FOREACH(e, &n->entries, link)
    {
        if (n->bytes <= BYTES_MOST)
            return;
        if (e != spared)
            drop_bytes(n, e);
    }
}

/* Somebody has a list of ours that is newer than any we know of. */
static void hear_number(struct hub_nearby *n, uint64_t number)
{
    const uint64_t now_ms = (uint64_t)loop_wall_s(n->hub->options.loop) * 1000;

    if (number <= n->number || number > now_ms + AHEAD_MOST_MS)
        return;
    if (log_limit_passes(&n->behind_lines, loop_now_ns(n->hub->options.loop)))
        log_event(LOG_WARN, "nearby.behind",
                  "what=\"a device has a newer list of its site than this hub ever signed: "
                  "restored from a backup, or its clock was set back; it goes on from there\"");
    n->number = number;
}

/* The list that is right now, signed lately, and not below what the asker has. */
static struct alb_status fresh_list(struct hub_nearby *n, const char *site, uint64_t after,
                                    struct entry **out)
{
    struct entry *e = entry_of(n, site);
    const int64_t age_s = loop_wall_s(n->hub->options.loop) - e->issued_wall_s;
    struct alb_status st = ALB_STATUS_OK;

    hear_number(n, after);
    if (buf_size(&e->bytes) > 0 && timer_is_set(&n->look) && is_another(n, e))
        note_said(n, e->site);
    if (buf_size(&e->bytes) == 0 || age_s < 0 || age_s > FRESH_S || e->number < after)
        st = sign(n, e);
    if (alb_failed(st))
        return st;
    make_room(n, e);
    *out = e;
    return st;
}

/* ---- the question ---------------------------------------------------------------------------- */

static void found_to_head(const struct nearby_question *q, const struct sites_found *f,
                          struct nearby_head *head)
{
    memcpy(head->site, f->site->name, sizeof head->site);
    if (f->why == SITES_BY_GATEWAY) {
        head->by = NEARBY_BY_GATEWAY;
        (void)site_mac_text(&q->gateways[f->index], head->what);
    } else {
        head->by = NEARBY_BY_SUBNET;
        (void)site_subnet_text(&f->subnet, head->what);
    }
}

static void locate(const struct hub_nearby *n, const struct nearby_question *q,
                   struct nearby_head *head)
{
    const struct sites_place place = {.addresses = (const uint8_t(*)[16])q->addresses,
                                      .address_count = q->address_count,
                                      .gateways = q->gateways,
                                      .gateway_count = q->gateway_count};
    const struct sites_found f = n->index == NULL ? (struct sites_found){.why = SITES_NOWHERE}
                                                  : sites_find(n->index, &place);

    *head = (struct nearby_head){.by = NEARBY_BY_NONE};
    if (f.site != NULL) {
        found_to_head(q, &f, head);
    } else if (q->site[0] != '\0' && hub_site_is_known(n->hub, q->site)) {
        memcpy(head->site, q->site, sizeof head->site);
        head->by = NEARBY_BY_CONFIGURED;
    }
}

static struct alb_status read_question(struct serve_request *rq, struct nearby_question *out)
{
    char values[4][512] = {"", "", "", ""};
    static const char *const NAMES[] = {"address", "gateway", "site", "after"};

    for (size_t i = 0; i < ALB_COUNT(NAMES); i++)
        if (!serve_query(rq, NAMES[i], values[i], sizeof values[i]))
            values[i][0] = '\0';
    return nearby_question_read(values[0], values[1], values[2], values[3], out);
}

/* GET /v1/nearby */
void hub_handle_nearby(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct nearby_question q;
    struct nearby_head head;
    struct entry *e = NULL;
    struct buf body;

    buf_init(&body, NEARBY_BYTES_MAX + 1024);
    struct alb_status st = read_question(rq, &q);
    if (!alb_failed(st)) {
        locate(h->nearby, &q, &head);
        st = fresh_list(h->nearby, head.site, q.after, &e);
    }
    if (!alb_failed(st))
        st = nearby_head_write(&head, &body);
    if (!alb_failed(st) && e->number != q.after)
        st = buf_append(&body, buf_peek(&e->bytes), buf_size(&e->bytes));
    if (alb_failed(st))
        serve_refuse_status(rq, st);
    else
        serve_answer(rq, "application/octet-stream", buf_peek(&body), buf_size(&body));
    buf_release(&body);
}

/* ---- what changed ---------------------------------------------------------------------------- */

static void note_change(struct hub_nearby *n, const char *site)
{
    struct changes *c = &n->pending;

    if (!timer_is_set(&n->look))
        timer_set_in(&n->look, GATHER_NS);
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->sites[i], site) == 0)
            return;
    if (c->count == CHANGED_MOST)
        c->is_all = true;
    else
        (void)snprintf(c->sites[c->count++], sizeof c->sites[0], "%s", site);
}

static void note_all(struct hub_nearby *n)
{
    note_change(n, "");
    n->pending.is_all = true;
}

static bool is_affected(const struct hub_nearby *n, const struct entry *e)
{
    for (size_t i = 0; i < n->looking.count && !n->looking.is_all; i++)
        if (nearby_site_is_under(n->hub->sites, e->site, n->looking.sites[i]))
            return true;
    return n->looking.is_all;
}

static void begin_round(struct hub_nearby *n)
{
    struct entry *e;

    n->looking = n->pending;
    n->pending = (struct changes){.count = 0};
    n->round = xcalloc(n->by_site.count + 1, sizeof(struct entry *));
    n->round_left = 0;
    TAILQ_FOREACH(e, &n->entries, link) n->round[n->round_left++] = e;
}

static void note_said(struct hub_nearby *n, const char *site)
{
    if (site[0] == '\0' || alb_failed(buf_printf(&n->said, " %s", site)))
        n->says_all = true;
}

/* "nearby", with the sites whose lists are others, or alone: any may be. */
static void say(struct hub_nearby *n)
{
    AUTO_FREE char *line = NULL;

    if (!n->says_all && buf_size(&n->said) == 0)
        return;
    line = n->says_all ? xstrdup("nearby") : xasprintf("nearby%s", buf_text(&n->said));
    if (n->hub->feed != NULL)
        feed_say(n->hub->feed, line);
    buf_clear(&n->said);
    n->says_all = false;
}

/* A reflector came to a site that is not watched: its list may have been forgotten. */
static void say_forgotten(struct hub_nearby *n)
{
    for (size_t i = 0; i < n->looking.count && n->index == NULL; i++) {
        const struct chunk_key key = map_text_key(n->looking.sites[i]);
        if (n->looking.sites[i][0] != '\0' && map_get(&n->by_site, &key) == NULL)
            note_said(n, n->looking.sites[i]);
    }
}

static void look(void *nearby)
{
    struct hub_nearby *n = nearby;
    unsigned looked = 0, passed = 0;

    if (n->round == NULL)
        begin_round(n);
    while (n->round_left > 0 && looked < TURN_LISTS && passed++ < TURN_PASSES) {
        struct entry *e = n->round[--n->round_left];

        if (e == NULL || !is_affected(n, e))
            continue;
        looked++;
        if (is_another(n, e))
            note_said(n, e->site);
    }
    if (n->round_left > 0) {
        timer_set_in(&n->look, 0);
        return;
    }
    free(n->round);
    n->round = NULL;
    say_forgotten(n);
    say(n);
    if (n->pending.count > 0)
        timer_set_in(&n->look, GATHER_NS);
}

/* ---- reflectors ------------------------------------------------------------------------------ */

void hub_nearby_joined(struct hub *h, const char *device, const char *role, const char *site)
{
    const struct nearby_reflector *r = nearby_map_find(&h->nearby->map, device);

    if (strcmp(role, "reflector") != 0) {
        hub_nearby_left(h, device);
        return;
    }
    if (r != NULL && strcmp(r->site, site) != 0)
        note_change(h->nearby, r->site);
    if (nearby_map_admit(&h->nearby->map, device, site))
        note_change(h->nearby, site);
}

void hub_nearby_left(struct hub *h, const char *device)
{
    const struct nearby_reflector *r = nearby_map_find(&h->nearby->map, device);
    char name[128];

    if (r == NULL)
        return;
    note_change(h->nearby, r->site);
    (void)nearby_map_remove(&h->nearby->map, device);
    (void)snprintf(name, sizeof name, "%s%s", KEPT, device);
    record_keep(h->options.loop, h->options.catalogue, name, NULL, 0, NULL);
}

static void keep(const struct hub_nearby *n, const struct nearby_reflector *r)
{
    const struct hub_options *o = &n->hub->options;
    struct buf text;
    char name[128];

    buf_init(&text, KEPT_MOST);
    (void)snprintf(name, sizeof name, "%s%s", KEPT, r->device);
    if (!alb_failed(nearby_reflector_encode(r, &text)))
        record_keep(o->loop, o->catalogue, name, buf_peek(&text), buf_size(&text), NULL);
    buf_release(&text);
}

void hub_nearby_announced(struct hub *h, const struct announce *a)
{
    struct hub_nearby *n = h->nearby;

    if (!a->is_reflector || !nearby_map_place(&n->map, a))
        return;
    const struct nearby_reflector *r = nearby_map_find(&n->map, a->device);
    keep(n, r);
    note_change(n, r->site);
}

static void on_roster(struct roster_listener *l, enum roster_news news,
                      const struct roster_entry *e, const struct announce *before)
{
    struct hub_nearby *n = ALB_CONTAINER(l, struct hub_nearby, on_roster);

    (void)before;
    if (news != ROSTER_WENT) /* who went may be cut off, and goes on serving */
        hub_nearby_announced(n->hub, e->announce);
}

void hub_nearby_listen(struct hub *h)
{
    h->nearby->on_roster.told = on_roster;
    roster_listen(h->roster, &h->nearby->on_roster);
}

void hub_nearby_unlisten(struct hub *h)
{
    if (h->nearby != NULL && h->nearby->on_roster.told != NULL)
        roster_unlisten(h->roster, &h->nearby->on_roster);
}

/* ---- directory and states -------------------------------------------------------------------- */

void hub_nearby_forget_directory(struct hub *h)
{
    h->nearby->index = sites_index_free(h->nearby->index);
}

static void build_index(struct hub_nearby *n)
{
    n->index = sites_index_free(n->index);
    if (n->hub->sites != NULL && n->hub->sites->count > 0)
        n->index = sites_index_new(n->hub->sites);
}

/* Where anybody is may be another now, so all are told, whatever became of the lists. */
void hub_nearby_directory(struct hub *h)
{
    struct hub_nearby *n = h->nearby;
    struct entry *e, *next;

    build_index(n);
    free(n->round);
    n->round = NULL;
    n->round_left = 0;
    for (e = TAILQ_FIRST(&n->entries); e != NULL; e = next) {
        next = TAILQ_NEXT(e, link);
        if (!hub_site_is_known(h, e->site))
            free_entry(n, e);
    }
    n->says_all = true;
    note_all(n);
}

void hub_nearby_states(struct hub *h)
{
    if (h->nearby != NULL)
        note_all(h->nearby);
}

size_t hub_nearby_lists(const struct hub *h)
{
    return h->nearby->by_site.count;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static void admit_members(struct hub_nearby *n, const struct site_members *m)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->list[i].is_reflector && !m->list[i].is_token)
            (void)nearby_map_admit(&n->map, m->list[i].name, m->list[i].site);
}

static bool restore(void *nearby, const char *name, const void *value, size_t size,
                    uint64_t version)
{
    struct hub_nearby *n = nearby;
    struct nearby_reflector kept;
    const struct alb_status st = nearby_reflector_decode(value, size, &kept);

    (void)version;
    if (alb_failed(st))
        log_status(LOG_WARN, "nearby.not_loaded", st,
                   "record=%s next=\"its place is known when it says so again\"", name);
    else
        nearby_map_restore(&n->map, name + sizeof KEPT - 1, &kept);
    return true;
}

struct alb_status hub_load_nearby(struct hub *h)
{
    struct hub_nearby *n = xalloc(sizeof *n);
    struct site_members members;

    n->hub = h;
    n->number = (uint64_t)loop_wall_s(h->options.loop) * 1000;
    nearby_map_init(&n->map);
    map_init(&n->by_site);
    TAILQ_INIT(&n->entries);
    TAILQ_INIT(&n->strange);
    buf_init(&n->said, SAID_MOST);
    log_limit_init(&n->behind_lines, "nearby.behind");
    timer_init(&n->look, h->options.loop, look, n);
    h->nearby = n;
    struct alb_status st = site_members_read(&h->ledger, loop_wall_s(h->options.loop), &members);
    admit_members(n, &members);
    site_members_release(&members);
    if (!alb_failed(st))
        st = catalogue_list(h->options.catalogue, KEPT, restore, n);
    build_index(n);
    return st;
}

void hub_close_nearby(struct hub *h)
{
    struct hub_nearby *n = h->nearby;
    struct entry *e;

    if (n == NULL)
        return;
    timer_stop(&n->look);
    free(n->round);
    n->round = NULL;
    n->round_left = 0;
    while ((e = TAILQ_FIRST(&n->entries)) != NULL)
        free_entry(n, e);
    sites_index_free(n->index);
    nearby_map_release(&n->map);
    map_release(&n->by_site);
    buf_release(&n->said);
    free(n);
    h->nearby = NULL;
}
