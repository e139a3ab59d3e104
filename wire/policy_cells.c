/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_cells.c – how a cell of each type is read into its place in a struct, and written. */
#include "wire/policy_cells.h"

#include <stddef.h>
#include <stdio.h>

#include "base/alloc.h"
#include "wire/policy_words.h"

static const char *text_at(const struct policy_column *c, const void *item)
{
    return (const char *)item + c->offset;
}

/* ---- texts and names ---- */

/* The length of the character of UTF-8 that begins here; 0 for what is none, or a control. */
static size_t character_size(const unsigned char *at)
{
    size_t size = *at < 0x80 ? 1 : *at >= 0xf0 ? 4 : *at >= 0xe0 ? 3 : 2;

    if (*at < 0x20 || *at == 0x7f || (*at >= 0x80 && *at < 0xc2) || *at > 0xf4)
        return 0;
    if ((*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f) ||
        (*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] > 0x8f))
        return 0; /* too long a form, a half of a pair, or beyond the last */
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

static struct alb_status read_text(const struct policy_column *c, struct policy_row *r,
                                   const char *text)
{
    if (strlen(text) >= c->size)
        return alb_fail(ALB_INVALID, "too long: at most 255 bytes");
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0';) {
        size_t one = character_size(at);

        if (one == 0)
            return alb_fail(ALB_INVALID, "one line of text in UTF-8 is expected");
        at += one;
    }
    memcpy((char *)r->item + c->offset, text, strlen(text) + 1);
    return ALB_STATUS_OK;
}

static struct alb_status read_id(const struct policy_column *c, struct policy_row *r,
                                 const char *text)
{
    struct alb_status st = id_check(text);

    if (!alb_failed(st) && strlen(text) >= c->size)
        st = alb_fail(ALB_INVALID, "the name is too long");
    return alb_failed(st) ? st : read_text(c, r, text);
}

static struct alb_status read_layer(const struct policy_column *c, struct policy_row *r,
                                    const char *text)
{
    struct alb_status st = layer_name_check(text);

    return alb_failed(st) ? st : read_text(c, r, text);
}

static struct alb_status read_zone(const struct policy_column *c, struct policy_row *r,
                                   const char *text)
{
    struct alb_status st = zone_name_check(text);

    return alb_failed(st) ? st : read_text(c, r, text);
}

static void write_text(const struct policy_column *c, const struct policy_doc *d, const void *item,
                       struct buf *out)
{
    (void)d;
    words_printf(out, "%s", text_at(c, item));
}

/* ---- words ---- */

/* Members are enums or bytes. */
static struct alb_status read_word(const struct policy_column *c, struct policy_row *r,
                                   const char *text)
{
    for (const struct policy_word *w = c->words; w->text != NULL; w++) {
        uint8_t byte = (uint8_t)w->value;

        if (strcmp(w->text, text) != 0)
            continue;
        memcpy((char *)r->item + c->offset, c->size == 1 ? (void *)&byte : (const void *)&w->value,
               c->size);
        return ALB_STATUS_OK;
    }
    return (struct alb_status){ALB_INVALID, 0, c->wrong};
}

static uint32_t value_at(const struct policy_column *c, const void *item)
{
    uint8_t byte;
    uint32_t value;

    memcpy(&byte, text_at(c, item), 1);
    if (c->size == 1)
        return byte;
    memcpy(&value, text_at(c, item), sizeof value);
    return value;
}

static void write_word(const struct policy_column *c, const struct policy_doc *d, const void *item,
                       struct buf *out)
{
    uint32_t value = value_at(c, item);

    (void)d;
    for (const struct policy_word *w = c->words; w->text != NULL; w++)
        if (w->value == value)
            words_printf(out, "%s", w->text);
}

/* ---- numbers ---- */

static struct alb_status read_rate(const struct policy_column *c, struct policy_row *r,
                                   const char *text)
{
    uint64_t bps;
    struct alb_status st = limit_parse(text, &bps);

    if (!alb_failed(st))
        memcpy((char *)r->item + c->offset, &bps, sizeof bps);
    return st;
}

static void write_rate(const struct policy_column *c, const struct policy_doc *d, const void *item,
                       struct buf *out)
{
    uint64_t bps;

    (void)d;
    memcpy(&bps, text_at(c, item), sizeof bps);
    limit_write(bps, out);
}

static struct alb_status read_percent(const struct policy_column *c, struct policy_row *r,
                                      const char *text)
{
    struct policy_rule *rule = r->item;
    uint64_t percent;

    (void)c;
    if (alb_failed(parse_u64(text, 100, &percent)) || percent == 0)
        return alb_fail(ALB_INVALID, "percent is a whole number from 1 to 100, of the measured "
                                     "capacity (for none of it, say mode off)");
    rule->action.percent = (uint32_t)percent;
    return ALB_STATUS_OK;
}

static void write_percent(const struct policy_column *c, const struct policy_doc *d,
                          const void *item, struct buf *out)
{
    const struct policy_rule *rule = item;

    (void)c;
    (void)d;
    if (rule->action.percent > 0)
        words_printf(out, "%u", rule->action.percent);
}

static struct alb_status read_queue(const struct policy_column *c, struct policy_row *r,
                                    const char *text)
{
    struct policy_rule *rule = r->item;
    uint64_t ns;
    struct alb_status st = parse_duration(text, &ns);

    (void)c;
    if (alb_failed(st))
        return st;
    if (ns < NS_PER_MS || ns > NS_PER_S || ns % NS_PER_MS != 0)
        return alb_fail(ALB_INVALID, "the queue it may add is 1ms to 1000ms, in whole ms");
    rule->action.max_queue_ms = (uint32_t)(ns / NS_PER_MS);
    return ALB_STATUS_OK;
}

static void write_queue(const struct policy_column *c, const struct policy_doc *d, const void *item,
                        struct buf *out)
{
    const struct policy_rule *rule = item;

    (void)c;
    (void)d;
    if (rule->action.max_queue_ms > 0)
        words_printf(out, "%ums", rule->action.max_queue_ms);
}

static struct alb_status read_instant(const struct policy_column *c, struct policy_row *r,
                                      const char *text)
{
    int64_t wall_s;
    struct alb_status st = instant_parse(text, &wall_s);

    if (!alb_failed(st))
        memcpy((char *)r->item + c->offset, &wall_s, sizeof wall_s);
    return st;
}

static void write_instant(const struct policy_column *c, const struct policy_doc *d,
                          const void *item, struct buf *out)
{
    char text[UNITS_TEXT_SIZE];
    int64_t wall_s;

    (void)d;
    memcpy(&wall_s, text_at(c, item), sizeof wall_s);
    words_printf(out, "%s", format_time(wall_s, text));
}

/* ---- scopes; a rule's and an override's lie apart ---- */

static struct alb_status read_scope(const struct policy_column *c, struct policy_row *r,
                                    const char *text)
{
    struct policy_rule *rule = r->item;
    struct policy_override *override = r->item;

    (void)c;
    if (r->kind == POLICY_KIND_RULE)
        return policy_scope_parse(text, &rule->scope, rule->of);
    return policy_scope_parse(text, &override->scope, override->of);
}

static void write_scope(const struct policy_column *c, const struct policy_doc *d, const void *item,
                        struct buf *out)
{
    const struct policy_rule *rule = item;
    const struct policy_override *override = item;
    char text[128];

    (void)c; /* of a rule there is a document */
    words_printf(out, "%s",
                 d != NULL ? policy_scope_text(rule->scope, rule->of, text)
                           : policy_scope_text(override->scope, override->of, text));
}

/* ---- when ---- */

static struct alb_status read_days(const struct policy_column *c, struct policy_row *r,
                                   const char *text)
{
    struct policy_rule *rule = r->item;

    (void)c;
    return days_parse(text, &rule->when.days);
}

static void write_days(const struct policy_column *c, const struct policy_doc *d, const void *item,
                       struct buf *out)
{
    const struct policy_rule *rule = item;

    (void)c;
    (void)d;
    days_write(rule->when.days, out);
}

static struct alb_status read_hours(const struct policy_column *c, struct policy_row *r,
                                    const char *text)
{
    struct policy_rule *rule = r->item;

    (void)c;
    return hours_parse(text, &rule->when.from_min, &rule->when.to_min);
}

static void write_hours(const struct policy_column *c, const struct policy_doc *d, const void *item,
                        struct buf *out)
{
    const struct policy_rule *rule = item;

    (void)c;
    (void)d;
    hours_write(rule->when.from_min, rule->when.to_min, out);
}

static struct alb_status read_dates(const struct policy_column *c, struct policy_row *r,
                                    const char *text)
{
    struct policy_rule *rule = r->item;
    struct policy_dates dates;
    struct alb_status st = dates_parse(text, true, &dates);

    (void)c;
    if (alb_failed(st))
        return st;
    rule->when.first_day = dates.first_day;
    rule->when.last_day = dates.last_day;
    return ALB_STATUS_OK;
}

static void write_dates(const struct policy_column *c, const struct policy_doc *d, const void *item,
                        struct buf *out)
{
    const struct policy_rule *rule = item;

    (void)c;
    (void)d;
    dates_write(&(struct policy_dates){rule->when.first_day, rule->when.last_day}, out);
}

/* ---- lists: a word at a time ---- */

bool policy_next_word(const char **rest, char out[128])
{
    static const char BETWEEN[] = " ,;\t";
    size_t size;

    *rest += strspn(*rest, BETWEEN);
    size = strcspn(*rest, BETWEEN);
    if (size == 0)
        return false;
    (void)snprintf(out, 128, "%.*s", (int)(size < 127 ? size : 127), *rest);
    *rest += size;
    return true;
}

/* `on` or `except` */
static uint64_t *calendars_at(const struct policy_column *c, struct policy_rule *rule)
{
    return c->offset == offsetof(struct policy_rule, when.on) ? &rule->when.on : &rule->when.except;
}

static struct alb_status read_calendars(const struct policy_column *c, struct policy_row *r,
                                        const char *text)
{
    const struct policy_doc *d = r->doc;
    uint64_t all = 0;
    char name[128];

    while (policy_next_word(&text, name)) {
        size_t i = 0;

        while (i < d->calendar_count && strcmp(d->calendars[i].name, name) != 0)
            i++;
        if (i == d->calendar_count)
            return alb_fail(ALB_INVALID, "this policy has no calendar of that name");
        all |= UINT64_C(1) << i;
    }
    *calendars_at(c, r->item) = all;
    return ALB_STATUS_OK;
}

static void write_calendars(const struct policy_column *c, const struct policy_doc *d,
                            const void *item, struct buf *out)
{
    const char *between = "";
    uint64_t all = 0;

    memcpy(&all, text_at(c, item), sizeof all);
    for (size_t i = 0; i < d->calendar_count; i++) {
        if ((all >> i & 1) == 0)
            continue;
        words_printf(out, "%s%s", between, d->calendars[i].name);
        between = " ";
    }
}

static struct alb_status read_subnets(const struct policy_column *c, struct policy_row *r,
                                      const char *text)
{
    struct policy_doc *d = r->doc;
    char word[128];

    (void)c;
    while (policy_next_word(&text, word)) {
        struct policy_subnet s = {.site = (uint32_t)((struct policy_site *)r->item - d->sites)};
        struct alb_status st = subnet_parse(word, &s);

        if (alb_failed(st))
            return st;
        if (d->subnet_count == POLICY_SUBNETS_MAX)
            return alb_fail(ALB_INVALID, "a policy has at most 20000 subnets");
        d->subnets = policy_list_grown(d->subnets, d->subnet_count, sizeof s);
        d->subnets[d->subnet_count++] = s;
    }
    return ALB_STATUS_OK;
}

static void write_subnets(const struct policy_column *c, const struct policy_doc *d,
                          const void *item, struct buf *out)
{
    uint32_t site = (uint32_t)((const struct policy_site *)item - d->sites);
    const char *between = "";
    size_t low = 0, high = d->subnet_count;

    (void)c;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (d->subnets[middle].site < site)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < d->subnet_count && d->subnets[low].site == site; low++) {
        words_printf(out, "%s", between);
        subnet_write(&d->subnets[low], out);
        between = " ";
    }
}

static struct alb_status read_calendar_dates(const struct policy_column *c, struct policy_row *r,
                                             const char *text)
{
    struct policy_calendar *calendar = r->item;
    char word[128];

    (void)c;
    while (policy_next_word(&text, word)) {
        struct policy_dates dates;
        struct alb_status st = dates_parse(word, false, &dates);

        if (alb_failed(st))
            return st;
        if (calendar->date_count == POLICY_DATES_MAX)
            return alb_fail(ALB_INVALID, "a calendar has at most 20000 dates");
        calendar->dates = policy_list_grown(calendar->dates, calendar->date_count, sizeof dates);
        calendar->dates[calendar->date_count++] = dates;
    }
    return ALB_STATUS_OK;
}

static void write_calendar_dates(const struct policy_column *c, const struct policy_doc *d,
                                 const void *item, struct buf *out)
{
    const struct policy_calendar *calendar = item;

    (void)c;
    (void)d;
    for (size_t i = 0; i < calendar->date_count; i++) {
        words_printf(out, "%s", i == 0 ? "" : " ");
        dates_write(&calendar->dates[i], out);
    }
}

const struct policy_cell cell_text = {read_text, write_text};
const struct policy_cell cell_id = {read_id, write_text};
const struct policy_cell cell_layer = {read_layer, write_text};
const struct policy_cell cell_zone = {read_zone, write_text};
const struct policy_cell cell_word = {read_word, write_word};
const struct policy_cell cell_rate = {read_rate, write_rate};
const struct policy_cell cell_percent = {read_percent, write_percent};
const struct policy_cell cell_queue = {read_queue, write_queue};
const struct policy_cell cell_instant = {read_instant, write_instant};
const struct policy_cell cell_scope = {read_scope, write_scope};
const struct policy_cell cell_days = {read_days, write_days};
const struct policy_cell cell_hours = {read_hours, write_hours};
const struct policy_cell cell_dates = {read_dates, write_dates};
const struct policy_cell cell_calendars = {read_calendars, write_calendars};
const struct policy_cell cell_subnets = {read_subnets, write_subnets};
const struct policy_cell cell_calendar_dates = {read_calendar_dates, write_calendar_dates};
