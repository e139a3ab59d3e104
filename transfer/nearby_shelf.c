/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/nearby_shelf.c – lists by site: which is newer, what is kept. */
#include "transfer/nearby_shelf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "transfer/nearby_shelf_impl.h"
#include "transfer/record_keep.h"

static const char KEPT[] = "nearby/";

static const char *record_name(const char *site, char out[96])
{
    (void)snprintf(out, 96, "%s%s", KEPT, site[0] == '\0' ? "-" : site);
    return out;
}

static void release(struct nearby_shelved *one)
{
    nearby_release(&one->list);
    buf_release(&one->bytes);
}

static void free_one(struct nearby_shelf *s, struct nearby_shelved *one)
{
    TAILQ_REMOVE(&s->lists, one, link);
    s->list_count--;
    release(one);
    free(one);
}

/* ---- kept ------------------------------------------------------------------------------------ */

static void keep(const struct nearby_shelf *s, const struct nearby_shelved *one)
{
    char name[96];

    if (s->options.catalogue != NULL)
        record_keep(s->options.loop, s->options.catalogue, record_name(one->list.site, name),
                    buf_peek(&one->bytes), buf_size(&one->bytes), NULL);
}

static void drop_kept(const struct nearby_shelf *s, const char *site)
{
    char name[96];

    if (s->options.catalogue != NULL)
        record_keep(s->options.loop, s->options.catalogue, record_name(site, name), NULL, 0, NULL);
}

/* At such a site there is nobody: whoever asked may have invented it. */
static bool names_nobody(const struct nearby_shelved *one)
{
    return one->list.site[0] != '\0' && one->list.holder_count == 0 && one->list.above_count == 0;
}

/* Of those only an eighth of the shelf is kept, so that inventions push no list out that is worth
 * something. */
static void make_room_for_nobodies(struct nearby_shelf *s)
{
    struct nearby_shelved *one, *next;
    size_t count = 0;

    TAILQ_FOREACH(one, &s->lists, link) count += names_nobody(one);
    for (one = TAILQ_FIRST(&s->lists); one != NULL && count > s->options.max_lists / 8 + 1;
         one = next) {
        next = TAILQ_NEXT(one, link);
        if (!names_nobody(one))
            continue;
        drop_kept(s, one->list.site);
        free_one(s, one);
        count--;
    }
}

static void make_room(struct nearby_shelf *s)
{
    make_room_for_nobodies(s);
    while (s->list_count > s->options.max_lists) {
        struct nearby_shelved *oldest = TAILQ_FIRST(&s->lists);

        drop_kept(s, oldest->list.site);
        free_one(s, oldest);
    }
}

static bool load(void *shelf, const char *name, const void *value, size_t size, uint64_t version)
{
    struct nearby_shelf *s = shelf;
    const struct trust *trust = authority_trust(s->options.authority);
    struct nearby list;
    const struct alb_status st = nearby_decode(value, size, trust, &list);

    (void)version;
    if (alb_failed(st)) {
        log_status(LOG_WARN, "nearby.not_loaded", st, "record=%s next=\"the parent is asked\"",
                   name);
        return true;
    }
    if (s->list_count == s->options.max_lists) {
        nearby_release(&list);
        return false;
    }
    struct nearby_shelved *one = xalloc(sizeof *one);
    one->list = list;
    one->key = trust->hub_key;
    buf_init(&one->bytes, NEARBY_BYTES_MAX);
    alb_ignore(buf_append(&one->bytes, value, size), "it was decoded, so it is within the limit");
    TAILQ_INSERT_TAIL(&s->lists, one, link);
    s->list_count++;
    return true;
}

struct nearby_shelf *nearby_shelf_open(const struct nearby_shelf_options *options)
{
    struct nearby_shelf *s = xalloc(sizeof *s);

    s->options = *options;
    TAILQ_INIT(&s->lists);
    if (options->catalogue == NULL)
        return s;
    const struct alb_status st = catalogue_list(options->catalogue, KEPT, load, s);
    if (alb_failed(st))
        log_status(LOG_WARN, "nearby.not_loaded", st, "next=\"the parent is asked\"");
    nearby_places_load(s);
    return s;
}

struct nearby_shelf *nearby_shelf_close(struct nearby_shelf *s)
{
    if (s == NULL)
        return NULL;
    while (!TAILQ_EMPTY(&s->lists))
        free_one(s, TAILQ_FIRST(&s->lists));
    free(s);
    return NULL;
}

/* ---- taking ---------------------------------------------------------------------------------- */

static struct nearby_shelved *find(const struct nearby_shelf *s, const char *site)
{
    struct nearby_shelved *one;

    TAILQ_FOREACH(one, &s->lists, link)
    {
        if (strcmp(one->list.site, site) == 0)
            return one;
    }
    return NULL;
}

static void use(struct nearby_shelf *s, struct nearby_shelved *one)
{
    TAILQ_REMOVE(&s->lists, one, link);
    TAILQ_INSERT_TAIL(&s->lists, one, link);
}

struct nearby_shelved *nearby_shelf_find(struct nearby_shelf *s, const char *site)
{
    struct nearby_shelved *one = find(s, site);

    if (one != NULL)
        use(s, one);
    return one;
}

bool nearby_is_over(const struct nearby_shelf *s, const struct nearby *list)
{
    return loop_wall_s(s->options.loop) >= list->expires_wall_s;
}

uint64_t nearby_shelf_number(const struct nearby_shelf *s, const struct nearby_shelved *list)
{
    const struct trust *trust = authority_trust(s->options.authority);

    return list != NULL && trust != NULL && sign_public_equal(&trust->hub_key, &list->key)
               ? list->list.number
               : 0;
}

/* A hub that lost its numbers is believed again once what it said before is over. */
static struct alb_status judge_number(const struct nearby_shelf *s,
                                      const struct nearby_shelved *held, uint64_t number)
{
    if (held == NULL || nearby_is_over(s, &held->list))
        return ALB_STATUS_OK;
    const uint64_t there = nearby_shelf_number(s, held);
    if (number < there)
        return alb_fail(ALB_REFUSED, "the list of what is nearby is older than the one held here");
    if (number == there)
        return alb_fail(ALB_REFUSED,
                        "the list of what is nearby is another than the one of that number here");
    return ALB_STATUS_OK;
}

/* Takes `list`, and puts it in the place of the one before. */
static struct nearby_shelved *put(struct nearby_shelf *s, struct nearby_shelved *held,
                                  struct nearby *list, const void *bytes, size_t size)
{
    if (held == NULL) {
        held = xalloc(sizeof *held);
        TAILQ_INSERT_TAIL(&s->lists, held, link);
        s->list_count++;
    } else {
        release(held);
    }
    held->list = *list;
    held->key = authority_trust(s->options.authority)->hub_key;
    held->is_fresh = true;
    buf_init(&held->bytes, NEARBY_BYTES_MAX);
    alb_ignore(buf_append(&held->bytes, bytes, size), "it was decoded, so it is within the limit");
    use(s, held);
    make_room(s);
    keep(s, held);
    return held;
}

struct alb_status nearby_shelf_take(struct nearby_shelf *s, const void *bytes, size_t size,
                                    struct nearby_shelved **out, bool *changed)
{
    struct nearby list;
    struct alb_status st = nearby_decode(bytes, size, authority_trust(s->options.authority), &list);

    if (alb_failed(st))
        return st;
    struct nearby_shelved *held = find(s, list.site);
    if (held != NULL && size == buf_size(&held->bytes) &&
        memcmp(bytes, buf_peek(&held->bytes), size) == 0) {
        nearby_release(&list);
        held->is_fresh = true;
        *changed = false;
        *out = held;
        return st;
    }
    st = judge_number(s, held, list.number);
    if (alb_failed(st)) {
        nearby_release(&list);
        return st;
    }
    *changed = held == NULL || !nearby_says_the_same(&held->list, &list);
    authority_saw_time(s->options.authority, list.issued_wall_s);
    *out = put(s, held, &list, bytes, size);
    return st;
}

/* ---- doubts ---------------------------------------------------------------------------------- */

void nearby_shelf_doubt(struct nearby_shelf *s)
{
    struct nearby_shelved *one;

    TAILQ_FOREACH(one, &s->lists, link) one->is_fresh = false;
    for (size_t i = 0; i < s->place_count; i++)
        s->places[i].is_fresh = false;
}

static bool is_at_or_under(const struct nearby *list, const char *site)
{
    for (size_t i = 0; i < list->above_count; i++)
        if (strcmp(list->above[i], site) == 0)
            return true;
    return strcmp(list->site, site) == 0;
}

void nearby_shelf_doubt_site(struct nearby_shelf *s, const char *site)
{
    struct nearby_shelved *one;

    TAILQ_FOREACH(one, &s->lists, link)
    {
        if (is_at_or_under(&one->list, site))
            one->is_fresh = false;
    }
}
