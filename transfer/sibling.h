/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/sibling.h – another reflector of our site on our LAN: asked before the parent, copied.
 *
 *     supply misses ──> sibling_ask() ── "what you hold or fetch" ──> here, or it comes: kept, told
 *                                     └─ missing, late, gone ──> the parent, as without siblings
 *
 *     GET /v1/arrivals?since=N ──> what came to it over the WAN ──> root ──> each position is asked
 *      ^    250 ms; 1 s while nothing comes                      │      of the supply, no further
 *      └──────────────────────── all have ended ─────────────────────┘      than to siblings
 *
 * A sibling names positions, never keys: what they are is read from lists that our own parent
 * vouches for, and what comes is checked against its name, so one that lies costs time.  So does
 * one that hangs: SIBLING_LATE_NS a chunk, SIBLING_COMING_NS after it said that it waits itself;
 * then, or after FAILURES in a row, it is not asked for a while that doubles from 1 s to 30 s, or
 * until it says that something came.  That it lacks something is no failure: to ask costs a round
 * trip of the LAN, not to ask may cost the WAN the same chunk twice.  Mirroring asks for a batch at
 * a time (256 chunks), and remembers in its number how far it is.
 */
#pragma once

#include "transfer/authority.h"
#include "transfer/root_book.h"
#include "transfer/supply.h"
#include "transfer/upstream.h"

#define SIBLING_LATE_NS (300 * UINT64_C(1000000))
/* Waited for what it fetches itself, as long as it says so and something comes of it this often. */
#define SIBLING_COMING_NS (10 * UINT64_C(1000000000))

struct sibling;

struct sibling_options {
    struct loop *loop;
    struct upstream_place place;
    const char *device;          /* whose certificate must be shown; copied */
    struct tls_context *tls;     /* this and the following are borrowed     */
    struct authority *authority; /* knows who is revoked                    */
    struct root_book *roots;
    struct supply *supply; /* what is mirrored is asked of it */
    const void *grant;     /* our own read grant, copied; may be NULL */
    size_t grant_size;
    int64_t grant_renew_wall_s;
    void *arg;
    struct alb_status (*granted)(void *arg, const uint8_t *bytes, size_t size,
                                 int64_t *renew_wall_s);
};

struct sibling *sibling_new(const struct sibling_options *options);
/* Before supply and roots; those whose questions are open are told NOT_FOUND.  NULL is fine. */
struct sibling *sibling_free(struct sibling *s);

struct sibling_ask { /* the asker's storage */
    /* Exactly once, from the loop; `chunk` is verified, borrowed, and NULL unless OK. */
    void (*done)(struct sibling_ask *a, struct alb_status st, struct chunk *chunk);
    struct waiter waiter;
    struct timer late;
    uint64_t since_ns;
    struct sibling *sibling;
    TAILQ_ENTRY(sibling_ask) link;
};

/* Is it there, and likely to have what is asked for? */
bool sibling_is_worth_asking(const struct sibling *s);
/* `patient`: nobody waits for it but ourselves; ten seconds, then. */
void sibling_ask(struct sibling *s, const struct chunk_key *key, const struct where *where,
                 bool patient, struct sibling_ask *a);
/* Somebody else waits now. */
void sibling_ask_hurry(struct sibling_ask *a);

/* It called us, so it is there: if the line to it is down, it is called now. */
void sibling_call(struct sibling *s);

bool sibling_is(const struct sibling *s, const char *device);
bool sibling_is_at(const struct sibling *s, const char *device, const struct upstream_place *place);
/* As members of the object being written: a status. */
struct json_writer;
void sibling_show(const struct sibling *s, struct json_writer *w);
