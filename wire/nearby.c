/* SPDX-License-Identifier: Apache-2.0 */
/* wire/nearby.c – the seal of a list, and what it may say. */
#include "wire/nearby.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "wire/fields.h"
#include "wire/json.h"
#include "wire/nearby_text.h"

enum { ORDER_MOST = 65535 };

static const char KIND[] = "nearby";

void nearby_release(struct nearby *n)
{
    free(n->holders);
    n->holders = NULL;
    n->holder_count = 0;
}

/* ---- what a list may say --------------------------------------------------------------------- */

static bool is_address(const struct nearby_address *a)
{
    uint8_t bytes[16];

    return a->port != 0 && !alb_failed(site_address_parse(a->host, bytes));
}

/* Where an address or a host name may be written: nothing that a URL would read as more. */
static bool is_host(const char *host)
{
    static const char KNOWN[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-";
    const size_t size = strnlen(host, NEARBY_HOST_SIZE);

    return size > 0 && size < NEARBY_HOST_SIZE && strspn(host, KNOWN) == size;
}

static struct alb_status check_holder(const struct nearby_holder *h)
{
    struct alb_status st = id_check(h->device);

    if (!alb_failed(st))
        st = id_check(h->site);
    if (alb_failed(st))
        return st;
    if (h->depth > NEARBY_ABOVE_MAX || h->order > ORDER_MOST)
        return alb_fail(ALB_INVALID, "a holder of a list is out of bounds");
    if (h->at_count > NEARBY_AT_MAX || h->subnet_count > NEARBY_SUBNETS_MAX)
        return alb_fail(ALB_INVALID, "a holder has at most 8 addresses and 8 subnets");
    for (size_t i = 0; i < h->at_count; i++)
        if (!is_address(&h->at[i]))
            return alb_fail(ALB_INVALID, "a holder's address is no address and port");
    return ALB_STATUS_OK;
}

static bool is_before(const struct nearby_holder *a, const struct nearby_holder *b)
{
    return a->depth < b->depth || (a->depth == b->depth && a->order < b->order);
}

static struct alb_status check_holders(const struct nearby *n)
{
    struct alb_status st = ALB_STATUS_OK;

    if (n->holder_count > NEARBY_HOLDERS_MAX)
        return alb_fail(ALB_INVALID, "a list has at most 32 holders");
    for (size_t i = 0; i < n->holder_count && !alb_failed(st); i++) {
        st = check_holder(&n->holders[i]);
        if (!alb_failed(st) && i > 0 && !is_before(&n->holders[i - 1], &n->holders[i]))
            st = alb_fail(ALB_INVALID, "the holders of a list are not in order");
    }
    return st;
}

static struct alb_status check_sites(const struct nearby *n)
{
    struct alb_status st = n->site[0] == '\0' ? ALB_STATUS_OK : id_check(n->site);

    if (n->above_count > NEARBY_ABOVE_MAX)
        return alb_fail(ALB_INVALID, "at most 16 sites are above one");
    for (size_t i = 0; i < n->above_count && !alb_failed(st); i++)
        st = id_check(n->above[i]);
    return st;
}

static struct alb_status check_hub(const struct nearby *n)
{
    if (n->hub_count > NEARBY_HUB_MAX)
        return alb_fail(ALB_INVALID, "a list has at most 8 places of the hub");
    for (size_t i = 0; i < n->hub_count; i++)
        if (!is_host(n->hub[i].host) || n->hub[i].port == 0)
            return alb_fail(ALB_INVALID, "a place of the hub is no host and port");
    return ALB_STATUS_OK;
}

struct alb_status nearby_check(const struct nearby *n)
{
    struct alb_status st = check_sites(n);

    if (n->number == 0 || n->number > INT64_MAX)
        return alb_fail(ALB_INVALID, "lists are numbered from 1");
    if (n->issued_wall_s < 0 || n->expires_wall_s <= n->issued_wall_s)
        return alb_fail(ALB_INVALID, "a list ends after it begins");
    if (n->terms.use == SITE_USE_UNSET || n->terms.latency_ms > SITES_LATENCY_MAX_MS ||
        n->terms.load_percent > 100 || n->terms.max_sessions > SITES_SESSIONS_MAX)
        return alb_fail(ALB_INVALID, "the terms of a list are out of bounds");
    if (!alb_failed(st))
        st = check_holders(n);
    return alb_failed(st) ? st : check_hub(n);
}

static bool same_holder(const struct nearby_holder *a, const struct nearby_holder *b)
{
    bool is_same = strcmp(a->device, b->device) == 0 && strcmp(a->site, b->site) == 0 &&
                   a->depth == b->depth && a->order == b->order && a->state == b->state &&
                   a->at_count == b->at_count && a->subnet_count == b->subnet_count;

    for (size_t i = 0; is_same && i < a->at_count; i++)
        is_same = a->at[i].port == b->at[i].port && strcmp(a->at[i].host, b->at[i].host) == 0;
    for (size_t i = 0; is_same && i < a->subnet_count; i++)
        is_same = a->subnets[i].bits == b->subnets[i].bits &&
                  memcmp(a->subnets[i].address, b->subnets[i].address, 16) == 0;
    return is_same;
}

static bool same_terms(const struct site_terms *a, const struct site_terms *b)
{
    return a->use == b->use && a->latency_ms == b->latency_ms &&
           a->load_percent == b->load_percent && a->max_sessions == b->max_sessions;
}

bool nearby_says_the_same(const struct nearby *a, const struct nearby *b)
{
    bool is_same = strcmp(a->org, b->org) == 0 && strcmp(a->site, b->site) == 0 &&
                   a->above_count == b->above_count && same_terms(&a->terms, &b->terms) &&
                   a->holder_count == b->holder_count && a->hub_count == b->hub_count;

    for (size_t i = 0; is_same && i < a->above_count; i++)
        is_same = strcmp(a->above[i], b->above[i]) == 0;
    for (size_t i = 0; is_same && i < a->holder_count; i++)
        is_same = same_holder(&a->holders[i], &b->holders[i]);
    for (size_t i = 0; is_same && i < a->hub_count; i++)
        is_same = a->hub[i].port == b->hub[i].port && strcmp(a->hub[i].host, b->hub[i].host) == 0;
    return is_same;
}

void nearby_digest(const struct nearby *n, struct digest *out)
{
    struct nearby bare = *n;
    struct buf text;

    bare.number = 1;
    bare.issued_wall_s = 0;
    bare.expires_wall_s = 1;
    buf_init(&text, NEARBY_BYTES_MAX);
    alb_ignore(nearby_text_write(&bare, &text), "what does not fit is refused when it is sealed");
    sha256(buf_peek(&text), buf_size(&text), out);
    buf_release(&text);
}

/* ---- the seal -------------------------------------------------------------------------------- */

struct seal {
    char org[NAME_MAX_SIZE];
    const void *text;
    size_t text_size;
};

static void put_text(struct pack *p, const void *object)
{
    const struct seal *s = object;

    pack_bytes(p, s->text, s->text_size);
}

static void get_text(struct unpack *u, void *object)
{
    struct seal *s = object;

    s->text_size = unpack_left(u);
    s->text = unpack_bytes(u, s->text_size);
}

static const char *const UNKNOWN[FIELD_NUMBERS] = FIELD_TEXTS("list of what is nearby");
static const struct field_row ROWS[] = {
    {1, FIELD_ID, offsetof(struct seal, org), NULL, NULL},
    {2, FIELD_OWN, 0, put_text, get_text},
};
static const struct field_table TABLE = {
    UNKNOWN, "a list of what is nearby lacks a field it must have", ROWS, ALB_COUNT(ROWS)};

static struct alb_status seal_text(const char *org, const struct buf *text,
                                   const struct sign_secret *hub, struct buf *out)
{
    struct seal s = {.text = buf_peek(text), .text_size = buf_size(text)};
    struct buf body;

    (void)snprintf(s.org, sizeof s.org, "%s", org);
    buf_init(&body, NEARBY_BYTES_MAX);
    struct alb_status st = fields_encode(&TABLE, &s, &body);
    if (!alb_failed(st))
        st = signed_seal(KIND, NEARBY_FORMAT, &body, hub, 1, out);
    buf_release(&body);
    return st;
}

struct alb_status nearby_encode(const struct nearby *n, const struct sign_secret *hub,
                                struct buf *out)
{
    struct alb_status st = nearby_check(n);
    struct buf text;

    if (alb_failed(st))
        return st;
    buf_init(&text, NEARBY_BYTES_MAX - 1024); /* the rest is the envelope's */
    st = nearby_text_write(n, &text);
    if (!alb_failed(st))
        st = seal_text(n->org, &text, hub, out);
    buf_release(&text);
    return st;
}

/* What the hub signed must be right in itself. */
static struct alb_status read_sealed(const struct seal *s, struct nearby *out)
{
    struct nearby n = {.number = 0};

    memcpy(n.org, s->org, sizeof n.org);
    struct alb_status st = nearby_text_read(s->text, s->text_size, &n);
    if (!alb_failed(st))
        st = nearby_check(&n);
    if (alb_failed(st)) {
        nearby_release(&n);
        return (struct alb_status){ALB_CORRUPT, 0, st.what};
    }
    *out = n;
    return st;
}

struct alb_status nearby_decode(const void *bytes, size_t size, const struct trust *trust,
                                struct nearby *out)
{
    struct seal s = {.text_size = 0};
    struct signed_view v;

    if (trust == NULL)
        return alb_fail(ALB_REFUSED, "there is no trust file yet to judge a list by");
    if (size > NEARBY_BYTES_MAX)
        return alb_fail(ALB_CORRUPT, "a list of what is nearby is over 64 KiB");
    struct alb_status st = signed_open_by(bytes, size, KIND, NEARBY_FORMAT, &trust->hub_key, &v);
    if (!alb_failed(st))
        st = fields_decode(&TABLE, v.body, v.body_size, &s);
    if (alb_failed(st))
        return st;
    if (strcmp(s.org, trust->org) != 0)
        return alb_fail(ALB_REFUSED, "the list of what is nearby is another organisation's");
    return read_sealed(&s, out);
}
