/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/heal.c – what scrubbing found damaged is fetched anew, before somebody needs it.
 *
 *     damaged keys → (worker) which roots are here? → each root, opened: which positions are they?
 *     → supply_ask, like everybody's wish → kept → next root … until all are placed
 *
 * A chunk is asked for by a place in a root, never by its digest, so the roots this box knows are
 * looked through, those only whose object is here: nothing is fetched to find out what to fetch.
 * What none of them names any more is no loss; it is fetched if somebody ever wants it.  Bounded:
 * CACHE_BAD_MOST chunks at a time, HEAL_ROOTS roots.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "reflector/reflector_impl.h"
#include "store/cache.h"

enum { HEAL_ROOTS = 64 };

struct heal_ask {
    struct waiter waiter;
    struct heal *heal;
    bool is_open;
};

struct heal {
    struct job job; /* sees the keys, the roots and the two doors */
    struct reflector *reflector;
    struct chunk_store *store;
    struct catalogue *catalogue;
    struct chunk_key keys[CACHE_BAD_MOST]; /* not placed yet */
    size_t count;
    struct {
        char layer[NAME_MAX_SIZE];
        struct digest digest;
    } roots[HEAL_ROOTS];
    size_t root_count, next_root;
    struct root_wait root;
    struct heal_ask asks[CACHE_BAD_MOST];
    size_t ask_count, open_count;
    bool is_looking, waits_for_root;
};

static void look_on(struct heal *h);

/* ---- which roots are here (on a worker) ---- */

static bool is_damaged(const struct heal *h, const struct chunk_key *key)
{
    for (size_t i = 0; i < h->count; i++)
        if (chunk_key_equal(&h->keys[i], key))
            return true;
    return false;
}

/* record/LAYER@root:HEX */
static bool note_root(void *arg, const char *name, const void *value, size_t size, uint64_t version)
{
    static const char before[] = "record/", between[] = "@root:";
    struct heal *h = arg;
    const char *layer = name + sizeof before - 1;
    const char *at = strstr(layer, between);
    struct chunk_key key = {.kind = KEY_PLAIN};
    bool is_here = false;

    (void)value;
    (void)size;
    (void)version;
    if (at == NULL || (size_t)(at - layer) >= NAME_MAX_SIZE ||
        alb_failed(digest_parse(at + sizeof between - 1, &key.digest)))
        return true;
    if (alb_failed(chunk_store_exists_many(h->store, &key, 1, &is_here)) ||
        (!is_here && !is_damaged(h, &key)))
        return true;
    (void)snprintf(h->roots[h->root_count].layer, NAME_MAX_SIZE, "%.*s", (int)(at - layer), layer);
    h->roots[h->root_count++].digest = key.digest;
    return h->root_count < HEAL_ROOTS;
}

static void look_run(struct job *job)
{
    struct heal *h = ALB_CONTAINER(job, struct heal, job);

    alb_ignore(catalogue_list(h->catalogue, "record/", note_root, h),
               "who cannot be asked for now is fetched when somebody wants it");
}

static void look_done(struct job *job)
{
    struct heal *h = ALB_CONTAINER(job, struct heal, job);

    h->is_looking = false;
    if (h->reflector == NULL)
        free(h);
    else
        look_on(h);
}

/* ---- asked for anew ---- */

static void end_if_over(struct heal *h)
{
    struct reflector *r = h->reflector;

    if (h->open_count > 0 || h->waits_for_root || h->next_root < h->root_count)
        return;
    r->healing.unnamed += h->count;
    r->healing.heal = NULL;
    log_event(LOG_INFO, "cache.healed", "chunks=%lu failed=%lu unnamed=%lu",
              (unsigned long)r->healing.chunks, (unsigned long)r->healing.failed,
              (unsigned long)r->healing.unnamed);
    free(h);
}

/* It may have come from memory, and then nobody has kept it yet. */
static void came(struct waiter *w, struct alb_status st, struct chunk *chunk)
{
    struct heal_ask *a = ALB_CONTAINER(w, struct heal_ask, waiter);
    struct heal *h = a->heal;
    struct reflector *r = h->reflector;

    a->is_open = false;
    h->open_count--;
    if (!alb_failed(st))
        st = keeper_put(r->keeper, chunk, NULL, NULL);
    if (alb_failed(st)) {
        r->healing.failed++;
    } else {
        r->healing.chunks++;
        r->healing.bytes += chunk->size;
    }
    end_if_over(h);
}

static void ask(struct heal *h, size_t which, const struct where *where)
{
    struct heal_ask *a = &h->asks[h->ask_count++];
    const struct chunk_key key = h->keys[which];

    h->keys[which] = h->keys[--h->count];
    *a = (struct heal_ask){.waiter = {.done = came, .where = *where}, .heal = h, .is_open = true};
    h->open_count++;
    supply_ask(h->reflector->supply, &key, &a->waiter);
}

static void place(struct heal *h, const struct root_view *v, enum chunk_list list)
{
    struct chunk_key key;
    struct where where;

    for (uint32_t at = 0; h->count > 0 && root_view_key(v, list, at, &key, &where); at++)
        for (size_t i = 0; i < h->count; i++)
            if (chunk_key_equal(&h->keys[i], &key)) {
                ask(h, i, &where);
                break;
            }
}

static void root_opened(struct root_wait *w, struct alb_status st, const struct root_view *v)
{
    struct heal *h = ALB_CONTAINER(w, struct heal, root);

    h->waits_for_root = false;
    if (!alb_failed(st)) {
        place(h, v, LIST_ROOT);
        place(h, v, LIST_MANIFEST);
        place(h, v, LIST_CONTENT);
        root_book_close_view(h->reflector->roots, v);
    }
    look_on(h);
}

static void look_on(struct heal *h)
{
    if (h->count == 0)
        h->next_root = h->root_count;
    if (h->next_root == h->root_count) {
        end_if_over(h);
        return;
    }
    const size_t at = h->next_root++;
    h->root = (struct root_wait){.done = root_opened};
    h->waits_for_root = true;
    root_book_open(h->reflector->roots, h->roots[at].layer, &h->roots[at].digest, &h->root);
}

/* ---- from outside ---- */

void reflector_heal(struct reflector *r, const struct chunk_key *keys, size_t count)
{
    struct heal *h = xalloc(sizeof *h);

    h->reflector = r;
    h->store = r->options.store;
    h->catalogue = r->options.catalogue;
    memcpy(h->keys, keys, count * sizeof *keys);
    h->count = count;
    h->is_looking = true;
    h->job = (struct job){.run = look_run, .done = look_done, .work_bytes = 1 << 16};
    r->healing.heal = h;
    loop_submit(r->options.loop, &h->job);
}

void reflector_stop_healing(struct reflector *r)
{
    struct heal *h = r->healing.heal;

    r->healing.heal = NULL;
    if (h == NULL)
        return;
    h->reflector = NULL;
    if (h->is_looking)
        return; /* its end frees it */
    if (h->waits_for_root)
        root_book_leave(r->roots, &h->root);
    for (size_t i = 0; i < h->ask_count; i++)
        if (h->asks[i].is_open)
            supply_leave(r->supply, &h->asks[i].waiter);
    free(h);
}
