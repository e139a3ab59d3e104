/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/policy_book.h – the policy in force here: kept, followed from the parent, evaluated.
 *
 * Three signed documents, each with numbers of its own (wire/policy_seal.h): the rules; what
 * operators said for a while, the overrides; and what they said of single reflectors, the states.
 * They rest in the catalogue ("policy", "override", "states") as the signed bytes they came in, are
 * judged again at start, and are asked for from the parent whenever the line comes up or an event
 * says so.  Cut off, the last of each holds.
 *
 *     parent's event, answer ──> policy_book_take(): signed? newer? readable? ──> kept (a job)
 *                                    │                                              taken(part)
 *                                    └──> every watch is looked at again ──> watch->changed()
 *     the clock: at a watch's next change, when it is set, every minute at least ──^
 *
 * Only a higher number is taken: nobody on the way can bring back what was in force before.  What
 * a former hub key signed counts as number 0 once a trust file names another: who stole that key
 * bars nobody.
 *
 * The clock is believed from CLOCK_SLACK_S before the last verified time on (that time is then the
 * time).  A clock further behind has forgotten: the strictest of all windows holds
 * (shaper/policy.h).  Without any policy everything is scavenging without limits.
 * A pause ends by the hub's clock as well: whatever the one here says, no override holds for longer
 * here than it had left when the hub signed the list, counted from when that came (or a restart).
 *
 * Zone files that are replaced are seen within a minute.
 *
 * Everything here is called on the loop, but for policy_book_open(), which blocks.
 */
#pragma once

#include <sys/queue.h>

#include "shaper/policy.h"
#include "transfer/authority.h"
#include "transfer/feed.h"
#include "wire/policy_seal.h"
#include "wire/states.h"

struct json_writer;
struct policy_book;
struct serve;

enum { POLICY_CLOCK_SLACK_S = 300 };

struct policy_book_options {
    struct loop *loop;
    struct authority *authority; /* borrowed */
    struct catalogue *catalogue; /* borrowed, must outlive the loop's last jobs; NULL: nothing is
                                    kept by this book (a hub, whose tasks write first) */
    bool reads_at_once;          /* a command: take() returns when the document is in force */
    bool without_states;         /* an endpoint: they are not its business                  */
    void *arg;
    /* A newer document is in force: say so to those below.  May be NULL. */
    void (*taken)(void *arg, enum policy_part part);
};

/* Blocking: reads what is kept.  What does not verify is logged, left out and asked for again. */
struct policy_book *policy_book_open(const struct policy_book_options *options);
/* Watches must be gone. */
struct policy_book *policy_book_close(struct policy_book *b);

/* ---- what holds ---- */

/* Somebody who must know: the owner's storage, with `place` (its texts borrowed), `changed` and
 * `hears_all` set.  The rest is the book's from policy_book_watch() on. */
struct policy_watch {
    struct policy_place place;
    /* From the loop, after `terms` became others: a document, an override, the clock.  It may
     * watch and unwatch.  Many watches are told in several turns, so that none is long. */
    void (*changed)(struct policy_watch *w);
    bool hears_all; /* of every new document, also when `terms` stay the same */
    struct policy_terms terms;
    int64_t next_s; /* when the clock changes them, as far as known; POLICY_NEVER */
    uint64_t round; /* of looks: the last that came by here */
    TAILQ_ENTRY(policy_watch) link;
};
/* Sets w->terms at once. */
void policy_book_watch(struct policy_book *b, struct policy_watch *w);
void policy_book_unwatch(struct policy_book *b, struct policy_watch *w);

/* One question, answered now. */
struct policy_terms policy_book_terms(const struct policy_book *b,
                                      const struct policy_place *place);
/* The documents, to be asked anything of shaper/policy.h; borrowed until one is taken. */
const struct policy *policy_book_peek(const struct policy_book *b);
/* What to ask them with: the time, or POLICY_NO_CLOCK. */
int64_t policy_book_now_s(const struct policy_book *b);

/* Who does not accept; borrowed until a list is taken. */
const struct states *policy_book_states(const struct policy_book *b);

/* ---- the documents ---- */

/* Take signed bytes from wherever.  OK also when it is the very one held here.  Rules of more than
 * 64 KiB are read on a worker, and in force a moment later, unless they turn out to be unreadable.
 * REFUSED: older, or another one of the same number; CORRUPT, INVALID: not signed, or not readable
 * by this program. */
ALB_MUST_USE struct alb_status policy_book_take(struct policy_book *b, enum policy_part part,
                                                const void *bytes, size_t size);
/* The signed bytes, borrowed until the next is taken; size 0: none. */
const uint8_t *policy_book_bytes(const struct policy_book *b, enum policy_part part, size_t *size);
/* 0: none, or of a former hub key. */
uint64_t policy_book_number(const struct policy_book *b, enum policy_part part);
int64_t policy_book_issued_s(const struct policy_book *b, enum policy_part part);

/* ---- shown (policy_book_show.c) ---- */

/* As an object "policy" of a status: numbers, the overrides that hold now, what is damaged. */
void policy_book_show(const struct policy_book *b, struct json_writer *w);
/* What terms go by, to be found in the documents: members "rule" (from 1) and "name", or "override"
 * (its id), or none; none too when `p` does not have it (any more). */
void policy_terms_show(const struct policy *p, const struct policy_terms *t, struct json_writer *w);
const char *policy_source_word(enum policy_source source); /* default, rule, override, strictest */

/* ---- travelling (policy_book_travel.c) ---- */

/* Keep all current from `u`: now, whenever it comes up, and on policy_book_refresh(). */
void policy_book_follow(struct policy_book *b, struct upstream *u);
/* Ask the parent for what is newer; also when the trust file changed. */
void policy_book_refresh(struct policy_book *b);
/* "policy SEALED", "override SEALED" or "states SEALED", or the word alone when it is over 3 KiB,
 * to all below. */
void policy_book_say(const struct policy_book *b, enum policy_part part, struct feed *f);
/* True when `line` is such an event: it has been taken, or is being asked for. */
bool policy_book_hear(struct policy_book *b, const char *line);
/* Answer GET /v1/policy, /v1/override and /v1/states at `s`; `?after=N`: 404 unless the number is
 * higher. */
void policy_book_serve(struct policy_book *b, struct serve *s);
/* The highest number in force anywhere, as far as known: a hub that was restored from a backup
 * hears from its reflectors that theirs are higher, and goes on from there. */
uint64_t policy_book_highest(const struct policy_book *b, enum policy_part part);
