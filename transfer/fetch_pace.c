/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/fetch_pace.c – a look each minute while something is wanted. */
#include "transfer/fetch_pace.h"

#include <inttypes.h>

#include "base/log.h"
#include "base/units.h"
#include "transfer/layer_jobs.h"

#define LOOK_NS (FETCH_LOOK_S * NS_PER_S)
#define TELL_MOST_NS (3600 * NS_PER_S)
#define FLOOR_BYTES ((uint64_t)FETCH_LOOK_S * FETCH_FLOOR_BPS)

static void look(void *arg);

void fetch_pace_init(struct fetch_pace *p, struct loop *loop, struct upstream *upstream)
{
    *p = (struct fetch_pace){.upstream = upstream, .loop = loop};
    timer_init(&p->look, loop, look, p);
}

void fetch_pace_release(struct fetch_pace *p)
{
    timer_stop(&p->look);
}

static void say_over(struct fetch_pace *p)
{
    if (!p->is_slow)
        return;
    log_event(LOG_INFO, "fetch.slow_over", "slow_s=%" PRIu64,
              (loop_now_ns(p->loop) - p->slow_since_ns) / NS_PER_S);
    p->is_slow = false;
}

static void say_slow(struct fetch_pace *p, const struct upstream_figures *up, uint64_t now_ns)
{
    if (!p->is_slow) {
        p->is_slow = true;
        p->slow_since_ns = now_ns - LOOK_NS;
        p->tell_ns = now_ns;
    }
    if (now_ns < p->tell_ns)
        return;
    const uint64_t slow_ns = now_ns - p->slow_since_ns;
    p->tell_ns = now_ns + (slow_ns < TELL_MOST_NS ? slow_ns : TELL_MOST_NS);
    p->alarms++;
    log_event(LOG_WARN, "fetch.slow",
              "place=%s wanted=%zu bytes=%" PRIu64 " in_s=%d slow_s=%" PRIu64
              " why=\"the parent is there but brings next to nothing\" next=\"waiting on; see "
              "whether its own line is up\"",
              up->place, p->wants, p->brought_bytes, (int)FETCH_LOOK_S, slow_ns / NS_PER_S);
}

/* In that minute the parent had to wait for what our own gate kept back. */
static bool was_held(const struct fetch_pace *p, uint64_t now_ns)
{
    const uint64_t held_ns = upstream_held_until_ns(p->upstream);

    return (held_ns != 0 && held_ns + LOOK_NS > now_ns) || layer_jobs_hold(p->jobs);
}

static void look(void *arg)
{
    struct fetch_pace *p = arg;
    const uint64_t now_ns = loop_now_ns(p->loop);
    struct upstream_figures up;

    upstream_figures(p->upstream, &up);
    if (p->brought_bytes >= FLOOR_BYTES)
        say_over(p);
    else if (up.is_up && !was_held(p, now_ns))
        say_slow(p, &up, now_ns);
    p->brought_bytes = 0;
    timer_set_in(&p->look, LOOK_NS);
}

void fetch_pace_wanted(struct fetch_pace *p)
{
    if (p->wants++ > 0)
        return;
    p->brought_bytes = 0;
    timer_set_in(&p->look, LOOK_NS);
}

void fetch_pace_answered(struct fetch_pace *p)
{
    alb_assert(p->wants > 0);
    if (--p->wants > 0)
        return;
    timer_stop(&p->look);
    say_over(p);
}

void fetch_pace_brought(struct fetch_pace *p, size_t bytes)
{
    p->brought_bytes += bytes;
}

/* A look may have come between: then nothing is left to take away. */
void fetch_pace_queued(struct fetch_pace *p, size_t bytes)
{
    p->brought_bytes -= bytes < p->brought_bytes ? bytes : p->brought_bytes;
}
