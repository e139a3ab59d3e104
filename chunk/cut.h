/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/cut.h – where a stream of bytes is cut into chunks.
 *
 * Content-defined: gear hash with normalised chunking (FastCDC, Xia et al., USENIX ATC'16).  A cut
 * point depends only on the bytes before it since the last cut, so an insertion disturbs a chunk
 * or two and the rest keeps its name.  The parameters below are part of the format: a manifest
 * says which it was made with, and every maker with the same parameters cuts alike.
 *
 * The gear table is not a listing but a rule: entry i is the first eight bytes, little-endian, of
 * SHA-256("albedo gear 1" followed by the byte i).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct cut_params {
    uint32_t min;     /* bytes; no cut before                                         */
    uint32_t average; /* bytes, a power of two; the strict mask before, loose after   */
    uint32_t max;     /* bytes; a cut at the latest                                   */
};

/* Chosen by measurement (ARCHITECTURE.md, "Sizes"). */
extern const struct cut_params cut_content;  /* file content      */
extern const struct cut_params cut_manifest; /* manifest streams  */

/* ALB_INVALID unless 64 ≤ min < average < max ≤ CUT_MAX_LIMIT and average is a power of two. */
enum { CUT_MAX_LIMIT = 4 << 20 };
ALB_MUST_USE struct alb_status cut_params_check(const struct cut_params *p);

struct cutter {
    struct cut_params params;
    uint64_t strict_mask;
    uint64_t loose_mask;
};

void cutter_init(struct cutter *c, const struct cut_params *params);

/* Length of the first chunk of `bytes`.  Unless `last`, `size` must be at least params.max (so that
 * the answer cannot depend on bytes not yet seen); with `last` the answer may be `size` itself. */
size_t cutter_next(const struct cutter *c, const uint8_t *bytes, size_t size);
