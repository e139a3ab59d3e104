/* SPDX-License-Identifier: Apache-2.0 */
/* hub/rotate.h – another online key: made beside the old one, named by a trust file, then used.
 *
 *     albedo-hub rotate-key        online.next is made, its public half is told
 *     albedo trust rotate-hub KEY  the next trust file names it; the hub takes the file ...
 *     serve, begun anew            ... online.next becomes online.key, and what the old key signed
 *                                  (heads, revocation list, policy) is signed anew
 *
 * A crash in between is harmless: each step looks at what the newest trust file says.  All block.
 */
#pragma once

#include "hub/files.h"
#include "hub/ledger.h"

struct authority;

/* Make `dir`/online.next unless it is there; *key is its public half.  IO, CORRUPT. */
ALB_MUST_USE struct alb_status rotate_prepare(const char *dir, struct sign_public *key);
/* Is that the public half of online.next? */
bool rotate_is_next(const char *dir, const struct sign_public *key);
/* When the newest trust file names online.next, make that online.key and keys->online. */
ALB_MUST_USE struct alb_status rotate_finish(const char *dir, struct catalogue *catalogue,
                                             struct hub_keys *keys, bool *has_changed);
/* Sign anew what a hub key of an earlier trust file signed.  CORRUPT: a head that no key of this
 * hub ever signed. */
ALB_MUST_USE struct alb_status rotate_sign_anew(const struct ledger *l,
                                                const struct authority *authority,
                                                int64_t now_wall_s);
