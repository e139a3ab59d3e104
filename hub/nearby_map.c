/* SPDX-License-Identifier: Apache-2.0 */
/* hub/nearby_map.c – reflectors by name and by site, and the list that follows for a site. */
#include "hub/nearby_map.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "wire/json.h"

struct nearby_group {
    char site[64];
    struct nearby_reflector **list; /* by name; of the map's */
    size_t count, room;
};

void nearby_map_init(struct nearby_map *m)
{
    map_init(&m->reflectors);
    map_init(&m->groups);
}

static bool free_reflector(void *arg, const struct chunk_key *key, void *value)
{
    (void)arg;
    (void)key;
    free(value);
    return true;
}

static bool free_group(void *arg, const struct chunk_key *key, void *value)
{
    struct nearby_group *g = value;

    (void)arg;
    (void)key;
    free(g->list);
    free(g);
    return true;
}

void nearby_map_release(struct nearby_map *m)
{
    map_each(&m->reflectors, free_reflector, NULL);
    map_each(&m->groups, free_group, NULL);
    map_release(&m->reflectors);
    map_release(&m->groups);
}

/* ---- who is where ---------------------------------------------------------------------------- */

static struct nearby_reflector *find(const struct nearby_map *m, const char *device)
{
    const struct chunk_key key = map_text_key(device);

    return map_get(&m->reflectors, &key);
}

const struct nearby_reflector *nearby_map_find(const struct nearby_map *m, const char *device)
{
    return find(m, device);
}

static struct nearby_group *find_group(const struct nearby_map *m, const char *site)
{
    const struct chunk_key key = map_text_key(site);

    return map_get(&m->groups, &key);
}

bool nearby_map_has_site(const struct nearby_map *m, const char *site)
{
    return find_group(m, site) != NULL;
}

/* Where `device` is in the group, or would be. */
static size_t position(const struct nearby_group *g, const char *device)
{
    size_t at = 0;

    while (at < g->count && strcmp(g->list[at]->device, device) < 0)
        at++;
    return at;
}

static void join(struct nearby_map *m, struct nearby_reflector *r)
{
    const struct chunk_key key = map_text_key(r->site);
    struct nearby_group *g = map_get(&m->groups, &key);

    if (r->site[0] == '\0')
        return;
    if (g == NULL) {
        g = xalloc(sizeof *g);
        memcpy(g->site, r->site, sizeof g->site);
        map_put(&m->groups, &key, g);
    }
    if (g->count == g->room) {
        g->room = g->room == 0 ? 2 : 2 * g->room;
        g->list = xrealloc(g->list, g->room * sizeof *g->list);
    }
    const size_t at = position(g, r->device);
    memmove(&g->list[at + 1], &g->list[at], (g->count - at) * sizeof *g->list);
    g->list[at] = r;
    g->count++;
}

static void leave(struct nearby_map *m, const struct nearby_reflector *r)
{
    const struct chunk_key key = map_text_key(r->site);
    struct nearby_group *g = map_get(&m->groups, &key);

    if (g == NULL)
        return;
    const size_t at = position(g, r->device);
    memmove(&g->list[at], &g->list[at + 1], (g->count - at - 1) * sizeof *g->list);
    if (--g->count > 0)
        return;
    map_remove(&m->groups, &key);
    free_group(NULL, &key, g);
}

bool nearby_map_admit(struct nearby_map *m, const char *device, const char *site)
{
    struct nearby_reflector *r = find(m, device);

    if (r != NULL && strcmp(r->site, site) == 0)
        return false;
    if (r != NULL) {
        leave(m, r);
    } else {
        const struct chunk_key key = map_text_key(device);
        r = xalloc(sizeof *r);
        r->is_new = true;
        (void)snprintf(r->device, sizeof r->device, "%s", device);
        map_put(&m->reflectors, &key, r);
    }
    (void)snprintf(r->site, sizeof r->site, "%s", site);
    join(m, r);
    return true;
}

bool nearby_map_remove(struct nearby_map *m, const char *device)
{
    const struct chunk_key key = map_text_key(device);
    struct nearby_reflector *r = map_remove(&m->reflectors, &key);

    if (r == NULL)
        return false;
    leave(m, r);
    free(r);
    return true;
}

/* ---- where they are reached ------------------------------------------------------------------ */

static bool has_subnet(const struct nearby_reflector *r, const struct policy_subnet *s)
{
    for (size_t i = 0; i < r->subnet_count; i++)
        if (r->subnets[i].bits == s->bits &&
            memcmp(r->subnets[i].address, s->address, sizeof s->address) == 0)
            return true;
    return false;
}

/* Of its addresses the subnets; a single address (a tunnel's end) is none. */
static void add_subnet(struct nearby_reflector *r, const struct announce_address *a)
{
    struct policy_subnet s = {.bits = a->bits};

    if (a->bits == 0 || a->bits >= 128 || r->subnet_count == NEARBY_SUBNETS_MAX)
        return;
    memcpy(s.address, a->bytes, sizeof s.address);
    for (unsigned bit = a->bits; bit < 128; bit++)
        s.address[bit / 8] = (uint8_t)(s.address[bit / 8] & ~(0x80U >> bit % 8));
    if (!has_subnet(r, &s))
        r->subnets[r->subnet_count++] = s;
}

static bool is_same_place(const struct nearby_reflector *a, const struct nearby_reflector *b)
{
    if (a->at_count != b->at_count || a->subnet_count != b->subnet_count || a->is_new != b->is_new)
        return false;
    for (size_t i = 0; i < a->at_count; i++)
        if (a->at[i].port != b->at[i].port || strcmp(a->at[i].host, b->at[i].host) != 0)
            return false;
    for (size_t i = 0; i < a->subnet_count; i++)
        if (!has_subnet(b, &a->subnets[i]))
            return false;
    return true;
}

static void put_place(struct nearby_reflector *r, const struct nearby_reflector *from)
{
    memcpy(r->at, from->at, sizeof r->at);
    memcpy(r->subnets, from->subnets, sizeof r->subnets);
    r->at_count = from->at_count;
    r->subnet_count = from->subnet_count;
    r->is_new = false;
}

bool nearby_map_place(struct nearby_map *m, const struct announce *a)
{
    struct nearby_reflector *r = find(m, a->device);
    struct nearby_reflector said = {.at_count = 0};

    if (r == NULL || a->serves == NULL || a->serves->at_count == 0)
        return false;
    said.at_count = a->serves->at_count < NEARBY_AT_MAX ? a->serves->at_count : NEARBY_AT_MAX;
    memcpy(said.at, a->serves->at, said.at_count * sizeof *said.at);
    for (size_t i = 0; i < a->place.address_count; i++)
        add_subnet(&said, &a->place.addresses[i]);
    if (is_same_place(r, &said))
        return false;
    put_place(r, &said);
    return true;
}

void nearby_map_restore(struct nearby_map *m, const char *device,
                        const struct nearby_reflector *kept)
{
    struct nearby_reflector *r = find(m, device);

    if (r != NULL && r->is_new)
        put_place(r, kept);
}

/* ---- kept ------------------------------------------------------------------------------------ */

struct alb_status nearby_reflector_encode(const struct nearby_reflector *r, struct buf *out)
{
    struct json_writer *w = json_writer_new();
    char text[64];

    json_object_begin(w, NULL);
    json_array_begin(w, "at");
    for (size_t i = 0; i < r->at_count; i++)
        json_text(w, NULL, nearby_address_text(&r->at[i], text));
    json_end(w);
    json_array_begin(w, "subnets");
    for (size_t i = 0; i < r->subnet_count; i++)
        json_text(w, NULL, site_subnet_text(&r->subnets[i], text));
    json_end(w);
    json_end(w);
    return json_writer_finish(w, out);
}

static struct alb_status read_kept(const struct json_doc *d, struct nearby_reflector *r)
{
    struct alb_status st = ALB_STATUS_OK;
    char path[32];

    r->at_count = json_doc_count(d, "at");
    r->subnet_count = json_doc_count(d, "subnets");
    if (r->at_count > NEARBY_AT_MAX || r->subnet_count > NEARBY_SUBNETS_MAX)
        return alb_fail(ALB_INVALID, "what is kept of a reflector's place is out of bounds");
    for (size_t i = 0; i < r->at_count && !alb_failed(st); i++) {
        (void)snprintf(path, sizeof path, "at.%zu", i);
        st = nearby_address_parse(json_doc_text(d, path), &r->at[i]);
    }
    for (size_t i = 0; i < r->subnet_count && !alb_failed(st); i++) {
        (void)snprintf(path, sizeof path, "subnets.%zu", i);
        st = site_subnet_parse(json_doc_text(d, path), &r->subnets[i]);
    }
    return st;
}

struct alb_status nearby_reflector_decode(const void *bytes, size_t size,
                                          struct nearby_reflector *out)
{
    struct nearby_reflector r = {.at_count = 0};
    struct json_doc *d;
    struct alb_status st = json_doc_parse(bytes, size, &d);

    if (alb_failed(st))
        return st;
    st = read_kept(d, &r);
    json_doc_free(d);
    if (!alb_failed(st))
        *out = r;
    return st;
}

/* ---- the list of a site ---------------------------------------------------------------------- */

struct making {
    const struct nearby_facts *facts;
    struct nearby *list;
    unsigned depth, order;
};

static void add_holder(struct making *making, const struct nearby_reflector *r)
{
    struct nearby *n = making->list;
    const struct states *states = making->facts->states;
    const struct state_entry *e = states == NULL ? NULL : states_find(states, r->device);

    if (n->holder_count == NEARBY_HOLDERS_MAX)
        return;
    struct nearby_holder *h = &n->holders[n->holder_count++];
    *h = (struct nearby_holder){.depth = making->depth,
                                .order = making->order++,
                                .state = e == NULL ? REFLECTOR_ACCEPT : e->state,
                                .at_count = r->at_count,
                                .subnet_count = r->subnet_count};
    memcpy(h->device, r->device, sizeof h->device);
    memcpy(h->site, r->site, sizeof h->site);
    memcpy(h->at, r->at, sizeof h->at);
    memcpy(h->subnets, r->subnets, sizeof h->subnets);
}

static bool is_named(const struct site *site, const char *device)
{
    for (size_t i = 0; site != NULL && i < site->reflector_count; i++)
        if (strcmp(site->reflectors[i], device) == 0)
            return true;
    return false;
}

/* `site` is NULL without a directory. */
static void add_site(const struct nearby_map *m, struct making *making, const char *name,
                     const struct site *site)
{
    const struct nearby_group *g = find_group(m, name);

    making->order = 0;
    if (g == NULL)
        return;
    for (size_t i = 0; site != NULL && i < site->reflector_count; i++) {
        const struct nearby_reflector *r = find(m, site->reflectors[i]);
        if (r != NULL && strcmp(r->site, name) == 0)
            add_holder(making, r);
    }
    for (size_t i = 0; i < g->count; i++)
        if (!is_named(site, g->list[i]->device))
            add_holder(making, g->list[i]);
}

static void add_above(const struct nearby_map *m, struct making *making, const struct site *site)
{
    struct nearby *n = making->list;
    const struct sites *sites = making->facts->sites;

    for (const struct site *s = sites_parent_of(sites, site);
         s != NULL && n->above_count < NEARBY_ABOVE_MAX; s = sites_parent_of(sites, s)) {
        memcpy(n->above[n->above_count++], s->name, sizeof s->name);
        making->depth++;
        add_site(m, making, s->name, s);
    }
}

void nearby_map_compile(const struct nearby_map *m, const struct nearby_facts *facts,
                        const char *site, struct nearby *out)
{
    const struct site *s = facts->sites == NULL ? NULL : sites_find_name(facts->sites, site);
    struct making making = {.facts = facts, .list = out};
    const char *zone;

    (void)snprintf(out->site, sizeof out->site, "%s", site);
    out->terms = (struct site_terms){.use = SITE_USE_PREFER};
    out->above_count = out->holder_count = 0;
    out->holders = xcalloc(NEARBY_HOLDERS_MAX, sizeof *out->holders);
    add_site(m, &making, site, s);
    if (s == NULL)
        return;
    sites_terms_of(facts->sites, s, &out->terms, &zone);
    add_above(m, &making, s);
}

bool nearby_site_is_under(const struct sites *sites, const char *site, const char *changed)
{
    const struct site *s = sites == NULL ? NULL : sites_find_name(sites, site);

    if (strcmp(site, changed) == 0)
        return true;
    for (unsigned depth = 0; s != NULL && depth < NEARBY_ABOVE_MAX; depth++) {
        s = sites_parent_of(sites, s);
        if (s != NULL && strcmp(s->name, changed) == 0)
            return true;
    }
    return false;
}
