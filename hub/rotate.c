/* SPDX-License-Identifier: Apache-2.0 */
/* hub/rotate.c – from online.next to online.key. */
#include "hub/rotate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "hub/commands.h"
#include "hub/policy.h"
#include "transfer/authority.h"
#include "wire/signed.h"

enum { FORMER_MAX = 64 /* hub keys ever, far more than an organisation has */ };

/* ---- the key's file -------------------------------------------------------------------------- */

struct alb_status rotate_prepare(const char *dir, struct sign_public *key)
{
    struct sign_secret next;
    struct alb_status st = hub_online_read(dir, "online.next", &next);

    if (st.code == ALB_NOT_FOUND) {
        sign_generate(&next, key);
        st = hub_online_write(dir, "online.next", &next);
    }
    if (!alb_failed(st))
        sign_public_of(&next, key);
    wipe(&next, sizeof next);
    return st;
}

bool rotate_is_next(const char *dir, const struct sign_public *key)
{
    struct sign_secret next;
    struct sign_public mine;

    if (alb_failed(hub_online_read(dir, "online.next", &next)))
        return false;
    sign_public_of(&next, &mine);
    wipe(&next, sizeof next);
    return sign_public_equal(&mine, key);
}

int command_rotate_key(const char *data)
{
    struct sign_public key;
    char hex[2 * SIGN_PUBLIC_SIZE + 1], text[256];
    struct alb_status st = rotate_prepare(data, &key);

    if (alb_failed(st)) {
        fprintf(stderr, "albedo-hub: %s/online.next: %s; is it the directory of a hub?\n", data,
                alb_status_text(st, text, sizeof text));
        return EXIT_FAILED;
    }
    bytes_hex(key.bytes, SIGN_PUBLIC_SIZE, hex);
    fprintf(stderr,
            "the hub's next signing key is in %s/online.next; an admin with the root keys "
            "puts it to use:\n  albedo trust rotate-hub KEY\n",
            data);
    return printf("%s\n", hex) < 0 ? EXIT_FAILED : EXIT_FINE;
}

/* The newest trust file's hub key; the chain itself is judged by hub_start() later. */
static struct alb_status newest_key(struct catalogue *c, struct sign_public *out)
{
    struct alb_status st = ALB_STATUS_OK;
    struct trust trust;
    struct buf bytes;
    char name[32];

    for (uint64_t version = 1; !alb_failed(st); version++) {
        buf_init(&bytes, SIGNED_MAX);
        (void)snprintf(name, sizeof name, "trust/%" PRIu64, version);
        st = catalogue_get(c, name, &bytes, NULL);
        if (!alb_failed(st))
            st = trust_decode_unchecked(buf_peek(&bytes), buf_size(&bytes), &trust);
        if (!alb_failed(st)) {
            *out = trust.hub_key;
            trust_release(&trust);
        }
        buf_release(&bytes);
        if (st.code == ALB_NOT_FOUND)
            return version > 1 ? ALB_STATUS_OK : st;
    }
    return st;
}

struct alb_status rotate_finish(const char *dir, struct catalogue *catalogue, struct hub_keys *keys,
                                bool *has_changed)
{
    AUTO_FREE char *path = path_join(dir, "online.next");
    struct sign_public named;

    *has_changed = false;
    if (!file_exists(path))
        return ALB_STATUS_OK;
    struct alb_status st = newest_key(catalogue, &named);
    if (st.code == ALB_NOT_FOUND || (!alb_failed(st) && !rotate_is_next(dir, &named)))
        return ALB_STATUS_OK; /* not named yet */
    if (!alb_failed(st))
        st = hub_online_read(dir, "online.next", &keys->online);
    if (!alb_failed(st))
        st = hub_online_write(dir, "online.key", &keys->online);
    if (alb_failed(st))
        return st;
    *has_changed = true;
    return unlink(path) == 0 ? ALB_STATUS_OK : alb_fail_sys("removing online.next");
}

/* ---- what the old key signed ----------------------------------------------------------------- */

struct former {
    struct sign_public keys[FORMER_MAX];
    size_t count;
};

static void gather_former(const struct authority *a, const struct sign_public *now,
                          struct former *out)
{
    const struct trust *newest = authority_trust(a);
    struct trust trust;
    struct buf bytes;

    out->count = 0;
    for (uint64_t v = newest == NULL ? 0 : newest->version; v > 1 && out->count < FORMER_MAX; v--) {
        buf_init(&bytes, SIGNED_MAX);
        if (!alb_failed(authority_trust_bytes(a, v - 1, &bytes)) &&
            !alb_failed(trust_decode_unchecked(buf_peek(&bytes), buf_size(&bytes), &trust))) {
            if (!sign_public_equal(&trust.hub_key, now))
                out->keys[out->count++] = trust.hub_key;
            trust_release(&trust);
        }
        buf_release(&bytes);
    }
}

/* Decode by whichever of the former keys signed it. */
static struct alb_status decode_former_head(const struct ledger *l, const struct former *former,
                                            const struct buf *bytes, struct head *out)
{
    struct trust judge = l->self;
    struct alb_status st = alb_fail(ALB_CORRUPT, "a head that no key of this hub has signed");

    for (size_t i = 0; i < former->count && alb_failed(st); i++) {
        judge.hub_key = former->keys[i];
        st = head_decode(buf_peek(bytes), buf_size(bytes), &judge, out);
    }
    return st;
}

static struct alb_status sign_head(const struct ledger *l, const struct former *former,
                                   const char *name, int64_t now_wall_s)
{
    struct buf bytes, again;
    struct head head;

    buf_init(&bytes, SIGNED_MAX);
    buf_init(&again, SIGNED_MAX);
    struct alb_status st = catalogue_get(l->catalogue, name, &bytes, NULL);
    const bool is_ours =
        !alb_failed(st) &&
        !alb_failed(head_decode(buf_peek(&bytes), buf_size(&bytes), &l->self, &head));
    if (!alb_failed(st) && !is_ours)
        st = decode_former_head(l, former, &bytes, &head);
    if (!alb_failed(st) && !is_ours) {
        head.sequence++;
        head.issued_wall_s = now_wall_s;
        head.expires_wall_s = now_wall_s + HEAD_LIFETIME_S;
        st = head_encode(&head, &l->key, &again);
        if (!alb_failed(st))
            st =
                ledger_write(l->catalogue, name, CATALOGUE_ANY, buf_peek(&again), buf_size(&again));
    }
    buf_release(&bytes);
    buf_release(&again);
    return st;
}

static struct alb_status decode_former_list(const struct ledger *l, const struct former *former,
                                            const struct buf *bytes, struct revocations *out)
{
    struct trust judge = l->self;
    struct alb_status st = alb_fail(ALB_CORRUPT, "a revocation list no key of this hub has signed");

    for (size_t i = 0; i < former->count && alb_failed(st); i++) {
        judge.hub_key = former->keys[i];
        st = revocations_decode(buf_peek(bytes), buf_size(bytes), &judge, out);
    }
    return st;
}

static struct alb_status sign_list(const struct ledger *l, const struct former *former,
                                   int64_t now_wall_s)
{
    struct revocations list = {.number = 0};
    struct buf bytes, again;

    buf_init(&bytes, SIGNED_MAX);
    buf_init(&again, SIGNED_MAX);
    struct alb_status st = catalogue_get(l->catalogue, "revoked", &bytes, NULL);
    const bool is_none = st.code == ALB_NOT_FOUND;
    const bool is_ours =
        !alb_failed(st) &&
        !alb_failed(revocations_decode(buf_peek(&bytes), buf_size(&bytes), &l->self, &list));
    if (!alb_failed(st) && !is_ours)
        st = decode_former_list(l, former, &bytes, &list);
    if (!alb_failed(st) && !is_ours) {
        list.number++;
        list.issued_wall_s = now_wall_s;
        st = revocations_encode(&list, &l->key, &again);
        if (!alb_failed(st))
            st = ledger_write(l->catalogue, "revoked", CATALOGUE_ANY, buf_peek(&again),
                              buf_size(&again));
    }
    revocations_release(&list);
    buf_release(&bytes);
    buf_release(&again);
    return is_none ? ALB_STATUS_OK : st;
}

static struct alb_status decode_former_policy(const struct ledger *l, const struct former *former,
                                              enum policy_part part, const struct buf *bytes,
                                              struct policy_seal *out)
{
    struct trust judge = l->self;
    struct alb_status st = alb_fail(ALB_CORRUPT, "a policy that no key of this hub has signed");

    for (size_t i = 0; i < former->count && alb_failed(st); i++) {
        judge.hub_key = former->keys[i];
        st = policy_seal_decode(part, buf_peek(bytes), buf_size(bytes), &judge, out);
    }
    return st;
}

static struct alb_status sign_policy(const struct ledger *l, const struct former *former,
                                     enum policy_part part, int64_t now_wall_s)
{
    struct buf text, again;
    struct policy_record r;

    policy_record_init(&r);
    buf_init(&text, SIGNED_MAX);
    buf_init(&again, SIGNED_MAX);
    struct alb_status st = policy_record_read(l, part, &r);
    const bool is_formers = st.code == ALB_CORRUPT;
    if (is_formers)
        st = decode_former_policy(l, former, part, &r.bytes, &r.seal);
    if (!alb_failed(st) && is_formers)
        st = buf_append(&text, r.seal.text, r.seal.text_size);
    if (!alb_failed(st) && is_formers)
        st = policy_record_write(l, part, &r, &text, now_wall_s, &again);
    policy_record_release(&r);
    buf_release(&text);
    buf_release(&again);
    return st;
}

struct names {
    char **at; /* owned */
    size_t count;
};

static bool note_name(void *arg, const char *name, const void *value, size_t size, uint64_t version)
{
    struct names *all = arg;

    (void)value;
    (void)size;
    (void)version;
    all->at = xrealloc(all->at, (all->count + 1) * sizeof *all->at);
    all->at[all->count++] = xstrdup(name);
    return true;
}

struct alb_status rotate_sign_anew(const struct ledger *l, const struct authority *authority,
                                   int64_t now_wall_s)
{
    AUTO_FREE struct former *former = xalloc(sizeof *former);
    struct names heads = {.count = 0};

    gather_former(authority, &l->self.hub_key, former);
    if (former->count == 0)
        return ALB_STATUS_OK;
    struct alb_status st = catalogue_list(l->catalogue, "head/", note_name, &heads);
    for (size_t i = 0; i < heads.count; i++) {
        if (!alb_failed(st))
            st = sign_head(l, former, heads.at[i], now_wall_s);
        free(heads.at[i]);
    }
    free(heads.at);
    if (!alb_failed(st))
        st = sign_list(l, former, now_wall_s);
    for (int part = 0; part < POLICY_PARTS && !alb_failed(st); part++)
        st = sign_policy(l, former, (enum policy_part)part, now_wall_s);
    return st;
}
