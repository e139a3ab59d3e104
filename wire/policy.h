/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy.h – who may use which link when, as data: the rules, sites, calendars, deadlines and
 * overrides that a hub holds, signs and hands down.  FORMAT.md, "Policy", describes the text.
 *
 * Evaluation (what holds now, what comes next) is shaper/policy.h.  Here a document is read, as
 * JSON or CSV (wire/policy_csv.h), checked as a whole, and written.  Whoever is given a document
 * hears of everything that is wrong with it, not of the first thing only: findings.
 *
 * Rates are in bits per second, as everywhere in the shaper; text has a unit ("2Mbit").  Times of
 * day are in the SITE's time zone.  Names are those of base/units.h: an id for sites, links and
 * devices, a layer's name or prefix for jobs.
 */
#pragma once

#include "base/buf.h"
#include "base/units.h"

enum {
    POLICY_FORMAT = 1,
    POLICY_BYTES_MAX = (1 << 20) - 4096, /* 1 MiB with what is signed around it */
    POLICY_RULES_MAX = 2000,
    POLICY_SITES_MAX = 10000,
    POLICY_SUBNETS_MAX = 20000, /* of all sites together */
    POLICY_CALENDARS_MAX = 64,
    POLICY_DATES_MAX = 20000, /* of all calendars together */
    POLICY_DEADLINES_MAX = 1000,
    POLICY_OVERRIDES_MAX = 256,
    POLICY_NOTE_MAX = 256, /* a note or a reason, with its zero */
    POLICY_ZONE_MAX = 64,  /* a zone's name, with its zero */
};

enum policy_scope { POLICY_GLOBAL, POLICY_LINK, POLICY_SITE, POLICY_CLIENT, POLICY_JOB };
enum policy_class { POLICY_ANY_CLASS, POLICY_URGENT, POLICY_NORMAL, POLICY_SCAVENGER };
enum policy_profile { POLICY_PROFILE_UNSET, POLICY_HARVEST, POLICY_BALANCED, POLICY_INVISIBLE };
enum { POLICY_DOWN = 1, POLICY_UP = 2, POLICY_WAN = 1, POLICY_LAN = 2, POLICY_BOTH = 3 };

/* From the strictest on.  OFF: nothing moves.  SCAVENGE: what nobody else wants, up to the ceiling,
 * at least the floor.  CAPPED: up to the rate, not yielding.  FULL: no law of ours but the ceiling.
 */
enum policy_mode { POLICY_OFF, POLICY_MODE_SCAVENGE, POLICY_CAPPED, POLICY_FULL };

/* What a rule does; 0 is "not said" throughout. */
struct policy_action {
    enum policy_mode mode;
    uint64_t rate_bps;    /* CAPPED: how much; with `percent`, while capacity is not known */
    uint64_t ceiling_bps; /* at most, in any mode; no rule of mode CAPPED has one            */
    uint64_t floor_bps;   /* SCAVENGE: also while yielding                                   */
    uint32_t percent;     /* 1–100 of the measured capacity: the rate of CAPPED, a ceiling of
                             SCAVENGE and FULL (the lower one counts)                        */
    enum policy_profile profile;
    uint32_t max_queue_ms; /* SCAVENGE: the delay it may add */
};

/* When a rule holds, all of it in the site's local time.  A window may go on past midnight and
 * belongs to the day on which it began: days, dates and calendars are of that day. */
struct policy_when {
    uint8_t days;                /* bit 0 Monday … bit 6 Sunday; 0x7f all                    */
    uint16_t from_min, to_min;   /* [from, to) of the day; 0, 1440: all of it; to < from wraps */
    int32_t first_day, last_day; /* days since 1970-01-01, both included; INT32_MIN, _MAX: open */
    uint64_t on, except;         /* calendars by bit: only on them; not on them              */
};

struct policy_rule {
    char name[64]; /* an id; unique */
    enum policy_scope scope;
    char of[104]; /* the link, site, device or layer prefix; "" for GLOBAL */
    uint8_t directions, places;
    enum policy_class class;
    struct policy_when when;
    struct policy_action action;
    char note[POLICY_NOTE_MAX];
    uint32_t line; /* of the CSV it was read from; 0: none */
};

struct policy_subnet {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t bits;        /* of the 128 */
    uint32_t site;       /* index  */
};
struct policy_site {
    char name[64], zone[POLICY_ZONE_MAX], link[64]; /* zone, link: "" for none */
    uint32_t line;
};
struct policy_dates { /* both included */
    int32_t first_day, last_day;
};
struct policy_calendar {
    char name[64];
    struct policy_dates *dates; /* owned; sorted, apart from each other */
    size_t date_count;
    uint32_t line;
};
struct policy_deadline {
    char layer[104], site[64]; /* layer: a prefix; site "" is all */
    int64_t by_s;
    uint32_t line;
};

struct policy_doc {
    char zone[POLICY_ZONE_MAX]; /* of sites without one of their own; "UTC" when not said */
    struct policy_rule *rules;  /* these are owned and in the document's order */
    size_t rule_count;
    struct policy_site *sites;
    size_t site_count;
    struct policy_subnet *subnets; /* by site */
    size_t subnet_count;
    struct policy_calendar *calendars;
    size_t calendar_count;
    struct policy_deadline *deadlines;
    size_t deadline_count;
};

struct policy_doc *policy_doc_new(void);
struct policy_doc *policy_doc_free(struct policy_doc *d);
/* Its sites by name, site_count of them: the caller's to free. */
const struct policy_site **policy_doc_sites(const struct policy_doc *d);
/* Of such a list; NULL: there is none of that name. */
const struct policy_site *policy_site_named(const struct policy_site *const *sites, size_t count,
                                            const char *name);

/* Is the day on any of the calendars whose bits are set? */
bool policy_day_is_on(const struct policy_doc *d, uint64_t calendars, int32_t day);

/* ---- findings: everything that is wrong, each a line for a person ---- */

struct policy_finding {
    bool is_error; /* else a warning: it is taken, but is hardly what was meant */
    char *text;    /* owned: "rule 7 (office): what is wrong; what is allowed" */
};
struct policy_findings {
    struct policy_finding *list; /* at most 200; what is beyond is counted only */
    size_t count, errors, warnings;
};
void policy_findings_init(struct policy_findings *f);
void policy_findings_release(struct policy_findings *f);
/* The first that is an error, for who has room for one; `otherwise` if none is. */
const char *policy_findings_first(const struct policy_findings *f, const char *otherwise);
bool policy_findings_have(const struct policy_findings *f, const char *text);

/* ---- reading, checking, writing ---- */

/* Does a zone of this name exist?  shaper/policy_zone.h answers from the system's files. */
typedef bool (*policy_zone_fn)(const char *zone, void *arg);

/* JSON or, by its first character, CSV: ours or Mirage's.  INVALID: `findings` has errors, which
 * name the member or line; nothing is written.  This includes policy_doc_check(). `is_zone` may be
 * NULL: no name is judged, as by those who were handed a signed document. */
ALB_MUST_USE struct alb_status policy_doc_decode(const void *bytes, size_t size,
                                                 policy_zone_fn is_zone, void *arg,
                                                 struct policy_findings *findings,
                                                 struct policy_doc **out);
/* Canonical JSON: equal documents give equal bytes.  FULL: larger than POLICY_BYTES_MAX. */
ALB_MUST_USE struct alb_status policy_doc_encode(const struct policy_doc *d, struct buf *out);
/* The document as a whole: bounds, contradictions, names that lead nowhere, rules that can never
 * match (a warning: "rule 7 (b) can never match: rule 3 (a) covers it"). */
void policy_doc_check(const struct policy_doc *d, policy_zone_fn is_zone, void *arg,
                      struct policy_findings *findings);

/* ---- overrides: what an operator says for a while, before any rule ---- */

enum policy_what { POLICY_PAUSE, POLICY_GO };

struct policy_override {
    char id[40];           /* an id of the hub's, for `resume`; unique */
    enum policy_what what; /* PAUSE is off, GO is full */
    enum policy_scope scope;
    char of[104];
    uint8_t directions, places;
    int64_t since_s, until_s; /* it holds until; since is told only: clocks differ */
    char by[64];              /* the admin's device */
    char why[POLICY_NOTE_MAX];
};
struct policy_overrides { /* the first that fits holds: the hub puts the newest first */
    struct policy_override list[POLICY_OVERRIDES_MAX];
    size_t count;
};
/* JSON.  Decoding is INVALID with findings, as above; on the heap, it is 130 KiB. */
ALB_MUST_USE struct alb_status policy_overrides_decode(const void *bytes, size_t size,
                                                       struct policy_findings *findings,
                                                       struct policy_overrides *out);
ALB_MUST_USE struct alb_status policy_overrides_encode(const struct policy_overrides *o,
                                                       struct buf *out);

/* ---- words ---- */

/* "global", "site:oslo", "link:mpls-1", "client:till-7", "job:base/debian". */
ALB_MUST_USE struct alb_status policy_scope_parse(const char *text, enum policy_scope *scope,
                                                  char of[104]);
const char *policy_scope_text(enum policy_scope scope, const char *of, char out[128]);
const char *policy_what_word(enum policy_what what);          /* pause, go                        */
const char *policy_mode_word(enum policy_mode mode);          /* off, scavenge, capped, full      */
const char *policy_class_word(enum policy_class class);       /* any, urgent, normal, scavenger   */
const char *policy_profile_word(enum policy_profile profile); /* "", harvest, normal, invisible   */
