/* SPDX-License-Identifier: Apache-2.0 */
/* client/root_keys.h – the root keys of the trust file, in the state's roots/1.key, 2.key, … */
#pragma once

#include "client/state.h"
#include "wire/trust.h"

struct root_keys {
    size_t count;
    struct sign_secret secrets[TRUST_ROOTS_MAX];
};

/* Those that are there, and new ones until there are `count`.  REFUSED when there are more: they
 * are somebody's work that this would leave out. */
ALB_MUST_USE struct alb_status root_keys_make(const struct state *s, size_t count,
                                              struct root_keys *out);
/* Those kept here that `t` names; there may be none. */
ALB_MUST_USE struct alb_status root_keys_load(const struct state *s, const struct trust *t,
                                              struct root_keys *out);
/* Name them in `t` as its root keys. */
void root_keys_name(const struct root_keys *k, struct trust *t);
void root_keys_wipe(struct root_keys *k);
