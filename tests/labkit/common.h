/* SPDX-License-Identifier: Apache-2.0 */
/* labkit/common.h – what the lab's traffic tools share: clocks, sockets, arguments, the way out.
 *
 * The tools link nothing of the product.  Each prints CSV lines, first a line of column names, and
 * ends by itself, or on SIGTERM or SIGINT after flushing.  Times are CLOCK_MONOTONIC microseconds,
 * which all processes of one machine share, so the runner can lay their lines beside each other.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { US_PER_S = 1000000, NS_PER_US = 1000 };

/* Set by SIGTERM and SIGINT once tool_begin() was called; loops ask for it. */
extern volatile bool tool_stopped;

/* Signals, and large buffers for standard output.  `is_timed`: also real-time priority and sharp
 * timers, for tools that sleep most of the time; where a right is missing, nothing happens. */
void tool_begin(bool is_timed);

/* Says what and why (errno), and leaves with 1. */
__attribute__((noreturn, format(printf, 1, 2))) void tool_fail(const char *format, ...);

uint64_t clock_us(void);           /* monotonic */
uint64_t clock_real_ns(void);      /* what the kernel's packet stamps are in */
int64_t clock_real_minus_us(void); /* real minus monotonic, microseconds, now */

/* A number from the command line within the bounds, or tool_fail(). */
uint64_t arg_number(const char *what, const char *text, uint64_t least, uint64_t most);

/* IPv4 address and port as typed. */
struct sockaddr_in arg_address(const char *host, const char *port);

/* A UDP socket with kernel receive stamps; bound to `port` unless 0. */
int udp_open(uint16_t port);

/* Receive one datagram and the moment the kernel had it (CLOCK_REALTIME nanoseconds).  -1 when the
 * socket's time limit passed or a signal came. */
ssize_t udp_receive(int fd, void *out, size_t size, struct sockaddr_in *from, uint64_t *at_ns);

/* Congestion control by name ("cubic", "bbr"); NULL leaves the system's default. */
void tcp_use(int fd, const char *congestion);

/* A listening stream whose children take `congestion`, or tool_fail(). */
int tcp_listen(uint16_t port, const char *congestion);

/* A connected stream, or tool_fail(). */
int tcp_connect(const struct sockaddr_in *to, const char *congestion);
