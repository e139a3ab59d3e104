/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_sites.c – what a directory of 10,000 sites costs: reading, judging, writing, and
 * asking who is where. */
/* LINKS: wire base */

/* usage: bench_sites [QUESTIONS]
 *
 * CPU time.  At -O2, one machine: 29 ms for a table of 1.1 MB, 93 ms for its JSON of 1.9 MB, 39 ms
 * to write that; 3 ms to sort it for questions; 48 ns a question by address, 85 ns with a gateway.
 */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "wire/sites_find.h"

static double ms_since(clock_t start)
{
    return 1e3 * (double)(clock() - start) / CLOCKS_PER_SEC;
}

static void make(struct buf *text)
{
    alb_assert(
        !alb_failed(buf_printf(text, "name,parent,subnets,gateways,reflectors,zone,note\n")));
    for (unsigned i = 0; i < SITES_MAX; i++) {
        AUTO_FREE char *parent = i < 100 ? xstrdup("") : xasprintf("site-%05u", i / 100);

        alb_assert(!alb_failed(buf_printf(
            text,
            "site-%05u,%s,10.%u.%u.0/24 2001:db8:%x::/48,52:54:00:00:%02x:%02x,refl-%05u,%s,"
            "a branch among many others\n",
            i, parent, i >> 8, i & 255, i, i >> 8, i & 255, i, i < 100 ? "Europe/Oslo" : "")));
    }
}

static struct sites *decode(const struct buf *text, const char *what)
{
    struct policy_findings findings;
    struct sites *s = NULL;
    const clock_t start = clock();

    policy_findings_init(&findings);
    alb_assert(
        !alb_failed(sites_decode(buf_peek(text), buf_size(text), NULL, NULL, &findings, &s)));
    policy_findings_release(&findings);
    printf("%-42s %8.1f ms, %zu bytes\n", what, ms_since(start), buf_size(text));
    return s;
}

static void ask(const struct sites_index *x, const char *what, bool by_gateway, unsigned questions)
{
    uint8_t address[1][16] = {{[10] = 0xff, [11] = 0xff, [12] = 10}};
    struct site_mac mac = {{0x52, 0x54}};
    const clock_t start = clock();
    size_t found = 0;

    for (unsigned i = 0; i < questions; i++) {
        address[0][13] = (uint8_t)(i * 7);
        address[0][14] = (uint8_t)(i * 13);
        address[0][15] = (uint8_t)i;
        mac.bytes[4] = (uint8_t)(i * 5);
        mac.bytes[5] = (uint8_t)(i * 11);
        found += sites_find(x, &(struct sites_place){.addresses = (const uint8_t(*)[16])address,
                                                     .address_count = 1,
                                                     .gateways = &mac,
                                                     .gateway_count = by_gateway})
                     .site != NULL;
    }
    printf("%-42s %8.0f ns a question (%zu found)\n", what, 1e6 * ms_since(start) / questions,
           found);
}

int main(int argc, char **argv)
{
    const unsigned questions = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000000;
    struct buf table, json;

    buf_init(&table, SITES_BYTES_MAX);
    buf_init(&json, SITES_BYTES_MAX);
    make(&table);
    struct sites *from_table = decode(&table, "10,000 sites read and judged, a table");
    clock_t start = clock();
    alb_assert(!alb_failed(sites_encode(from_table, &json)));
    printf("%-42s %8.1f ms, %zu bytes\n", "… written as JSON", ms_since(start), buf_size(&json));
    struct sites *s = decode(&json, "… read and judged, JSON");
    start = clock();
    struct sites_index *x = sites_index_new(s);
    printf("%-42s %8.1f ms\n", "… sorted for questions", ms_since(start));
    ask(x, "who is where, by address", false, questions);
    ask(x, "who is where, by gateway and address", true, questions);
    x = sites_index_free(x);
    s = sites_free(s);
    from_table = sites_free(from_table);
    buf_release(&table);
    buf_release(&json);
    return 0;
}
