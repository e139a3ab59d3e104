/* SPDX-License-Identifier: Apache-2.0 */
/* labkit/tap.c – how many bytes of which kind of traffic pass an interface, every 10 ms.
 *
 * Reads the heads of all packets from a packet socket's ring (stamped by the kernel), so it counts
 * what is on the wire: headers of IP and TCP, TLS, retransmissions.  Works on TUN (bare IP) and on
 * Ethernet, whose own header is not counted.  A kind is an address and a port, either 0 for any, at
 * either end; the first that fits counts, the rest is "other".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "labkit/common.h"
#include "labkit/tools.h"

enum {
    KINDS_MOST = 16,
    NAME_BYTES = 24,
    BIN_US = 10000,
    BLOCK_BYTES = 1 << 18,
    BLOCKS = 32,
    FRAME_BYTES = 256,
    LARGE_BYTES = 600, /* events, credit and probes are smaller */
    BLOCK_MS = 20,     /* a block that is not full is handed over after this */
};

struct kind {
    char name[NAME_BYTES];
    in_addr_t addr; /* network order, 0: any */
    uint16_t port;  /* host order, 0: any */
    uint64_t rx_bytes, rx_packets, tx_bytes, tx_packets;
    uint64_t rx_large; /* bytes of received packets that can only be content */
};

struct tap {
    int fd;
    uint8_t *ring;
    int64_t real_minus_us;
    uint64_t bin;                      /* number of the one being filled */
    struct kind kinds[KINDS_MOST + 1]; /* the last used is "other" */
    int count;
};

static void kind_parse(struct kind *kind, char *text)
{
    char *equals = strchr(text, '='), *colon = strchr(text, ':');
    if (equals == NULL || colon == NULL || equals - text >= NAME_BYTES || equals > colon)
        tool_fail("'%s' is no NAME=ADDR:PORT", text);
    *equals = *colon = '\0';
    (void)snprintf(kind->name, sizeof kind->name, "%s", text);
    if (strcmp(equals + 1, "0") != 0 && inet_pton(AF_INET, equals + 1, &kind->addr) != 1)
        tool_fail("'%s' is no IPv4 address, nor 0", equals + 1);
    kind->port = (uint16_t)arg_number("port", colon + 1, 0, UINT16_MAX);
}

static bool kind_fits(const struct kind *kind, const struct ip *ip, uint16_t from, uint16_t to)
{
    bool addr =
        kind->addr == 0 || kind->addr == ip->ip_src.s_addr || kind->addr == ip->ip_dst.s_addr;
    return addr && (kind->port == 0 || kind->port == from || kind->port == to);
}

static struct kind *kind_find(struct tap *tap, const uint8_t *packet, size_t have)
{
    struct ip ip;
    uint16_t ports[2] = {0, 0};
    memcpy(&ip, packet, sizeof ip);
    size_t head = (size_t)ip.ip_hl * 4;
    if ((ip.ip_p == IPPROTO_TCP || ip.ip_p == IPPROTO_UDP) && have >= head + sizeof ports)
        memcpy(ports, packet + head, sizeof ports);
    for (int i = 0; i < tap->count; i++)
        if (kind_fits(&tap->kinds[i], &ip, ntohs(ports[0]), ntohs(ports[1])))
            return &tap->kinds[i];
    return &tap->kinds[tap->count];
}

static void bin_print(struct tap *tap)
{
    for (int i = 0; i <= tap->count; i++) {
        struct kind *k = &tap->kinds[i];
        if (k->rx_packets + k->tx_packets > 0)
            (void)printf("%" PRIu64 ",%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
                         "\n",
                         tap->bin * BIN_US, k->name, k->rx_bytes, k->rx_packets, k->tx_bytes,
                         k->tx_packets, k->rx_large);
        k->rx_large = k->rx_bytes = k->rx_packets = k->tx_bytes = k->tx_packets = 0;
    }
}

static void packet_count(struct tap *tap, const struct tpacket3_hdr *head)
{
    const uint8_t *bytes = (const uint8_t *)head;
    struct sockaddr_ll link;
    memcpy(&link, bytes + TPACKET_ALIGN(sizeof *head), sizeof link);
    const uint8_t *packet = bytes + head->tp_net;
    size_t have = head->tp_snaplen - (size_t)(head->tp_net - head->tp_mac);
    if (ntohs(link.sll_protocol) != ETHERTYPE_IP || have < sizeof(struct ip))
        return;
    uint64_t real_us = (uint64_t)head->tp_sec * US_PER_S + head->tp_nsec / NS_PER_US;
    uint64_t bin = (uint64_t)((int64_t)real_us - tap->real_minus_us) / BIN_US;
    if (bin > tap->bin) {
        bin_print(tap);
        tap->bin = bin;
    }
    struct kind *kind = kind_find(tap, packet, have);
    size_t bytes_on_wire = head->tp_len - (size_t)(head->tp_net - head->tp_mac);
    bool is_out = link.sll_pkttype == PACKET_OUTGOING;
    *(is_out ? &kind->tx_bytes : &kind->rx_bytes) += bytes_on_wire;
    *(is_out ? &kind->tx_packets : &kind->rx_packets) += 1;
    if (!is_out && bytes_on_wire >= LARGE_BYTES)
        kind->rx_large += bytes_on_wire;
}

static void block_count(struct tap *tap, struct tpacket_block_desc *block)
{
    const uint8_t *at = (const uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;
    for (uint32_t i = 0; i < block->hdr.bh1.num_pkts; i++) {
        const struct tpacket3_hdr *head = (const struct tpacket3_hdr *)(const void *)at;
        packet_count(tap, head);
        at += head->tp_next_offset;
    }
}

static void tap_open(struct tap *tap, const char *interface)
{
    int version = TPACKET_V3;
    struct tpacket_req3 ring = {.tp_block_size = BLOCK_BYTES,
                                .tp_block_nr = BLOCKS,
                                .tp_frame_size = FRAME_BYTES,
                                .tp_frame_nr = BLOCK_BYTES / FRAME_BYTES * BLOCKS,
                                .tp_retire_blk_tov = BLOCK_MS};
    struct sockaddr_ll own = {.sll_family = AF_PACKET,
                              .sll_protocol = htons(ETH_P_ALL),
                              .sll_ifindex = (int)if_nametoindex(interface)};
    tap->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (tap->fd < 0 || own.sll_ifindex == 0)
        tool_fail("cannot listen on %s", interface);
    if (setsockopt(tap->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) != 0 ||
        setsockopt(tap->fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring) != 0)
        tool_fail("cannot make a packet ring");
    void *mapped =
        mmap(NULL, (size_t)BLOCK_BYTES * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, tap->fd, 0);
    if (mapped == MAP_FAILED || bind(tap->fd, (struct sockaddr *)&own, sizeof own) != 0)
        tool_fail("cannot listen on %s", interface);
    tap->ring = mapped;
}

static void tap_run(struct tap *tap)
{
    for (int at = 0; !tool_stopped;) {
        struct tpacket_block_desc *block =
            (struct tpacket_block_desc *)(void *)(tap->ring + (size_t)at * BLOCK_BYTES);
        if (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) {
            struct pollfd wait = {.fd = tap->fd, .events = POLLIN};
            (void)fflush(stdout);
            (void)poll(&wait, 1, -1);
            continue;
        }
        block_count(tap, block);
        __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
        at = (at + 1) % BLOCKS;
    }
    bin_print(tap);
}

int tool_tap(int argc, char **argv)
{
    struct tap tap = {.count = argc - 1};
    tool_begin(false);
    if (tap.count > KINDS_MOST)
        tool_fail("at most %d kinds", KINDS_MOST);
    for (int i = 0; i < tap.count; i++)
        kind_parse(&tap.kinds[i], argv[i + 1]);
    (void)snprintf(tap.kinds[tap.count].name, NAME_BYTES, "other");
    tap.real_minus_us = clock_real_minus_us();
    tap_open(&tap, argv[0]);
    (void)puts("bin_us,kind,rx_bytes,rx_packets,tx_bytes,tx_packets,rx_large");
    (void)fflush(stdout);
    tap_run(&tap);
    struct tpacket_stats_v3 stats;
    socklen_t size = sizeof stats;
    if (getsockopt(tap.fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0 && stats.tp_drops > 0)
        (void)fprintf(stderr, "albedo-traffic: the tap missed %u packets\n", stats.tp_drops);
    close(tap.fd);
    return 0;
}
