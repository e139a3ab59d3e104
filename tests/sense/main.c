/* SPDX-License-Identifier: Apache-2.0 */
/* sense/main.c – albedo-sense: what net/ knows of this machine's place, and wake frames; for tests.
 *
 *     albedo-sense view                  a picture as one line of JSON whenever something changed;
 *                                        on standard input: "reach ADDRESS", and "busy", which
 *                                        keeps the loop until the next line; of what is neither,
 *                                        an error
 *     albedo-sense wol LINK              can it be woken at all?
 *     albedo-sense wake LINK MAC [SECUREON]
 *                                        one wake in every way there is
 */
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/units.h"
#include "net/ethtool_netlink.h"
#include "net/netlink.h"
#include "shaper/wake.h"

/* ---- view ------------------------------------------------------------------------------------ */

struct viewer {
    struct loop *loop;
    struct netlink_view *view;
    struct timer look; /* at standard input */
};

static const char *mac_text(const uint8_t *mac, char out[18])
{
    (void)snprintf(out, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                   mac[5]);
    return out;
}

static void show_links(const struct net_picture *p)
{
    char mac[18], permanent[18];

    printf("\"links\":[");
    for (size_t i = 0; i < p->link_count; i++) {
        const struct net_link *l = &p->links[i];

        printf("%s{\"index\":%u,\"name\":\"%s\",\"kind\":\"%s\",\"mtu\":%u,\"mac\":\"%s\","
               "\"permanent\":\"%s\",\"up\":%d,\"carrier\":%d,\"usable\":%d,\"operstate\":%u,"
               "\"nature\":\"%s\"}",
               i == 0 ? "" : ",", l->index, l->name, l->kind, l->mtu,
               l->has_mac ? mac_text(l->mac, mac) : "",
               l->has_permanent_mac ? mac_text(l->permanent_mac, permanent) : "", l->is_up,
               l->has_carrier, net_link_is_usable(l), l->operstate, net_nature_name(l->nature));
    }
    printf("]");
}

static void show_addresses(const struct net_picture *p)
{
    char ip[NET_IP_TEXT_SIZE], peer[NET_IP_TEXT_SIZE];

    printf(",\"addresses\":[");
    for (size_t i = 0; i < p->address_count; i++) {
        const struct net_address *a = &p->addresses[i];

        printf("%s{\"link\":%u,\"ip\":\"%s\",\"peer\":\"%s\",\"prefix\":%u,\"scope\":%u}",
               i == 0 ? "" : ",", a->link, net_ip_format(&a->ip, ip), net_ip_format(&a->peer, peer),
               a->prefix, a->scope);
    }
    printf("]");
}

static void show_routes(const struct net_picture *p)
{
    char ip[NET_IP_TEXT_SIZE], mac[18];
    uint8_t bytes[NET_MAC_SIZE];

    printf(",\"routes\":[");
    for (size_t i = 0; i < p->route_count; i++) {
        const struct net_route *r = &p->routes[i];

        printf("%s{\"family\":%u,\"metric\":%u,\"table\":%u,\"link\":%u,\"gateway\":\"%s\","
               "\"mac\":\"%s\"}",
               i == 0 ? "" : ",", r->family_size, r->metric, r->table, r->link,
               net_ip_format(&r->gateway, ip),
               net_picture_gateway_mac(p, r, bytes) ? mac_text(bytes, mac) : "");
    }
    printf("]");
}

static void show_neighbours(const struct net_picture *p)
{
    char ip[NET_IP_TEXT_SIZE], mac[18];

    printf(",\"neighbours\":[");
    for (size_t i = 0; i < p->neighbour_count; i++) {
        const struct net_neighbour *n = &p->neighbours[i];

        printf("%s{\"link\":%u,\"ip\":\"%s\",\"mac\":\"%s\",\"state\":%u}", i == 0 ? "" : ",",
               n->link, net_ip_format(&n->ip, ip), mac_text(n->mac, mac), n->state);
    }
    printf("]");
}

static void on_changed(void *arg, unsigned parts)
{
    struct viewer *v = arg;
    const struct net_picture *p = netlink_view_peek(v->view);

    printf("{\"parts\":%u,\"overruns\":%u,\"cut\":%u,\"at_ms\":%" PRIu64 ",", parts,
           netlink_view_overruns(v->view), p->cut, loop_now_ns(v->loop) / NS_PER_MS);
    show_links(p);
    show_addresses(p);
    show_routes(p);
    show_neighbours(p);
    printf("}\n");
    fflush(stdout);
}

static void refuse_line(const char *why)
{
    printf("{\"error\":\"%s\"}\n", why);
    fflush(stdout);
}

static void answer_reach(struct viewer *v, const char *text)
{
    char source[NET_IP_TEXT_SIZE], gateway[NET_IP_TEXT_SIZE], why[128];
    struct net_ip to;
    struct net_way way;

    if (!net_ip_parse(text, &to)) {
        refuse_line("reach ADDRESS: that is no IP address");
        return;
    }
    struct alb_status st = netlink_view_reach(v->view, &to, &way);
    if (alb_failed(st))
        printf("{\"reach\":\"%s\",\"error\":\"%s\"}\n", text,
               alb_status_text(st, why, sizeof(why)));
    else
        printf("{\"reach\":\"%s\",\"link\":%u,\"source\":\"%s\",\"gateway\":\"%s\",\"own\":%d}\n",
               text, way.link, net_ip_format(&way.source, source),
               net_ip_format(&way.gateway, gateway), way.is_own);
    fflush(stdout);
}

/* The loop as it is while something else keeps it: events pile up in the socket. */
static void be_busy_until_told(void)
{
    char line[16];

    printf("{\"busy\":1}\n");
    fflush(stdout);
    (void)!fgets(line, sizeof(line), stdin);
}

static bool has_line(void)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

/* A line a tenth of a second is plenty for a test, and standard input needs no event of its own. */
static void on_look(void *arg)
{
    struct viewer *v = arg;
    char line[128];

    timer_set_in(&v->look, 100 * NS_PER_MS);
    if (!has_line())
        return;
    if (fgets(line, sizeof(line), stdin) == NULL) {
        loop_stop(v->loop);
        return;
    }
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, "busy") == 0)
        be_busy_until_told();
    else if (strncmp(line, "reach ", 6) == 0)
        answer_reach(v, line + 6);
    else
        refuse_line("reach ADDRESS, or busy");
}

static void log_to_stderr(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

static int view(void)
{
    struct viewer v = {.loop = loop_new(&(struct loop_options){.workers = 1})};

    setvbuf(stdin, NULL, _IONBF, 0);
    log_install(log_to_stderr, NULL, LOG_WARN);
    struct alb_status st = netlink_view_open(v.loop, on_changed, &v, &v.view);
    if (alb_failed(st)) {
        char why[128];

        printf("{\"error\":\"%s\"}\n", alb_status_text(st, why, sizeof(why)));
        loop_free(v.loop);
        return 1;
    }
    timer_init(&v.look, v.loop, on_look, &v);
    on_look(&v);
    loop_run(v.loop);
    timer_stop(&v.look);
    netlink_view_close(v.view);
    loop_free(v.loop);
    return 0;
}

/* ---- waking ---------------------------------------------------------------------------------- */

static int wol(const char *name)
{
    struct wake_ability a;
    char why[128];
    struct alb_status st = wake_ability_ask(if_nametoindex(name), &a);

    if (alb_failed(st)) {
        printf("{\"error\":\"%s\"}\n", alb_status_text(st, why, sizeof(why)));
        return 1;
    }
    printf("{\"answer\":\"%s\",\"text\":\"%s\",\"supported\":%u,\"active\":%u}\n",
           wake_answer_name(a.answer), wake_answer_text(a.answer), a.supported, a.active);
    return 0;
}

static int digit_of(char c)
{
    static const char DIGITS[] = "0123456789abcdefABCDEF";
    const char *at = c == '\0' ? NULL : strchr(DIGITS, c);

    if (at == NULL)
        return -1;
    return (int)(at - DIGITS) - (at - DIGITS > 15 ? 6 : 0);
}

/* "aa:bb:…" of exactly `count` bytes, and nothing behind them. */
static bool parse_bytes(const char *text, uint8_t *out, size_t count)
{
    for (size_t i = 0; i < count; i++, text += 3) {
        const int high = digit_of(text[0]), low = high < 0 ? -1 : digit_of(text[1]);

        if (low < 0 || text[2] != (i + 1 < count ? ':' : '\0'))
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool parse_password(const char *text, struct wake_target *t)
{
    t->password_size = (uint8_t)((strlen(text) + 1) / 3);
    if (text[0] == '\0')
        return true;
    return (t->password_size == 4 || t->password_size == 6) &&
           parse_bytes(text, t->password, t->password_size);
}

static int usage(const char *why)
{
    fprintf(stderr,
            "albedo-sense: %s\nusage: albedo-sense view | wol LINK | wake LINK MAC [SECUREON]\n"
            "MAC: aa:bb:cc:dd:ee:ff; SECUREON: 4 or 6 bytes, written alike\n",
            why);
    return 2;
}

static int wake(const char *name, const char *mac, const char *password)
{
    struct wake_target t = {.link = if_nametoindex(name)};
    uint8_t pattern[WAKE_PATTERN_MOST];
    char why[128];

    if (!parse_bytes(mac, t.mac, NET_MAC_SIZE))
        return usage("that is no MAC");
    if (!parse_password(password, &t))
        return usage("that is no SecureOn password");
    struct loop *loop = loop_new(&(struct loop_options){.workers = 1});
    const size_t size = wake_pattern(&t, pattern);
    for (unsigned way = 0; way < WAKE_WAYS; way++) {
        struct raw_frame f;

        wake_frame(&t, way, pattern, size, &f);
        struct alb_status st = raw_frame_send(loop, &f);
        printf("{\"way\":%u,\"code\":\"%s\",\"text\":\"%s\"}\n", way, alb_code_name(st.code),
               alb_status_text(st, why, sizeof(why)));
    }
    loop_free(loop);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "view") == 0)
        return view();
    if (argc == 3 && strcmp(argv[1], "wol") == 0)
        return wol(argv[2]);
    if ((argc == 4 || argc == 5) && strcmp(argv[1], "wake") == 0)
        return wake(argv[2], argv[3], argc == 5 ? argv[4] : "");
    return usage("one of these, please");
}
