/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/own_grant.h – this device's own read grant: kept, judged, renewed at half its life.
 *
 * Kept in the catalogue as "grant/self".  The functions fit upstream_options.granted.
 */
#pragma once

#include "transfer/authority.h"

struct own_grant {
    struct loop *loop;
    struct catalogue *catalogue; /* borrowed; NULL: memory only */
    struct authority *authority; /* borrowed */
    const char *org, *device;    /* borrowed: whose it must be; org NULL: the trust file's */
    struct buf bytes;            /* signed, as it came; empty: none */
    int64_t renew_wall_s;
};

/* Blocking: reads what is kept; one that no longer holds counts as none. */
void own_grant_init(struct own_grant *g);
void own_grant_release(struct own_grant *g);
/* Is it ours, signed by the hub, unexpired?  Keeps it then.  `own_grant` is a struct own_grant. */
ALB_MUST_USE struct alb_status own_grant_judge(void *own_grant, const uint8_t *bytes, size_t size,
                                               int64_t *renew_wall_s);
