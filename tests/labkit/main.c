/* SPDX-License-Identifier: Apache-2.0 */
/* labkit/main.c – albedo-traffic: what the lab puts on a link beside the product, and its meters */
#include <stdio.h>
#include <string.h>

#include "labkit/tools.h"

static const struct tool {
    const char *name;
    int least; /* how many words after the name */
    int (*run)(int argc, char **argv);
    const char *usage;
} TOOLS[] = {
    {"tap", 2, tool_tap, "IFACE NAME=ADDR:PORT…       wire bytes by kind, every 10 ms (0: any)"},
    {"echo", 1, tool_echo, "PORT                        the other end of ping"},
    {"ping", 5, tool_ping, "HOST PORT HZ SECONDS BYTES  datagrams of BYTES"},
    {"serve", 2, tool_serve, "PORT CONGESTION             GET /BYTES, PUT"},
    {"fetch", 3, tool_fetch, "HOST PORT SECONDS           one download, bytes every 100 ms"},
    {"push", 4, tool_push, "HOST PORT SECONDS CONGESTION  one upload"},
    {"web", 5, tool_web, "HOST PORT SECONDS THINK_MS BYTES…  small objects in turn"},
    {"pages", 6, tool_pages, "HOST PORT SECONDS PEOPLE PAUSE_S SEED  an office that reads"},
    {"lend", 1, tool_lend, "PORT                        the other end of ledbat"},
    {"ledbat", 3, tool_ledbat, "HOST PORT SECONDS         one download by a LEDBAT++-like window"},
};
enum { TOOL_COUNT = sizeof TOOLS / sizeof TOOLS[0] };

int main(int argc, char **argv)
{
    for (int i = 0; argc > 1 && i < TOOL_COUNT; i++)
        if (strcmp(argv[1], TOOLS[i].name) == 0 && argc - 2 >= TOOLS[i].least)
            return TOOLS[i].run(argc - 2, argv + 2);
    (void)fputs("usage: albedo-traffic TOOL …; tests/lab starts these, see tests/labkit\n", stderr);
    for (int i = 0; i < TOOL_COUNT; i++)
        (void)fprintf(stderr, "  %-6s %s\n", TOOLS[i].name, TOOLS[i].usage);
    return 2;
}
