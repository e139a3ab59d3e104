/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/serve_stamp.c – stamps: what a sender knows is told to whoever paces it (wire/stamp.h).
 *
 *     while somebody gets batches, ten times a second:
 *         each such session: how much went, what was sent again, why no more ──> a stamp
 *         those far away, of one site or all together: the aggregate ──> stamps
 *
 * There is a stamp for each STAMP_BYTES (under 1 % of them), when a flag changes or something was
 * sent again, and every half a second while anything goes or is in the way: a receiver believes a
 * stamp for a second.
 */
#include "base/alloc.h"
#include "net/http_pace.h"
#include "transfer/branches.h"
#include "transfer/serve_impl.h"
#include "wire/stamp.h"

enum {
    STAMP_BYTES = 8 << 10,
    STILL_BYTES = 256, /* in a look: what stamps themselves make, and answers to PINGs */
    /* A third of the time without anything ready: the source is the bottleneck. */
    STARVED_SHARE = 3,
    STEADY_LOOKS = 10, /* of the mean: a burst that fills buffers is no rate */
    MOST_FADES = 1000, /* looks: one percent a second */
    LOOKS = ALB_COUNT(((struct serve_stamping *)NULL)->recent_bytes),
};
#define LOOK_NS (100 * NS_PER_MS)
#define STAMP_AGAIN_NS (NS_PER_S / 2)
/* So late a look says that this process is what is slow: bytes waited for it as long. */
#define LATE_NS (50 * NS_PER_MS)
/* Who is nearer is on this LAN and shares no line with those who are not: its gigabit in the
 * aggregate would explain away everybody else's traffic on theirs. */
#define FAR_NS (2 * NS_PER_MS)
#define SHARED_QUEUE_NS (10 * NS_PER_MS)
#define REPORTS_NS (250 * NS_PER_MS) /* a yielded asker probes each 100 ms */
#define SHARED_NS NS_PER_S

static void look(void *arg);

void serve_stamp_init(struct serve *s)
{
    timer_init(&s->stamping, s->options.loop, look, s);
}

static void look_again(struct serve *s)
{
    s->stamp_look_ns = loop_now_ns(s->options.loop) + LOOK_NS;
    timer_set(&s->stamping, s->stamp_look_ns);
}

void serve_stamp_begin(struct serve_session *session)
{
    struct serve *s = session->serve;
    struct path_figures path;

    branch_takes_bulk(session->member);
    if (session->stamping.is_bulk)
        return;
    stream_figures(http_session_stream(session->http), &path);
    session->stamping =
        (struct serve_stamping){.is_bulk = true, .sent_bytes = path.wire_sent_bytes};
    if (!timer_is_set(&s->stamping))
        look_again(s);
}

void serve_stamp_note(struct serve_session *session, bool was_ready)
{
    struct serve_stamping *t = &session->stamping;

    if (session->serve == NULL)
        return;
    const uint64_t now_ns = loop_now_ns(session->serve->options.loop);
    if (was_ready && t->starved_since_ns != 0)
        t->starved_ns += now_ns - t->starved_since_ns;
    if (was_ready)
        t->starved_since_ns = 0;
    else if (t->starved_since_ns == 0)
        t->starved_since_ns = now_ns;
}

/* ---- one session ----------------------------------------------------------------------------- */

static unsigned flags_of(struct serve_stamping *t, const struct stream *stream,
                         const struct branch_member *member, uint64_t now_ns, bool is_late)
{
    uint64_t starved_ns = t->starved_ns;
    unsigned flags = 0;

    if (t->starved_since_ns != 0) {
        starved_ns += now_ns - t->starved_since_ns;
        t->starved_since_ns = now_ns;
    }
    t->starved_ns = 0;
    if (starved_ns * STARVED_SHARE > LOOK_NS)
        flags |= STAMP_SOURCE_STARVED;
    if (stream_is_held(stream) || branch_was_off(member))
        flags |= STAMP_POLICY_LIMITED;
    if (is_late)
        flags |= STAMP_SENDER_LIMITED;
    return flags;
}

static uint64_t rate_of(uint64_t recent_bytes)
{
    return recent_bytes * 8 * (NS_PER_S / LOOK_NS) / LOOKS;
}

static uint16_t count_of(size_t devices)
{
    return (uint16_t)(devices < UINT16_MAX ? devices : UINT16_MAX);
}

/* All of them while our line is what they share; else those of the session's site while they are
 * several, since they share the site's; as of the look before. */
static void tell_sisters(const struct serve_session *session, struct sender_stamp *said)
{
    const struct serve *s = session->serve;
    const struct branch_bulk site = branch_bulk(session->member, s->stamp_looks - 1);

    if (s->is_shared) {
        said->aggregate_bps = s->stats.bulk_bps;
        said->flows = count_of(s->stats.bulk_devices);
    } else if (site.devices > 1 && session->stamping.is_far) {
        said->aggregate_bps = rate_of(site.bytes);
        said->flows = count_of(site.devices);
    }
}

static void note_sent(struct serve_stamping *t, uint64_t sent_bytes, uint64_t looks)
{
    t->recent_bytes[looks % LOOKS] = sent_bytes - t->sent_bytes;
    t->sent_bytes = sent_bytes;
}

static uint64_t recent_bytes(const struct serve_stamping *t)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < LOOKS; i++)
        bytes += t->recent_bytes[i];
    return bytes;
}

static bool is_due(const struct serve_stamping *t, const struct sender_stamp *stamp)
{
    if (stamp->flags != t->stamped_flags || stamp->retransmitted != t->stamped_retransmitted)
        return true;
    const uint64_t more = stamp->cumulative_bytes - t->stamped_bytes;
    return more >= STAMP_BYTES || ((more > STILL_BYTES || stamp->flags != 0) &&
                                   stamp->sent_ns - t->stamped_ns >= STAMP_AGAIN_NS);
}

static void stamp(struct serve_session *session)
{
    const struct serve *s = session->serve;
    struct serve_stamping *t = &session->stamping;
    struct stream *stream = http_session_stream(session->http);
    uint8_t bytes[STAMP_SIZE];
    struct path_figures path;

    stream_figures(stream, &path);
    const uint64_t now_ns = loop_now_ns(s->options.loop);
    struct sender_stamp said = {.flags = flags_of(t, stream, session->member, now_ns, s->is_late),
                                .sent_ns = now_ns,
                                .cumulative_bytes = path.wire_sent_bytes,
                                .retransmitted = path.retransmitted};
    note_sent(t, path.wire_sent_bytes, s->stamp_looks);
    t->is_far = path.min_rtt_ns >= FAR_NS;
    tell_sisters(session, &said);
    if (!is_due(t, &said))
        return;
    t->stamped_bytes = said.cumulative_bytes;
    t->stamped_ns = now_ns;
    t->stamped_retransmitted = said.retransmitted;
    t->stamped_flags = said.flags;
    sender_stamp_encode(&said, bytes);
    http_session_stamp(session->http, bytes, sizeof(bytes));
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* Those whose batches are over, and whose last bytes have gone. */
static bool is_over(const struct serve_session *session)
{
    return session->spots == 0 && recent_bytes(&session->stamping) <= LOOKS * STILL_BYTES;
}

/* Is what they share our own line (PROTOCOL §10)?  Two that lie can make the others believe so, who
 * then give way a little later, by the queue alone. */
static bool is_shared(struct serve *s)
{
    const uint64_t now_ns = loop_now_ns(s->options.loop);
    s->steady_bps = (s->steady_bps * (STEADY_LOOKS - 1) + s->stats.bulk_bps) / STEADY_LOOKS;
    s->most_steady_bps -= s->most_steady_bps / MOST_FADES;
    if (s->steady_bps > s->most_steady_bps)
        s->most_steady_bps = s->steady_bps;
    const bool is_full = s->steady_bps * 10 >= s->most_steady_bps * 9;
    if (s->probes == NULL || now_ns < REPORTS_NS)
        return false;
    const size_t queued = probe_responder_queued(s->probes, SHARED_QUEUE_NS, now_ns - REPORTS_NS);
    const bool looks_so = is_full && queued >= 2 && 2 * queued >= s->stats.bulk_devices;
    if (looks_so && s->looked_shared)
        s->shared_until_ns = now_ns + SHARED_NS;
    s->looked_shared = looks_so;
    return now_ns < s->shared_until_ns;
}

static void add_up(struct serve *s)
{
    struct serve_session *session;
    uint64_t bytes = 0;
    size_t devices = 0;

    TAILQ_FOREACH(session, &s->sessions, link)
    {
        const struct serve_stamping *t = &session->stamping;
        const uint64_t recent = t->is_bulk && t->is_far ? recent_bytes(t) : 0;
        if (recent == 0)
            continue;
        const bool is_device =
            session->account != NULL && serve_account_mark(session->account, s->stamp_looks);
        branch_add_bulk(session->member, s->stamp_looks, recent, is_device);
        bytes += recent;
        devices += is_device;
    }
    s->stats.bulk_bps = rate_of(bytes);
    s->stats.bulk_devices = devices;
    s->is_shared = is_shared(s);
    if (s->probes != NULL)
        probe_responder_tell(s->probes, s->is_shared ? s->stats.bulk_bps : 0,
                             s->is_shared ? count_of(devices) : 0);
}

static void look(void *arg)
{
    struct serve *s = arg;
    struct serve_session *session;
    bool goes_on = false;

    s->stamp_looks++;
    s->is_late = loop_now_ns(s->options.loop) > s->stamp_look_ns + LATE_NS;
    TAILQ_FOREACH(session, &s->sessions, link)
    {
        if (!session->stamping.is_bulk)
            continue;
        stamp(session);
        session->stamping.is_bulk = !is_over(session);
        goes_on = goes_on || session->stamping.is_bulk;
    }
    add_up(s);
    if (goes_on)
        look_again(s);
}
