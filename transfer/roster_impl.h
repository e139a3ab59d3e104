/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/roster_impl.h – what the roster's own files share. */
#pragma once

#include "base/log_limit.h"
#include "base/map.h"
#include "transfer/roster.h"

struct claim {
    struct roster_entry entry; /* first: what others are shown is cast back */
    struct announce *announce; /* owned; entry.announce */
    struct member *member;
    struct child *child;
    uint64_t order; /* when its `since` was new, among all */
    uint64_t round; /* of the child: when it was last named */
    TAILQ_ENTRY(claim) of_member, of_child;
};
TAILQ_HEAD(claims, claim);

struct member { /* a device that is here: at least one claim */
    struct chunk_key key;
    struct claims claims; /* the best first */
    size_t count;
    struct ward *ward;
    TAILQ_ENTRY(member) link, of_ward;
};
TAILQ_HEAD(members, member);

struct ward { /* the devices of one site */
    struct chunk_key key;
    struct members members;
};

struct child {
    struct roster *roster;
    struct chunk_key key;
    char name[64];
    struct claims claims;
    size_t count;
    uint64_t round;
    bool is_in_round; /* parts of all there is behind it have come, not the last */
    struct timer lost;
};

struct roster {
    struct roster_options options;
    struct map members, wards, children;
    struct members all;
    TAILQ_HEAD(, roster_listener) listeners;
    uint64_t order;
    struct log_limit full_lines, contested_lines;
    struct roster_figures figures;
};

/* roster.c: takes `a`; false: there is no room for it. */
bool roster_put_claim(struct roster *r, struct child *via, struct announce *a);
void roster_remove_claim(struct roster *r, struct claim *c, enum announce_goes goes);
/* What that child says of the device; NULL: nothing. */
struct claim *roster_claim_of(const struct roster *r, const struct child *via, const char *device);

/* roster_take.c */
struct child *roster_child_of(const struct roster *r, const char *name); /* or NULL */
/* Its claims are gone.  Freed by the loop, since its timer may be ringing. */
void roster_child_bury(struct child *via);
