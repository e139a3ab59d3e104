/* SPDX-License-Identifier: Apache-2.0 */
/* hub/damage.c – found, looked into, told, healed. */
#include "hub/damage.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/hub_impl.h"

static void looked_into(struct hub *h, const struct chunk_key *key,
                        const struct hub_needing *needing, size_t count, bool is_all);

void hub_damage_init(struct damage *d)
{
    *d = (struct damage){.chunks = NULL};
    log_limit_init(&d->lines, "chunk.lost");
}

void hub_damage_release(struct damage *d)
{
    free(d->chunks);
    *d = (struct damage){.chunks = NULL};
}

static struct damaged_chunk *find(const struct damage *d, const struct chunk_key *key)
{
    for (size_t i = 0; i < d->count; i++)
        if (chunk_key_equal(&d->chunks[i].key, key))
            return &d->chunks[i];
    return NULL;
}

static void say_lost(const struct chunk_key *key, struct alb_status why, bool is_listed)
{
    char hex[DIGEST_HEX_SIZE];

    log_status(LOG_ERROR, "chunk.lost", why, "chunk=%s listed=%d next=\"it is not served\"",
               digest_hex(&key->digest, hex), is_listed);
}

/* All of them at once would keep the workers from those who wait for chunks. */
static void look_into_next(struct hub *h)
{
    struct damage *d = &h->damage;

    for (size_t i = 0; i < d->count && !d->is_looking; i++) {
        if (d->chunks[i].is_looked_into)
            continue;
        d->is_looking = true;
        hub_find_needing(h, &d->chunks[i].key, looked_into);
    }
}

void hub_note_damage(void *hub, const struct chunk_key *key, struct alb_status why)
{
    struct hub *h = hub;
    struct damage *d = &h->damage;

    if (find(d, key) != NULL)
        return;
    d->found++;
    if (d->count == DAMAGE_MOST) { /* enough to act upon; the rest is found again and again */
        if (log_limit_passes(&d->lines, loop_now_ns(h->options.loop)))
            say_lost(key, why, false);
        return;
    }
    say_lost(key, why, true);
    if (d->chunks == NULL)
        d->chunks = xcalloc(DAMAGE_MOST, sizeof *d->chunks);
    d->chunks[d->count++] = (struct damaged_chunk){.key = *key, .why = why.what};
    look_into_next(h);
    hub_scrub_start(h);
}

static void take_version(struct damaged_chunk *c, const struct hub_needing *n)
{
    if (c->version_count++ >= DAMAGE_VERSIONS_MOST)
        return;
    struct damaged_version *v = &c->versions[c->version_count - 1];
    snprintf(v->layer, sizeof v->layer, "%s", n->layer);
    snprintf(v->version, sizeof v->version, "%s", n->version);
    snprintf(v->path, sizeof v->path, "%s", n->path);
    v->is_current = n->is_current;
    v->files = n->files;
}

static void say_hurts(const struct chunk_key *key, const struct hub_needing *needing, size_t count)
{
    char hex[DIGEST_HEX_SIZE], path[LOG_TEXT_SIZE];

    for (size_t i = 0; i < count; i++) {
        const struct hub_needing *n = &needing[i];
        log_event(LOG_ERROR, "chunk.hurts",
                  "chunk=%s layer=%s version=%s current=%d files=%" PRIu64 " path=%s "
                  "next=\"albedo publish %s TREE, of the same tree: only what is lost is sent, and "
                  "this version is whole again\"",
                  digest_hex(&key->digest, hex), n->layer, n->version, n->is_current, n->files,
                  log_text(n->path, path), n->layer);
    }
}

/* Of an upload that was given up, say: there is nobody to publish it again. */
static void say_needless(struct damage *d, struct damaged_chunk *c)
{
    char hex[DIGEST_HEX_SIZE];

    log_event(LOG_INFO, "chunk.needless", "chunk=%s what=\"lost, and no version needs it\"",
              digest_hex(&c->key.digest, hex));
    *c = d->chunks[--d->count];
}

static void looked_into(struct hub *h, const struct chunk_key *key,
                        const struct hub_needing *needing, size_t count, bool is_all)
{
    struct damaged_chunk *c = find(&h->damage, key);

    h->damage.is_looking = false;
    if (c != NULL && count == 0 && is_all) {
        say_needless(&h->damage, c);
    } else if (c != NULL) { /* else it was healed meanwhile */
        c->is_looked_into = true;
        for (size_t i = 0; i < count; i++)
            take_version(c, &needing[i]);
        say_hurts(key, needing, count);
    }
    look_into_next(h);
}

void hub_note_healed(struct hub *h, const struct chunk_key *key)
{
    struct damage *d = &h->damage;
    struct damaged_chunk *c = find(d, key);
    char hex[DIGEST_HEX_SIZE];

    if (c == NULL)
        return;
    *c = d->chunks[--d->count];
    d->healed++;
    log_event(LOG_INFO, "chunk.healed", "chunk=%s left=%zu", digest_hex(&key->digest, hex),
              d->count);
}

/* ---- telling --------------------------------------------------------------------------------- */

struct damaged_chunk *hub_damage_copy(const struct hub *h, size_t *count)
{
    const struct damage *d = &h->damage;
    struct damaged_chunk *copy = NULL;

    *count = d->count;
    if (d->count > 0) {
        copy = xcalloc(d->count, sizeof *copy);
        memcpy(copy, d->chunks, d->count * sizeof *copy);
    }
    return copy;
}

static void show_one(const struct damaged_chunk *c, struct json_writer *w)
{
    char hex[DIGEST_HEX_SIZE];

    json_object_begin(w, NULL);
    json_text(w, "chunk", digest_hex(&c->key.digest, hex));
    json_text(w, "why", c->why);
    json_bool(w, "looked_into", c->is_looked_into);
    json_array_begin(w, "versions");
    for (size_t i = 0; i < c->version_count && i < DAMAGE_VERSIONS_MOST; i++) {
        const struct damaged_version *v = &c->versions[i];
        json_object_begin(w, NULL);
        json_text(w, "layer", v->layer);
        json_text(w, "version", v->version);
        json_bool(w, "current", v->is_current);
        json_number(w, "files", v->files);
        json_text(w, "path", v->path);
        json_end(w);
    }
    json_end(w);
    json_end(w);
}

void hub_damage_show(const struct damaged_chunk *chunks, size_t count, struct json_writer *w)
{
    json_array_begin(w, "damaged");
    for (size_t i = 0; i < count; i++)
        show_one(&chunks[i], w);
    json_end(w);
}
