/* SPDX-License-Identifier: Apache-2.0 */
/* wire/nearby_question.c – the question for a list, and the line before it in the answer. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "wire/nearby.h"

enum { HEAD_MOST = 256 };

static const char *const BYS[] = {"none", "configured", "subnet", "gateway"};

const char *nearby_by_word(enum nearby_by by)
{
    return BYS[by];
}

/* ---- the question ---------------------------------------------------------------------------- */

static const char *address_text(const uint8_t address[16], char out[64])
{
    struct policy_subnet s = {.bits = 128};

    memcpy(s.address, address, sizeof s.address);
    (void)site_subnet_text(&s, out);
    out[strcspn(out, "/")] = '\0';
    return out;
}

struct alb_status nearby_question_write(const struct nearby_question *q, struct buf *out)
{
    struct alb_status st = buf_printf(out, "/v1/nearby");
    const char *name = "?address=";
    char text[64];

    for (size_t i = 0; i < q->address_count && !alb_failed(st); i++, name = ",")
        st = buf_printf(out, "%s%s", name, address_text(q->addresses[i], text));
    name = q->address_count > 0 ? "&gateway=" : "?gateway=";
    for (size_t i = 0; i < q->gateway_count && !alb_failed(st); i++, name = ",")
        st = buf_printf(out, "%s%s", name, site_mac_text(&q->gateways[i], text));
    bool is_first = q->address_count == 0 && q->gateway_count == 0;
    if (q->site[0] != '\0' && !alb_failed(st))
        st = buf_printf(out, "%csite=%s", is_first ? '?' : '&', q->site);
    is_first = is_first && q->site[0] == '\0';
    if (q->after != 0 && !alb_failed(st))
        st = buf_printf(out, "%cafter=%" PRIu64, is_first ? '?' : '&', q->after);
    return st;
}

/* The next word before a comma; NULL behind the last. */
static const char *next_part(const char **rest, char out[64])
{
    const size_t size = strcspn(*rest, ",");

    if (**rest == '\0')
        return NULL;
    (void)snprintf(out, 64, "%.*s", size < 64 ? (int)size : 63, *rest);
    *rest += size + ((*rest)[size] == ',');
    return out;
}

static struct alb_status read_addresses(const char *text, struct nearby_question *q)
{
    struct alb_status st = ALB_STATUS_OK;
    char part[64];

    while (!alb_failed(st) && next_part(&text, part) != NULL) {
        if (q->address_count == NEARBY_ASK_ADDRESSES)
            return alb_fail(ALB_INVALID, "address: at most 12 may be named");
        st = site_address_parse(part, q->addresses[q->address_count++]);
    }
    return alb_failed(st) ? alb_fail(ALB_INVALID, "address: IPv4 or IPv6, with commas between")
                          : st;
}

static struct alb_status read_gateways(const char *text, struct nearby_question *q)
{
    struct alb_status st = ALB_STATUS_OK;
    char part[64];

    while (!alb_failed(st) && next_part(&text, part) != NULL) {
        if (q->gateway_count == NEARBY_ASK_GATEWAYS)
            return alb_fail(ALB_INVALID, "gateway: at most 8 may be named");
        st = site_mac_parse(part, &q->gateways[q->gateway_count++]);
    }
    return alb_failed(st) ? alb_fail(ALB_INVALID, "gateway: MAC addresses such as "
                                                  "52:54:00:ab:cd:ef, with commas between")
                          : st;
}

struct alb_status nearby_question_read(const char *addresses, const char *gateways,
                                       const char *site, const char *after,
                                       struct nearby_question *out)
{
    struct nearby_question q = {.after = 0};
    struct alb_status st = read_addresses(addresses, &q);

    if (!alb_failed(st))
        st = read_gateways(gateways, &q);
    if (alb_failed(st))
        return st;
    if (site[0] != '\0' && (strlen(site) >= sizeof q.site || alb_failed(id_check(site))))
        return alb_fail(ALB_INVALID, "site: that is no site's name");
    if (after[0] != '\0' && alb_failed(parse_u64(after, INT64_MAX, &q.after)))
        return alb_fail(ALB_INVALID, "after: it is the number of the list you have");
    (void)snprintf(q.site, sizeof q.site, "%s", site);
    *out = q;
    return ALB_STATUS_OK;
}

/* ---- the line before it ---------------------------------------------------------------------- */

static struct alb_status by_parse(const char *word, enum nearby_by *out)
{
    for (unsigned i = 0; i < ALB_COUNT(BYS); i++)
        if (strcmp(word, BYS[i]) == 0) {
            *out = (enum nearby_by)i;
            return ALB_STATUS_OK;
        }
    return alb_fail(ALB_INVALID, "an answer about what is nearby begins with a line nobody knows");
}

static const char *or_dash(const char *text)
{
    return text[0] == '\0' ? "-" : text;
}

struct alb_status nearby_head_write(const struct nearby_head *h, struct buf *out)
{
    return buf_printf(out, "nearby %s %s %s %s\n", or_dash(h->site), nearby_by_word(h->by),
                      or_dash(h->what), h->is_stale ? "stale" : "fresh");
}

/* The next word of the line, or "". */
static const char *next_word(char **rest)
{
    const char *word = strsep(rest, " ");

    return word == NULL ? "" : word;
}

static struct alb_status read_line(char *line, struct nearby_head *out)
{
    static const struct alb_status WRONG = {
        ALB_INVALID, 0, "an answer about what is nearby begins with a line nobody knows"};
    const bool is_ours = strcmp(next_word(&line), "nearby") == 0;
    const char *site = next_word(&line), *by = next_word(&line);
    const char *what = next_word(&line), *age = next_word(&line);
    struct nearby_head h = {.is_stale = strcmp(age, "stale") == 0};

    if (!is_ours || line != NULL || (!h.is_stale && strcmp(age, "fresh") != 0) || what[0] == '\0' ||
        strlen(what) >= sizeof h.what)
        return WRONG;
    if (strcmp(site, "-") != 0 && alb_failed(id_check(site)))
        return WRONG;
    struct alb_status st = by_parse(by, &h.by);
    if (alb_failed(st))
        return st;
    (void)snprintf(h.site, sizeof h.site, "%s", strcmp(site, "-") == 0 ? "" : site);
    (void)snprintf(h.what, sizeof h.what, "%s", strcmp(what, "-") == 0 ? "" : what);
    *out = h;
    return st;
}

struct alb_status nearby_head_read(const void *bytes, size_t size, struct nearby_head *out,
                                   size_t *used)
{
    const char *end = memchr(bytes, '\n', size < HEAD_MOST ? size : HEAD_MOST);
    char line[HEAD_MOST] = "";

    if (end == NULL || memchr(bytes, '\0', (size_t)(end - (const char *)bytes)) != NULL)
        return alb_fail(ALB_INVALID,
                        "an answer about what is nearby begins with a line nobody knows");
    memcpy(line, bytes, (size_t)(end - (const char *)bytes));
    struct alb_status st = read_line(line, out);
    if (!alb_failed(st))
        *used = (size_t)(end - (const char *)bytes) + 1;
    return st;
}
