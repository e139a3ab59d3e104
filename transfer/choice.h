/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/choice.h – which of those who could serve us is our upstream: facts in, the answer out.
 *
 *     candidates (who they are, what they said, how far, when they failed) ─┐
 *     terms of the site, how it is held now, the time ──────────────────────┴─> the chosen one,
 *                                                         and of every other the reason why not
 *
 * Pure: no clock, no memory of its own; equal facts give the same answer.
 *
 * The order.  Who may fetch what it lacks, or the hub; then who drains and still serves us; then,
 * unless the site says `use direct`, the hub, and behind it reflectors of other sites that we still
 * remember; then who lacked what we wanted.  Of these, who is
 * within the site's terms (latency, load) before who is not; then the nearer by the tree (subnet
 * and site together, each site above, the hub); who can fetch before who is suspended or cut off;
 * the own subnet; the nearer by steps of a factor of two from 2 ms on, a quarter of load counting
 * as much as a step; the operator's order.  With `use direct` the steps go before the tree.  When
 * nobody is usable, whoever failed is tried again, the one we have first.
 *
 * Nobody goes over a WAN before everyone nearer has failed, or refused, for CHOICE_PATIENCE_NS: a
 * reflector that restarts is soon back.  A crowd of beacons that showed no certificate yet is not
 * waited for: anybody can send them.
 *
 * Slow is not dead.  Who is held and up is left only when
 *   - it cannot be used: it refuses, drains, lacks what we want, shows another certificate or a
 *     revoked one, became one of those below us, or the terms forbid it; then at once;
 *   - or a better one has been good, and this one held, for `return_after_ns`
 *     (choice_return_after()), and nothing is under way.  Better is nearer by the tree or within
 *     terms; among equals there, before it in the operator's order, or by two steps: nobody moves
 *     for some load or a few milliseconds.
 */
#pragma once

#include <stdbool.h>

#include "net/identity.h"
#include "transfer/upstream.h"
#include "wire/sites.h"
#include "wire/states.h"

enum { CHOICE_MAX = 64, CHOICE_NONE = CHOICE_MAX };

#define CHOICE_PATIENCE_NS (2 * UINT64_C(1000000000))
#define CHOICE_RETURN_FIRST_NS (30 * UINT64_C(1000000000))
#define CHOICE_RETURN_MOST_NS (600 * UINT64_C(1000000000))
#define CHOICE_RETURN_LASTS_NS (1800 * UINT64_C(1000000000))

/* Who told us of it. */
enum choice_from { CHOICE_BY_LIST, CHOICE_BY_BEACON, CHOICE_BY_CONFIGURATION, CHOICE_BY_MEMORY };

enum choice_tier {
    CHOICE_SAME_SUBNET,
    CHOICE_SAME_SITE,
    CHOICE_PARENT_SITE, /* `depth` says how far above */
    CHOICE_HUB,
    CHOICE_ELSEWHERE, /* another site's reflector, which nobody told us to use */
};

struct choice_candidate {
    char device[ID_SIZE]; /* whom the list names, or the certificate; "": not known yet */
    struct upstream_place place;
    enum choice_from from;
    enum choice_tier tier;
    unsigned depth, order;
    enum reflector_state state; /* what an operator said of it */
    /* As it said last; 0: nothing, or it did not. */
    unsigned load_percent;
    uint64_t latency_us;       /* 0: never measured                           */
    uint64_t good_since_ns;    /* it answers since then; 0: it does not       */
    uint64_t bad_since_ns;     /* it failed or refused then, and ever since   */
    uint64_t refused_until_ns; /* it said so                                  */
    uint64_t failed_until_ns;  /* not to be tried before; 0: it did not fail  */
    uint64_t lacks_until_ns;   /* it lacked what we asked for                 */
    uint64_t stale_ns;         /* what it said may be otherwise by then; 0: it stays */
    bool is_foreign;           /* it shows another certificate than the list names */
    bool is_revoked;           /* it shows one that does not count any more        */
    bool is_below;             /* its own upstream leads through us, or it is us   */
    bool is_cut_off;           /* it serves, but its own parent is away            */
};

/* How it stands with the one we have. */
struct choice_held {
    size_t index;             /* of the candidates; CHOICE_NONE: none          */
    bool is_up;               /* its connections are                           */
    bool is_busy;             /* answers are under way                         */
    bool is_new_place;        /* the machine was carried: nothing holds us     */
    uint64_t since_ns;        /* when it was taken                             */
    uint64_t return_after_ns; /* as choice_return_after() has it               */
};

/* Why a candidate is what it is. */
enum choice_reason {
    CHOICE_CHOSEN,
    CHOICE_WORSE,     /* another one is nearer, or preferred           */
    CHOICE_NOT_YET,   /* better, but not good for long enough; or over a WAN, and somebody nearer
                         is not given up yet */
    CHOICE_NOT_NOW,   /* better, but answers are under way             */
    CHOICE_NO_GAIN,   /* a little better: not worth a move             */
    CHOICE_UNKNOWN,   /* nobody asked it yet                           */
    CHOICE_FAILED,    /* it cannot be reached, or fell silent          */
    CHOICE_REFUSED,   /* it said no, until a time                      */
    CHOICE_DRAINING,  /* an operator has it take no new ones           */
    CHOICE_CLOSED,    /* an operator disabled it                       */
    CHOICE_LACKS,     /* it lacked something that we want              */
    CHOICE_TOO_FAR,   /* over the site's latency, and another is not   */
    CHOICE_TOO_BUSY,  /* over the site's load, and another is not      */
    CHOICE_LAST,      /* the hub, while a reflector answers            */
    CHOICE_FORBIDDEN, /* where only the site's reflectors may be used  */
    CHOICE_FOREIGN,   /* another certificate than the list names       */
    CHOICE_REVOKED,   /* a certificate that does not count any more    */
    CHOICE_BELOW,     /* it is behind us, or we ourselves              */
    CHOICE_REASONS,
};

struct choice {
    size_t chosen;     /* CHOICE_NONE: wait                                            */
    size_t awaited;    /* the better one, once nothing is under way; or CHOICE_NONE    */
    bool is_move;      /* another than the held one …                                  */
    bool is_return;    /* … which could be used as well: for a better one              */
    uint64_t again_ns; /* when time alone may change the answer; UINT64_MAX: it cannot */
    enum choice_reason reasons[CHOICE_MAX];
};

/* `terms.use` UNSET is PREFER. */
void choice_decide(const struct choice_candidate *candidates, size_t count,
                   const struct site_terms *terms, const struct choice_held *held, uint64_t now_ns,
                   struct choice *out);

/* How long a better one must be good: CHOICE_RETURN_FIRST_NS, twice as long each time that a
 * return did not last for CHOICE_RETURN_LASTS_NS; CHOICE_RETURN_MOST_NS at most. */
uint64_t choice_return_after(uint64_t before_ns, uint64_t lasted_ns);

/* Of those whom nobody asked, who failed, or whose answer is old, the first that may be asked now
 * and could be better than the chosen one, were it good and idle.  Nobody over a WAN before all who
 * are nearer were asked.  Its index or NONE. */
size_t choice_worth_asking(const struct choice_candidate *candidates, size_t count,
                           const struct site_terms *terms, size_t chosen, uint64_t now_ns);

const char *choice_reason_word(enum choice_reason reason); /* "chosen", "worse", "not yet", … */
const char *choice_reason_text(enum choice_reason reason); /* for people                      */
const char *choice_tier_word(enum choice_tier tier); /* subnet, site, parent, hub, elsewhere */
const char *choice_from_word(enum choice_from from); /* list, beacon, configuration, memory */
