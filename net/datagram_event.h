/* SPDX-License-Identifier: Apache-2.0 */
/* net/datagram_event.h – UDP sockets as the kernel's loop keeps them; for loop_event.c. */
#pragma once

#include "net/datagram_impl.h"

struct alb_status datagram_event_open(struct loop *loop, const struct datagram_options *options,
                                      struct datagram **out);
bool datagram_event_find_host(struct loop *loop, const char *host, uint16_t port,
                              struct address *out);
