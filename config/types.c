/* SPDX-License-Identifier: Apache-2.0 */
/* config/types.c – reading and showing a value of each type. */
#include "config/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#define LIST_MOST "more than 8 addresses"
_Static_assert(CONFIG_URLS_MAX == 8, "LIST_MOST says how many");

static struct alb_status show_quoted(const char *text, struct buf *out)
{
    struct alb_status st = buf_append(out, "\"", 1);

    for (; *text != '\0' && !alb_failed(st); text++) {
        if (*text == '"' || *text == '\\' || *text == '$')
            st = buf_append(out, "\\", 1);
        if (!alb_failed(st))
            st = buf_append(out, text, 1);
    }
    return alb_failed(st) ? st : buf_append(out, "\"", 1);
}

/* Element `i` of a list. */
static struct alb_status show_element(size_t i, const char *text, struct buf *out)
{
    struct alb_status st = i > 0 ? buf_append(out, ", ", 2) : ALB_STATUS_OK;

    return alb_failed(st) ? st : show_quoted(text, out);
}

/* ---- PATH ---- */

static struct alb_status path_read(const char *const *texts, size_t count, void *member)
{
    (void)count;
    if (texts[0][0] != '/')
        return alb_fail(ALB_INVALID, "a path begins with '/' here: a daemon has no directory of "
                                     "its own to begin from");
    if (strlen(texts[0]) >= CONFIG_PATH_SIZE)
        return alb_fail(ALB_INVALID, "a path has at most 1023 bytes");
    for (const char *at = texts[0]; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return alb_fail(ALB_INVALID, "a path with control characters is not taken");
    memcpy(member, texts[0], strlen(texts[0]) + 1);
    return ALB_STATUS_OK;
}

static struct alb_status path_show(const void *member, struct buf *out)
{
    return show_quoted(member, out);
}

/* ---- ID, SITE ---- */

static struct alb_status id_read(const char *const *texts, size_t count, void *member)
{
    struct alb_status st = id_check(texts[0]);

    (void)count;
    if (!alb_failed(st))
        memcpy(member, texts[0], strlen(texts[0]) + 1);
    return st;
}

static struct alb_status id_show(const void *member, struct buf *out)
{
    return show_quoted(member, out);
}

static struct alb_status site_read(const char *const *texts, size_t count, void *member)
{
    if (texts[0][0] != '\0')
        return id_read(texts, count, member);
    memcpy(member, "", 1);
    return ALB_STATUS_OK;
}

static struct alb_status site_show(const void *member, struct buf *out)
{
    return show_quoted(member, out);
}

/* ---- LISTEN, URLS ---- */

static struct alb_status place_read(const char *const *texts, size_t count, void *member)
{
    (void)count;
    return listen_parse(texts[0], member);
}

static struct alb_status place_show(const void *member, struct buf *out)
{
    char text[URL_TEXT_SIZE];

    return show_quoted(listen_format(member, text), out);
}

static struct alb_status urls_read(const char *const *texts, size_t count, void *member)
{
    struct config_urls urls = {.count = count};
    struct alb_status st = ALB_STATUS_OK;

    if (count > CONFIG_URLS_MAX)
        return alb_fail(ALB_INVALID, LIST_MOST);
    for (size_t i = 0; i < count && !alb_failed(st); i++)
        st = url_parse(texts[i], &urls.at[i]);
    if (!alb_failed(st))
        *(struct config_urls *)member = urls;
    return st;
}

static struct alb_status urls_show(const void *member, struct buf *out)
{
    const struct config_urls *urls = member;
    char text[URL_TEXT_SIZE];
    struct alb_status st = buf_append(out, "{ ", 2);

    for (size_t i = 0; i < urls->count && !alb_failed(st); i++)
        st = show_element(i, url_format(&urls->at[i], text), out);
    return alb_failed(st) ? st : buf_append(out, " }", 2);
}

static struct alb_status places_read(const char *const *texts, size_t count, void *member)
{
    if (count != 1 || strcmp(texts[0], "none") != 0)
        return urls_read(texts, count, member);
    *(struct config_urls *)member = (struct config_urls){.count = 0};
    return ALB_STATUS_OK;
}

static struct alb_status places_show(const void *member, struct buf *out)
{
    const struct config_urls *urls = member;

    return urls->count == 0 ? buf_append(out, "none", 4) : urls_show(member, out);
}

/* ---- DIGEST ---- */

static struct alb_status digest_read(const char *const *texts, size_t count, void *member)
{
    (void)count;
    return digest_parse(texts[0], member);
}

static struct alb_status digest_show(const void *member, struct buf *out)
{
    char hex[DIGEST_HEX_SIZE];

    return show_quoted(digest_hex(member, hex), out);
}

/* ---- RATE, LINE ---- */

static struct alb_status rate_read(const char *const *texts, size_t count, void *member)
{
    uint64_t bps = 0;

    (void)count;
    if (strcmp(texts[0], "none") == 0) {
        *(uint64_t *)member = 0;
        return ALB_STATUS_OK;
    }
    struct alb_status st = strcmp(texts[0], "0") == 0 ? ALB_STATUS_OK : parse_rate(texts[0], &bps);
    if (alb_failed(st))
        return st;
    if (bps < RATE_LEAST_BPS)
        return alb_fail(ALB_INVALID, "below 12kbit, one packet a second, nothing gets through: to "
                                     "stop all, use the policy (albedo pause)");
    if (bps > RATE_MOST_BPS)
        return alb_fail(ALB_INVALID, "no line has more than 1000Gbit");
    *(uint64_t *)member = bps;
    return ALB_STATUS_OK;
}

static struct alb_status rate_show(const void *member, struct buf *out)
{
    const uint64_t bps = *(const uint64_t *)member;
    char text[UNITS_TEXT_SIZE];

    return buf_printf(out, "%s", bps == 0 ? "none" : spell_rate(bps, text));
}

/* Which of the words it is; `count`: none. */
static size_t word_find(const char *const *words, size_t count, const char *text)
{
    size_t i = 0;

    while (i < count && strcmp(words[i], text) != 0)
        i++;
    return i;
}

static const char *const line_names[] = {
    [LINE_AUTO] = "auto", [LINE_WAN] = "wan", [LINE_LAN] = "lan"};

static struct alb_status line_read(const char *const *texts, size_t count, void *member)
{
    const size_t i = word_find(line_names, ALB_COUNT(line_names), texts[0]);

    (void)count;
    if (i == ALB_COUNT(line_names))
        return alb_fail(ALB_INVALID, "a line is auto, wan or lan");
    *(enum config_line *)member = (enum config_line)i;
    return ALB_STATUS_OK;
}

static struct alb_status line_show(const void *member, struct buf *out)
{
    return buf_printf(out, "%s", line_names[*(const enum config_line *)member]);
}

/* ---- PINS, EVICTION ---- */

static struct alb_status pin_check(const char *text)
{
    char layer[CONFIG_PIN_SIZE];
    const char *at = strrchr(text, '@');

    if (at == NULL || (size_t)(at - text) >= sizeof layer || strlen(text) >= CONFIG_PIN_SIZE)
        return alb_fail(ALB_INVALID, "a pin is LAYER@VERSION, as in base/debian-12@12.5");
    memcpy(layer, text, (size_t)(at - text));
    layer[at - text] = '\0';
    struct alb_status st = layer_name_check(layer);
    return alb_failed(st) ? st : version_name_check(at + 1);
}

static struct alb_status pins_read(const char *const *texts, size_t count, void *member)
{
    struct config_pins pins = {.count = 0};
    struct alb_status st = ALB_STATUS_OK;

    if (count == 1 && strcmp(texts[0], "none") == 0)
        count = 0;
    if (count > CONFIG_PINS_MAX)
        return alb_fail(ALB_INVALID, "there are at most 16 pins");
    for (; pins.count < count && !alb_failed(st); pins.count++) {
        st = pin_check(texts[pins.count]);
        if (!alb_failed(st))
            memcpy(pins.at[pins.count], texts[pins.count], strlen(texts[pins.count]) + 1);
    }
    if (!alb_failed(st))
        *(struct config_pins *)member = pins;
    return st;
}

static struct alb_status pins_show(const void *member, struct buf *out)
{
    const struct config_pins *pins = member;

    if (pins->count == 0)
        return buf_append(out, "none", 4);
    struct alb_status st = buf_append(out, "{ ", 2);
    for (size_t i = 0; i < pins->count && !alb_failed(st); i++)
        st = show_element(i, pins->at[i], out);
    return alb_failed(st) ? st : buf_append(out, " }", 2);
}

static const char *const eviction_names[] = {[EVICT_S3_FIFO] = "s3-fifo",
                                             [EVICT_LRU] = "lru",
                                             [EVICT_TINY_LFU] = "tiny-lfu",
                                             [EVICT_FIFO] = "fifo"};

const char *config_eviction_name(enum config_eviction e)
{
    return eviction_names[e];
}

static struct alb_status eviction_read(const char *const *texts, size_t count, void *member)
{
    const size_t i = word_find(eviction_names, ALB_COUNT(eviction_names), texts[0]);

    (void)count;
    if (i == ALB_COUNT(eviction_names))
        return alb_fail(ALB_INVALID, "a policy is s3-fifo, lru, tiny-lfu or fifo");
    *(enum config_eviction *)member = (enum config_eviction)i;
    return ALB_STATUS_OK;
}

static struct alb_status eviction_show(const void *member, struct buf *out)
{
    return buf_printf(out, "%s", eviction_names[*(const enum config_eviction *)member]);
}

/* ---- SWITCH ---- */

static struct alb_status switch_read(const char *const *texts, size_t count, void *member)
{
    const bool is_on = strcmp(texts[0], "on") == 0;

    (void)count;
    if (!is_on && strcmp(texts[0], "off") != 0)
        return alb_fail(ALB_INVALID, "a switch is on or off");
    *(bool *)member = is_on;
    return ALB_STATUS_OK;
}

static struct alb_status switch_show(const void *member, struct buf *out)
{
    return buf_printf(out, "%s", *(const bool *)member ? "on" : "off");
}

/* ---- SIZE, NUMBER, LEVEL ---- */

static struct alb_status size_read(const char *const *texts, size_t count, void *member)
{
    (void)count;
    return parse_size(texts[0], member);
}

/* In the largest binary unit that loses nothing, so that what is written reads the same again. */
static struct alb_status size_show(const void *member, struct buf *out)
{
    static const char *const words[] = {"", "KiB", "MiB", "GiB", "TiB"};
    uint64_t bytes = *(const uint64_t *)member;
    size_t unit = 0;

    while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < ALB_COUNT(words)) {
        bytes /= 1024;
        unit++;
    }
    return buf_printf(out, "%" PRIu64 "%s", bytes, words[unit]);
}

static struct alb_status quota_read(const char *const *texts, size_t count, void *member)
{
    uint64_t bytes = QUOTA_AUTO;

    (void)count;
    if (strcmp(texts[0], "none") == 0)
        bytes = 0;
    struct alb_status st =
        strcmp(texts[0], "auto") == 0 || bytes == 0 ? ALB_STATUS_OK : parse_size(texts[0], &bytes);
    if (!alb_failed(st))
        *(uint64_t *)member = bytes;
    return st;
}

static struct alb_status quota_show(const void *member, struct buf *out)
{
    const uint64_t bytes = *(const uint64_t *)member;

    if (bytes == QUOTA_AUTO || bytes == 0)
        return buf_printf(out, "%s", bytes == 0 ? "none" : "auto");
    return size_show(member, out);
}

static struct alb_status overhead_read(const char *const *texts, size_t count, void *member)
{
    struct alb_status st = parse_u64(texts[0], 256, member);

    (void)count;
    return alb_failed(st) ? alb_fail(ALB_INVALID, "no line adds more than 256 bytes to a packet: "
                                                  "Ethernet adds 14 to 38, ATM's DSL about 48")
                          : st;
}

static struct alb_status overhead_show(const void *member, struct buf *out)
{
    return buf_printf(out, "%" PRIu64, *(const uint64_t *)member);
}

static struct alb_status back_read(const char *const *texts, size_t count, void *member)
{
    struct alb_status st = parse_u64(texts[0], 8, member);

    (void)count;
    return alb_failed(st) ? alb_fail(ALB_INVALID, "delta sets are made from at most 8 versions "
                                                  "back, each of which takes time and space")
                          : st;
}

static struct alb_status back_show(const void *member, struct buf *out)
{
    return buf_printf(out, "%" PRIu64, *(const uint64_t *)member);
}

static struct alb_status number_read(const char *const *texts, size_t count, void *member)
{
    (void)count;
    return parse_u64(texts[0], UINT32_MAX, member);
}

static struct alb_status number_show(const void *member, struct buf *out)
{
    return buf_printf(out, "%" PRIu64, *(const uint64_t *)member);
}

static struct alb_status level_read(const char *const *texts, size_t count, void *member)
{
    (void)count;
    return log_level_parse(texts[0], member);
}

static struct alb_status level_show(const void *member, struct buf *out)
{
    return buf_printf(out, "%s", log_level_name(*(const enum log_level *)member));
}

#define TYPE(NAME, prefix, words)                                                                  \
    [CONFIG_TYPE_##NAME] = {.allowed = (words),                                                    \
                            .is_list = CONFIG_TYPE_##NAME == CONFIG_TYPE_URLS ||                   \
                                       CONFIG_TYPE_##NAME == CONFIG_TYPE_PLACES ||                 \
                                       CONFIG_TYPE_##NAME == CONFIG_TYPE_PINS,                     \
                            .read = prefix##_read,                                                 \
                            .show = prefix##_show},
const struct config_type config_types[] = {
#include "config/types.def"
};
