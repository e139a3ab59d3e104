/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/bucket.c – the arithmetic of one rate limit, in 128 bits where products need them. */
#include "shaper/bucket.h"

typedef unsigned __int128 wide;

enum { BITS_PER_BYTE = 8 };
#define NS_IN_S UINT64_C(1000000000)
/* Times beyond are as good as never (292 years), debts beyond as good as unpayable (8 GiB); both
 * keep the products below 2^128. */
#define FAR_NS (UINT64_C(1) << 63)
#define DEBT_MAX_BYTES (UINT64_C(1) << 33)

static bool is_limited(const struct bucket *b)
{
    return b->ns_per_byte_q31 != 0;
}

static wide divide_up(wide a, wide by)
{
    return (a + by - 1) / by;
}

static wide tat_q31(const struct bucket *b)
{
    return ((wide)b->tat_ns << BUCKET_Q) + b->tat_q31;
}

/* How far the bucket is below full, in 2^-31 ns. */
static wide debt_q31(const struct bucket *b, uint64_t now_ns)
{
    wide tat = tat_q31(b);
    wide now = (wide)now_ns << BUCKET_Q;

    return tat > now ? tat - now : 0;
}

static void set_tat(struct bucket *b, wide q31)
{
    uint64_t ns = (uint64_t)(q31 >> BUCKET_Q);

    if ((q31 >> BUCKET_Q) > FAR_NS) {
        b->tat_ns = FAR_NS;
        b->tat_q31 = 0;
        return;
    }
    b->tat_ns = ns;
    b->tat_q31 = (uint32_t)(q31 & ((UINT32_C(1) << BUCKET_Q) - 1));
}

static void set_pace(struct bucket *b, uint64_t rate_bps)
{
    b->rate_bps = rate_bps;
    b->ns_per_byte_q31 = 0;
    if (rate_bps != 0 && rate_bps != BUCKET_UNLIMITED)
        b->ns_per_byte_q31 =
            (uint64_t)divide_up((wide)(BITS_PER_BYTE * NS_IN_S) << BUCKET_Q, rate_bps);
}

void bucket_init(struct bucket *b, uint64_t rate_bps, uint32_t burst_bytes)
{
    *b = (struct bucket){.burst_bytes = burst_bytes};
    set_pace(b, rate_bps);
}

/* How far it is below full, in 2^-31 bytes, rounded up. */
static wide missing_q31(const struct bucket *b, uint64_t now_ns)
{
    if (b->rate_bps == 0)
        return (wide)b->tat_ns << BUCKET_Q;
    if (!is_limited(b))
        return (wide)b->burst_bytes << BUCKET_Q;
    return divide_up(debt_q31(b, now_ns) << BUCKET_Q, b->ns_per_byte_q31);
}

void bucket_set(struct bucket *b, uint64_t rate_bps, uint32_t burst_bytes, uint64_t now_ns)
{
    if (rate_bps == b->rate_bps && burst_bytes == b->burst_bytes)
        return;
    wide missing = missing_q31(b, now_ns) + ((wide)burst_bytes << BUCKET_Q);
    wide was = (wide)b->burst_bytes << BUCKET_Q;
    wide most = (wide)DEBT_MAX_BYTES << BUCKET_Q;

    missing = missing > was ? missing - was : 0;
    missing = missing > most ? most : missing;
    b->burst_bytes = burst_bytes;
    b->tat_q31 = 0;
    b->tat_ns = 0;
    set_pace(b, rate_bps);
    if (rate_bps == 0)
        b->tat_ns = (uint64_t)divide_up(missing, (wide)1 << BUCKET_Q);
    else if (is_limited(b))
        set_tat(b, ((wide)now_ns << BUCKET_Q) +
                       divide_up(missing * b->ns_per_byte_q31, (wide)1 << BUCKET_Q));
}

uint64_t bucket_room(const struct bucket *b, uint64_t want, uint64_t now_ns)
{
    if (b->rate_bps == BUCKET_UNLIMITED)
        return want;
    if (b->rate_bps == 0)
        return 0;
    wide debt = debt_q31(b, now_ns);
    if (want <= b->burst_bytes && debt <= (wide)(b->burst_bytes - want) * b->ns_per_byte_q31)
        return want; /* the usual case, without a division */
    wide missing = divide_up(debt, b->ns_per_byte_q31);
    uint64_t room = missing < b->burst_bytes ? b->burst_bytes - (uint64_t)missing : 0;
    return room < want ? room : want;
}

uint64_t bucket_eligible_ns(const struct bucket *b, uint64_t bytes)
{
    if (b->rate_bps == BUCKET_UNLIMITED)
        return 0;
    if (b->rate_bps == 0)
        return BUCKET_NEVER;
    uint64_t spare = bytes < b->burst_bytes ? b->burst_bytes - bytes : 0;
    wide early = (wide)spare * b->ns_per_byte_q31;
    wide tat = tat_q31(b);
    wide up = ((wide)1 << BUCKET_Q) - 1;
    return tat > early ? (uint64_t)((tat - early + up) >> BUCKET_Q) : 0;
}

void bucket_charge(struct bucket *b, uint64_t bytes, uint64_t now_ns)
{
    if (b->rate_bps == 0) {
        b->tat_ns = bytes > DEBT_MAX_BYTES - b->tat_ns ? DEBT_MAX_BYTES : b->tat_ns + bytes;
        return;
    }
    if (!is_limited(b))
        return;
    wide from = b->tat_ns >= now_ns ? tat_q31(b) : (wide)now_ns << BUCKET_Q;
    set_tat(b, from + (wide)bytes * b->ns_per_byte_q31);
}

void bucket_refund(struct bucket *b, uint64_t bytes, uint64_t now_ns)
{
    if (b->rate_bps == 0) {
        b->tat_ns = bytes < b->tat_ns ? b->tat_ns - bytes : 0;
        return;
    }
    if (!is_limited(b))
        return;
    wide back = (wide)bytes * b->ns_per_byte_q31;
    wide tat = tat_q31(b);
    wide now = (wide)now_ns << BUCKET_Q;
    set_tat(b, tat > now + back ? tat - back : (tat < now ? tat : now));
}
