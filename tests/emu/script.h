/* SPDX-License-Identifier: Apache-2.0 */
/* emu/script.h – what happens to the link at which time: lines of a script, and rates of a trace.
 *
 *     at 20s rate=4mbit queue-ab=16kB     # any key of the configuration file
 *     at 30s pause=200ms                  # the line stands still, packets wait
 *     at 1min outage=2s                   # down=yes now, down=no two seconds later
 *
 * A trace has lines of "time,rate" for one direction: `12.5,4mbit`; a rate of 0 is the lowest the
 * link knows, 1 kbit, which lets nothing of size through.  Lines may come in any order; what stands
 * for the same moment happens in the order of the lines, traces after scripts.  Everything is
 * checked when it is read.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "emu/error.h"
#include "emu/option_table.h"
#include "emu/options.h"

#define SCRIPT_EVENTS_MAX 1000000u /* a trace by the 100 ms lasts a day */
#define SCRIPT_VALUE_BYTES 48u

struct script_event {
    uint64_t at_ns; /* after the script's start */
    uint32_t order; /* among those of the same moment */
    struct option option;
    char value[SCRIPT_VALUE_BYTES];
};

/* A zeroed struct is an empty script. */
struct script {
    struct script_event *events;
    size_t count, room;
    size_t next; /* the first that did not happen yet */
};

/* Read the script and the traces that `options` names.  On failure `script` is untouched. */
bool script_read(const struct emu_options *options, struct emu_error *err, struct script *script);
void script_release(struct script *script);

/* When the next event happens, or UINT64_MAX. */
uint64_t script_next_ns(const struct script *script);

/* Let everything until `elapsed_ns` happen to `options`; false if that was nothing.  The pauses
 * of events are left in `options->pause_ns` for the caller to carry out and clear. */
bool script_run(struct script *script, uint64_t elapsed_ns, struct emu_options *options);
