/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/beacon_browser.c – asks on each link who is there, and keeps who answered for a while.
 *
 *     follow, ask ──> questions after 0, 1, 2, 4 … s ──> answers ──> rows, 120 s ──> places
 *                          ^                                │
 *                          └── a row is about to run out ───┘
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/log.h"
#include "transfer/beacon_impl.h"

enum {
    ROWS_PER_SENDER_MOST = 8, /* who does not forge where he is cannot fill a link's table */
    RENEWALS_MOST = 3,        /* questions about one row before it is given up             */
    QUESTIONS_WHEN_FOUND = 3, /* at the start; then who was found is listened for          */
    KNOWN_MOST = 12,          /* answers told with a question: in one packet               */
};
#define QUESTION_MOST_NS (3600 * NS_PER_S) /* RFC 6762 §5.2 */
#define TELL_NS (50 * NS_PER_MS)           /* what comes together is told together */
#define TELL_AGAIN_NS NS_PER_S             /* … and what comes again and again, seldom: */
#define TELL_AGAIN_MOST_NS (60 * NS_PER_S) /* anybody on the link can send beacons      */
#define GOODBYE_NS NS_PER_S                /* RFC 6762 §10.1: it may have been a mistake */

struct row {
    struct net_ip ip, sender;
    uint16_t port;
    struct mdns_name instance;
    uint64_t ttl_ns, expires_ns, renew_ns;
    unsigned renewals;
};

struct browsed_link {
    struct beacon_browser *browser;
    uint32_t link;
    struct row rows[BEACONS_PER_LINK_MOST];
    size_t count;
    unsigned questions;     /* asked since somebody wanted to know */
    uint64_t question_ns;   /* when the next is due                */
    uint64_t not_before_ns; /* somebody asked the same just now   */
    struct timer timer;
    struct digest subnets; /* of ours there */
};

struct beacon_browser {
    struct beacon_browser_options options;
    char org[2 * BEACON_ORG_SIZE + 1]; /* "": any */
    struct mdns_name service;
    struct mdns_socket *socket;
    struct browsed_link *links[MDNS_LINKS_MOST]; /* owned, ascending; NULL behind the last */
    struct timer tell;
    uint64_t told_ns, rest_ns; /* 0: nothing was told yet */
};

/* What a packet says of one box. */
struct finding {
    struct mdns_name instance, host;
    uint16_t port;
    uint32_t ttl_s;
    bool is_ours;
};

/* ---- when ------------------------------------------------------------------------------------ */

static uint64_t now_of(const struct browsed_link *l)
{
    return loop_now_ns(l->browser->options.loop);
}

/* Between 70 and 85 % of its time, then 90, then 95: a single of many askers comes first, and his
 * answer is everybody's. */
static void plan_renewal(const struct browsed_link *l, struct row *r)
{
    static const uint64_t LOW[RENEWALS_MOST] = {70, 90, 95}, HIGH[RENEWALS_MOST] = {85, 92, 97};
    const uint64_t began_ns = r->expires_ns - r->ttl_ns;

    if (r->renewals >= RENEWALS_MOST) {
        r->renew_ns = UINT64_MAX;
        return;
    }
    const uint64_t percent = r->ttl_ns / 100;
    r->renew_ns =
        began_ns + loop_random_between(l->browser->options.loop, LOW[r->renewals] * percent,
                                       HIGH[r->renewals] * percent);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void plan(struct browsed_link *l)
{
    uint64_t at_ns = l->question_ns;

    for (size_t i = 0; i < l->count; i++)
        at_ns = sooner(at_ns, sooner(l->rows[i].renew_ns, l->rows[i].expires_ns));
    if (at_ns == UINT64_MAX)
        timer_stop(&l->timer);
    else
        timer_set(&l->timer, at_ns);
}

static void changed(const struct browsed_link *l)
{
    struct beacon_browser *b = l->browser;
    const uint64_t soon_ns = now_of(l) + TELL_NS, rested_ns = b->told_ns + b->rest_ns;

    if (!timer_is_set(&b->tell))
        timer_set(&b->tell, soon_ns > rested_ns ? soon_ns : rested_ns);
}

static void on_tell(void *arg)
{
    struct beacon_browser *b = arg;
    const uint64_t now_ns = loop_now_ns(b->options.loop);

    b->rest_ns = b->rest_ns == 0 || now_ns - b->told_ns > 2 * b->rest_ns
                     ? TELL_AGAIN_NS
                     : sooner(2 * b->rest_ns, TELL_AGAIN_MOST_NS);
    b->told_ns = now_ns;
    if (b->options.changed != NULL)
        b->options.changed(b->options.arg);
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* An answer known for half its time yet is told with the question, and not given again. */
static void write_known(const struct browsed_link *l, uint64_t now_ns, struct mdns_writer *w)
{
    unsigned told = 0;

    for (size_t i = 0; i < l->count && told < KNOWN_MOST; i++) {
        const struct row *r = &l->rows[i];
        const uint64_t left_ns = r->expires_ns - now_ns;
        bool is_told = false;
        for (size_t j = 0; j < i; j++)
            is_told |= mdns_name_is_same(&l->rows[j].instance, &r->instance);
        if (is_told || r->expires_ns <= now_ns || left_ns < r->ttl_ns / 2)
            continue;
        mdns_write_record(w, &(struct mdns_record){.name = l->browser->service,
                                                   .type = MDNS_PTR,
                                                   .ttl_s = (uint32_t)(left_ns / NS_PER_S),
                                                   .target = r->instance});
        told++;
    }
}

static void ask(struct browsed_link *l)
{
    struct mdns_writer w;

    mdns_write_begin(&w, false);
    mdns_write_question(&w, &l->browser->service, MDNS_PTR);
    write_known(l, now_of(l), &w);
    l->not_before_ns = now_of(l) + BEACON_APART_NS;
    if (!mdns_write_end(&w))
        return;
    struct alb_status st = mdns_socket_send(l->browser->socket, l->link, &w);
    if (alb_failed(st))
        log_status(LOG_DEBUG, "beacon.unasked", st, "link=%" PRIu32, l->link);
}

/* 1 s after the first, then twice as long each time; once somebody is known, three are enough. */
static void plan_question(struct browsed_link *l)
{
    uint64_t wait_ns = NS_PER_S;

    l->questions++;
    for (unsigned i = 1; i < l->questions && wait_ns < QUESTION_MOST_NS; i++)
        wait_ns *= 2;
    wait_ns = sooner(wait_ns, QUESTION_MOST_NS);
    l->question_ns =
        l->count > 0 && l->questions >= QUESTIONS_WHEN_FOUND
            ? UINT64_MAX
            : now_of(l) + wait_ns + loop_random_between(l->browser->options.loop, 0, wait_ns / 10);
}

static void begin_asking(struct browsed_link *l)
{
    l->questions = 0;
    l->question_ns = now_of(l) + loop_random_between(l->browser->options.loop, BEACON_WAIT_NS,
                                                     BEACON_WAIT_MOST_NS);
    plan(l);
}

static void forget_row(struct browsed_link *l, size_t i)
{
    l->count--;
    memmove(&l->rows[i], &l->rows[i + 1], (l->count - i) * sizeof(l->rows[0]));
    changed(l);
}

/* Is anything about to run out?  Notes that it was asked for. */
static bool renews(struct browsed_link *l, uint64_t now_ns)
{
    bool is_due = false;

    for (size_t i = 0; i < l->count; i++) {
        struct row *r = &l->rows[i];
        if (r->renew_ns > now_ns)
            continue;
        r->renewals++;
        plan_renewal(l, r);
        is_due = true;
    }
    return is_due;
}

static void on_time(void *arg)
{
    struct browsed_link *l = arg;
    const uint64_t now_ns = now_of(l);
    bool is_due = false;

    for (size_t i = l->count; i-- > 0;)
        if (l->rows[i].expires_ns <= now_ns)
            forget_row(l, i);
    if (l->question_ns <= now_ns) {
        plan_question(l);
        is_due = true;
    }
    is_due |= renews(l, now_ns);
    if (is_due && now_ns >= l->not_before_ns)
        ask(l);
    if (l->count == 0 && l->question_ns == UINT64_MAX)
        begin_asking(l); /* whoever was there is gone */
    plan(l);
}

/* ---- hearing answers ------------------------------------------------------------------------- */

/* The box that a packet is about.  A beacon says all of itself in each. */
static bool find_instance(const struct beacon_browser *b, const struct mdns_heard *heard,
                          struct finding *out)
{
    struct mdns_reader r;
    struct mdns_record record;

    if (!mdns_read_begin(&r, heard->bytes, heard->size))
        return false;
    while (mdns_read_record(&r, &record))
        if (record.type == MDNS_PTR && mdns_name_is_same(&record.name, &b->service) &&
            mdns_name_is_child(&record.target, &b->service)) {
            out->instance = record.target;
            out->ttl_s = record.ttl_s < BEACON_TTL_S ? record.ttl_s : BEACON_TTL_S;
            return true;
        }
    return false;
}

static bool is_our_text(const struct beacon_browser *b, const struct mdns_record *txt)
{
    char proto[8], org[2 * BEACON_ORG_SIZE + 1];

    return mdns_text_find(txt, "proto", proto, sizeof(proto)) && strcmp(proto, "1") == 0 &&
           mdns_text_find(txt, "org", org, sizeof(org)) &&
           (b->org[0] == '\0' || strcmp(org, b->org) == 0);
}

/* Where it is, and whether it is one of our organisation that speaks our protocol. */
static bool find_service(const struct beacon_browser *b, const struct mdns_heard *heard,
                         struct finding *out)
{
    struct mdns_reader r;
    struct mdns_record record;

    if (!mdns_read_begin(&r, heard->bytes, heard->size))
        return false;
    while (mdns_read_record(&r, &record)) {
        if (!mdns_name_is_same(&record.name, &out->instance))
            continue;
        if (record.type == MDNS_SRV) {
            out->host = record.target;
            out->port = record.port;
        } else if (record.type == MDNS_TXT) {
            out->is_ours = is_our_text(b, &record);
        }
    }
    return out->is_ours && out->port != 0;
}

/* NULL: there is none. */
static struct row *row_of(struct browsed_link *l, const struct net_ip *ip, uint16_t port)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->rows[i].port == port && l->rows[i].ip.size == ip->size &&
            memcmp(l->rows[i].ip.bytes, ip->bytes, sizeof(ip->bytes)) == 0)
            return &l->rows[i];
    return NULL;
}

static bool is_same_ip(const struct net_ip *a, const struct net_ip *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* NULL: there is no room for it. */
static struct row *add_row(struct browsed_link *l, const struct net_ip *ip, uint16_t port,
                           const struct net_ip *sender)
{
    size_t his = 0;

    for (size_t i = 0; i < l->count; i++)
        his += is_same_ip(&l->rows[i].sender, sender);
    if (l->count == BEACONS_PER_LINK_MOST || his >= ROWS_PER_SENDER_MOST)
        return NULL;
    struct row *r = &l->rows[l->count++];
    *r = (struct row){.ip = *ip, .sender = *sender, .port = port};
    changed(l);
    return r;
}

static void take_address(struct browsed_link *l, const struct mdns_heard *heard,
                         const struct finding *f, const struct net_ip *ip)
{
    struct row *r = row_of(l, ip, f->port);
    const uint64_t now_ns = now_of(l);

    if (r == NULL && f->ttl_s > 0 && mdns_socket_is_near(l->browser->socket, l->link, ip))
        r = add_row(l, ip, f->port, &heard->from);
    if (r == NULL)
        return;
    if (f->ttl_s > 0) {
        r->instance = f->instance;
        r->ttl_ns = f->ttl_s * NS_PER_S;
        r->expires_ns = now_ns + r->ttl_ns;
        r->renewals = 0;
        plan_renewal(l, r);
    } else if (is_same_ip(&r->sender, &heard->from) && r->expires_ns > now_ns + GOODBYE_NS) {
        r->expires_ns = now_ns + GOODBYE_NS;
        r->renew_ns = UINT64_MAX;
    }
}

static void hear_answer(struct browsed_link *l, const struct mdns_heard *heard)
{
    struct finding f = {.port = 0};
    struct mdns_reader r;
    struct mdns_record record;

    if (!find_instance(l->browser, heard, &f) || !find_service(l->browser, heard, &f) ||
        !mdns_read_begin(&r, heard->bytes, heard->size))
        return;
    for (unsigned taken = 0; taken < 2 * BEACON_ADDRESSES_MOST && mdns_read_record(&r, &record);)
        if ((record.type == MDNS_A || record.type == MDNS_AAAA) &&
            mdns_name_is_same(&record.name, &f.host)) {
            take_address(l, heard, &f, &record.ip);
            taken++;
        }
    plan(l);
}

/* ---- hearing questions ----------------------------------------------------------------------- */

static bool knows(const struct browsed_link *l, const struct mdns_name *instance)
{
    for (size_t i = 0; i < l->count; i++)
        if (mdns_name_is_same(&l->rows[i].instance, instance))
            return true;
    return false;
}

/* RFC 6762 §7.3: somebody asks what we would, and does not tell that he knows what we do not: the
 * answer is ours, too. */
static void hear_question(struct browsed_link *l, struct mdns_reader *r)
{
    struct mdns_question q;
    struct mdns_record known;
    bool is_ours = false;

    while (mdns_read_question(r, &q))
        is_ours |= q.type == MDNS_PTR && mdns_name_is_same(&q.name, &l->browser->service);
    if (!is_ours)
        return;
    while (mdns_read_record(r, &known))
        if (known.type == MDNS_PTR && !knows(l, &known.target))
            return;
    l->not_before_ns = now_of(l) + BEACON_APART_NS;
}

static struct browsed_link *link_of(const struct beacon_browser *b, uint32_t link)
{
    for (size_t i = 0; i < MDNS_LINKS_MOST && b->links[i] != NULL; i++)
        if (b->links[i]->link == link)
            return b->links[i];
    return NULL;
}

static void on_heard(void *arg, const struct mdns_heard *heard)
{
    struct browsed_link *l = link_of(arg, heard->link);
    struct mdns_reader r;

    if (l == NULL || heard->from_port != MDNS_PORT ||
        !mdns_read_begin(&r, heard->bytes, heard->size))
        return;
    if (r.is_response)
        hear_answer(l, heard);
    else
        hear_question(l, &r);
}

/* ---- links ----------------------------------------------------------------------------------- */

static void drop_link(struct browsed_link *l)
{
    timer_stop(&l->timer);
    if (l->count > 0)
        changed(l);
    loop_bury(l->browser->options.loop, free, l);
}

static struct browsed_link *new_link(struct beacon_browser *b, uint32_t link)
{
    struct browsed_link *l = xalloc(sizeof(*l));

    l->browser = b;
    l->link = link;
    l->question_ns = UINT64_MAX;
    timer_init(&l->timer, b->options.loop, on_time, l);
    return l;
}

/* Of the addresses that this machine has there. */
static void hash_subnets(const struct browsed_link *l, struct digest *out)
{
    const struct net_picture *now = mdns_socket_picture(l->browser->socket);
    struct hasher *h = hasher_new();

    for (size_t i = 0; i < now->address_count; i++) {
        const struct net_address *a = &now->addresses[i];
        if (a->link != l->link || !mdns_address_is_told(a))
            continue;
        hasher_add(h, a->ip.bytes, sizeof(a->ip.bytes));
        hasher_add(h, &a->prefix, sizeof(a->prefix));
    }
    hasher_finish(h, out);
    hasher_free(h);
}

/* Another address may be another place: who was near is so no more, and others may be. */
static void look_at_link(struct browsed_link *l)
{
    struct digest fresh;

    hash_subnets(l, &fresh);
    if (digest_equal(&l->subnets, &fresh))
        return;
    l->subnets = fresh;
    for (size_t i = l->count; i-- > 0;)
        if (!mdns_socket_is_near(l->browser->socket, l->link, &l->rows[i].ip))
            forget_row(l, i);
    begin_asking(l);
}

void beacon_browser_follow(struct beacon_browser *b, const struct net_picture *now)
{
    uint32_t links[MDNS_LINKS_MOST];
    struct browsed_link *fresh[MDNS_LINKS_MOST] = {NULL};

    mdns_socket_follow(b->socket, now);
    const size_t count = mdns_socket_links(b->socket, links);
    for (size_t i = 0; i < count; i++) {
        fresh[i] = link_of(b, links[i]);
        if (fresh[i] == NULL)
            fresh[i] = new_link(b, links[i]);
        look_at_link(fresh[i]);
    }
    for (size_t i = 0; i < MDNS_LINKS_MOST && b->links[i] != NULL; i++) {
        bool is_kept = false;
        for (size_t j = 0; j < count; j++)
            is_kept |= fresh[j] == b->links[i];
        if (!is_kept)
            drop_link(b->links[i]);
    }
    memcpy(b->links, fresh, sizeof(fresh));
}

void beacon_browser_ask(struct beacon_browser *b)
{
    for (size_t i = 0; i < MDNS_LINKS_MOST && b->links[i] != NULL; i++)
        begin_asking(b->links[i]);
}

/* ---- what is known --------------------------------------------------------------------------- */

static bool is_place_there(const struct upstream_place *out, size_t count,
                           const struct upstream_place *place)
{
    for (size_t i = 0; i < count; i++)
        if (out[i].port == place->port && strcmp(out[i].host, place->host) == 0)
            return true;
    return false;
}

/* How many rows before `i` have the same sender. */
static size_t rank_of(const struct browsed_link *l, size_t i)
{
    size_t rank = 0;

    for (size_t j = 0; j < i; j++)
        rank += is_same_ip(&l->rows[j].sender, &l->rows[i].sender);
    return rank;
}

static void add_places(const struct browsed_link *l, size_t rank, struct upstream_place *out,
                       size_t most, size_t *count)
{
    for (size_t i = 0; i < l->count && *count < most; i++) {
        struct upstream_place place = {.port = l->rows[i].port};
        if (rank_of(l, i) != rank)
            continue;
        net_ip_format(&l->rows[i].ip, place.host);
        if (!is_place_there(out, *count, &place))
            out[(*count)++] = place;
    }
}

/* Each sender's first before anybody's second. */
size_t beacon_browser_places(const struct beacon_browser *b, struct upstream_place *out,
                             size_t most)
{
    size_t count = 0;

    for (size_t rank = 0; rank < ROWS_PER_SENDER_MOST; rank++)
        for (size_t i = 0; i < MDNS_LINKS_MOST && b->links[i] != NULL; i++)
            add_places(b->links[i], rank, out, most, &count);
    return count;
}

/* ---- birth and death ------------------------------------------------------------------------- */

struct alb_status beacon_browser_open(const struct beacon_browser_options *options,
                                      struct beacon_browser **out)
{
    struct beacon_browser *b = xalloc(sizeof(*b));

    b->options = *options;
    b->options.pin = NULL;
    if (options->pin != NULL)
        beacon_org(options->pin, b->org);
    beacon_service(&b->service);
    timer_init(&b->tell, options->loop, on_tell, b);
    struct alb_status st = mdns_socket_open(options->loop, on_heard, b, &b->socket);
    if (alb_failed(st)) {
        free(b);
        return st;
    }
    *out = b;
    return ALB_STATUS_OK;
}

struct beacon_browser *beacon_browser_close(struct beacon_browser *b)
{
    if (b == NULL)
        return NULL;
    for (size_t i = 0; i < MDNS_LINKS_MOST && b->links[i] != NULL; i++)
        drop_link(b->links[i]);
    timer_stop(&b->tell);
    b->socket = mdns_socket_close(b->socket);
    loop_bury(b->options.loop, free, b);
    return NULL;
}
