/* SPDX-License-Identifier: Apache-2.0 */
/* net/mdns_socket.c – which links, and what of what comes is from there; for both back ends. */
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/alloc.h"
#include "base/units.h"
#include "net/mdns_impl.h"
#include "net/netlink_impl.h"

static const uint8_t FAMILY_SIZE[MDNS_FAMILIES] = {[MDNS_4] = 4, [MDNS_6] = 16};

/* ---- what a link is good for ----------------------------------------------------------------- */

static bool is_link_local(const struct net_ip *ip)
{
    if (ip->size == 4)
        return ip->bytes[0] == 169 && ip->bytes[1] == 254;
    return ip->size == 16 && ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

bool mdns_address_is_told(const struct net_address *a)
{
    const uint32_t doubtful = IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED;

    return (a->flags & doubtful) == 0 && a->scope < RT_SCOPE_LINK && a->peer.size == 0 &&
           !is_link_local(&a->ip);
}

static bool has_address(const struct net_picture *p, uint32_t link, uint8_t family_size)
{
    for (size_t i = 0; i < p->address_count; i++)
        if (p->addresses[i].link == link && p->addresses[i].ip.size == family_size &&
            mdns_address_is_told(&p->addresses[i]))
            return true;
    return false;
}

bool mdns_link_is_wanted(const struct net_picture *p, const struct net_link *l)
{
    if (l->nature == NET_LOOPBACK || l->nature == NET_VPN || l->nature == NET_MOBILE)
        return false;
    return net_link_is_usable(l) && (has_address(p, l->index, 4) || has_address(p, l->index, 16));
}

bool mdns_socket_is_near(const struct mdns_socket *s, uint32_t link, const struct net_ip *ip)
{
    for (size_t i = 0; i < s->now.address_count; i++) {
        struct net_address a = s->now.addresses[i];
        if (a.ip.size == 16 && a.peer.size == 0 && a.prefix > 64)
            a.prefix = 64;
        if (a.link == link && net_address_covers(&a, ip))
            return true;
    }
    return false;
}

/* ---- joining --------------------------------------------------------------------------------- */

static bool is_wanted_in(const struct net_picture *p, uint32_t link, enum mdns_family family)
{
    const struct net_link *l = net_picture_link(p, link);

    return l != NULL && mdns_link_is_wanted(p, l) && has_address(p, link, FAMILY_SIZE[family]);
}

/* The places in the table of links that are gone are free again. */
static void leave_gone(struct mdns_socket *s)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->joined_count; i++) {
        struct mdns_joined j = s->joined[i];
        for (unsigned f = 0; f < MDNS_FAMILIES; f++)
            if (j.is_in[f] && !is_wanted_in(&s->now, j.link, (enum mdns_family)f)) {
                s->ops->leave(s, j.link, (enum mdns_family)f);
                j.is_in[f] = false;
            }
        if (j.is_in[MDNS_4] || j.is_in[MDNS_6])
            s->joined[kept++] = j;
    }
    s->joined_count = kept;
}

/* NULL: it is not there, or the table is full. */
static struct mdns_joined *row_of(struct mdns_socket *s, uint32_t link, bool is_wanted)
{
    size_t at = 0;

    while (at < s->joined_count && s->joined[at].link < link)
        at++;
    if (at < s->joined_count && s->joined[at].link == link)
        return &s->joined[at];
    if (!is_wanted || s->joined_count == MDNS_LINKS_MOST)
        return NULL;
    memmove(&s->joined[at + 1], &s->joined[at], (s->joined_count - at) * sizeof(s->joined[0]));
    s->joined[at] = (struct mdns_joined){.link = link};
    s->joined_count++;
    return &s->joined[at];
}

static void join_new(struct mdns_socket *s, uint32_t link)
{
    struct mdns_joined *j = row_of(s, link, true);

    for (unsigned f = 0; j != NULL && f < MDNS_FAMILIES; f++)
        if (!j->is_in[f] && is_wanted_in(&s->now, link, (enum mdns_family)f))
            j->is_in[f] = s->ops->join(s, link, (enum mdns_family)f);
}

/* Nobody asks for its routes and neighbours here. */
static void keep_subnets(struct mdns_socket *s, const struct net_picture *now)
{
    net_picture_release(&s->now);
    for (size_t i = 0; i < now->link_count; i++)
        net_picture_put_link(&s->now, &now->links[i]);
    for (size_t i = 0; i < now->address_count; i++)
        net_picture_put_address(&s->now, &now->addresses[i]);
}

void mdns_socket_follow(struct mdns_socket *s, const struct net_picture *now)
{
    keep_subnets(s, now);
    leave_gone(s);
    for (size_t i = 0; i < s->now.link_count; i++)
        if (mdns_link_is_wanted(&s->now, &s->now.links[i]))
            join_new(s, s->now.links[i].index);
}

const struct net_picture *mdns_socket_picture(const struct mdns_socket *s)
{
    return &s->now;
}

size_t mdns_socket_links(const struct mdns_socket *s, uint32_t out[MDNS_LINKS_MOST])
{
    size_t count = 0;

    for (size_t i = 0; i < s->joined_count; i++)
        if (s->joined[i].is_in[MDNS_4] || s->joined[i].is_in[MDNS_6])
            out[count++] = s->joined[i].link;
    return count;
}

/* ---- hearing and sending --------------------------------------------------------------------- */

static bool is_too_much(struct mdns_joined *j, uint64_t now_ns)
{
    if (now_ns - j->second_ns >= NS_PER_S) {
        j->second_ns = now_ns;
        j->heard = 0;
    }
    return ++j->heard > MDNS_HEARD_MOST;
}

/* A router hands on none of this, but a socket at a well-known port gets whatever is sent to it. */
void mdns_socket_hear(struct mdns_socket *s, const struct mdns_heard *heard)
{
    struct mdns_joined *j = row_of(s, heard->link, false);

    if (j == NULL || heard->size > MDNS_PACKET_MOST || is_too_much(j, loop_now_ns(s->loop)))
        return;
    if (is_link_local(&heard->from) || mdns_socket_is_near(s, heard->link, &heard->from))
        s->heard(s->arg, heard);
}

struct alb_status mdns_socket_send(struct mdns_socket *s, uint32_t link,
                                   const struct mdns_writer *packet)
{
    const struct mdns_joined *j = row_of(s, link, false);
    struct alb_status st = alb_fail(ALB_NOT_FOUND, "sending to a link: it is not there");
    bool has_left = false;

    if (j == NULL)
        return st;
    alb_assert(mdns_write_end(packet));
    for (unsigned f = 0; f < MDNS_FAMILIES; f++) {
        if (!j->is_in[f])
            continue;
        st = s->ops->send(s, link, (enum mdns_family)f, packet);
        has_left |= !alb_failed(st);
    }
    return has_left ? ALB_STATUS_OK : st;
}

/* ---- birth and death ------------------------------------------------------------------------- */

struct alb_status mdns_socket_open(struct loop *loop, mdns_heard_fn heard, void *arg,
                                   struct mdns_socket **out)
{
    struct mdns_socket *s = NULL;
    struct alb_status st = loop->ops->open_mdns(loop, &s);

    if (alb_failed(st))
        return st;
    s->loop = loop;
    s->heard = heard;
    s->arg = arg;
    *out = s;
    return ALB_STATUS_OK;
}

struct mdns_socket *mdns_socket_close(struct mdns_socket *s)
{
    if (s != NULL) {
        net_picture_release(&s->now);
        s->joined_count = 0;
        s->is_closed = true;
        s->ops->close(s);
    }
    return NULL;
}
