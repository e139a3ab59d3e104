/* SPDX-License-Identifier: Apache-2.0 */
/* wire/states.h – what operators said of single reflectors: the third signed part of the policy.
 *
 * Whoever is not in the list accepts.  The hub signs and numbers the list as it does the rules and
 * the overrides (wire/policy_seal.h); a reflector finds itself in it by the name in its
 * certificate, keeps it, and so knows its state behind a restart.  FORMAT.md, "States", describes
 * the text; reflector/states.h what each state means for those who are served.
 */
#pragma once

#include "base/buf.h"
#include "base/units.h"

enum reflector_state {
    REFLECTOR_ACCEPT,  /* serves, and fetches what it lacks                              */
    REFLECTOR_DRAIN,   /* serves what it has to those who are here; nobody new, no WAN   */
    REFLECTOR_SUSPEND, /* serves what it has to anybody; no content over its WAN         */
    REFLECTOR_DISABLE, /* serves nobody; control stays, so that it hears when that ends  */
};
enum {
    REFLECTOR_STATES = 4,
    STATES_FORMAT = 1,
    STATES_MAX = 4096, /* reflectors that do not accept, at a time; 1 MiB with the longest words */
    STATE_WHY_MAX = 121,
};

struct state_entry {
    char device[NAME_MAX_SIZE];
    enum reflector_state state; /* never ACCEPT */
    bool wipe;                  /* of DISABLE: what it has stored is deleted */
    int64_t since_wall_s;
    char by[64]; /* the admin's device */
    char why[STATE_WHY_MAX];
};

struct states {
    struct state_entry *list; /* owned; by device, each once */
    size_t count;
};

void states_init(struct states *s);
void states_release(struct states *s);
/* NULL: it accepts. */
const struct state_entry *states_find(const struct states *s, const char *device);
/* In the place of that of its device; ACCEPT takes it out.  False: nothing is another.  FULL. */
ALB_MUST_USE struct alb_status states_set(struct states *s, const struct state_entry *e,
                                          bool *has_changed);

/* Canonical JSON.  FULL: over 1 MiB. */
ALB_MUST_USE struct alb_status states_encode(const struct states *s, struct buf *out);
/* INVALID names what is wrong; `out` is written only on success, and the caller's to release.
 * Unknown members are ignored, an unknown state is not: who does not know it must not guess. */
ALB_MUST_USE struct alb_status states_decode(const void *bytes, size_t size, struct states *out);

const char *reflector_state_word(enum reflector_state state); /* "accept", "drain", … */
/* INVALID: it is none of the four. */
ALB_MUST_USE struct alb_status reflector_state_parse(const char *word, enum reflector_state *out);
/* One line of at most STATE_WHY_MAX - 1 bytes, without control characters.  INVALID. */
ALB_MUST_USE struct alb_status state_why_check(const char *why);
