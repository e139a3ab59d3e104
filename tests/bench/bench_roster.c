/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_roster.c – what 65,536 announced devices cost a hub: coming, saying the same again,
 * being found, and memory. */
/* LINKS: transfer net wire base sim_world */

/* usage: bench_roster [DEVICES]
 *
 * CPU time, bodies of 40 devices as a branch announces them when its line comes up.  At -O2, one
 * machine: 14 us for each that comes, 16 us to hear the same again, 0.5 us to find one; 474 bytes
 * of JSON and 863 bytes of memory each.
 */

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "sim/world.h"
#include "transfer/roster.h"

enum { BRANCH = 40 };

static double us_since(clock_t start)
{
    return 1e6 * (double)(clock() - start) / CLOCKS_PER_SEC;
}

static void add_device(struct buf *body, unsigned branch, unsigned i)
{
    alb_assert(!alb_failed(buf_printf(
        body,
        "%s{\"device\":\"pc-%05u-%02u\",\"role\":\"endpoint\",\"since\":1700000000,\"place\":{"
        "\"site\":\"site-%05u\",\"by\":\"gateway\",\"addresses\":[\"10.%u.%u.%u/24\",\"2001:db8:%x:"
        "%x::%x/64\"],\"gateways\":[\"52:54:00:00:%02x:%02x\"],\"nature\":\"wired\",\"metered\":"
        "false},\"cards\":[{\"mac\":\"52:54:01:%02x:%02x:%02x\",\"link\":\"eth0\",\"wake\":["
        "\"magic\"]}],\"upstream\":{\"device\":\"refl-%05u\",\"kind\":\"reflector\"},\"layers\":[{"
        "\"layer\":\"base/debian-12\",\"sequence\":7,\"version\":\"12.5\"},{\"layer\":"
        "\"app/office\",\"sequence\":3,\"version\":\"2026.1\"}]}",
        i == 0 ? "" : ",", branch, i, branch, branch >> 8, branch & 255, i + 2, branch, branch,
        i + 2, branch >> 8 & 255, branch & 255, branch >> 8 & 255, branch & 255, i, branch)));
}

static double round_of(struct roster *r, unsigned devices, size_t *bytes)
{
    double us = 0;
    char via[16];
    struct buf body;

    buf_init(&body, ANNOUNCE_BODY_MAX);
    *bytes = 0;
    for (unsigned branch = 0; branch * BRANCH < devices; branch++) {
        buf_clear(&body);
        alb_assert(!alb_failed(buf_printf(&body, "{\"devices\":[")));
        for (unsigned i = 0; i < BRANCH && branch * BRANCH + i < devices; i++)
            add_device(&body, branch, i);
        alb_assert(!alb_failed(buf_printf(&body, "]}")));
        (void)snprintf(via, sizeof via, "refl-%05u", branch);
        *bytes += buf_size(&body);
        const clock_t start = clock();
        alb_assert(!alb_failed(
            roster_take(r, via, ROLE_REFLECTOR, ROSTER_ALL, buf_peek(&body), buf_size(&body))));
        us += us_since(start);
    }
    buf_release(&body);
    return us;
}

static void find_all(const struct roster *r, unsigned devices)
{
    const clock_t start = clock();
    char name[32];
    size_t found = 0;

    for (unsigned i = 0; i < devices; i++) {
        (void)snprintf(name, sizeof name, "pc-%05u-%02u", i / BRANCH, i % BRANCH);
        found += roster_find(r, name) != NULL;
    }
    printf("%-34s %8.2f us each, %zu found\n", "found by name", us_since(start) / devices, found);
}

int main(int argc, char **argv)
{
    static const struct identity hub = {.role = ROLE_HUB, .org = "acme", .device = "hub"};
    const unsigned devices = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : ROSTER_HUB_DEVICES;
    struct world *world = world_new(1);
    struct roster *r = roster_new(&(struct roster_options){
        .loop = world_add_node(world, "hub", &hub), .max_devices = ROSTER_HUB_DEVICES});
    const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    size_t bytes = 0;

    double us = round_of(r, devices, &bytes);
    printf("%-34s %8.2f us each, %zu bytes each\n", "came", us / devices, bytes / devices);
    printf("%-34s %8zu bytes each\n", "memory",
           (mallinfo2().uordblks + mallinfo2().hblkhd - before) / devices);
    us = round_of(r, devices, &bytes);
    printf("%-34s %8.2f us each\n", "said the same again", us / devices);
    find_all(r, devices);
    roster_free(r);
    world_free(world);
    return 0;
}
