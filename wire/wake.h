/* SPDX-License-Identifier: Apache-2.0 */
/* wire/wake.h – what the hub orders a guard (somebody awake where machines sleep) to wake, and what
 * the guard says became of it.
 *
 * The order is signed by the hub's online key and travels as an event, "for GUARD wake ORDER"
 * (base64url); whoever passes it on can neither make nor alter one.  It names the guard, and ends
 * WAKE_ORDER_LIFE_S after it was made.  MACs and addresses are what the sleepers themselves
 * announced when they were awake.  The guard's words are the body of POST /v1/woke, JSON, and a
 * hint: whether a machine woke, its own announcement says.  FORMAT.md, "Signed objects";
 * PROTOCOL.md, "Waking".
 */
#pragma once

#include "wire/announce.h"
#include "wire/trust.h"

enum {
    WAKE_ORDER_FORMAT = 1,
    WAKE_ORDER_TARGETS_MAX = 8, /* so that an order fits into an event     */
    WAKE_ORDER_MACS_MAX = 4,    /* of one machine                          */
    WAKE_ORDER_ADDRESSES_MAX = 4,
    WAKE_ORDER_PASSWORD_MAX = 6, /* SecureOn                               */
    WAKE_ORDER_BYTES_MAX = 3072, /* signed                                 */
    WAKE_ORDER_LIFE_S = 60,
    WAKE_ID_SIZE = 18, /* of a job: 'w' and 16 hexadecimal digits */
    WAKE_WHY_MAX = 161,
};

struct wake_order_target {
    char device[64];
    struct site_mac macs[WAKE_ORDER_MACS_MAX]; /* ≥ 1 */
    size_t mac_count;
    struct announce_address addresses[WAKE_ORDER_ADDRESSES_MAX]; /* ≥ 1: say which link it is on */
    size_t address_count;
    uint8_t password[WAKE_ORDER_PASSWORD_MAX];
    uint8_t password_size; /* 0, 4 or 6 */
    bool is_again;         /* it was woken a moment ago: do not refuse it for that */
};

struct wake_order {
    char org[NAME_MAX_SIZE], guard[NAME_MAX_SIZE];
    char job[NAME_MAX_SIZE]; /* for logs */
    uint64_t number;         /* random: each order is obeyed once */
    int64_t issued_wall_s, expires_wall_s;
    struct wake_order_target targets[WAKE_ORDER_TARGETS_MAX];
    size_t target_count; /* ≥ 1 */
};

/* INVALID. */
ALB_MUST_USE struct alb_status wake_order_encode(const struct wake_order *o,
                                                 const struct sign_secret *hub, struct buf *out);
/* REFUSED: no trust, or another organisation's; CORRUPT: not the hub's, or it breaks a rule.
 * Whether it is for us, and in time, is the guard's to judge. */
ALB_MUST_USE struct alb_status wake_order_decode(const void *bytes, size_t size,
                                                 const struct trust *trust, struct wake_order *out);
/* "w…": one that nobody has. */
void wake_job_id_make(char out[WAKE_ID_SIZE]);

/* ---- what became of it ---- */

enum wake_word {
    WAKE_WORD_QUEUED,  /* it waits for those before it   */
    WAKE_WORD_SENT,    /* the first frames went          */
    WAKE_WORD_SEEN,    /* something answered by its MAC: it is probably starting */
    WAKE_WORD_REFUSED, /* not sent; `why`                */
};

struct wake_told {
    char device[64];
    enum wake_word word;
    char why[WAKE_WHY_MAX];
};
struct wake_report {
    char guard[64], job[NAME_MAX_SIZE];
    uint64_t number; /* of the order */
    struct wake_told told[WAKE_ORDER_TARGETS_MAX];
    size_t told_count;
};
ALB_MUST_USE struct alb_status wake_report_encode(const struct wake_report *r, struct buf *out);
/* INVALID names what is wrong. */
ALB_MUST_USE struct alb_status wake_report_decode(const void *bytes, size_t size,
                                                  struct wake_report *out);
const char *wake_word_text(enum wake_word word); /* "queued", "sent", "seen", "refused" */
