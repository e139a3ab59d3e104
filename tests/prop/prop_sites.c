/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_sites.c – laws of the site directory: who is where is what looking at every subnet and
 * gateway finds; documents come back from JSON and tables; edits are what the whole says. */
/* LINKS: wire base */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "support/gen.h"
#include "wire/sites_find.h"

enum { ROUNDS = 300, QUESTIONS = 200 };

static struct gen gen;

/* ---- directories at random: few bits, so that subnets nest and touch ---- */

static void random_address(uint8_t out[16])
{
    static const uint8_t V4[12] = {[10] = 0xff, [11] = 0xff};

    memset(out, 0, 16);
    if (gen_chance(&gen, 2, 3)) {
        memcpy(out, V4, sizeof V4);
        out[12] = 10;
        out[13] = (uint8_t)gen_below(&gen, 4);
        out[15] = (uint8_t)gen_below(&gen, 256);
    } else {
        out[0] = 0x20;
        out[1] = 0x01;
        out[5] = (uint8_t)gen_below(&gen, 4);
        out[15] = (uint8_t)gen_below(&gen, 256);
    }
}

static void random_subnet(struct policy_subnet *out)
{
    uint8_t bits;

    *out = (struct policy_subnet){.site = 0};
    random_address(out->address);
    bits = (uint8_t)gen_range(&gen, out->address[10] == 0xff ? 96 : 0, 128);
    for (unsigned i = bits; i < 128; i++)
        out->address[i / 8] = (uint8_t)(out->address[i / 8] & ~(0x80U >> i % 8));
    out->bits = bits;
}

static void random_mac(struct site_mac *out)
{
    *out = (struct site_mac){{0x52, 0x54, 0, 0, 0, (uint8_t)(1 + gen_below(&gen, 40))}};
}

static bool has_subnet(const struct sites *s, const struct policy_subnet *one)
{
    for (size_t i = 0; i < s->count; i++)
        for (size_t k = 0; k < s->list[i].subnet_count; k++)
            if (s->list[i].subnets[k].bits == one->bits &&
                memcmp(s->list[i].subnets[k].address, one->address, 16) == 0)
                return true;
    return false;
}

static bool has_mac(const struct sites *s, const struct site_mac *one)
{
    for (size_t i = 0; i < s->count; i++)
        for (size_t k = 0; k < s->list[i].gateway_count; k++)
            if (memcmp(&s->list[i].gateways[k], one, sizeof *one) == 0)
                return true;
    return false;
}

/* A site with a subnet and a gateway that nobody has; its parent is one that was there before. */
static void add_site(struct sites *s, unsigned number)
{
    struct site site = {.line = 0};
    struct policy_subnet subnet;
    struct site_mac mac;

    (void)snprintf(site.name, sizeof site.name, "s%03u", number);
    if (number > 0 && gen_chance(&gen, 1, 2))
        (void)snprintf(site.parent, sizeof site.parent, "s%03u", number / 2);
    if (strcmp(site.parent, site.name) == 0)
        site.parent[0] = '\0';
    random_subnet(&subnet);
    random_mac(&mac);
    site.subnets = xcalloc(1, sizeof subnet);
    site.gateways = xcalloc(1, sizeof mac);
    if (!has_subnet(s, &subnet))
        site.subnets[site.subnet_count++] = subnet;
    if (!has_mac(s, &mac))
        site.gateways[site.gateway_count++] = mac;
    assert_int_equal(sites_put(s, &site).code, ALB_OK);
}

static struct sites *random_sites(void)
{
    struct sites *s = sites_new();
    const unsigned count = (unsigned)gen_skewed(&gen, 60);

    for (unsigned i = 0; i < count; i++)
        add_site(s, i);
    return s;
}

/* ---- who is where, by looking at everything ---- */

/* No IPv4 address is in ::/0, although it is written as one of IPv6. */
static bool is_in(const struct policy_subnet *s, const uint8_t address[16])
{
    static const uint8_t V4[12] = {[10] = 0xff, [11] = 0xff};

    if (memcmp(address, V4, sizeof V4) == 0 && s->bits < 96)
        return false;
    for (unsigned i = 0; i < s->bits; i++)
        if (((s->address[i / 8] ^ address[i / 8]) >> (7 - i % 8) & 1) != 0)
            return false;
    return true;
}

static const struct site *naive_subnet(const struct sites *s, const struct sites_place *place)
{
    const struct site *best = NULL;
    int bits = -1;

    for (size_t a = 0; a < place->address_count; a++)
        for (size_t i = 0; i < s->count; i++)
            for (size_t k = 0; k < s->list[i].subnet_count; k++)
                if (s->list[i].subnets[k].bits > bits &&
                    is_in(&s->list[i].subnets[k], place->addresses[a])) {
                    bits = s->list[i].subnets[k].bits;
                    best = &s->list[i];
                }
    return best;
}

static const struct site *naive_gateway(const struct sites *s, const struct sites_place *place)
{
    for (size_t g = 0; g < place->gateway_count; g++)
        for (size_t i = 0; i < s->count; i++)
            for (size_t k = 0; k < s->list[i].gateway_count; k++)
                if (memcmp(&s->list[i].gateways[k], &place->gateways[g], 6) == 0)
                    return &s->list[i];
    return NULL;
}

static void ask_one(const struct sites *s, const struct sites_index *x)
{
    uint8_t addresses[3][16];
    struct site_mac gateways[2];
    struct sites_place place = {.addresses = (const uint8_t(*)[16])addresses,
                                .address_count = (size_t)gen_below(&gen, 4),
                                .gateways = gateways,
                                .gateway_count = (size_t)gen_below(&gen, 3)};

    for (size_t i = 0; i < place.address_count; i++)
        random_address(addresses[i]);
    for (size_t i = 0; i < place.gateway_count; i++)
        random_mac(&gateways[i]);
    const struct sites_found f = sites_find(x, &place);
    const struct site *by_gateway = naive_gateway(s, &place);
    assert_ptr_equal(f.subnet_site, naive_subnet(s, &place));
    assert_ptr_equal(f.site, by_gateway != NULL ? by_gateway : f.subnet_site);
    assert_int_equal(f.why, by_gateway != NULL      ? SITES_BY_GATEWAY
                            : f.subnet_site != NULL ? SITES_BY_SUBNET
                                                    : SITES_NOWHERE);
}

static void who_is_where_is_what_looking_at_everything_finds(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct sites *s = random_sites();
        struct sites_index *x = sites_index_new(s);

        for (int i = 0; i < QUESTIONS; i++)
            ask_one(s, x);
        x = sites_index_free(x);
        s = sites_free(s);
    }
}

/* ---- there and back ---- */

static struct sites *decoded(const struct buf *text)
{
    struct policy_findings findings;
    struct sites *s = NULL;

    policy_findings_init(&findings);
    if (alb_failed(sites_decode(buf_peek(text), buf_size(text), NULL, NULL, &findings, &s)))
        fail_msg("%s", findings.count > 0 ? findings.list[0].text : "no finding");
    policy_findings_release(&findings);
    return s;
}

static void assert_same(const struct sites *a, const struct sites *b)
{
    struct buf left, right;

    buf_init(&left, SITES_BYTES_MAX);
    buf_init(&right, SITES_BYTES_MAX);
    assert_int_equal(sites_encode(a, &left).code, ALB_OK);
    assert_int_equal(sites_encode(b, &right).code, ALB_OK);
    assert_string_equal(buf_text(&left), buf_text(&right));
    buf_release(&left);
    buf_release(&right);
}

static void a_directory_comes_back_from_json_and_from_a_table(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct sites *s = random_sites(), *back;
        struct buf json, table;

        buf_init(&json, SITES_BYTES_MAX);
        buf_init(&table, SITES_BYTES_MAX);
        assert_int_equal(sites_encode(s, &json).code, ALB_OK);
        assert_int_equal(sites_csv_write(s, &table).code, ALB_OK);
        back = decoded(&json);
        assert_same(s, back);
        back = sites_free(back);
        back = decoded(&table);
        assert_same(s, back);
        back = sites_free(back);
        s = sites_free(s);
        buf_release(&json);
        buf_release(&table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_where_is_what_looking_at_everything_finds),
        cmocka_unit_test(a_directory_comes_back_from_json_and_from_a_table),
    };

    (void)gen_init_from_env(&gen);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
