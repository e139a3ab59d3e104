/* SPDX-License-Identifier: Apache-2.0 */
/* hub/report.h – the hub's state at one moment, for JSON and for Prometheus. */
#pragma once

#include "hub/damage.h"
#include "hub/hub.h"
#include "wire/json.h"

struct hub_state {
    char org[ID_SIZE];
    char hub_key[2 * SIGN_PUBLIC_SIZE + 1]; /* hex */
    uint64_t trust_version, revocation_number, policy_number, override_number, uptime_s,
        worst_lag_ms;
    uint64_t layers, devices;
    bool is_whole; /* for an operator; others are not told what there is in all */
    struct chunk_store_stats store;
    struct hub_figures figures;
    const struct json_doc *sites; /* {"sites": …}: transfer/branches.h; borrowed; or NULL */
    const struct damaged_chunk *damaged; /* hub/damage.h; borrowed */
    size_t damaged_count;
};

/* Prometheus text format 0.0.4; every name begins with albedo_hub_. */
ALB_MUST_USE struct alb_status hub_metrics(const struct hub_state *s, struct buf *out);
