/* SPDX-License-Identifier: Apache-2.0 */
/* support/tree_diff.h – do two trees look alike to those who use them?
 *
 * Compared are names, types, modes, owners, modification times, sizes, bytes, symlink texts, device
 * numbers, user. attributes and which names are links of one file.  ".albedo" at the top is
 * skipped.
 */
#pragma once

#include <stdbool.h>

/* The first difference in words, heap; NULL when there is none.  `more`: the second may have more
 * names than the first. */
char *tree_diff(const char *want, const char *got, bool more);
/* Is there a file anywhere below `top` whose bytes are exactly `text`? */
bool tree_has_text(const char *top, const char *text);
