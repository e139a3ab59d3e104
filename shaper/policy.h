/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/policy.h – what the rules say here and now, what they will say next, and when.
 *
 * Pure but for policy_new(), which reads the zones that the document names.  The wall clock is an
 * argument; no answer depends on an earlier question, so clocks may step as they like.
 *
 * How it is decided, for one question {place, direction, class, side}: the first override that
 * fits; else the first rule that fits and holds; else POLICY_SCAVENGE without limits.  A rule fits
 * when the place names what its scope names: ask with site only for the site's sum, with site and
 * device for a client's, with job for a job's.  `terms.scope` tells whose sum a rate is: terms of
 * scope SITE that were found for a client are the site's, and the client has none of its own.  A
 * place is at the site that its name says and, also, at the one whose subnet has its address (the
 * narrowest, of all its addresses): rules taken over from Mirage know subnets.
 *
 * A clock that is not believed (POLICY_NO_CLOCK), or a zone that cannot be read, gives the
 * strictest of all that could hold at any time: the strictest mode, the lowest limits.  A pause
 * then stays in force until it is over by the hub's clock (policy_set_least()), a go does not, and
 * deadlines are not known.
 */
#pragma once

#include "wire/policy.h"

#define POLICY_NO_CLOCK INT64_MIN /* as wall_s: the clock is not to be believed */
#define POLICY_NEVER INT64_MAX    /* no change any more, or none in 50 years     */
enum { POLICY_LINE_MAX = 512 };

/* Of what the sum is: of a site or what is in it; of all that crosses the site's link, where rules
 * of sites say nothing; of everything, where those of links do not, either.  The site then only
 * names the link, and the zone in which hours are meant. */
enum policy_sum { POLICY_OF_SITE, POLICY_OF_LINK, POLICY_OF_ALL };

/* Who asks.  What is NULL or "" is not known, and no rule about it fits. */
struct policy_place {
    const char *site; /* its link and zone are the document's */
    const char *device, *job;
    uint8_t direction;              /* POLICY_DOWN or POLICY_UP  */
    uint8_t side;                   /* POLICY_WAN or POLICY_LAN  */
    enum policy_class class;        /* ANY: rules of one class only do not fit */
    const uint8_t (*addresses)[16]; /* of the asker, as for policy_site_of(); NULL: not known */
    size_t address_count;
    enum policy_sum sum;
};

enum policy_source { POLICY_BY_DEFAULT, POLICY_BY_RULE, POLICY_BY_OVERRIDE, POLICY_BY_STRICTEST };

struct policy_terms {
    struct policy_action action;
    enum policy_scope scope; /* whose sum the rates are */
    enum policy_source source;
    uint32_t index; /* of the rule or override; of the strictest rule; else 0 */
};

struct policy; /* a document ready to be asked */

/* Takes the document.  `zone_dir` NULL is the system's; a zone that cannot be read is no failure
 * but makes its sites strict.  Reads a few small files: for start-up and jobs, or where a new
 * policy comes a few times a day. */
struct policy *policy_new(struct policy_doc *doc, const char *zone_dir);
struct policy *policy_free(struct policy *p);
void policy_set_overrides(struct policy *p, const struct policy_overrides *o); /* copied */
/* By the hub's clock it is later than this: an override that ended before is over, whatever the
 * clock here says, and also when it is not believed.  0: nothing is known. */
void policy_set_least(struct policy *p, int64_t least_s);
/* Zone files that were replaced are read anew, in three steps: run() stats each zone of the
 * document, so it blocks, and may be called on a worker, for it touches no policy; end() frees it,
 * and `p` may be another policy by then.  True: one was replaced, and what comes next may be
 * another thing.  One that cannot be read (being installed, damaged, gone) leaves what is known. */
struct zones_reading;
struct zones_reading *policy_zones_begin(const struct policy *p);
void zones_reading_run(struct zones_reading *r);
bool policy_zones_end(struct policy *p, struct zones_reading *r);
struct zones_reading *zones_reading_free(struct zones_reading *r); /* who needs no end() */
const struct policy_doc *policy_peek(const struct policy *p);
const struct policy_overrides *policy_peek_overrides(const struct policy *p);

/* Is this a time that is believed? */
bool policy_is_clock(int64_t wall_s);
struct policy_terms policy_now(const struct policy *p, const struct policy_place *place,
                               int64_t wall_s);
/* The same, and policy_next_change() with it, for little more than either. */
struct policy_terms policy_now_and_next(const struct policy *p, const struct policy_place *place,
                                        int64_t wall_s, int64_t *next_s);
/* The first instant after wall_s at which policy_now() differs in source or index; POLICY_NEVER
 * when there is none or the clock is not known.  Exact to the second. */
int64_t policy_next_change(const struct policy *p, const struct policy_place *place,
                           int64_t wall_s);

/* Is there, in `p`, the rule or override that terms name?  Terms that somebody keeps are of the
 * document before until he was told of the new one. */
bool policy_has_terms(const struct policy *p, const struct policy_terms *t);
bool policy_terms_equal(const struct policy_terms *a, const struct policy_terms *b);

/* The most that an action allows by its figures alone, its share of a capacity apart: the lower of
 * rate and ceiling.  A rate that is a fallback counts, too.  0: no such figure, as with OFF. */
uint64_t policy_absolute_bps(const struct policy_action *a);
/* The most that an action allows on a link whose measured capacity is this (0: not known yet);
 * UINT64_MAX: no limit.  A share of it is never less than RATE_LEAST_BPS. */
uint64_t policy_limit_bps(const struct policy_action *a, uint64_t capacity_bps);

/* Does the document have it? */
bool policy_has_site(const struct policy *p, const char *site);
/* The link that it is on ("": none) and the time zone of its hours; of the document. */
const char *policy_site_link(const struct policy *p, const char *site, const char **zone);
/* The site whose subnet has this address (16 bytes; IPv4 as ::ffff:a.b.c.d), the longest prefix
 * first; NULL: none. */
const char *policy_site_of(const struct policy *p, const uint8_t address[16]);
/* The same of several addresses, the narrowest subnet of all; *subnet is the one that decided, and
 * written only when there is one. */
const char *policy_site_at(const struct policy *p, const uint8_t (*addresses)[16], size_t count,
                           struct policy_subnet *subnet);

/* ---- deadlines ---- */

/* The earliest deadline of a layer at a site that is not older than a week; POLICY_NEVER: none. */
int64_t policy_deadline(const struct policy *p, const char *layer, const char *site,
                        int64_t wall_s);
/* What it takes to have `bytes` by then; UINT64_MAX when it is past. */
uint64_t policy_needed_bps(uint64_t bytes, int64_t by_s, int64_t wall_s);
/* A job with a deadline, from its terms.  While what was harvested so far (a mean over minutes;
 * UINT64_MAX: not known yet) is enough, they stay, in class scavenger.  Needed above 0.8 of it: the
 * needed rate is the floor, in class normal.  Above all of it: FULL, in class urgent.  Ceiling and
 * percent stay; what is off, capped or an override's is the operator's word and stays whole, in the
 * class that it would have. */
enum policy_class policy_escalate(struct policy_terms *terms, uint64_t needed_bps,
                                  uint64_t harvested_bps);

/* ---- explained ---- */

struct policy_explanation {
    struct policy_terms now, next;
    int64_t next_s;     /* POLICY_NEVER: `next` says nothing */
    int32_t now_east_s; /* the site's offset from UTC then */
    bool zone_is_known, clock_is_known;
    char zone[POLICY_ZONE_MAX];
    char now_text[POLICY_LINE_MAX];  /* "rule 3 (office): scavenge, at most 4.0 Mbit/s …" */
    char next_text[POLICY_LINE_MAX]; /* "at Mon 2026-11-23 18:00 (Europe/Oslo): rule 4 …" */
};
void policy_explain(const struct policy *p, const struct policy_place *place, int64_t wall_s,
                    struct policy_explanation *out);
/* Terms as in now_text; what they name and `p` does not have is left out. */
const char *policy_terms_text(const struct policy *p, const struct policy_terms *t, bool has_clock,
                              char out[POLICY_LINE_MAX]);
/* What stops everything at a place, and until when: "paused by rule 3 (office) until Mon 2026-11-23
 * 18:00 (Europe/Oslo)"; "paused by alice since …: 'trading day', until …; `albedo resume o7` ends
 * it".  False, and nothing written, unless the terms there are OFF. */
struct policy_hold {
    struct policy_terms terms;
    int64_t until_s; /* when something may move again; POLICY_NEVER: not known */
    char text[POLICY_LINE_MAX];
};
bool policy_hold(const struct policy *p, const struct policy_place *place, int64_t wall_s,
                 struct policy_hold *out);
/* "scavenge, at most 4.0 Mbit/s, at least 64.0 kbit/s" */
const char *policy_action_text(const struct policy_action *a, char out[POLICY_LINE_MAX]);
