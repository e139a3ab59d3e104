/* SPDX-License-Identifier: Apache-2.0 */
/* hub/vigil.c – who stays awake in which subnet, and the signed words that say so. */
#include "hub/vigil.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/map.h"
#include "hub/hub_impl.h"
#include "transfer/roster.h"
#include "wire/token.h"

#define LOOK_SOON_NS NS_PER_S
#define LOOK_NS (60 * NS_PER_S)
/* Each word is signed: 50 µs.  So VIGIL_POSTS_MAX are renewed within VIGIL_RENEW_S. */
enum { WORDS_A_LOOK = 64 };

/* One subnet of one site, and who stays awake there. */
struct post {
    struct chunk_key key; /* of site and subnet */
    char site[64], device[64];
    bool is_taken;   /* `device` has it; else it is the best one of those seen so far */
    uint64_t due_ns; /* when it is told the next time */
    bool is_wanted;  /* seen in the look that is under way */
    TAILQ_ENTRY(post) link;
};

struct hub_vigils {
    struct hub *hub;
    struct roster_listener listener;
    TAILQ_HEAD(, post) posts;
    struct map by_key;
    struct timer timer;
    bool is_soon, is_told_full;
    struct hub_vigil_figures figures;
};

static void look(void *arg);
static void look_soon(struct hub_vigils *v);

/* ---- saying ---------------------------------------------------------------------------------- */

struct alb_status hub_vigil_say(struct hub *h, struct vigil_order *o)
{
    static const char WORD[] = "vigil ";
    char rest[ROSTER_REST_MAX + 1];
    struct buf bytes;

    o->issued_wall_s = authority_now_s(h->authority, loop_wall_s(h->options.loop));
    o->expires_wall_s = o->issued_wall_s + VIGIL_ORDER_LIFE_S;
    random_bytes(&o->number, sizeof o->number);
    snprintf(o->org, sizeof o->org, "%s", h->options.org);
    buf_init(&bytes, VIGIL_ORDER_BYTES_MAX);
    struct alb_status st = vigil_order_encode(o, &h->ledger.key, &bytes);
    if (!alb_failed(st)) {
        snprintf(rest, sizeof rest, "%s", WORD);
        base64url_encode(buf_peek(&bytes), buf_size(&bytes), rest + sizeof WORD - 1);
        st = roster_say(h->roster, h->feed, o->device, rest);
    }
    buf_release(&bytes);
    return st;
}

/* False: it cannot be told now. */
static bool tell(struct hub_vigils *v, const char *device, enum vigil_kind kind)
{
    struct hub *h = v->hub;
    struct vigil_order o = {.kind = kind};

    snprintf(o.device, sizeof o.device, "%s", device);
    o.until_wall_s = authority_now_s(h->authority, loop_wall_s(h->options.loop)) + VIGIL_STAY_S;
    const struct alb_status st = hub_vigil_say(h, &o);
    v->figures.told += !alb_failed(st);
    log_event(alb_failed(st) ? LOG_WARN : LOG_DEBUG, "vigil.told", "device=%s word=%s st=\"%s\"",
              device, kind == VIGIL_STAY ? "stay" : "leave", st.what);
    return !alb_failed(st);
}

/* ---- whose subnets --------------------------------------------------------------------------- */

/* What an address says of its subnet: the bits behind the prefix cleared. */
static struct chunk_key key_of(const char *site, const struct announce_address *a)
{
    struct policy_subnet s = {.bits = a->bits};
    char text[160], subnet[64];

    for (unsigned i = 0; i < a->bits; i++)
        s.address[i / 8] |= (uint8_t)(a->bytes[i / 8] & (0x80 >> (i % 8)));
    snprintf(text, sizeof text, "%s %s", site, site_subnet_text(&s, subnet));
    return map_text_key(text);
}

static bool is_link_local(const struct announce_address *a)
{
    return a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

/* The first address with a subnet: a machine stays for one. */
static const struct announce_address *address_of(const struct announce *a)
{
    for (size_t i = 0; i < a->place.address_count; i++) {
        const struct announce_address *one = &a->place.addresses[i];

        if (one->bits > 0 && one->bits < 128 && !is_link_local(one))
            return one;
    }
    return NULL;
}

/* Somebody to whom sleep and staying awake mean something: not one that a battery feeds, as far as
 * its way into the network tells. */
static bool may_stay(const struct announce *a)
{
    return !a->is_reflector && a->goes == ANNOUNCE_STAYS && address_of(a) != NULL &&
           strcmp(a->place.nature, "vpn") != 0 && strcmp(a->place.nature, "mobile") != 0;
}

static bool is_better(const struct announce *a, const struct announce *b)
{
    const bool is_wired = strcmp(a->place.nature, "wired") == 0,
               other_is_wired = strcmp(b->place.nature, "wired") == 0;

    if (is_wired != other_is_wired)
        return is_wired;
    return strcmp(a->device, b->device) < 0;
}

/* ---- a look ---------------------------------------------------------------------------------- */

struct looking {
    struct hub_vigils *v;
    const char *site;
    bool has_reflector;
};

static bool find_reflector(void *arg, const struct roster_entry *e)
{
    struct looking *l = arg;

    l->has_reflector = e->announce->is_reflector && e->announce->goes == ANNOUNCE_STAYS;
    return !l->has_reflector;
}

static struct post *add(struct hub_vigils *v, const struct chunk_key *key, const char *site)
{
    if (v->by_key.count == VIGIL_POSTS_MAX) {
        if (!v->is_told_full)
            log_event(LOG_WARN, "vigil.full", "subnets=%d what=\"others have nobody who stays\"",
                      VIGIL_POSTS_MAX);
        v->is_told_full = true;
        return NULL;
    }
    struct post *p = xalloc(sizeof *p);
    p->key = *key;
    snprintf(p->site, sizeof p->site, "%s", site);
    TAILQ_INSERT_TAIL(&v->posts, p, link);
    (void)map_put(&v->by_key, key, p);
    return p;
}

/* Is who has the post here, and there, still? */
static bool is_kept(const struct hub_vigils *v, const struct post *p)
{
    const struct roster_entry *e = roster_find(v->hub->roster, p->device);

    if (e == NULL || !may_stay(e->announce) || strcmp(e->announce->place.site, p->site) != 0)
        return false;
    const struct chunk_key key = key_of(p->site, address_of(e->announce));
    return chunk_key_equal(&key, &p->key);
}

/* Who has the post keeps it; of others the best is told, once all were seen. */
static bool look_at(void *arg, const struct roster_entry *e)
{
    struct looking *l = arg;
    const struct announce *a = e->announce;

    if (!may_stay(a))
        return true;
    const struct chunk_key key = key_of(l->site, address_of(a));
    struct post *p = map_get(&l->v->by_key, &key);
    if (p == NULL)
        p = add(l->v, &key, l->site);
    if (p == NULL)
        return false;
    p->is_wanted = true;
    if (p->is_taken && !is_kept(l->v, p)) {
        p->is_taken = false;
        p->device[0] = '\0';
    }
    const struct roster_entry *now = roster_find(l->v->hub->roster, p->device);
    if (!p->is_taken && (now == NULL || is_better(a, now->announce)))
        snprintf(p->device, sizeof p->device, "%s", a->device);
    return true;
}

static void forget(struct hub_vigils *v, struct post *p)
{
    (void)map_remove(&v->by_key, &p->key);
    TAILQ_REMOVE(&v->posts, p, link);
    free(p);
}

/* Who does not listen yet, having come a moment ago, is told a minute later.  True: a word was
 * signed. */
static bool settle_one(struct hub_vigils *v, struct post *p, uint64_t now_ns)
{
    if (!p->is_wanted) {
        const bool is_here = p->is_taken && roster_find(v->hub->roster, p->device) != NULL;
        if (is_here)
            (void)tell(v, p->device, VIGIL_LEAVE);
        forget(v, p);
        return is_here;
    }
    if (p->is_taken && now_ns < p->due_ns)
        return false;
    if (!p->is_taken)
        log_event(LOG_INFO, "vigil.stays", "site=%s device=%s", p->site, p->device);
    p->is_taken = true;
    const bool is_told = tell(v, p->device, VIGIL_STAY);
    p->due_ns = now_ns + (is_told ? VIGIL_RENEW_S * NS_PER_S : LOOK_NS);
    return true;
}

/* Renewed in time, and let go where nobody need stay any more.  False: there are more than may be
 * told in one turn of the loop. */
static bool settle(struct hub_vigils *v)
{
    const uint64_t now_ns = loop_now_ns(v->hub->options.loop);
    struct post *p, *next;
    size_t words = 0;

    for (p = TAILQ_FIRST(&v->posts); p != NULL && words < WORDS_A_LOOK; p = next) {
        next = TAILQ_NEXT(p, link);
        words += settle_one(v, p, now_ns);
    }
    v->figures.staying = v->by_key.count;
    return p == NULL;
}

static void look(void *arg)
{
    struct hub_vigils *v = arg;
    const struct sites *sites = v->hub->sites;
    struct post *p;
    bool is_any = false;

    v->is_soon = false;
    TAILQ_FOREACH(p, &v->posts, link)
    {
        p->is_wanted = false;
        if (!p->is_taken)
            p->device[0] = '\0'; /* chosen in the last look, and not told: chosen anew */
    }
    for (size_t i = 0; sites != NULL && i < sites->count; i++) {
        struct looking l = {.v = v, .site = sites->list[i].name};
        struct site_terms terms;
        const char *zone;

        sites_terms_of(sites, &sites->list[i], &terms, &zone);
        if (terms.keep_awake != SITE_KEEP_YES)
            continue;
        is_any = true;
        roster_each(v->hub->roster, l.site, find_reflector, &l);
        if (!l.has_reflector)
            roster_each(v->hub->roster, l.site, look_at, &l);
    }
    if (!settle(v))
        look_soon(v);
    else if (is_any)
        timer_set_in(&v->timer, LOOK_NS);
}

/* ---- when ------------------------------------------------------------------------------------ */

/* Not put off by who comes meanwhile. */
static void look_soon(struct hub_vigils *v)
{
    if (!v->is_soon)
        timer_set_in(&v->timer, LOOK_SOON_NS);
    v->is_soon = true;
}

/* While no site has the term no timer runs, and nothing is looked at. */
static void on_roster(struct roster_listener *l, enum roster_news news,
                      const struct roster_entry *e, const struct announce *before)
{
    struct hub_vigils *v = ALB_CONTAINER(l, struct hub_vigils, listener);
    const struct sites *sites = v->hub->sites;
    const struct site *site =
        sites == NULL ? NULL : sites_find_name(sites, e->announce->place.site);
    struct site_terms terms;
    const char *zone;

    if (news == ROSTER_CHANGED && announce_is_same_place(before, e->announce) &&
        before->goes == e->announce->goes)
        return;
    if (site != NULL)
        sites_terms_of(sites, site, &terms, &zone);
    if ((site != NULL && terms.keep_awake == SITE_KEEP_YES) || !TAILQ_EMPTY(&v->posts))
        look_soon(v);
}

void hub_vigils_directory(struct hub_vigils *v)
{
    look_soon(v);
}

struct hub_vigils *hub_vigils_new(struct hub *h)
{
    struct hub_vigils *v = xalloc(sizeof *v);

    v->hub = h;
    TAILQ_INIT(&v->posts);
    map_init(&v->by_key);
    timer_init(&v->timer, h->options.loop, look, v);
    v->listener.told = on_roster;
    roster_listen(h->roster, &v->listener);
    look_soon(v);
    return v;
}

struct hub_vigils *hub_vigils_free(struct hub_vigils *v)
{
    if (v == NULL)
        return NULL;
    while (!TAILQ_EMPTY(&v->posts))
        forget(v, TAILQ_FIRST(&v->posts));
    roster_unlisten(v->hub->roster, &v->listener);
    timer_stop(&v->timer);
    map_release(&v->by_key);
    free(v);
    return NULL;
}

/* ---- shown ----------------------------------------------------------------------------------- */

struct vigil_copy {
    size_t count;
    char names[][64]; /* ascending */
};

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

struct vigil_copy *vigil_copy_new(const struct hub_vigils *v)
{
    struct vigil_copy *c = xalloc(sizeof *c + v->by_key.count * sizeof c->names[0]);
    const struct post *p;

    TAILQ_FOREACH(p, &v->posts, link)
    if (p->is_taken)
        memcpy(c->names[c->count++], p->device, sizeof c->names[0]);
    qsort(c->names, c->count, sizeof c->names[0], by_name);
    return c;
}

struct vigil_copy *vigil_copy_free(struct vigil_copy *c)
{
    free(c);
    return NULL;
}

bool vigil_copy_has(const struct vigil_copy *c, const char *device)
{
    return bsearch(device, c->names, c->count, sizeof c->names[0], by_name) != NULL;
}

void hub_vigil_figures(const struct hub_vigils *v, struct hub_vigil_figures *out)
{
    *out = v->figures;
}
