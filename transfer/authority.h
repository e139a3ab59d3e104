/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/authority.h – what this program believes: the trust chain and who is no longer believed.
 *
 * Both rest in the catalogue ("trust/N", "revoked") as the signed bytes they came in, are loaded
 * and checked again at start, and are followed from the parent when the line comes up or an event
 * says so. Cut off, the last of each holds.  A trust file is only ever replaced by its successor; a
 * revocation list only by one with a higher number.
 */
#pragma once

#include "store/catalogue.h"
#include "transfer/upstream.h"
#include "wire/record.h"
#include "wire/signed.h"

struct authority;

struct authority_options {
    struct loop *loop;
    struct catalogue *catalogue; /* borrowed; NULL: nothing is kept across runs          */
    /* Of trust file 1.  NULL: whatever the catalogue has; a parent's is then not believed. */
    const struct digest *pin;
    /* A hub: others take their time from it.  What it once signed while its clock was wrong is no
     * floor under the clock that has been set right. */
    bool is_time_source;
};

/* Blocking: for start-up. CORRUPT when what is kept does not verify (says which). */
ALB_MUST_USE struct alb_status authority_open(const struct authority_options *options,
                                              struct authority **out);
struct authority *authority_close(struct authority *a);

/* Take the next trust file, or a newer revocation list, from wherever; judged here; kept (blocking:
 * start-up, a job, or a catalogue that does not block). */
ALB_MUST_USE struct alb_status authority_add_trust(struct authority *a, const void *bytes,
                                                   size_t size);
ALB_MUST_USE struct alb_status authority_add_revocations(struct authority *a, const void *bytes,
                                                         size_t size);

/* NULL until trust file 1 is known.  Borrowed until the next add. */
const struct trust *authority_trust(const struct authority *a);
/* Signed bytes of trust file `version`, or of the revocation list; NOT_FOUND. */
ALB_MUST_USE struct alb_status authority_trust_bytes(const struct authority *a, uint64_t version,
                                                     struct buf *out);
ALB_MUST_USE struct alb_status authority_revocation_bytes(const struct authority *a,
                                                          struct buf *out);
/* A list that the parent sent unasked: taken if it verifies and is newer, else it is asked for. */
void authority_offer_revocations(struct authority *a, const void *bytes, size_t size);
bool authority_has_revoked(const struct authority *a, const char *serial);
uint64_t authority_revocation_number(const struct authority *a);
/* The later of build time, the last verified head or list, and `wall_s`: never believe an older
 * clock. Logs once when the clock is behind. */
int64_t authority_now_s(struct authority *a, int64_t wall_s);
void authority_saw_time(struct authority *a, int64_t verified_wall_s);
/* The later of build time and what was verified, whatever the clock says.  What outlasts a restart
 * (record "time") is the earlier of what was verified and what this clock then said: neither a
 * hub's clock that was once ahead, nor one's own, bars anybody for longer than it is. */
int64_t authority_floor_s(const struct authority *a);

/* Keep both current from `u`: now, whenever it comes up, and on authority_refresh().
 * changed(arg) is called when either did. */
void authority_follow(struct authority *a, struct upstream *u, loop_fn changed, void *arg);
void authority_refresh(struct authority *a);
