/* SPDX-License-Identifier: Apache-2.0 */
/* wire/sites_rows.c – the columns of a site, and the cells that only a site has. */
#include "wire/sites_rows.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "wire/policy_cells.h"
#include "wire/policy_words.h"
#include "wire/subnets.h"

/* ---- words ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Pairs of digits, between which one sign or none stands, always the same places. */
struct alb_status site_mac_parse(const char *text, struct site_mac *out)
{
    const struct alb_status wrong =
        alb_fail(ALB_INVALID, "a MAC address is six bytes in hexadecimal, as in 52:54:00:ab:cd:ef");
    const size_t size = strlen(text), group = size == 14 ? 4 : 2;
    const char between = size == 14 ? '.' : size == 17 && text[2] == '-' ? '-' : ':';
    struct site_mac mac;
    size_t digits = 0;

    memset(&mac, 0, sizeof mac);
    if (size != 14 && size != 17)
        return wrong;
    for (size_t i = 0; i < size; i++) {
        if (i % (group + 1) == group) {
            if (text[i] != between)
                return wrong;
            continue;
        }
        const int value = hex_value(text[i]);
        if (value < 0)
            return wrong;
        mac.bytes[digits / 2] = (uint8_t)(mac.bytes[digits / 2] << 4 | value);
        digits++;
    }
    *out = mac;
    return ALB_STATUS_OK;
}

const char *site_mac_text(const struct site_mac *mac, char out[18])
{
    const uint8_t *b = mac->bytes;

    (void)snprintf(out, 18, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
    return out;
}

struct alb_status site_address_parse(const char *text, uint8_t out[16])
{
    static const uint8_t V4[12] = {[10] = 0xff, [11] = 0xff};
    uint8_t address[16];

    if (inet_pton(AF_INET, text, address + 12) == 1)
        memcpy(address, V4, sizeof V4);
    else if (inet_pton(AF_INET6, text, address) != 1)
        return alb_fail(ALB_INVALID, "that is no IPv4 or IPv6 address");
    memcpy(out, address, sizeof address);
    return ALB_STATUS_OK;
}

const char *site_subnet_text(const struct policy_subnet *s, char out[64])
{
    uint8_t memory[64];
    struct buf text = {.bytes = memory, .capacity = sizeof memory, .limit = sizeof memory};

    subnet_write(s, &text);
    (void)snprintf(out, 64, "%.*s", (int)buf_size(&text), (const char *)buf_peek(&text));
    return out;
}

struct alb_status site_subnet_parse(const char *text, struct policy_subnet *out)
{
    return subnet_parse(text, out);
}

const char *site_use_word(enum site_use use)
{
    static const char *const WORDS[] = {"", "always", "prefer", "direct"};

    return WORDS[use];
}

/* ---- lists ---- */

static const struct alb_status TOO_LONG = {
    ALB_INVALID, 0, "a site has at most 1024 subnets, gateways and reflectors each"};

bool site_subnet_is_everywhere(const struct policy_subnet *s)
{
    static const struct policy_subnet LINKS[] = {
        {.address = {[10] = 0xff, [11] = 0xff, [12] = 127}, .bits = 104},
        {.address = {[10] = 0xff, [11] = 0xff, [12] = 169, [13] = 254}, .bits = 112},
        {.address = {[10] = 0xff, [11] = 0xff, [12] = 224}, .bits = 100},
        {.address = {[15] = 1}, .bits = 128},
        {.address = {0xfe, 0x80}, .bits = 10},
        {.address = {0xff}, .bits = 8},
    };

    for (size_t i = 0; i < ALB_COUNT(LINKS); i++)
        if (s->bits >= LINKS[i].bits && subnet_holds(&LINKS[i], s->address))
            return true;
    return false;
}

static struct alb_status read_subnets(const struct policy_column *c, struct policy_row *r,
                                      const char *text)
{
    struct site *site = r->item;
    char word[128];

    (void)c;
    while (policy_next_word(&text, word)) {
        struct policy_subnet one = {.site = 0};
        struct alb_status st = subnet_parse(word, &one);

        if (alb_failed(st))
            return st;
        if (site_subnet_is_everywhere(&one))
            return alb_fail(ALB_INVALID, "loopback, link-local and multicast addresses are "
                                         "everywhere: they say nothing about a site");
        if (site->subnet_count == SITE_LIST_MAX)
            return TOO_LONG;
        site->subnets = policy_list_grown(site->subnets, site->subnet_count, sizeof one);
        site->subnets[site->subnet_count++] = one;
    }
    return ALB_STATUS_OK;
}

static void write_subnets(const struct policy_column *c, const struct policy_doc *d,
                          const void *item, struct buf *out)
{
    const struct site *site = item;

    (void)c;
    (void)d;
    for (size_t i = 0; i < site->subnet_count; i++) {
        words_printf(out, "%s", i == 0 ? "" : " ");
        subnet_write(&site->subnets[i], out);
    }
}

static struct alb_status read_gateways(const struct policy_column *c, struct policy_row *r,
                                       const char *text)
{
    static const struct site_mac NONE;
    struct site *site = r->item;
    char word[128];

    (void)c;
    while (policy_next_word(&text, word)) {
        struct site_mac one;
        struct alb_status st = site_mac_parse(word, &one);

        if (alb_failed(st))
            return st;
        if ((one.bytes[0] & 1) != 0 || memcmp(&one, &NONE, sizeof one) == 0)
            return alb_fail(ALB_INVALID, "no gateway has a group's address, or zero");
        if (site->gateway_count == SITE_LIST_MAX)
            return TOO_LONG;
        site->gateways = policy_list_grown(site->gateways, site->gateway_count, sizeof one);
        site->gateways[site->gateway_count++] = one;
    }
    return ALB_STATUS_OK;
}

static void write_gateways(const struct policy_column *c, const struct policy_doc *d,
                           const void *item, struct buf *out)
{
    const struct site *site = item;
    char text[18];

    (void)c;
    (void)d;
    for (size_t i = 0; i < site->gateway_count; i++)
        words_printf(out, "%s%s", i == 0 ? "" : " ", site_mac_text(&site->gateways[i], text));
}

static struct alb_status read_reflectors(const struct policy_column *c, struct policy_row *r,
                                         const char *text)
{
    struct site *site = r->item;
    char word[128];

    (void)c;
    while (policy_next_word(&text, word)) {
        struct alb_status st = id_check(word);

        if (alb_failed(st))
            return st;
        if (site->reflector_count == SITE_LIST_MAX)
            return TOO_LONG;
        site->reflectors =
            policy_list_grown(site->reflectors, site->reflector_count, sizeof *site->reflectors);
        (void)snprintf(site->reflectors[site->reflector_count++], sizeof *site->reflectors, "%.63s",
                       word);
    }
    return ALB_STATUS_OK;
}

static void write_reflectors(const struct policy_column *c, const struct policy_doc *d,
                             const void *item, struct buf *out)
{
    const struct site *site = item;

    (void)c;
    (void)d;
    for (size_t i = 0; i < site->reflector_count; i++)
        words_printf(out, "%s%s", i == 0 ? "" : " ", site->reflectors[i]);
}

/* ---- numbers ---- */

static struct alb_status read_latency(const struct policy_column *c, struct policy_row *r,
                                      const char *text)
{
    struct site *site = r->item;
    uint64_t ns;
    struct alb_status st = parse_duration(text, &ns);

    (void)c;
    if (alb_failed(st))
        return st;
    if (ns < NS_PER_MS || ns > (uint64_t)SITES_LATENCY_MAX_MS * NS_PER_MS || ns % NS_PER_MS != 0)
        return alb_fail(ALB_INVALID, "the latency is 1ms to 10s, in whole ms");
    site->terms.latency_ms = (uint32_t)(ns / NS_PER_MS);
    return ALB_STATUS_OK;
}

static void write_latency(const struct policy_column *c, const struct policy_doc *d,
                          const void *item, struct buf *out)
{
    const struct site *site = item;

    (void)c;
    (void)d;
    if (site->terms.latency_ms > 0)
        words_printf(out, "%ums", site->terms.latency_ms);
}

static struct alb_status read_count(const char *text, uint64_t most, uint32_t *out,
                                    struct alb_status wrong)
{
    uint64_t value;

    if (alb_failed(parse_u64(text, most, &value)) || value == 0)
        return wrong;
    *out = (uint32_t)value;
    return ALB_STATUS_OK;
}

static struct alb_status read_load(const struct policy_column *c, struct policy_row *r,
                                   const char *text)
{
    (void)c;
    return read_count(text, 100, &((struct site *)r->item)->terms.load_percent,
                      alb_fail(ALB_INVALID, "load is a whole number from 1 to 100, in percent"));
}

static struct alb_status read_sessions(const struct policy_column *c, struct policy_row *r,
                                       const char *text)
{
    (void)c;
    return read_count(text, SITES_SESSIONS_MAX, &((struct site *)r->item)->terms.max_sessions,
                      alb_fail(ALB_INVALID, "max_sessions is a whole number from 1 to 65535"));
}

static void write_count(const struct policy_column *c, const struct policy_doc *d, const void *item,
                        struct buf *out)
{
    uint32_t value;

    (void)d;
    memcpy(&value, (const char *)item + c->offset, sizeof value);
    if (value > 0)
        words_printf(out, "%u", value);
}

/* ---- the table ---- */

static const struct policy_cell cell_site_subnets = {read_subnets, write_subnets};
static const struct policy_cell cell_gateways = {read_gateways, write_gateways};
static const struct policy_cell cell_reflectors = {read_reflectors, write_reflectors};
static const struct policy_cell cell_latency = {read_latency, write_latency};
static const struct policy_cell cell_load = {read_load, write_count};
static const struct policy_cell cell_sessions = {read_sessions, write_count};

static const struct policy_word USES[] = {{"always", SITE_USE_ALWAYS},
                                          {"prefer", SITE_USE_PREFER},
                                          {"direct", SITE_USE_DIRECT},
                                          {NULL, 0}};

static const struct policy_word KEEPS[] = {{"yes", SITE_KEEP_YES}, {"no", SITE_KEEP_NO}, {NULL, 0}};

#define CELL(word, member, kind)                                                                   \
    .name = (word), .cell = &(kind), .offset = offsetof(struct site, member),                      \
    .size = sizeof(((struct site *)NULL)->member)

static const struct policy_column COLUMNS[] = {
    {CELL("name", name, cell_id), .is_required = true, .is_label = true},
    {CELL("parent", parent, cell_id)},
    {CELL("subnets", subnets, cell_site_subnets), .is_list = true},
    {CELL("gateways", gateways, cell_gateways), .is_list = true},
    {CELL("reflectors", reflectors, cell_reflectors), .is_list = true},
    {CELL("zone", zone, cell_zone)},
    {CELL("link", link, cell_id)},
    {CELL("down", down_bps, cell_rate)},
    {CELL("up", up_bps, cell_rate)},
    {CELL("use", terms.use, cell_word), .words = USES, .wrong = "use is always, prefer or direct"},
    {CELL("latency", terms.latency_ms, cell_latency)},
    {CELL("load", terms.load_percent, cell_load), .is_number = true},
    {CELL("max_sessions", terms.max_sessions, cell_sessions), .is_number = true},
    {CELL("keep_awake", terms.keep_awake, cell_word), .words = KEEPS,
     .wrong = "keep_awake is yes or no: one machine of each subnet, where no reflector is"},
    {CELL("note", note, cell_text)},
};

const struct policy_columns site_columns = {"site", "sites", COLUMNS, ALB_COUNT(COLUMNS)};

const char *site_column(size_t index)
{
    return index < site_columns.count ? site_columns.list[index].name : NULL;
}

void site_column_write(const struct site *s, size_t index, struct buf *out)
{
    policy_column_write(&site_columns.list[index], NULL, s, out);
}

/* ---- rows ---- */

struct alb_status site_row_begin(struct policy_row *r, struct sites *s)
{
    if (s->count == SITES_MAX)
        return alb_fail(ALB_FULL, "there are at most 10000 sites");
    s->list = policy_list_grown(s->list, s->count, sizeof *s->list);
    s->list[s->count] = (struct site){.line = 0};
    policy_row_begin_alone(r, POLICY_KIND_BRANCH, &site_columns, &s->list[s->count], s->count);
    s->count++;
    return ALB_STATUS_OK;
}
