/* SPDX-License-Identifier: Apache-2.0 */
/* client/agent.h – `albedo agent`: an endpoint that stays, follows its layers and can be reached.
 *
 *     session to the upstream ──"head LAYER"──> is it another than what the target holds?
 *         └── certificate, grant, trust, policy: kept current   └──> client/pull.h, one at a time
 *
 * A pull runs on the agent's own loop and session, so everything else goes on meanwhile.  A pull
 * that fails is tried again after 10 s, doubling to 10 min, or when the hub makes another version
 * current.  What the agent knows it writes into the state ("agent.json"), for `albedo status` and
 * whoever else asks; on a clean end the file goes.
 */
#pragma once

#include "client/output.h"
#include "client/state.h"
#include "transfer/line.h"

/* Beside identity.json, while an agent runs (client/agent_show.c). */
#define AGENT_FILE "agent.json"

struct agent_follow {
    char *layer; /* owned by whoever parsed it */
    const char *target;
};

struct agent_options {
    struct output *output; /* all borrowed */
    struct state *state;
    const struct agent_follow *follows; /* may be none */
    size_t follow_count;
    bool is_once; /* pull each once, then end */
    enum line_kind line;
    bool allow_metered;
    const char *sleep_command; /* puts this machine to sleep; client/helper.h says how it is run */
    const char *stay_command;  /* keeps it awake until its standard input ends */
    uint64_t wait_ns;          /* of each of those pulls; an agent that stays waits for ever */
};

/* Until it is terminated, or everything was pulled once.  Says itself what went wrong. */
enum exit_code agent_run(const struct agent_options *options);
