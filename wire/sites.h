/* SPDX-License-Identifier: Apache-2.0 */
/* wire/sites.h – the site directory: which branches there are, how one knows that one is there, and
 * how machines there choose an upstream.  FORMAT.md, "Sites", describes the text.
 *
 * The hub keeps one directory; name, zone, link and subnets of it go into every policy it signs
 * (sites_into_policy()), so that there is one truth.  Here a directory is read, as JSON or CSV,
 * checked as a whole, and written; whoever gives one hears of everything that is wrong with it:
 * findings (wire/policy.h), each with its line.
 *
 * What a site does not say of its zone and of the choice of an upstream, the nearest site above it
 * says: sites_terms_of().
 */
#pragma once

#include "wire/policy.h"

enum {
    SITES_FORMAT = 1,
    SITES_MAX = POLICY_SITES_MAX,
    SITES_SUBNETS_MAX = POLICY_SUBNETS_MAX, /* of all sites together, as are the next two */
    SITES_GATEWAYS_MAX = 20000,
    SITES_REFLECTORS_MAX = 20000,
    SITES_DEPTH_MAX = 16,      /* sites above a site */
    SITES_BYTES_MAX = 8 << 20, /* of a document, however it is written */
    SITES_LATENCY_MAX_MS = 10000,
    SITES_SESSIONS_MAX = 65535,
    SITE_LIST_MAX = 1024, /* subnets, gateways or reflectors of one site */
};

/* How a machine there chooses: ALWAYS, only reflectors, waiting for one that can serve; PREFER,
 * the hub when no reflector answers; DIRECT, the hub is a candidate like any other. */
enum site_use { SITE_USE_UNSET, SITE_USE_ALWAYS, SITE_USE_PREFER, SITE_USE_DIRECT };

/* Where no reflector is, one machine of each subnet stays awake, so that it can wake the others. */
enum site_keep { SITE_KEEP_UNSET, SITE_KEEP_YES, SITE_KEEP_NO };

struct site_terms { /* 0 is "not said" */
    enum site_use use;
    uint32_t latency_ms;   /* a candidate above it gives way to one below */
    uint32_t load_percent; /* … as does one that announces more load      */
    uint32_t max_sessions; /* downstream, of each reflector there         */
    enum site_keep keep_awake;
};

struct site_mac {
    uint8_t bytes[6];
};

struct site {
    char name[64];
    char parent[64];               /* a site's name, as all that follows "" when not said */
    struct policy_subnet *subnets; /* owned, as are the next two; by address; .site is not used */
    struct site_mac *gateways;     /* of default gateways, ascending */
    char (*reflectors)[64];        /* devices, in order of preference */
    size_t subnet_count, gateway_count, reflector_count;
    char zone[POLICY_ZONE_MAX];
    char link[64];             /* sites of one link share its rates */
    uint64_t down_bps, up_bps; /* of its WAN; 0: not said */
    struct site_terms terms;
    char note[POLICY_NOTE_MAX];
    uint32_t line; /* of the text it was read from; 0: none */
};

struct sites {
    struct site *list; /* owned; by name once read */
    size_t count;
    uint64_t number; /* of the hub's, where one is told; 0: none */
};

struct sites *sites_new(void);
struct sites *sites_free(struct sites *s);
void site_release(struct site *s);
/* By name, in a directory that was read; NULL: there is none. */
const struct site *sites_find_name(const struct sites *s, const char *name);
/* The site above, or NULL. */
const struct site *sites_parent_of(const struct sites *s, const struct site *site);
/* What holds there, zone included ("" when nobody says).  `use` is never UNSET. */
void sites_terms_of(const struct sites *s, const struct site *site, struct site_terms *terms,
                    const char **zone);
const char *site_use_word(enum site_use use); /* "", always, prefer, direct */

/* "52:54:00:ab:cd:ef", with dashes, or as in 5254.00ab.cdef. */
ALB_MUST_USE struct alb_status site_mac_parse(const char *text, struct site_mac *out);
const char *site_mac_text(const struct site_mac *mac, char out[18]);
/* An IPv4 or IPv6 address as subnets have it.  INVALID. */
ALB_MUST_USE struct alb_status site_address_parse(const char *text, uint8_t out[16]);
const char *site_subnet_text(const struct policy_subnet *s, char out[64]);
/* "10.1.0.0/20", bits behind the prefix cleared; .site is left alone.  INVALID. */
ALB_MUST_USE struct alb_status site_subnet_parse(const char *text, struct policy_subnet *out);

/* ---- reading, checking, writing ---- */

/* JSON or, by its first character, a table; INVALID: `findings` has errors, nothing is written.
 * This includes sites_check(); the result is in canonical order.  `is_zone` may be NULL: no zone
 * is judged. */
ALB_MUST_USE struct alb_status sites_decode(const void *bytes, size_t size, policy_zone_fn is_zone,
                                            void *arg, struct policy_findings *findings,
                                            struct sites **out);
/* The directory as a whole: names used twice or leading nowhere, loops, subnets, gateways and
 * reflectors given twice, bounds.  Sorts. */
void sites_check(struct sites *s, policy_zone_fn is_zone, void *arg,
                 struct policy_findings *findings);
/* Canonical JSON, a line a site: equal directories give equal bytes, but for their numbers. FULL:
 * over SITES_BYTES_MAX. */
ALB_MUST_USE struct alb_status sites_encode(const struct sites *s, struct buf *out);
/* A table; reading it back gives the same directory. */
ALB_MUST_USE struct alb_status sites_csv_write(const struct sites *s, struct buf *out);

/* ---- edits: a site from texts such as people type ---- */

struct site_change {
    const char *column, *text; /* "" takes it away */
};
/* A copy of `before` (NULL: nothing said yet) called `name`, with the changes.  INVALID: findings.
 * The caller's to release. */
ALB_MUST_USE struct alb_status site_changed(const struct site *before, const char *name,
                                            const struct site_change *changes, size_t count,
                                            struct policy_findings *findings, struct site *out);
/* Put it in the place of that of its name, or add it; takes the site.  FULL. */
ALB_MUST_USE struct alb_status sites_put(struct sites *s, struct site *site);
/* NOT_FOUND. */
ALB_MUST_USE struct alb_status sites_remove(struct sites *s, const char *name);

/* The columns by index, in order, "name" first, NULL behind the last; the text of one, appended. */
const char *site_column(size_t index);
void site_column_write(const struct site *s, size_t index, struct buf *out);
bool site_is_same(const struct site *a, const struct site *b);

/* ---- with the policy ---- */

/* Put the directory's sites in place of the document's. */
void sites_into_policy(const struct sites *s, struct policy_doc *d);
/* Does every site that the document names say what the directory says?  `why`: the first that does
 * not. */
bool sites_agree_with(const struct sites *s, const struct policy_doc *d, char why[256]);
/* Sites that the document names and the directory does not have. */
void sites_add_from_policy(struct sites *s, const struct policy_doc *d);
