/* SPDX-License-Identifier: Apache-2.0 */
/* client/root_keys.c – root keys read, made and wiped. */
#include "client/root_keys.h"

#include <stdio.h>

enum { KEY_NAME_SIZE = 32 };

static const char *key_name(size_t index, char out[KEY_NAME_SIZE])
{
    snprintf(out, KEY_NAME_SIZE, "roots/%zu.key", index + 1);
    return out;
}

struct alb_status root_keys_make(const struct state *s, size_t count, struct root_keys *out)
{
    struct root_keys keys = {.count = count};
    struct alb_status st = ALB_STATUS_OK;
    struct sign_secret extra;
    char name[KEY_NAME_SIZE];

    for (size_t i = 0; i < count && !alb_failed(st); i++)
        st = state_key_make(s, key_name(i, name), &keys.secrets[i]);
    if (!alb_failed(st) && count < TRUST_ROOTS_MAX &&
        !alb_failed(state_key_read(s, key_name(count, name), &extra))) {
        wipe(&extra, sizeof extra);
        st =
            alb_fail(ALB_REFUSED, "more root keys are there than --keys says; say as many, or move "
                                  "the others away");
    }
    if (!alb_failed(st))
        *out = keys;
    root_keys_wipe(&keys);
    return st;
}

static bool names_root(const struct trust *t, const struct sign_secret *secret)
{
    struct sign_public pub;

    sign_public_of(secret, &pub);
    for (size_t i = 0; i < t->root_count; i++)
        if (sign_public_equal(&t->roots[i], &pub))
            return true;
    return false;
}

struct alb_status root_keys_load(const struct state *s, const struct trust *t,
                                 struct root_keys *out)
{
    struct root_keys keys = {.count = 0};
    struct alb_status st = ALB_STATUS_OK;
    char name[KEY_NAME_SIZE];

    for (size_t i = 0; i < TRUST_ROOTS_MAX && !alb_failed(st); i++) {
        struct sign_secret secret;

        st = state_key_read(s, key_name(i, name), &secret);
        if (st.code == ALB_NOT_FOUND)
            st = ALB_STATUS_OK; /* this one is kept elsewhere */
        else if (!alb_failed(st) && names_root(t, &secret))
            keys.secrets[keys.count++] = secret;
        wipe(&secret, sizeof secret);
    }
    if (!alb_failed(st))
        *out = keys;
    root_keys_wipe(&keys);
    return st;
}

void root_keys_name(const struct root_keys *k, struct trust *t)
{
    for (size_t i = 0; i < k->count; i++)
        sign_public_of(&k->secrets[i], &t->roots[i]);
    t->root_count = k->count;
}

void root_keys_wipe(struct root_keys *k)
{
    wipe(k, sizeof *k);
}
