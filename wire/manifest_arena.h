/* SPDX-License-Identifier: Apache-2.0 */
/* wire/manifest_arena.h – what a decoded manifest's pointers point into, within a budget.
 *
 * A decoder must not be made to allocate much more than it was given: every byte is charged to a
 * budget that is a multiple of the input's size.  After the first refusal every call is refused.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct manifest_arena; /* one owner */

/* NULL when there is no memory. */
struct manifest_arena *arena_new(size_t input_size);
struct manifest_arena *arena_free(struct manifest_arena *a);
/* Not zeroed; lives as long as the arena.  `align` is a power of two.  NULL when refused. */
void *arena_take(struct manifest_arena *a, size_t size, size_t align);
/* An array outside the arena (free() it), grown by half and at least to `need` members: the array,
 * or NULL when refused (the old one stays). */
void *arena_grow(struct manifest_arena *a, void *array, size_t *capacity, size_t need,
                 size_t member_size);
/* Why it refused: CORRUPT (the budget) or FULL (no memory); OK when it did not. */
struct alb_status arena_status(const struct manifest_arena *a);
