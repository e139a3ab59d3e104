/* SPDX-License-Identifier: Apache-2.0 */
/* emu/options.h – what the emulator is told: by its command line, and by a file read again on
 * SIGHUP.
 *
 * The file has one `key value` per line, the keys being the command line's without the dashes;
 * `#` begins a comment.  The file wins over the command line, and a key that is removed from it
 * falls back to the command line.  So a test cuts the link by writing `down yes` and brings it
 * back by removing the line.  What describes the link takes effect on a re-read; names, addresses
 * and paths stay.  A script (emu/script.h) changes the same keys at given times.
 */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "emu/error.h"
#include "emu/link.h"

enum { SIDE_A, SIDE_B, SIDES };
enum { DIR_AB, DIR_BA, DIRS };

struct emu_side {
    const char *ns; /* a name under /run/netns */
    char ifname[IFNAMSIZ];
    struct in_addr addr;
    unsigned prefix; /* length, 0 to 32 */
};

/* Strings are borrowed from argv, except those set by the file, which are not kept. */
struct emu_options {
    struct emu_side side[SIDES];
    struct link_params link[DIRS];
    uint64_t pause_ns[DIRS];      /* a pause asked for by the event just run; 0: none */
    const char *rate_trace[DIRS]; /* files of "time,rate" lines, or NULL */
    const char *script_path;      /* or NULL */
    const char *config_path;      /* or NULL */
    const char *stats_path;       /* NULL is standard output */
    const char *queue_trace_path; /* or NULL */
    uint64_t trace_every_ns;
    uint64_t nap_ns; /* see emu/pace.h */
    uint64_t seed;
    bool help;
};

/* Fill `options` from the command line and the file it names, and check that nothing required is
 * missing.  Used again on SIGHUP with the same arguments; on failure `options` is untouched. */
bool options_read(int argc, char *const *argv, struct emu_error *err, struct emu_options *options);

/* The text of --help. */
const char *options_usage(void);
