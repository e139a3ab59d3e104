/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_policy.c – any bytes as a policy (JSON, tables), as overrides and as a zone file; what
 * is read is asked and comes back the same. */
/* LINKS: shaper wire base */
#include "base/alloc.h"
#include "fuzz/target.h"
#include "shaper/policy.h"
#include "shaper/policy_footer.h"
#include "shaper/policy_zone.h"
#include "wire/policy_csv.h"

/* A rule is 700 bytes and may be written in two; findings are at most 200 lines. */
const struct fuzz_bound fuzz_bound = {.fixed = 2 << 20, .per_byte = 1500};

/* Takes the document. */
static void ask(struct policy_doc *d)
{
    struct policy_place place = {.site = d->site_count > 0 ? d->sites[0].name : "a",
                                 .device = "d",
                                 .job = "base/debian",
                                 .direction = POLICY_DOWN,
                                 .side = POLICY_WAN,
                                 .class = POLICY_SCAVENGER};
    char site[64];
    struct policy *p;

    memcpy(site, place.site, strlen(place.site) + 1);
    place.site = site;
    p = policy_new(d, "/nonexistent"); /* no files: only what the bytes say counts */
    for (int64_t at = 1700000000; at < 1900000000; at += 7777777) {
        struct policy_terms t = policy_now(p, &place, at);

        alb_assert(policy_next_change(p, &place, at) > at);
        (void)policy_escalate(&t, 1000, (uint64_t)at);
        (void)policy_deadline(p, "base/debian", site, at);
    }
    p = policy_free(p);
}

static struct policy_doc *read_back(const struct buf *text)
{
    struct policy_findings findings;
    struct policy_doc *d = NULL;

    policy_findings_init(&findings);
    alb_assert(
        !alb_failed(policy_doc_decode(buf_peek(text), buf_size(text), NULL, NULL, &findings, &d)));
    policy_findings_release(&findings);
    return d;
}

static void write_and_read(const struct policy_doc *d)
{
    struct buf json, again, table;
    struct policy_doc *back;

    buf_init(&json, SIZE_MAX / 2);
    buf_init(&again, SIZE_MAX / 2);
    buf_init(&table, POLICY_BYTES_MAX);
    if (!alb_failed(policy_doc_encode(d, &json))) {
        back = read_back(&json);
        alb_assert(!alb_failed(policy_doc_encode(back, &again)));
        alb_assert(strcmp(buf_text(&json), buf_text(&again)) == 0);
        back = policy_doc_free(back);
    }
    if (!alb_failed(policy_csv_write(d, &table)) && buf_size(&json) > 0) {
        back = read_back(&table);
        buf_clear(&again);
        alb_assert(!alb_failed(policy_doc_encode(back, &again)));
        alb_assert(strcmp(buf_text(&json), buf_text(&again)) == 0);
        back = policy_doc_free(back);
    }
    buf_release(&json);
    buf_release(&again);
    buf_release(&table);
}

static bool any_zone(const char *zone, void *arg)
{
    (void)arg;
    return zone[0] != 'X';
}

static void as_policy(const uint8_t *bytes, size_t size)
{
    struct policy_findings findings;
    struct policy_doc *d = NULL;

    policy_findings_init(&findings);
    if (alb_failed(policy_doc_decode(bytes, size, any_zone, NULL, &findings, &d))) {
        alb_assert(findings.errors > 0 && findings.count > 0 && d == NULL);
    } else {
        write_and_read(d);
        ask(d);
    }
    policy_findings_release(&findings);
}

static void as_overrides(const uint8_t *bytes, size_t size)
{
    AUTO_FREE struct policy_overrides *o = xalloc(sizeof *o);
    struct policy_findings findings;
    struct buf again;

    policy_findings_init(&findings);
    buf_init(&again, SIZE_MAX / 2);
    if (!alb_failed(policy_overrides_decode(bytes, size, &findings, o))) {
        alb_assert(!alb_failed(policy_overrides_encode(o, &again)));
        alb_assert(
            !alb_failed(policy_overrides_decode(buf_peek(&again), buf_size(&again), &findings, o)));
    }
    policy_findings_release(&findings);
    buf_release(&again);
}

static void as_zone(const uint8_t *bytes, size_t size)
{
    struct zone_footer footer;
    struct zone *zone = NULL;
    char text[128];
    int64_t until_s;

    if (size < sizeof text) {
        memcpy(text, bytes, size);
        text[size] = '\0';
        if (zone_footer_parse(text, &footer))
            for (int64_t at = -2000000000; at < 4000000000; at += 99999999) {
                (void)zone_footer_offset(&footer, at, &until_s);
                alb_assert(until_s > at);
            }
    }
    if (alb_failed(zone_decode(bytes, size, &zone)))
        return;
    for (int64_t at = -4000000000; at < 8000000000; at += 99999999) {
        (void)zone_offset(zone, at, &until_s);
        alb_assert(until_s > at);
    }
    zone = zone_free(zone);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    as_policy(bytes, size);
    as_overrides(bytes, size);
    as_zone(bytes, size);
}
