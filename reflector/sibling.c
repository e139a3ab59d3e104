/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/sibling.c – the other reflectors of our site: who they are, and what they may ask.
 *
 *     the signed list: of our own site, not barred ──> an address in a subnet of one of our own
 *     links, no VPN and no modem ──> a sibling (transfer/sibling.h) as long as both hold
 *
 * Nobody else is one: a sibling is asked for everything that is missed, so the way to it must be
 * short and cost nothing.  SIBLINGS_MOST of them, in the order of the list.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "reflector/reflector_impl.h"
#include "transfer/sibling.h"

enum { SIBLINGS_MOST = 4 };

struct reflector_siblings {
    struct sibling *all[SIBLINGS_MOST]; /* NULL: a free place */
};

/* ---- who ------------------------------------------------------------------------------------- */

/* Of a device of our site: the holder that the signed list has for it, or NULL. */
static const struct nearby_holder *find_holder(const struct reflector *r, const char *device)
{
    const struct nearby *list = nearby_book_peek(reflector_nearby_book(r));

    for (size_t i = 0; list != NULL && i < list->holder_count; i++)
        if (list->holders[i].depth == 0 && strcmp(list->holders[i].device, device) == 0)
            return &list->holders[i];
    return NULL;
}

static bool is_on_our_link(const struct net_picture *p, const char *host)
{
    struct net_ip ip;

    if (!net_ip_parse(host, &ip))
        return false;
    for (size_t i = 0; i < p->address_count; i++) {
        const struct net_link *l = net_picture_link(p, p->addresses[i].link);
        const bool is_lan = l != NULL && l->nature != NET_VPN && l->nature != NET_MOBILE &&
                            l->nature != NET_LOOPBACK;
        if (is_lan && net_link_is_usable(l) && net_address_covers(&p->addresses[i], &ip))
            return true;
    }
    return false;
}

/* False: it is no sibling, or not on our LAN. */
static bool place_of(struct reflector *r, const struct nearby_holder *h, struct upstream_place *out)
{
    const struct net_picture *p = reflector_picture(r);

    if (p == NULL || h->depth != 0 || h->state == REFLECTOR_DISABLE ||
        strcmp(h->site, r->options.site) != 0 || strcmp(h->device, r->options.device) == 0)
        return false;
    for (size_t i = 0; i < h->at_count; i++) {
        if (!is_on_our_link(p, h->at[i].host))
            continue;
        *out = (struct upstream_place){.port = h->at[i].port};
        snprintf(out->host, sizeof out->host, "%s", h->at[i].host);
        return true;
    }
    return false;
}

static struct alb_status judge(void *arg, const uint8_t *bytes, size_t size, int64_t *renew_wall_s)
{
    return own_grant_judge(&((struct reflector *)arg)->grant, bytes, size, renew_wall_s);
}

static struct sibling *begin(struct reflector *r, const char *device,
                             const struct upstream_place *place)
{
    return sibling_new(&(struct sibling_options){.loop = r->options.loop,
                                                 .place = *place,
                                                 .device = device,
                                                 .tls = r->options.dial_tls,
                                                 .authority = r->authority,
                                                 .roots = r->roots,
                                                 .supply = r->supply,
                                                 .grant = buf_peek(&r->grant.bytes),
                                                 .grant_size = buf_size(&r->grant.bytes),
                                                 .grant_renew_wall_s = r->grant.renew_wall_s,
                                                 .arg = r,
                                                 .granted = judge});
}

static void take(struct reflector *r, struct sibling **old, const struct nearby_holder *h,
                 size_t *count)
{
    struct upstream_place place;
    struct sibling **all = r->siblings->all;

    if (*count == SIBLINGS_MOST || !place_of(r, h, &place))
        return;
    for (size_t i = 0; i < SIBLINGS_MOST; i++)
        if (old[i] != NULL && sibling_is_at(old[i], h->device, &place)) {
            all[(*count)++] = take_ptr(&old[i]);
            return;
        }
    all[(*count)++] = begin(r, h->device, &place);
}

void reflector_look_siblings(struct reflector *r)
{
    struct sibling *old[SIBLINGS_MOST];
    const struct nearby *list;
    size_t count = 0;

    if (r->siblings == NULL)
        return;
    list = nearby_book_peek(reflector_nearby_book(r));
    memcpy(old, r->siblings->all, sizeof old);
    memset(r->siblings->all, 0, sizeof r->siblings->all);
    for (size_t i = 0; list != NULL && i < list->holder_count; i++)
        take(r, old, &list->holders[i], &count);
    for (size_t i = 0; i < SIBLINGS_MOST; i++)
        sibling_free(old[i]);
}

void reflector_open_siblings(struct reflector *r)
{
    r->siblings = xalloc(sizeof *r->siblings);
    reflector_look_siblings(r);
}

void reflector_close_siblings(struct reflector *r)
{
    struct reflector_siblings *all = take_ptr(&r->siblings);

    for (size_t i = 0; all != NULL && i < SIBLINGS_MOST; i++)
        sibling_free(all->all[i]);
    free(all);
    arrivals_release(&r->arrivals);
}

struct sibling *reflector_beside(void *reflector)
{
    const struct reflector_siblings *all = ((struct reflector *)reflector)->siblings;

    for (size_t i = 0; all != NULL && i < SIBLINGS_MOST; i++)
        if (all->all[i] != NULL && sibling_is_worth_asking(all->all[i]))
            return all->all[i];
    return NULL;
}

/* ---- GET /v1/arrivals ------------------------------------------------------------------------ */

/* Nobody reads it where there is no sibling. */
void reflector_arrived(void *reflector, const struct where *where)
{
    struct reflector *r = reflector;

    if (r->siblings != NULL && r->siblings->all[0] != NULL)
        arrivals_add(&r->arrivals, where);
}

static bool may_read(const void *rq, const char *layer)
{
    return serve_may_read(rq, layer);
}

/* Our own attempts may be ten seconds apart: it was away, and has come back. */
static void call_back(const struct reflector *r, const char *device)
{
    for (size_t i = 0; r->siblings != NULL && i < SIBLINGS_MOST; i++)
        if (r->siblings->all[i] != NULL && sibling_is(r->siblings->all[i], device))
            sibling_call(r->siblings->all[i]);
}

void reflector_handle_arrivals(void *reflector, struct serve_request *rq)
{
    struct reflector *r = reflector;
    struct arrivals_answer answer;
    char since[24];
    uint64_t number = 0;
    struct buf out;

    if (find_holder(r, rq->session->who.device) == NULL) {
        serve_refuse(rq, ALB_REFUSED,
                     "only reflectors of this site mirror it, and the list that "
                     "this one has names no such reflector: ask again later");
        return;
    }
    call_back(r, rq->session->who.device);
    if (serve_query(rq, "since", since, sizeof since) &&
        alb_failed(parse_u64(since, UINT64_MAX, &number))) {
        serve_refuse(rq, ALB_INVALID, "?since= wants a number");
        return;
    }
    arrivals_after(&r->arrivals, number, may_read, rq, &answer);
    buf_init(&out, ARRIVALS_BYTES_MAX);
    struct alb_status st = arrivals_encode(&answer, &out);
    if (alb_failed(st))
        serve_refuse_status(rq, st);
    else
        serve_answer(rq, "application/octet-stream", buf_peek(&out), buf_size(&out));
    buf_release(&out);
}

void reflector_show_siblings(const struct reflector *r, struct json_writer *w)
{
    json_array_begin(w, "siblings");
    for (size_t i = 0; r->siblings != NULL && i < SIBLINGS_MOST; i++) {
        if (r->siblings->all[i] == NULL)
            continue;
        json_object_begin(w, NULL);
        sibling_show(r->siblings->all[i], w);
        json_end(w);
    }
    json_end(w);
}
