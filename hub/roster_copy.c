/* SPDX-License-Identifier: Apache-2.0 */
/* hub/roster_copy.c – the roster at a moment, for a worker to show beside who is enrolled. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/roster.h"
#include "wire/json.h"

struct here {
    char device[64], via[64], site[64];
    enum nearby_by by;
    int64_t since_wall_s;
};

struct roster_copy {
    size_t count, room;
    struct here *list; /* owned; by name */
};

static bool add(void *arg, const struct roster_entry *e)
{
    struct roster_copy *c = arg;
    struct here *one = &c->list[c->count];

    if (c->count == c->room)
        return false;
    (void)snprintf(one->device, sizeof one->device, "%s", e->announce->device);
    (void)snprintf(one->via, sizeof one->via, "%s", e->via);
    (void)snprintf(one->site, sizeof one->site, "%s", e->announce->place.site);
    one->by = e->announce->place.by;
    one->since_wall_s = e->announce->since_wall_s;
    c->count++;
    return true;
}

struct roster_copy *roster_copy_new(const struct roster *r)
{
    struct roster_copy *c = xalloc(sizeof *c);
    struct roster_figures f;

    roster_figures(r, &f);
    c->room = f.devices;
    c->list = xcalloc(c->room + 1, sizeof *c->list);
    roster_each(r, NULL, add, c);
    return c;
}

struct roster_copy *roster_copy_free(struct roster_copy *c)
{
    if (c != NULL)
        free(c->list);
    free(c);
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct here *)a)->device, ((const struct here *)b)->device);
}

void roster_copy_sort(struct roster_copy *c)
{
    qsort(c->list, c->count, sizeof *c->list, by_name);
}

static void show_place(const char *site, enum nearby_by by, const char *via, const char *device,
                       struct json_writer *w)
{
    json_text(w, "where", site);
    json_text(w, "by", nearby_by_word(by));
    json_text(w, "through", strcmp(via, device) == 0 ? "hub" : via);
}

void roster_copy_show(const struct roster_copy *c, struct catalogue *catalogue, const char *device,
                      struct json_writer *w)
{
    struct here key;
    struct presence p = {.announce = NULL};

    (void)snprintf(key.device, sizeof key.device, "%s", device);
    const struct here *one = bsearch(&key, c->list, c->count, sizeof key, by_name);
    json_bool(w, "online", one != NULL);
    if (one != NULL) {
        show_place(one->site, one->by, one->via, device, w);
        json_signed(w, "since", one->since_wall_s);
    } else if (!alb_failed(presence_read(catalogue, device, &p))) {
        show_place(p.announce->place.site, p.announce->place.by, p.via, device, w);
        json_signed(w, "seen", p.seen_wall_s);
        json_text(w, "went", announce_goes_word(p.goes == ANNOUNCE_STAYS ? ANNOUNCE_LOST : p.goes));
        presence_release(&p);
    }
}
