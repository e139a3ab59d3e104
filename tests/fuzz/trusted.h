/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/trusted.h – a fixed trust file, and the keys of those it believes. */
#pragma once

#include "wire/record.h"
#include "wire/signed.h"

static const struct sign_secret HUB = {{1}}, PUBLISHER = {{2}}, ROOT_KEY = {{3}};

static inline void make_trust(struct trust *t, struct trust_delegation *d)
{
    *t = (struct trust){.org = "acme",
                        .version = 1,
                        .threshold = 1,
                        .root_count = 1,
                        .delegations = d,
                        .delegation_count = 1};
    *d = (struct trust_delegation){.prefix = ""};
    sign_public_of(&ROOT_KEY, &t->roots[0]);
    sign_public_of(&HUB, &t->hub_key);
    sign_public_of(&PUBLISHER, &d->key);
}
