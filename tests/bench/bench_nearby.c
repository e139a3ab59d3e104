/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_nearby.c – what lists of who is nearby cost with 10,000 sites, two reflectors each:
 * making, comparing, signing and judging one, and finding those that a change concerns. */
/* LINKS: hub transfer net wire base */

/* CPU time.  At -O2, a busy machine: 3 us to make a list of four holders, 22 to compare it with
 * what was said before, 148 to sign it (0.9 kB), 137 to judge and read it; 2.3 ms to find which of
 * 10,000 lists a change concerns (101). */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "hub/nearby_map.h"

enum { ROUNDS = 10000 };

static double us_since(clock_t start, unsigned count)
{
    return 1e6 * (double)(clock() - start) / CLOCKS_PER_SEC / count;
}

static struct sites *make_sites(void)
{
    struct policy_findings findings;
    struct sites *s = NULL;
    struct buf text;

    buf_init(&text, SITES_BYTES_MAX);
    alb_assert(!alb_failed(buf_printf(&text, "name,parent,subnets\n")));
    for (unsigned i = 0; i < SITES_MAX; i++) {
        AUTO_FREE char *parent = i < 100 ? xstrdup("") : xasprintf("site-%05u", i / 100);

        alb_assert(!alb_failed(
            buf_printf(&text, "site-%05u,%s,10.%u.%u.0/24\n", i, parent, i >> 8, i & 255)));
    }
    policy_findings_init(&findings);
    alb_assert(
        !alb_failed(sites_decode(buf_peek(&text), buf_size(&text), NULL, NULL, &findings, &s)));
    policy_findings_release(&findings);
    buf_release(&text);
    return s;
}

static void place(struct nearby_map *m, const char *device, unsigned site)
{
    struct announce_serves serves = {.at_count = 2};
    struct announce_address address = {.bytes = {[10] = 0xff, [11] = 0xff, 10}, .bits = 120};
    struct announce a = {.is_reflector = true,
                         .serves = &serves,
                         .place = {.addresses = &address, .address_count = 1}};

    address.bytes[13] = (uint8_t)(site >> 8);
    address.bytes[14] = (uint8_t)site;
    (void)snprintf(a.device, sizeof a.device, "%s", device);
    for (unsigned i = 0; i < 2; i++) {
        (void)snprintf(serves.at[i].host, sizeof serves.at[i].host, "10.%u.%u.%u", site >> 8 & 255,
                       site & 255, i + 1);
        serves.at[i].port = 7443;
    }
    (void)nearby_map_place(m, &a);
}

static void admit_all(struct nearby_map *m)
{
    char device[64], site[64];

    for (unsigned i = 0; i < 2 * SITES_MAX; i++) {
        (void)snprintf(site, sizeof site, "site-%05u", i / 2);
        (void)snprintf(device, sizeof device, "%.50s-box-%u", site, i % 2);
        (void)nearby_map_admit(m, device, site);
        place(m, device, i / 2);
    }
}

static void name_of(unsigned round, char out[64])
{
    (void)snprintf(out, 64, "site-%05u", round * 7919 % SITES_MAX);
}

static void make_list(const struct nearby_map *m, const struct sites *s, unsigned round,
                      struct nearby *out)
{
    const struct nearby_facts facts = {.sites = s};
    char site[64];

    name_of(round, site);
    *out = (struct nearby){.org = "acme", .number = 1, .expires_wall_s = 1};
    nearby_map_compile(m, &facts, site, out);
}

static void measure_lists(const struct nearby_map *m, const struct sites *s)
{
    struct nearby n;
    struct digest d;
    clock_t start = clock();

    for (unsigned i = 0; i < ROUNDS; i++) {
        make_list(m, s, i, &n);
        nearby_release(&n);
    }
    printf("%-42s %8.1f us\n", "made", us_since(start, ROUNDS));
    start = clock();
    for (unsigned i = 0; i < ROUNDS; i++) {
        make_list(m, s, i, &n);
        nearby_digest(&n, &d);
        nearby_release(&n);
    }
    printf("%-42s %8.1f us\n", "… and compared with what was said before", us_since(start, ROUNDS));
}

static void measure_seals(const struct nearby_map *m, const struct sites *s)
{
    const struct sign_secret secret = {.seed = {1}};
    struct trust trust = {.org = "acme"};
    struct nearby n, back;
    struct buf bytes;

    sign_public_of(&secret, &trust.hub_key);
    buf_init(&bytes, NEARBY_BYTES_MAX);
    clock_t start = clock();
    for (unsigned i = 0; i < ROUNDS; i++) {
        make_list(m, s, i, &n);
        buf_clear(&bytes);
        alb_assert(!alb_failed(nearby_encode(&n, &secret, &bytes)));
        nearby_release(&n);
    }
    printf("%-42s %8.1f us, %zu bytes\n", "… and signed", us_since(start, ROUNDS),
           buf_size(&bytes));
    start = clock();
    for (unsigned i = 0; i < ROUNDS; i++) {
        alb_assert(!alb_failed(nearby_decode(buf_peek(&bytes), buf_size(&bytes), &trust, &back)));
        nearby_release(&back);
    }
    printf("%-42s %8.1f us\n", "judged and read", us_since(start, ROUNDS));
    buf_release(&bytes);
}

/* All lists are out, and one reflector of a large site moves. */
static void measure_change(const struct sites *s)
{
    const clock_t start = clock();
    size_t concerned = 0;

    for (size_t i = 0; i < s->count; i++)
        concerned += nearby_site_is_under(s, s->list[i].name, "site-00042");
    printf("%-42s %8.1f ms (%zu of %zu)\n", "which lists a change concerns",
           us_since(start, 1) / 1e3, concerned, s->count);
}

int main(void)
{
    struct nearby_map m;
    struct sites *s = make_sites();

    nearby_map_init(&m);
    const clock_t start = clock();
    admit_all(&m);
    printf("%-42s %8.1f ms\n", "20,000 reflectors admitted and placed", us_since(start, 1) / 1e3);
    measure_lists(&m, s);
    measure_seals(&m, s);
    measure_change(s);
    nearby_map_release(&m);
    s = sites_free(s);
    return 0;
}
