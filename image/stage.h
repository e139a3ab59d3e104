/* SPDX-License-Identifier: Apache-2.0 */
/* image/stage.h – the next version being put together beside the running one, without touching it.
 *
 * The stage lives in TARGET/.albedo/stage (and in .albedo/stage of the topmost directory inside
 * TARGET of every further file system TARGET spans); nothing outside TARGET is ever written.  What
 * the target or a seed already holds is taken from there; the rest is asked for by position in list
 * C.  Each file is verified by its digest before it counts.  A stage that was left behind is
 * resumed: files that verify are kept.
 *
 * Blocking; the caller runs stage_fill_local() and stage_put() on workers (different
 * units/positions at once are safe).
 */
#pragma once

#include "image/holdings.h"
#include "wire/manifest.h"
#include "wire/root.h"

struct stage;

struct stage_options {
    const char *target;
    const struct manifest *manifest; /* borrowed */
    const struct holdings *holdings; /* borrowed */
    const struct digest *root;       /* of the version: a stage of another one is swept */
    bool over_journal;               /* a journal may be there: apply_check() found damage  */
};

/* Opens or resumes.  INVALID: TARGET is "/" or not a directory; CONFLICT:
 * another pull works on it, or an interrupted one left a journal. */
ALB_MUST_USE struct alb_status stage_open(const struct stage_options *options, struct stage **out);
struct stage *stage_close(struct stage *s); /* keeps what is there for the next time */

struct stage_plan {
    uint64_t bytes_unchanged; /* already in place with the right content      */
    uint64_t files_local;     /* copied whole from target or seed              */
    uint64_t bytes_local;
    uint64_t bytes_local_chunks; /* from chunks found in other files            */
    uint64_t bytes_resumed;      /* already staged by an earlier run              */
    uint64_t bytes_needed;       /* raw bytes of the chunks to fetch              */
    const uint32_t *positions;   /* list C positions to fetch, ascending; borrowed */
    size_t position_count;
};
ALB_MUST_USE struct alb_status stage_plan(struct stage *s, struct stage_plan *out);

/* Copy what is held locally: units as elsewhere.  A local source that turns out altered is not an
 * error: its chunks join the positions to fetch (ask stage_plan() again afterwards). */
size_t stage_local_units(const struct stage *s);
ALB_MUST_USE struct alb_status stage_fill_local(struct stage *s, size_t unit);

/* The raw bytes of a needed position have come (verified against its key by the caller): write them
 * into every staged file that holds them.  FULL (no space left, says so), IO. */
ALB_MUST_USE struct alb_status stage_put(struct stage *s, uint32_t position, const void *raw,
                                         size_t size);
/* Every file complete, verified against its digest, and durable (syncfs).  CORRUPT names nothing
 * fetched wrong but a manifest that lies. */
ALB_MUST_USE struct alb_status stage_seal(struct stage *s);
/* Path the last error was about; "" when none. */
const char *stage_error_path(const struct stage *s);
