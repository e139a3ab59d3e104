/* SPDX-License-Identifier: Apache-2.0 */
/* hub/delta_state.c – what the catalogue says of a layer's delta sets. */
#include "hub/delta_state.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/pack.h"

enum { STATE_FORMAT = 1, LIST_BYTES_MAX = (DELTA_SET_RECORD_MAX + 4) * DELTA_SET_LIST_MAX };

/* ---- delta/L ---- */

static void put_pair(struct pack *p, const struct delta_pair *pair)
{
    pack_digest(p, &pair->from);
    pack_digest(p, &pair->to);
    pack_u8(p, (uint8_t)pair->outcome);
    pack_digest(p, &pair->set);
    pack_varint(p, pair->root_bytes);
    pack_varint(p, pair->bytes);
    pack_varint(p, pair->chunk_bytes);
    pack_varint(p, pair->rest_bytes);
    pack_varint(p, pair->pieces);
    pack_zigzag(p, pair->made_wall_s);
}

static void get_pair(struct unpack *u, struct delta_pair *pair)
{
    unpack_digest(u, &pair->from);
    unpack_digest(u, &pair->to);
    pair->outcome = (enum delta_outcome)unpack_u8(u);
    if (pair->outcome < DELTA_KEPT || pair->outcome > DELTA_CANNOT)
        unpack_fail(u, "a layer's delta sets in the catalogue have an unknown outcome");
    unpack_digest(u, &pair->set);
    pair->root_bytes = unpack_varint(u);
    pair->bytes = unpack_varint(u);
    pair->chunk_bytes = unpack_varint(u);
    pair->rest_bytes = unpack_varint(u);
    pair->pieces = unpack_varint(u);
    pair->made_wall_s = unpack_zigzag(u);
}

struct alb_status delta_state_read(const struct ledger *l, const char *layer,
                                   struct delta_pairs *out)
{
    char name[CATALOGUE_NAME_MAX + 1];
    struct unpack u;
    struct buf value;

    *out = (struct delta_pairs){.count = 0};
    snprintf(name, sizeof name, "delta/%s", layer);
    buf_init(&value, CATALOGUE_VALUE_MAX);
    struct alb_status st = catalogue_get(l->catalogue, name, &value, NULL);
    if (!alb_failed(st)) {
        unpack_init(&u, buf_peek(&value), buf_size(&value));
        if (unpack_u8(&u) != STATE_FORMAT)
            unpack_fail(&u, "a layer's delta sets in the catalogue have an unknown format");
        out->count = (size_t)unpack_bounded(&u, DELTA_PAIRS_MAX);
        for (size_t i = 0; i < out->count; i++)
            get_pair(&u, &out->at[i]);
        st = unpack_finish(&u);
    } else if (st.code == ALB_NOT_FOUND) {
        st = ALB_STATUS_OK;
    }
    buf_release(&value);
    return st;
}

static struct alb_status write_state(const struct ledger *l, const char *layer,
                                     const struct delta_pairs *pairs)
{
    char name[CATALOGUE_NAME_MAX + 1];
    struct buf value;
    struct pack p;

    snprintf(name, sizeof name, "delta/%s", layer);
    buf_init(&value, CATALOGUE_VALUE_MAX);
    pack_init(&p, &value);
    pack_u8(&p, STATE_FORMAT);
    pack_varint(&p, pairs->count);
    for (size_t i = 0; i < pairs->count; i++)
        put_pair(&p, &pairs->at[i]);
    struct alb_status st = pack_finish(&p);
    if (!alb_failed(st))
        st = ledger_write(l->catalogue, name, CATALOGUE_ANY, buf_peek(&value), buf_size(&value));
    buf_release(&value);
    return st;
}

/* ---- what is served ---- */

static const char *name_of(const char *kind, const char *layer, const struct digest *root,
                           char out[CATALOGUE_NAME_MAX + 1])
{
    char hex[DIGEST_HEX_SIZE];

    snprintf(out, CATALOGUE_NAME_MAX + 1, "%s/%.110s@root:%s", kind, layer, digest_hex(root, hex));
    return out;
}

static struct alb_status sign_pair(const struct ledger *l, const char *layer,
                                   const struct delta_pair *pair, struct buf *out)
{
    struct delta_set_record r = {.from = pair->from,
                                 .to = pair->to,
                                 .set = pair->set,
                                 .root_bytes = pair->root_bytes,
                                 .bytes = pair->bytes,
                                 .made_wall_s = pair->made_wall_s};

    snprintf(r.org, sizeof r.org, "%s", l->self.org);
    snprintf(r.layer, sizeof r.layer, "%s", layer);
    return delta_set_record_encode(&r, &l->key, out);
}

static int by_bytes(const void *a, const void *b)
{
    const struct delta_pair *const *x = a, *const *y = b;

    return ((*x)->bytes > (*y)->bytes) - ((*x)->bytes < (*y)->bytes);
}

/* The kept ones that lead to `to`, the smallest first; the list has room for the most there are. */
static size_t kept_to(const struct delta_pairs *pairs, const struct digest *to,
                      const struct delta_pair *out[DELTA_SET_LIST_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < pairs->count && count < DELTA_SET_LIST_MAX; i++)
        if (pairs->at[i].outcome == DELTA_KEPT && digest_equal(&pairs->at[i].to, to))
            out[count++] = &pairs->at[i];
    qsort(out, count, sizeof *out, by_bytes);
    return count;
}

static struct alb_status write_list(const struct ledger *l, const char *layer,
                                    const struct delta_pair *const *kept, size_t count,
                                    const struct digest *to)
{
    char name[CATALOGUE_NAME_MAX + 1];
    struct delta_set_list list = {.count = count};
    struct buf sealed[DELTA_SET_LIST_MAX], all;
    struct alb_status st = ALB_STATUS_OK;

    buf_init(&all, LIST_BYTES_MAX);
    for (size_t i = 0; i < count; i++) {
        buf_init(&sealed[i], DELTA_SET_RECORD_MAX);
        if (!alb_failed(st))
            st = sign_pair(l, layer, kept[i], &sealed[i]);
        if (!alb_failed(st))
            st = ledger_write(l->catalogue, name_of("record", layer, &kept[i]->set, name),
                              CATALOGUE_ANY, buf_peek(&sealed[i]), buf_size(&sealed[i]));
        list.bytes[i] = buf_peek(&sealed[i]);
        list.sizes[i] = buf_size(&sealed[i]);
    }
    if (!alb_failed(st))
        st = delta_set_list_encode(&list, &all);
    if (!alb_failed(st))
        st = ledger_write(l->catalogue, name_of("deltas", layer, to, name), CATALOGUE_ANY,
                          buf_peek(&all), buf_size(&all));
    for (size_t i = 0; i < count; i++)
        buf_release(&sealed[i]);
    buf_release(&all);
    return st;
}

static struct alb_status remove_name(const struct ledger *l, const char *name)
{
    struct alb_status st = ledger_write(l->catalogue, name, CATALOGUE_ANY, NULL, 0);

    return st.code == ALB_NOT_FOUND ? ALB_STATUS_OK : st;
}

struct alb_status delta_state_serve(const struct ledger *l, const char *layer,
                                    const struct delta_pairs *pairs, const struct digest *to)
{
    const struct delta_pair *kept[DELTA_SET_LIST_MAX];
    char name[CATALOGUE_NAME_MAX + 1];
    const size_t count = kept_to(pairs, to, kept);

    return count > 0 ? write_list(l, layer, kept, count, to)
                     : remove_name(l, name_of("deltas", layer, to, name));
}

bool delta_state_is_served(const struct ledger *l, const char *layer,
                           const struct delta_pairs *pairs, const struct digest *to)
{
    const struct delta_pair *kept[DELTA_SET_LIST_MAX];
    char name[CATALOGUE_NAME_MAX + 1];
    const size_t count = kept_to(pairs, to, kept);
    struct delta_set_list list;
    struct buf bytes;

    buf_init(&bytes, LIST_BYTES_MAX);
    struct alb_status st =
        catalogue_get(l->catalogue, name_of("deltas", layer, to, name), &bytes, NULL);
    bool is_served = st.code == ALB_NOT_FOUND && count == 0;
    if (!alb_failed(st))
        is_served = !alb_failed(delta_set_list_judge(buf_peek(&bytes), buf_size(&bytes), &l->self,
                                                     layer, to)) &&
                    !alb_failed(delta_set_list_decode(buf_peek(&bytes), buf_size(&bytes), &list)) &&
                    list.count == count;
    buf_release(&bytes);
    return is_served;
}

/* ---- changes ---- */

const struct delta_pair *delta_pairs_find(const struct delta_pairs *pairs,
                                          const struct digest *from, const struct digest *to)
{
    for (size_t i = 0; i < pairs->count; i++)
        if (digest_equal(&pairs->at[i].from, from) && digest_equal(&pairs->at[i].to, to))
            return &pairs->at[i];
    return NULL;
}

struct alb_status delta_state_add(const struct ledger *l, const char *layer,
                                  struct delta_pairs *pairs, const struct delta_pair *pair)
{
    const struct delta_pair *old = delta_pairs_find(pairs, &pair->from, &pair->to);
    const size_t i = old != NULL ? (size_t)(old - pairs->at) : pairs->count;

    if (i == DELTA_PAIRS_MAX)
        return alb_fail(ALB_FULL, "the layer has as many delta sets as there may be");
    pairs->at[i] = *pair;
    pairs->count += old == NULL;
    struct alb_status st = delta_state_serve(l, layer, pairs, &pair->to);
    if (!alb_failed(st))
        KILL_POINT("hub.delta_served");
    return alb_failed(st) ? st : write_state(l, layer, pairs);
}

struct alb_status delta_state_drop(const struct ledger *l, const char *layer,
                                   struct delta_pairs *pairs, size_t i)
{
    const struct delta_pair gone = pairs->at[i];
    char name[CATALOGUE_NAME_MAX + 1];

    pairs->at[i] = pairs->at[--pairs->count];
    struct alb_status st = delta_state_serve(l, layer, pairs, &gone.to);
    if (!alb_failed(st) && gone.outcome == DELTA_KEPT)
        st = remove_name(l, name_of("record", layer, &gone.set, name));
    return alb_failed(st) ? st : write_state(l, layer, pairs);
}
