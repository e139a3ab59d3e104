/* SPDX-License-Identifier: Apache-2.0 */
/* wire/vigil.h – what the hub asks of a machine's own being awake: sleep once it has pulled what it
 * was woken for, or stay awake for its subnet's sake.
 *
 * The order is signed by the hub's online key and travels as an event, "for DEVICE vigil ORDER"
 * (base64url); whoever passes it on can neither make nor alter one.  It names the device, and must
 * be heard within VIGIL_ORDER_LIFE_S; what it asks holds until `until`.  FORMAT.md, "Signed
 * objects"; PROTOCOL.md, "Waking".
 */
#pragma once

#include "base/buf.h"
#include "wire/trust.h"

enum {
    VIGIL_ORDER_FORMAT = 1,
    VIGIL_ORDER_BYTES_MAX = 1024, /* signed */
    VIGIL_ORDER_LIFE_S = 60,
    VIGIL_MOST_S = 24 * 3600, /* `until` is at most so far */
};

enum vigil_kind {
    VIGIL_SLEEP = 1, /* when `version` of `layer` is applied; if it slept before `begun` */
    VIGIL_STAY = 2,  /* until then */
    VIGIL_LEAVE = 3, /* another one stays */
};

struct vigil_order {
    char org[NAME_MAX_SIZE], device[NAME_MAX_SIZE];
    uint64_t number; /* random: each order is obeyed once */
    int64_t issued_wall_s, expires_wall_s;
    uint64_t kind;        /* enum vigil_kind */
    int64_t begun_wall_s; /* when it was begun to be woken; STAY, LEAVE: not read */
    int64_t until_wall_s;
    char layer[NAME_MAX_SIZE], version[NAME_MAX_SIZE]; /* SLEEP; else "" */
};

/* INVALID. */
ALB_MUST_USE struct alb_status vigil_order_encode(const struct vigil_order *o,
                                                  const struct sign_secret *hub, struct buf *out);
/* REFUSED: no trust, or another organisation's; CORRUPT: not the hub's, or it breaks a rule.
 * Whether it is for us, and in time, is the machine's to judge. */
ALB_MUST_USE struct alb_status vigil_order_decode(const void *bytes, size_t size,
                                                  const struct trust *trust,
                                                  struct vigil_order *out);
