/* SPDX-License-Identifier: Apache-2.0 */
/* labkit/tools.h – the tools of albedo-traffic; each is given the words after its name. */
#pragma once

/* tap IFACE NAME=ADDR:PORT… – bytes on the wire by kind of traffic, every 10 ms. */
int tool_tap(int argc, char **argv);

/* echo PORT – sends each datagram back with two stamps. */
int tool_echo(int argc, char **argv);

/* ping HOST PORT HZ SECONDS BYTES – round trips of datagrams of BYTES, and both ways apart. */
int tool_ping(int argc, char **argv);

/* serve PORT CONGESTION – answers GET /BYTES over HTTP, and drains PUT. */
int tool_serve(int argc, char **argv);

/* fetch HOST PORT SECONDS – one download; received bytes every 100 ms. */
int tool_fetch(int argc, char **argv);

/* push HOST PORT SECONDS CONGESTION – one upload. */
int tool_push(int argc, char **argv);

/* web HOST PORT SECONDS THINK_MS BYTES… – objects one after the other, each over a connection of
 * its own, with a pause between. */
int tool_web(int argc, char **argv);

/* pages HOST PORT SECONDS PEOPLE PAUSE_S SEED – an office of people who open pages. */
int tool_pages(int argc, char **argv);

/* lend PORT – sends what is granted; ledbat HOST PORT SECONDS [BYTES] – grants by a window law. */
int tool_lend(int argc, char **argv);
int tool_ledbat(int argc, char **argv);
