/* SPDX-License-Identifier: Apache-2.0 */
/* client/follow_retry.c – the times of a pull that failed. */
#include "client/follow_retry.h"

#include "base/units.h"

#define RETRY_LEAST_NS (10 * NS_PER_S)
#define RETRY_MOST_NS (10 * 60 * NS_PER_S)

static const struct digest unknown;

static uint64_t later(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns > b_ns ? a_ns : b_ns;
}

uint64_t follow_retry_failed(struct follow_retry *r, const struct digest *head, uint64_t now_ns)
{
    uint64_t delay_ns = RETRY_LEAST_NS;

    for (unsigned i = 0; i < r->failures && delay_ns < RETRY_MOST_NS; i++)
        delay_ns *= 2;
    r->failures++;
    r->failed_ns = now_ns;
    if (!digest_equal(head, &unknown))
        r->tried = *head;
    return delay_ns < RETRY_MOST_NS ? delay_ns : RETRY_MOST_NS;
}

void follow_retry_done(struct follow_retry *r)
{
    *r = (struct follow_retry){.failures = 0};
}

uint64_t follow_retry_ask_at(const struct follow_retry *r, uint64_t now_ns)
{
    return r->asked_ns == 0 ? now_ns : later(now_ns, r->asked_ns + RETRY_LEAST_NS);
}

void follow_retry_asked(struct follow_retry *r, uint64_t now_ns)
{
    r->asked_ns = now_ns;
}

bool follow_retry_is_news(struct follow_retry *r, const struct digest *head)
{
    if (digest_equal(head, &r->tried))
        return false;
    r->tried = *head;
    return true;
}

uint64_t follow_retry_line_up(const struct follow_retry *r, uint64_t now_ns)
{
    return later(now_ns, r->failed_ns + RETRY_LEAST_NS);
}
