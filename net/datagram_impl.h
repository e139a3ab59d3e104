/* SPDX-License-Identifier: Apache-2.0 */
/* net/datagram_impl.h – what a back end of net/datagram.h fills in; nobody else includes it. */
#pragma once

#include "net/datagram.h"
#include "net/loop_impl.h"

struct datagram_ops {
    uint16_t (*port)(const struct datagram *d);
    struct alb_status (*send)(struct datagram *d, const void *bytes, size_t size,
                              const struct datagram_peer *to);
    void (*close)(struct datagram *d);
};

/* First member of every back end's datagram socket. */
struct datagram {
    const struct datagram_ops *ops;
    datagram_fn got;
    void *arg;
};
