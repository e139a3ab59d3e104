/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/beacon.c – a reflector makes itself known on its links, and answers who asks for one. */
#include "transfer/beacon.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/log.h"
#include "transfer/beacon_impl.h"

enum { ANNOUNCED_TIMES = 2, TEXT_SIZE = 64 };

/* A link we are on. */
struct beacon_link {
    struct beacon *beacon;
    uint32_t link;       /* 0: the row is free */
    struct timer due;    /* when something is said there next */
    unsigned repeats;    /* announcements still to be made    */
    bool is_asked_kinds; /* which services are there at all?  */
    uint64_t said_ns;    /* last; 0: never */
    struct digest told;  /* of the packet with what holds now */
};

struct beacon {
    struct loop *loop;
    struct mdns_socket *socket;
    struct mdns_name service, kinds, instance, host;
    uint16_t port;
    struct net_ip at; /* where it listens; of bytes zero: at all of that family, or both */
    uint8_t text[TEXT_SIZE];
    size_t text_size;
    struct beacon_link links[MDNS_LINKS_MOST];
    bool is_open;
};

/* ---- words ----------------------------------------------------------------------------------- */

void beacon_service(struct mdns_name *out)
{
    alb_assert(mdns_name_of("_albedo._tcp.local", out));
}

static void hash_words(const char *kind, const struct digest *pin, const char *device,
                       struct digest *out)
{
    struct hasher *h = hasher_new();

    hasher_add(h, kind, strlen(kind));
    hasher_add(h, pin->bytes, sizeof(pin->bytes));
    hasher_add(h, device, strlen(device));
    hasher_finish(h, out);
    hasher_free(h);
}

void beacon_org(const struct digest *pin, char out[2 * BEACON_ORG_SIZE + 1])
{
    struct digest d;

    hash_words("albedo beacon org\n", pin, "", &d);
    bytes_hex(d.bytes, BEACON_ORG_SIZE, out);
}

void beacon_box(const struct digest *pin, const char *device, char out[2 * BEACON_BOX_SIZE + 1])
{
    struct digest d;

    hash_words("albedo beacon box\n", pin, device, &d);
    bytes_hex(d.bytes, BEACON_BOX_SIZE, out);
}

static void make_words(struct beacon *b, const struct beacon_options *o)
{
    char box[2 * BEACON_BOX_SIZE + 1], org[2 * BEACON_ORG_SIZE + 1], host[64], tag[64];
    const char *strings[] = {"proto=1", tag};

    beacon_box(o->pin, o->device, box);
    beacon_org(o->pin, org);
    (void)snprintf(host, sizeof(host), "albedo-%s.local", box);
    (void)snprintf(tag, sizeof(tag), "org=%s", org);
    beacon_service(&b->service);
    alb_assert(mdns_name_of("_services._dns-sd._udp.local", &b->kinds));
    alb_assert(mdns_name_under(box, &b->service, &b->instance));
    alb_assert(mdns_name_of(host, &b->host));
    b->text_size = mdns_text_join(strings, ALB_COUNT(strings), b->text, sizeof(b->text));
}

/* ---- saying ---------------------------------------------------------------------------------- */

/* Does a call to that address reach us? */
static bool is_ours(const struct beacon *b, const struct net_ip *ip)
{
    static const uint8_t ANY[16] = {0};

    if (memcmp(b->at.bytes, ANY, sizeof(ANY)) == 0)
        return b->at.size == 16 || ip->size == b->at.size;
    return ip->size == b->at.size && memcmp(ip->bytes, b->at.bytes, sizeof(ANY)) == 0;
}

static bool is_told(const struct beacon *b, const struct net_address *a, uint32_t link)
{
    return a->link == link && mdns_address_is_told(a) && is_ours(b, &a->ip);
}

/* Addresses of other links are nobody's business here. */
static void write_addresses(const struct beacon *b, uint32_t link, uint32_t ttl_s,
                            struct mdns_writer *w)
{
    const struct net_picture *now = mdns_socket_picture(b->socket);
    unsigned count[2] = {0, 0};

    for (size_t i = 0; i < now->address_count; i++) {
        const struct net_address *a = &now->addresses[i];
        const bool is_six = a->ip.size == 16;
        const struct mdns_record r = {.name = b->host,
                                      .type = is_six ? MDNS_AAAA : MDNS_A,
                                      .flushes = true,
                                      .ttl_s = ttl_s,
                                      .ip = a->ip};
        if (is_told(b, a, link) && count[is_six]++ < BEACON_ADDRESSES_MOST)
            mdns_write_record(w, &r);
    }
}

/* All there is to say of us, in every packet: whoever hears one needs no other. */
static void write_all(const struct beacon *b, uint32_t link, uint32_t ttl_s, bool with_kinds,
                      struct mdns_writer *w)
{
    const struct mdns_record kinds = {
        .name = b->kinds, .type = MDNS_PTR, .ttl_s = ttl_s, .target = b->service};
    const struct mdns_record pointer = {
        .name = b->service, .type = MDNS_PTR, .ttl_s = ttl_s, .target = b->instance};
    const struct mdns_record service = {.name = b->instance,
                                        .type = MDNS_SRV,
                                        .flushes = true,
                                        .ttl_s = ttl_s,
                                        .target = b->host,
                                        .port = b->port};
    const struct mdns_record text = {.name = b->instance,
                                     .type = MDNS_TXT,
                                     .flushes = true,
                                     .ttl_s = ttl_s,
                                     .text = b->text,
                                     .text_size = b->text_size};

    mdns_write_begin(w, true);
    mdns_write_record(w, &pointer);
    mdns_write_record(w, &service);
    mdns_write_record(w, &text);
    write_addresses(b, link, ttl_s, w);
    if (with_kinds)
        mdns_write_record(w, &kinds);
    alb_assert(mdns_write_end(w)); /* four addresses of each family: under 600 bytes */
}

static void say(struct beacon_link *l, uint32_t ttl_s)
{
    struct beacon *b = l->beacon;
    struct mdns_writer w;

    write_all(b, l->link, ttl_s, l->is_asked_kinds, &w);
    struct alb_status st = mdns_socket_send(b->socket, l->link, &w);
    if (alb_failed(st))
        log_status(LOG_DEBUG, "beacon.unsaid", st, "link=%" PRIu32, l->link);
    l->said_ns = loop_now_ns(b->loop);
    l->is_asked_kinds = false;
}

/* In so long at the earliest, and not before a second after the last. */
static void say_later(struct beacon_link *l, uint64_t wait_ns)
{
    const uint64_t now_ns = loop_now_ns(l->beacon->loop);
    const uint64_t apart_ns = l->said_ns == 0 ? 0 : l->said_ns + BEACON_APART_NS;

    if (!timer_is_set(&l->due))
        timer_set(&l->due, now_ns + wait_ns > apart_ns ? now_ns + wait_ns : apart_ns);
}

static void on_due(void *arg)
{
    struct beacon_link *l = arg;

    if (l->repeats > 0)
        l->repeats--;
    say(l, BEACON_TTL_S);
    if (l->repeats > 0)
        say_later(l, BEACON_APART_NS);
}

static uint64_t some_wait_ns(const struct beacon *b)
{
    return loop_random_between(b->loop, BEACON_WAIT_NS, BEACON_WAIT_MOST_NS);
}

static void announce(struct beacon_link *l)
{
    l->repeats = ANNOUNCED_TIMES;
    say_later(l, some_wait_ns(l->beacon));
}

/* ---- being asked ----------------------------------------------------------------------------- */

static bool is_of(const struct mdns_question *q, const struct mdns_name *name, uint16_t type,
                  uint16_t or_type)
{
    return (q->type == MDNS_ANY || q->type == type || q->type == or_type) &&
           mdns_name_is_same(&q->name, name);
}

/* `can_be_known`: he may have said that he knows the answer. */
static bool is_for_us(const struct beacon *b, const struct mdns_question *q, bool *can_be_known)
{
    *can_be_known = false;
    if (is_of(q, &b->service, MDNS_PTR, MDNS_PTR)) {
        *can_be_known = true;
        return true;
    }
    return is_of(q, &b->instance, MDNS_SRV, MDNS_TXT) || is_of(q, &b->host, MDNS_A, MDNS_AAAA);
}

/* RFC 6762 §7.1: what he knows for half its time still is not said again. */
static bool knows_us(const struct beacon *b, struct mdns_reader *r)
{
    struct mdns_record record;

    while (mdns_read_record(r, &record))
        if (record.type == MDNS_PTR && record.ttl_s >= BEACON_TTL_S / 2 &&
            mdns_name_is_same(&record.name, &b->service) &&
            mdns_name_is_same(&record.target, &b->instance))
            return true;
    return false;
}

static struct beacon_link *link_of(struct beacon *b, uint32_t link)
{
    for (size_t i = 0; i < MDNS_LINKS_MOST; i++)
        if (b->links[i].link == link)
            return &b->links[i];
    return NULL;
}

static void on_heard(void *arg, const struct mdns_heard *heard)
{
    struct beacon *b = arg;
    struct beacon_link *l = link_of(b, heard->link);
    struct mdns_reader r;
    struct mdns_question q;
    bool asks_list = false, asks_us = false, asks_kinds = false, can_be_known;

    if (l == NULL || !b->is_open || heard->from_port != MDNS_PORT ||
        !mdns_read_begin(&r, heard->bytes, heard->size) || r.is_response)
        return;
    while (mdns_read_question(&r, &q)) {
        asks_kinds |= is_of(&q, &b->kinds, MDNS_PTR, MDNS_PTR);
        if (!is_for_us(b, &q, &can_be_known))
            continue;
        asks_list |= can_be_known;
        asks_us |= !can_be_known;
    }
    if (asks_list && !asks_us && knows_us(b, &r))
        asks_list = false;
    if (!asks_list && !asks_us && !asks_kinds)
        return;
    l->is_asked_kinds |= asks_kinds;
    say_later(l, some_wait_ns(b));
}

/* ---- links ----------------------------------------------------------------------------------- */

static void drop_link(struct beacon_link *l)
{
    timer_stop(&l->due);
    *l = (struct beacon_link){.beacon = l->beacon, .due = l->due};
}

static bool is_among(uint32_t link, const uint32_t *links, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (links[i] == link)
            return true;
    return false;
}

/* New, or other addresses than were told: said anew. */
static void look_at_link(struct beacon *b, uint32_t link)
{
    struct beacon_link *l = link_of(b, link);
    struct mdns_writer w;
    struct digest fresh;

    if (l == NULL)
        l = link_of(b, 0);
    if (l == NULL)
        return;
    write_all(b, link, BEACON_TTL_S, false, &w);
    sha256(w.bytes, w.size, &fresh);
    if (l->link == link && digest_equal(&l->told, &fresh))
        return;
    l->link = link;
    l->told = fresh;
    if (b->is_open)
        announce(l);
}

/* Links on which somebody could call us at all. */
static size_t told_links(const struct beacon *b, uint32_t out[MDNS_LINKS_MOST])
{
    const struct net_picture *now = mdns_socket_picture(b->socket);
    const size_t count = mdns_socket_links(b->socket, out);
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        bool has_any = false;
        for (size_t j = 0; j < now->address_count; j++)
            has_any |= is_told(b, &now->addresses[j], out[i]);
        if (has_any)
            out[kept++] = out[i];
    }
    return kept;
}

void beacon_follow(struct beacon *b, const struct net_picture *now)
{
    uint32_t links[MDNS_LINKS_MOST];

    mdns_socket_follow(b->socket, now);
    const size_t count = told_links(b, links);
    for (size_t i = 0; i < MDNS_LINKS_MOST; i++)
        if (b->links[i].link != 0 && !is_among(b->links[i].link, links, count))
            drop_link(&b->links[i]);
    for (size_t i = 0; i < count; i++)
        look_at_link(b, links[i]);
}

static void say_goodbye(struct beacon *b)
{
    for (size_t i = 0; i < MDNS_LINKS_MOST; i++) {
        struct beacon_link *l = &b->links[i];
        timer_stop(&l->due);
        l->repeats = 0;
        if (l->link != 0 && l->said_ns != 0)
            say(l, 0);
    }
}

void beacon_set_open(struct beacon *b, bool is_open)
{
    if (b->is_open == is_open)
        return;
    b->is_open = is_open;
    if (!is_open)
        say_goodbye(b);
    for (size_t i = 0; is_open && i < MDNS_LINKS_MOST; i++)
        if (b->links[i].link != 0)
            announce(&b->links[i]);
}

/* ---- birth and death ------------------------------------------------------------------------- */

struct alb_status beacon_open(const struct beacon_options *options, struct beacon **out)
{
    struct net_ip at;

    if (!net_ip_parse(options->address, &at))
        return alb_fail(ALB_INVALID, "telling where we listen: it is no IP address");
    struct beacon *b = xalloc(sizeof(*b));
    b->at = at;
    b->loop = options->loop;
    b->port = options->port;
    b->is_open = true;
    make_words(b, options);
    for (size_t i = 0; i < MDNS_LINKS_MOST; i++) {
        b->links[i].beacon = b;
        timer_init(&b->links[i].due, b->loop, on_due, &b->links[i]);
    }
    struct alb_status st = mdns_socket_open(b->loop, on_heard, b, &b->socket);
    if (alb_failed(st)) {
        free(b);
        return st;
    }
    *out = b;
    return ALB_STATUS_OK;
}

struct beacon *beacon_close(struct beacon *b)
{
    if (b == NULL)
        return NULL;
    if (b->is_open)
        say_goodbye(b);
    for (size_t i = 0; i < MDNS_LINKS_MOST; i++)
        timer_stop(&b->links[i].due);
    b->socket = mdns_socket_close(b->socket);
    loop_bury(b->loop, free, b);
    return NULL;
}
