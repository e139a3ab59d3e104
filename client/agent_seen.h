/* SPDX-License-Identifier: Apache-2.0 */
/* client/agent_seen.h – what other commands see of the agent on their state: does it run, and what
 * did it write down last?
 */
#pragma once

#include "client/output.h"
#include "client/state.h"

struct agent_seen {
    bool is_running;
    long pid;             /* of one that runs; 0: not known */
    struct json_doc *doc; /* its agent.json, or what a killed one left; NULL: none */
};

void agent_seen_read(const struct state *s, struct agent_seen *out);
void agent_seen_release(struct agent_seen *seen);
/* Lines of `albedo status`; nothing where no agent ever ran. */
void agent_seen_tell(const struct agent_seen *seen, struct output *o);
/* As an object "agent": is_running, pid, and "tells", the document. */
void agent_seen_json(const struct agent_seen *seen, struct json_writer *w);
