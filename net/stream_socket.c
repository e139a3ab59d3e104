/* SPDX-License-Identifier: Apache-2.0 */
/* net/stream_socket.c – what a stream asks of the kernel about its socket: options and figures. */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "net/stream_event.h"

enum {
    /* Bytes that may wait in the kernel before the socket counts as full: enough for 100 Mbit/s
     * at 10 ms, little enough that what is urgent does not stand behind a second of bulk. */
    UNSENT_SIZE = 128 << 10,
    /* On a thin line: what is written is soon under way, and can still be held back. */
    UNSENT_PACED_SIZE = 16 << 10,
    UNSENT_THIN_SIZE = 4 << 10,
    THIN_BPS = 2000000,
    USER_TIMEOUT_MS = 20000, /* sent and not acknowledged for that long: the path is dead */
    DSCP_LE = 0x01,          /* "lower effort", RFC 8622                                  */
    NS_PER_US = 1000,
};

static void set(const struct event_stream *s, int level, int option, int value)
{
    (void)setsockopt(s->fd, level, option, &value, sizeof(value));
}

static int unsent_size(const struct event_stream *s)
{
    if (s->base.pacing_bps == 0)
        return UNSENT_SIZE;
    return s->base.pacing_bps < THIN_BPS ? UNSENT_THIN_SIZE : UNSENT_PACED_SIZE;
}

/* The kernel counts in bytes, without headers; all ones: as fast as congestion control likes. */
static void pace(const struct event_stream *s)
{
    uint64_t rate_bps = s->base.pacing_bps;
    uint64_t bytes_per_s = rate_bps == 0 ? UINT64_MAX : rate_bps / 8 + rate_bps / 32;

    (void)setsockopt(s->fd, SOL_SOCKET, SO_MAX_PACING_RATE, &bytes_per_s, sizeof(bytes_per_s));
}

/* BBR, some machines' default, measures the path anew every 10 s, with four packets in flight for
 * 200 ms: that holds back the credit of a long line, and then all that it lets loose comes at once.
 * Where CUBIC is not to be had the default stays. */
static void use_cubic(const struct event_stream *s)
{
    static const char name[] = "cubic";

    (void)setsockopt(s->fd, IPPROTO_TCP, TCP_CONGESTION, name, sizeof(name) - 1);
}

/* Each of these makes a good connection better; none is needed for a working one. */
void stream_event_tune(const struct event_stream *s)
{
    set(s, IPPROTO_TCP, TCP_NODELAY, 1);
    use_cubic(s);
    set(s, IPPROTO_TCP, TCP_NOTSENT_LOWAT, unsent_size(s));
    set(s, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
    pace(s);
    if (!s->bulk)
        return;
    set(s, IPPROTO_IP, IP_TOS, DSCP_LE << 2);
    set(s, IPPROTO_IPV6, IPV6_TCLASS, DSCP_LE << 2);
}

/* An older kernel says less: what it did not fill in is not known. */
#define SAYS(said, field)                                                                          \
    ((said) >= offsetof(struct tcp_info, field) + sizeof(((struct tcp_info *)0)->field))

void stream_event_tcp_figures(const struct event_stream *s, struct path_figures *out)
{
    struct tcp_info info = {0};
    socklen_t said = sizeof(info);

    if (s->fd < 0 || getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &said) != 0)
        return;
    out->rtt_ns = (uint64_t)info.tcpi_rtt * NS_PER_US;
    out->retransmitted = info.tcpi_total_retrans;
    out->segments_sent = info.tcpi_segs_out;
    out->segments_received = info.tcpi_segs_in;
    out->unsent_bytes = info.tcpi_notsent_bytes;
    out->acked_bytes = info.tcpi_bytes_acked;
    if (info.tcpi_min_rtt != UINT32_MAX) /* nothing was measured yet */
        out->min_rtt_ns = (uint64_t)info.tcpi_min_rtt * NS_PER_US;
    if (SAYS(said, tcpi_bytes_retrans)) {
        out->path_sent_bytes = info.tcpi_bytes_sent;
        out->retransmitted_bytes = info.tcpi_bytes_retrans;
    }
    if (SAYS(said, tcpi_rcv_ooopack))
        out->received_out_of_order = info.tcpi_rcv_ooopack;
}
