/* SPDX-License-Identifier: Apache-2.0 */
/* base/fault.h – lets a test make the n-th fallible call of the program fail.
 *
 * A site is a literal such as "segment.write".  In builds with ALB_FAULT the test arms the n-th hit
 * of a site (or of any site, with NULL) and fault_hits() answers true exactly then; in other
 * builds it is a constant false that the compiler removes.
 */
#pragma once

#include <stdbool.h>

#ifdef ALB_FAULT
bool fault_hits(const char *site);
/* Fail the `nth` hit from now (0 = the next) of `site`; NULL means any site. */
void fault_arm(const char *site, unsigned nth);
void fault_disarm(void);
/* Did the armed fault fire? */
bool fault_fired(void);
#else
static inline bool fault_hits(const char *site)
{
    (void)site;
    return false;
}
#endif
