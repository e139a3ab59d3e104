/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/line_impl.h – what the line's two files share. */
#pragma once

#include "transfer/layer_jobs.h"
#include "transfer/line.h"
#include "transfer/path_probe.h"

struct line {
    struct line_options options;
    char name[UPSTREAM_HOST_SIZE + 8];
    struct wan *wan;
    struct path_probe *probe;            /* NULL: not measured */
    struct policy_watch watch[WAN_WAYS]; /* unless there is no policy */
    struct layer_jobs *jobs;             /* NULL: the same */
    struct timer move;                   /* the policy's other side holds from then on */
    bool is_wan;                         /* it has a law                               */
    bool is_spared;                      /* scavenging waits: it costs money           */
    bool is_near;                        /* … and turned out to be a LAN all the same  */
};
