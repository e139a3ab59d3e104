/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_sites.c – any bytes as a site directory (JSON, tables); what is read is asked who is
 * where, goes into a policy, and comes back the same. */
/* LINKS: wire base */
#include "base/alloc.h"
#include "fuzz/target.h"
#include "wire/sites_find.h"

/* A site is 700 bytes and may be written in two; lists of JSON cost more than their text. */
const struct fuzz_bound fuzz_bound = {.fixed = 2 << 20, .per_byte = 2500};

static bool any_zone(const char *zone, void *arg)
{
    (void)arg;
    return zone[0] != 'X';
}

static struct sites *read_back(const struct buf *text)
{
    struct policy_findings findings;
    struct sites *s = NULL;

    policy_findings_init(&findings);
    alb_assert(
        !alb_failed(sites_decode(buf_peek(text), buf_size(text), NULL, NULL, &findings, &s)));
    policy_findings_release(&findings);
    return s;
}

static void write_and_read(struct sites *s)
{
    struct buf json, again, table;
    struct sites *back;

    s->number = 0;
    buf_init(&json, SITES_BYTES_MAX);
    buf_init(&again, SITES_BYTES_MAX);
    buf_init(&table, SITES_BYTES_MAX);
    if (!alb_failed(sites_encode(s, &json)) && !alb_failed(sites_csv_write(s, &table))) {
        back = read_back(&json);
        alb_assert(!alb_failed(sites_encode(back, &again)));
        alb_assert(strcmp(buf_text(&json), buf_text(&again)) == 0);
        back = sites_free(back);
        back = read_back(&table);
        buf_clear(&again);
        alb_assert(!alb_failed(sites_encode(back, &again)));
        alb_assert(strcmp(buf_text(&json), buf_text(&again)) == 0);
        back = sites_free(back);
    }
    buf_release(&json);
    buf_release(&again);
    buf_release(&table);
}

/* The first address of each subnet is at its site, or at one with a subnet that begins there and
 * is narrower; each gateway is at its own. */
static void ask(const struct sites *s)
{
    struct sites_index *x = sites_index_new(s);

    for (size_t i = 0; i < s->count; i++) {
        const struct site *site = &s->list[i];

        for (size_t k = 0; k < site->subnet_count; k++) {
            uint8_t address[1][16];

            memcpy(address[0], site->subnets[k].address, 16);
            const struct sites_found f =
                sites_find(x, &(struct sites_place){.addresses = (const uint8_t(*)[16])address,
                                                    .address_count = 1});
            alb_assert(f.why == SITES_BY_SUBNET && f.subnet.bits >= site->subnets[k].bits);
            alb_assert(f.site == site || f.subnet.bits > site->subnets[k].bits);
        }
        const struct sites_found f =
            sites_find(x, &(struct sites_place){.gateways = site->gateways,
                                                .gateway_count = site->gateway_count});
        alb_assert(site->gateway_count == 0 || (f.site == site && f.why == SITES_BY_GATEWAY));
    }
    x = sites_index_free(x);
}

static void into_policy(const struct sites *s)
{
    struct policy_doc *d = policy_doc_new();
    char why[256];

    sites_into_policy(s, d);
    alb_assert(sites_agree_with(s, d, why));
    d = policy_doc_free(d);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    struct policy_findings findings;
    struct sites *s = NULL;

    policy_findings_init(&findings);
    if (alb_failed(sites_decode(bytes, size, any_zone, NULL, &findings, &s))) {
        alb_assert(findings.errors > 0 && findings.count > 0 && s == NULL);
    } else {
        write_and_read(s);
        ask(s);
        into_policy(s);
    }
    policy_findings_release(&findings);
    s = sites_free(s);
}
