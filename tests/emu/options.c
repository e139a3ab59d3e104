/* SPDX-License-Identifier: Apache-2.0 */
/* emu/options.c – the command line first, then the file over it. */
#include "emu/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "emu/option_table.h"

#define LINE_MAX_BYTES 512
#define QUEUE_DEFAULT_NS 150000000u /* the usual buffer of the test matrix: 150 ms */
#define NAP_DEFAULT_NS 200000u      /* what network cards wait to gather packets */
#define TRACE_DEFAULT_NS 10000000u  /* ten lines in the shortest reaction that plots show */

const char *options_usage(void)
{
    return "usage: albedo-linkemu --ns-a NAME --ns-b NAME --addr-a ADDR/LEN --addr-b ADDR/LEN\n"
           "                      --rate RATE [options]\n"
           "Joins two network namespaces by a link with a rate, a delay and a queue.\n"
           "  --if-a, --if-b NAME    interface to make on each side (wan0)\n"
           "The link; each for one direction as --rate-ab or --rate-ba, or for both as --rate:\n"
           "  --rate RATE            IP bits per second: 512kbit, 10mbit\n"
           "  --delay TIME           one way: 40ms (0ms)\n"
           "  --queue SIZE           what fits: 150ms, 16000 bytes, 16kB or 50packets (150ms)\n"
           "  --aqm KIND             fifo, codel, fq or fq_codel; CoDel's target and interval as\n"
           "                         codel:5ms,100ms; fq is deficit round robin by 5-tuple (fifo)\n"
           "  --ecn MODE             off: CoDel drops; mark: it marks; clear: no packet may say\n"
           "                         that it understands marks (off)\n"
           "  --police RATE[,BURST]  drop what exceeds a token bucket, before the queue; 64kB of\n"
           "                         burst unless given; or no (no)\n"
           "  --loss SHARE           each packet by itself: 0.5%; in bursts (Gilbert-Elliott):\n"
           "                         ge:TO-BAD,TO-GOOD[,LOST-IN-BAD[,LOST-IN-GOOD]] (0%)\n"
           "  --jitter TIME          0 to TIME more delay, all equally likely; normal:TIME adds\n"
           "                         the absolute value of a normal number (0ms)\n"
           "  --reorder yes|no       jitter may let a packet overtake another (no)\n"
           "  --wifi MIN,MAX,GAP     a radio that pauses for MIN to MAX, GAP apart on average,\n"
           "                         for both ways at once; yes is 20ms,100ms,1s (no)\n"
           "  --down yes|no|ab|ba    start with the link cut (no)\n"
           "Changes in mid-run; SIGUSR1 sets the scripts' clock to zero again:\n"
           "  --config FILE          `key value` lines; everything is read again on SIGHUP\n"
           "  --script FILE          lines such as `at 20s rate=4mbit queue-ab=16kB`; also\n"
           "                         pause=200ms (the line stands still), outage=2s (all is lost)\n"
           "  --rate-trace FILE      lines of time,rate such as `12.5,4mbit`; seconds\n"
           "What it tells:\n"
           "  --stats FILE           where the JSON goes on SIGTERM, and on SIGUSR2\n"
           "  --queue-trace FILE     CSV: backlog, bytes out and drops in each interval\n"
           "  --trace-every TIME     that interval (10ms)\n"
           "  --nap TIME             between looks at a thick stream, to spare the processor\n"
           "                         (200us); it shows in the lateness\n"
           "  --seed NUMBER          of everything random (1)\n"
           "a to b is from ns-a to ns-b.  IPv4 only, MTU 1500.  Needs root and /dev/net/tun.\n";
}

static bool args_read(int argc, char *const *argv, struct emu_error *err, struct emu_options *o)
{
    for (int i = 1; i < argc; i += 2) {
        struct option option;
        if (strcmp(argv[i], "--help") == 0) {
            o->help = true;
            return true;
        }
        if (strncmp(argv[i], "--", 2) != 0 || !option_find(argv[i] + 2, &option) ||
            option_place(&option) == OPTION_SCRIPT)
            return emu_fail(err, "unknown option '%.100s'; --help lists them", argv[i]);
        if (i + 1 == argc)
            return emu_fail(err, "%s needs a value; --help shows which", argv[i]);
        if (!option_set(&option, argv[i + 1], o, err))
            return false;
    }
    return true;
}

/* One line of the file, which is changed: its comment and spaces are cut off. */
static bool line_read(char *line, struct emu_options *o, struct emu_error *err)
{
    struct option option;
    line[strcspn(line, "#\r\n")] = '\0';
    char *save = NULL;
    const char *key = strtok_r(line, " \t", &save);
    const char *value = strtok_r(NULL, " \t", &save);
    if (key == NULL)
        return true;
    if (!option_find(key, &option) || option_place(&option) != OPTION_FILE)
        return emu_fail(err,
                        "unknown key '%.60s'; only what describes the link may stand here: "
                        "rate-ab, queue-ba, down, … (--help)",
                        key);
    if (strtok_r(NULL, " \t", &save) != NULL)
        return emu_fail(err, "%s: one value expected; write units without a space", key);
    if (value == NULL && strcmp(key, "down") == 0)
        value = "yes";
    if (value == NULL)
        return emu_fail(err, "%s: a value is missing", key);
    return option_set(&option, value, o, err);
}

static bool lines_read(FILE *file, const char *path, struct emu_options *o, struct emu_error *err)
{
    char line[LINE_MAX_BYTES];
    for (unsigned number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        struct emu_error inner;
        if (!line_read(line, o, &inner))
            return emu_fail(err, "%.120s:%u: %.300s", path, number, inner.text);
    }
    return true;
}

static bool file_read(const char *path, struct emu_options *o, struct emu_error *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return emu_fail(err,
                        "cannot read the configuration %.200s (%s); create it, it may be empty",
                        path, strerrordesc_np(errno));
    bool ok = lines_read(file, path, o, err);
    (void)fclose(file); /* opened for reading: nothing can be lost */
    return ok;
}

static bool complete(const struct emu_options *o, struct emu_error *err)
{
    for (int i = 0; i < SIDES; i++) {
        if (o->side[i].ns == NULL)
            return emu_fail(err,
                            "--ns-%c is missing; give the name of a namespace made with "
                            "`ip netns add`",
                            'a' + i);
        if (o->side[i].prefix == 0)
            return emu_fail(err, "--addr-%c is missing; give an address such as 10.0.0.%d/30",
                            'a' + i, i + 1);
        if (o->link[i].rate_bits == 0)
            return emu_fail(err, "--rate-%s is missing; give a rate such as 10mbit",
                            i == DIR_AB ? "ab" : "ba");
    }
    return true;
}

bool options_read(int argc, char *const *argv, struct emu_error *err, struct emu_options *options)
{
    const struct link_params link = {.limit_ns = QUEUE_DEFAULT_NS};
    struct emu_options o = {
        .side = {{.ifname = "wan0"}, {.ifname = "wan0"}},
        .link = {link, link},
        .trace_every_ns = TRACE_DEFAULT_NS,
        .nap_ns = NAP_DEFAULT_NS,
        .seed = 1,
    };
    if (!args_read(argc, argv, err, &o))
        return false;
    if (!o.help && o.config_path != NULL && !file_read(o.config_path, &o, err))
        return false;
    if (!o.help && !complete(&o, err))
        return false;
    *options = o;
    return true;
}
