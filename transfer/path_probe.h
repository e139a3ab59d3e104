/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/path_probe.h – the path to the parent, measured for as long as the line is up.
 *
 *     line up ──> POST /v1/probe ──> id and port, the key from the control connection ──> a probe
 *                       └── 404, or no way there by UDP: a probe by PINGs alone
 *     line down ──> no probe
 *
 * Samples, losses and "forget" come as from shaper/probe.h; each line that comes up begins with a
 * "forget", since the parent may be another one.
 */
#pragma once

#include "shaper/probe.h"
#include "transfer/upstream.h"

struct path_probe;

struct path_probe_options {
    struct loop *loop;
    struct upstream *upstream;   /* borrowed; outlives it */
    const struct probe_ops *ops; /* borrowed; .ping is not called */
    void *arg;
};

struct path_probe *path_probe_new(const struct path_probe_options *options);
struct path_probe *path_probe_free(struct path_probe *p); /* returns NULL */
/* Kept for the lines to come; PROBE_IDLE at first. */
void path_probe_set_pace(struct path_probe *p, enum probe_pace pace);
/* False, and nothing is written, while there is no probe. */
bool path_probe_figures(const struct path_probe *p, struct probe_figures *out);
