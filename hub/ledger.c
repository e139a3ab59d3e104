/* SPDX-License-Identifier: Apache-2.0 */
/* hub/ledger.c – one compare-and-swap publishes a version;
 * all else is derived and can be redone. */
#include "hub/ledger.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/pack.h"
#include "wire/signed.h"

enum { LAYER_FORMAT = 1, LAYER_VALUE_MAX = 512, UNKNOWN_TRIES = 5, RENEW_AFTER_S = 86400 };

/* ---- writes that nobody can say the outcome of ----------------------------------------------- */

static bool holds(struct catalogue *c, const char *name, const void *value, size_t size)
{
    struct buf now;

    buf_init(&now, CATALOGUE_VALUE_MAX);
    struct alb_status st = catalogue_get(c, name, &now, NULL);
    bool same = value == NULL ? st.code == ALB_NOT_FOUND
                              : !alb_failed(st) && buf_size(&now) == size &&
                                    memcmp(buf_peek(&now), value, size) == 0;
    buf_release(&now);
    return same;
}

struct alb_status ledger_write(struct catalogue *c, const char *name, uint64_t expected,
                               const void *value, size_t size)
{
    struct alb_status st = ALB_STATUS_OK;

    for (unsigned n = 0; n < UNKNOWN_TRIES; n++) {
        st = catalogue_swap(c, name, expected, value, size, NULL);
        if (st.code != ALB_UNKNOWN)
            return st;
        if (holds(c, name, value, size))
            return ALB_STATUS_OK;
    }
    return st;
}

/* ---- layer/L --------------------------------------------------------------------------------- */

static struct alb_status layer_decode(const struct buf *value, struct ledger_layer *out)
{
    struct unpack u;

    unpack_init(&u, buf_peek(value), buf_size(value));
    if (unpack_u8(&u) != LAYER_FORMAT)
        unpack_fail(&u, "a layer's state in the catalogue has an unknown format");
    out->sequence = unpack_varint(&u);
    unpack_string(&u, out->version, sizeof out->version);
    unpack_digest(&u, &out->record);
    return unpack_finish(&u);
}

struct alb_status ledger_layer(const struct ledger *l, const char *layer, struct ledger_layer *out)
{
    struct ledger_layer state = {.swap_version = CATALOGUE_ABSENT};
    char name[CATALOGUE_NAME_MAX + 1];
    struct buf value;

    snprintf(name, sizeof name, "layer/%s", layer);
    buf_init(&value, LAYER_VALUE_MAX);
    struct alb_status st = catalogue_get(l->catalogue, name, &value, &state.swap_version);
    if (!alb_failed(st))
        st = layer_decode(&value, &state);
    else if (st.code == ALB_NOT_FOUND)
        st = ALB_STATUS_OK;
    buf_release(&value);
    if (!alb_failed(st))
        *out = state;
    return st;
}

static struct alb_status layer_swap(const struct ledger *l, const struct version_record *r,
                                    const struct digest *digest, uint64_t expected)
{
    char name[CATALOGUE_NAME_MAX + 1];
    struct buf value;
    struct pack p;

    snprintf(name, sizeof name, "layer/%s", r->layer);
    buf_init(&value, LAYER_VALUE_MAX);
    pack_init(&p, &value);
    pack_u8(&p, LAYER_FORMAT);
    pack_varint(&p, r->sequence);
    pack_string(&p, r->version);
    pack_digest(&p, digest);
    struct alb_status st = pack_finish(&p);
    if (!alb_failed(st))
        st = ledger_write(l->catalogue, name, expected, buf_peek(&value), buf_size(&value));
    buf_release(&value);
    return st;
}

/* ---- records --------------------------------------------------------------------------------- */

static struct alb_status find_bytes(const struct ledger *l, const char *layer, const char *which,
                                    struct buf *out)
{
    char name[CATALOGUE_NAME_MAX + 1];

    snprintf(name, sizeof name, "record/%.110s@%.110s", layer, which); /* checked: 100, 69 */
    return catalogue_get(l->catalogue, name, out, NULL);
}

struct alb_status ledger_find(const struct ledger *l, const char *layer, const char *which,
                              struct buf *bytes, struct version_record *out)
{
    struct buf own;

    buf_init(&own, SIGNED_MAX);
    struct alb_status st = find_bytes(l, layer, which, &own);
    if (!alb_failed(
            st)) /* judged against the trust file when it came in, and by everyone who reads it */
        st = record_decode(buf_peek(&own), buf_size(&own), NULL, out);
    if (!alb_failed(st) && bytes != NULL)
        st = buf_append(bytes, buf_peek(&own), buf_size(&own));
    buf_release(&own);
    return st;
}

static struct alb_status write_record(const struct ledger *l, const char *layer, const char *which,
                                      const void *bytes, size_t size)
{
    char name[CATALOGUE_NAME_MAX + 1];

    snprintf(name, sizeof name, "record/%.110s@%.110s", layer, which); /* checked: 100, 69 */
    return ledger_write(l->catalogue, name, CATALOGUE_ANY, bytes, size);
}

static const char *by_digest(const char *kind, const struct digest *d, char *out, size_t size)
{
    char hex[DIGEST_HEX_SIZE];

    snprintf(out, size, "%s:%s", kind, digest_hex(d, hex));
    return out;
}

/* Behind the commit point: the names people and programs look versions up by.  The version's is
 * last: where it is, nothing is left to repair. */
static struct alb_status write_names(const struct ledger *l, const struct version_record *r,
                                     const void *bytes, size_t size)
{
    char which[DIGEST_HEX_SIZE + 8];
    struct alb_status st =
        write_record(l, r->layer, by_digest("root", &r->root, which, sizeof which), bytes, size);

    if (alb_failed(st))
        return st;
    return write_record(l, r->layer, r->version, bytes, size);
}

static struct alb_status conflict(const struct ledger_layer *state, const struct version_record *r,
                                  char why[LEDGER_WHY_SIZE])
{
    if (state->sequence == 0)
        snprintf(why, LEDGER_WHY_SIZE,
                 "nothing was published of %s yet: its first record has sequence 1, not %" PRIu64,
                 r->layer, r->sequence);
    else
        snprintf(why, LEDGER_WHY_SIZE,
                 "the newest version of %s is %s, sequence %" PRIu64
                 ": the next record has sequence %" PRIu64 ", not %" PRIu64 "; publish again",
                 r->layer, state->version, state->sequence, state->sequence + 1, r->sequence);
    return alb_fail(ALB_CONFLICT, "the record is not the layer's next");
}

static struct alb_status check_next(const struct ledger *l, const struct version_record *r,
                                    const struct ledger_layer *state, char why[LEDGER_WHY_SIZE])
{
    struct buf taken;

    if (r->sequence != state->sequence + 1)
        return conflict(state, r, why);
    buf_init(&taken, SIGNED_MAX);
    struct alb_status st = find_bytes(l, r->layer, r->version, &taken);
    buf_release(&taken);
    if (st.code == ALB_NOT_FOUND)
        return ALB_STATUS_OK;
    if (alb_failed(st))
        return st;
    snprintf(why, LEDGER_WHY_SIZE, "%s@%s was published before; choose another version name",
             r->layer, r->version);
    return alb_fail(ALB_CONFLICT, "the version's name is taken");
}

struct alb_status ledger_commit(const struct ledger *l, const struct version_record *record,
                                const void *bytes, size_t size, char why[LEDGER_WHY_SIZE])
{
    char which[DIGEST_HEX_SIZE + 8];
    struct ledger_layer state;
    struct digest digest;

    sha256(bytes, size, &digest);
    struct alb_status st = ledger_layer(l, record->layer, &state);
    if (alb_failed(st))
        return st;
    if (state.sequence > 0 && digest_equal(&state.record, &digest))
        return write_names(l, record, bytes, size); /* an answer got lost: the same once more */
    st = check_next(l, record, &state, why);
    if (!alb_failed(st))
        st = write_record(l, record->layer, by_digest("sha256", &digest, which, sizeof which),
                          bytes, size);
    if (!alb_failed(st))
        st = layer_swap(l, record, &digest, state.swap_version);
    if (!alb_failed(st))
        KILL_POINT("hub.version_committed");
    if (!alb_failed(st))
        st = write_names(l, record, bytes, size);
    return st;
}

/* ---- heads ----------------------------------------------------------------------------------- */

struct alb_status ledger_head(const struct ledger *l, const char *layer, struct head *out)
{
    char name[CATALOGUE_NAME_MAX + 1];
    struct buf value;

    snprintf(name, sizeof name, "head/%s", layer);
    buf_init(&value, SIGNED_MAX);
    struct alb_status st = catalogue_get(l->catalogue, name, &value, NULL);
    if (!alb_failed(st))
        st = head_decode(buf_peek(&value), buf_size(&value), &l->self, out);
    buf_release(&value);
    return st;
}

struct alb_status ledger_current(const struct ledger *l, const char *layer, struct head *head,
                                 struct version_record *out)
{
    char which[DIGEST_HEX_SIZE + 8];
    struct head own;
    struct alb_status st = ledger_head(l, layer, &own);

    if (alb_failed(st))
        return st;
    st = ledger_find(l, layer, by_digest("sha256", &own.record, which, sizeof which), NULL, out);
    if (st.code == ALB_NOT_FOUND)
        return alb_fail(ALB_CORRUPT, "a layer's head names a record that is not there");
    if (!alb_failed(st) && head != NULL)
        *head = own;
    return st;
}

struct alb_status ledger_select(const struct ledger *l, const char *layer,
                                const struct digest *record, int64_t now_wall_s)
{
    char name[CATALOGUE_NAME_MAX + 1];
    struct head head = {.sequence = 0};
    struct buf value;
    struct alb_status st = ledger_head(l, layer, &head);

    if (alb_failed(st) && st.code != ALB_NOT_FOUND)
        return st;
    head.sequence++;
    head.record = *record;
    head.issued_wall_s = now_wall_s;
    head.expires_wall_s = now_wall_s + HEAD_LIFETIME_S;
    snprintf(head.org, sizeof head.org, "%s", l->self.org);
    snprintf(head.layer, sizeof head.layer, "%s", layer);
    snprintf(name, sizeof name, "head/%s", layer);
    buf_init(&value, SIGNED_MAX);
    st = head_encode(&head, &l->key, &value);
    if (!alb_failed(st))
        st = ledger_write(l->catalogue, name, CATALOGUE_ANY, buf_peek(&value), buf_size(&value));
    if (!alb_failed(st))
        KILL_POINT("hub.head_selected");
    buf_release(&value);
    return st;
}

/* ---- over all layers ------------------------------------------------------------------------- */

struct names_listing {
    struct ledger_names found;
    size_t capacity, prefix_size;
};

static bool note_name(void *arg, const char *name, const void *value, size_t size, uint64_t version)
{
    struct names_listing *all = arg;
    struct ledger_names *found = &all->found;

    (void)value;
    (void)size;
    (void)version;
    if (found->count == all->capacity) {
        all->capacity = all->capacity == 0 ? 16 : 2 * all->capacity;
        found->names = xrealloc(found->names, all->capacity * sizeof *found->names);
    }
    snprintf(found->names[found->count++], NAME_MAX_SIZE, "%s", name + all->prefix_size);
    return true;
}

static struct alb_status list_names(const struct ledger *l, const char *prefix,
                                    struct ledger_names *out)
{
    struct names_listing all = {.prefix_size = strlen(prefix)};
    const struct alb_status st = catalogue_list(l->catalogue, prefix, note_name, &all);

    if (alb_failed(st))
        free(all.found.names);
    else
        *out = all.found;
    return st;
}

struct alb_status ledger_layers(const struct ledger *l, struct ledger_names *out)
{
    return list_names(l, "layer/", out);
}

struct versions_listing {
    struct ledger_versions found;
    size_t capacity;
    struct alb_status st;
};

static bool note_version(void *arg, const char *name, const void *value, size_t size,
                         uint64_t version)
{
    struct versions_listing *all = arg;
    struct ledger_versions *found = &all->found;
    const char *which = strchr(name, '@');

    (void)version;
    if (which == NULL || strchr(which, ':') != NULL)
        return true; /* the same record by digest or root, or a delta set's */
    if (found->count == all->capacity) {
        all->capacity = all->capacity == 0 ? 16 : 2 * all->capacity;
        found->list = xrealloc(found->list, all->capacity * sizeof *found->list);
    }
    all->st = record_decode(value, size, NULL, &found->list[found->count]);
    found->count += !alb_failed(all->st);
    return !alb_failed(all->st);
}

static int oldest_first(const void *a, const void *b)
{
    const struct version_record *x = a, *y = b;

    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

struct alb_status ledger_versions(const struct ledger *l, const char *layer,
                                  struct ledger_versions *out)
{
    struct versions_listing all = {.found = {.count = 0}};
    char prefix[CATALOGUE_NAME_MAX + 1];

    snprintf(prefix, sizeof prefix, "record/%.110s@", layer); /* checked: 100 */
    struct alb_status st = catalogue_list(l->catalogue, prefix, note_version, &all);
    if (!alb_failed(st))
        st = all.st;
    if (alb_failed(st)) {
        free(all.found.list);
        return st;
    }
    if (all.found.count > 0)
        qsort(all.found.list, all.found.count, sizeof *all.found.list, oldest_first);
    *out = all.found;
    return ALB_STATUS_OK;
}

struct alb_status ledger_renew(const struct ledger *l, int64_t now_wall_s,
                               void (*renewed)(void *arg, const char *layer), void *arg)
{
    struct ledger_names all = {.count = 0};
    struct alb_status st = list_names(l, "head/", &all);

    for (size_t i = 0; i < all.count && !alb_failed(st); i++) {
        struct head head;
        st = ledger_head(l, all.names[i], &head);
        if (alb_failed(st) || head.issued_wall_s + RENEW_AFTER_S > now_wall_s)
            continue;
        st = ledger_select(l, all.names[i], &head.record, now_wall_s);
        if (!alb_failed(st))
            renewed(arg, all.names[i]);
    }
    free(all.names);
    return st;
}

static struct alb_status repair_layer(const struct ledger *l, const char *layer)
{
    char which[DIGEST_HEX_SIZE + 8];
    struct ledger_layer state;
    struct version_record record;
    struct buf bytes, named;
    struct alb_status st = ledger_layer(l, layer, &state);

    if (alb_failed(st) || state.sequence == 0)
        return st;
    buf_init(&bytes, SIGNED_MAX);
    buf_init(&named, SIGNED_MAX);
    st = ledger_find(l, layer, by_digest("sha256", &state.record, which, sizeof which), &bytes,
                     &record);
    if (!alb_failed(st) && alb_failed(find_bytes(l, layer, state.version, &named))) {
        log_event(LOG_WARN, "publish.finished_late", "layer=%s version=%s", layer, state.version);
        st = write_names(l, &record, buf_peek(&bytes), buf_size(&bytes));
    }
    buf_release(&bytes);
    buf_release(&named);
    return st;
}

struct alb_status ledger_repair(const struct ledger *l)
{
    struct ledger_names all = {.count = 0};
    struct alb_status st = ledger_layers(l, &all);

    for (size_t i = 0; i < all.count && !alb_failed(st); i++)
        st = repair_layer(l, all.names[i]);
    free(all.names);
    return st;
}
