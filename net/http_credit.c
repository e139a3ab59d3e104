/* SPDX-License-Identifier: Apache-2.0 */
/* net/http_credit.c – the arithmetic of credit, and the one place where it is granted. */
#include "net/http_credit.h"

#include "base/units.h"
#include "net/http_impl.h"

enum {
    QUANTUM_LEAST = 1400, /* one full segment's worth */
    QUANTUM_MOST = 256 << 10,
    QUANTA_IN_WINDOW = 8,
    GRANT_SIZE = 87,    /* on the wire: frame 13, TLS 22, TCP and IP 52            */
    REVERSE_SHARE = 50, /* one part in so many of the way back, for grants         */
    GRANTS_PER_S = 500, /* at most                                          */
    GRANTS_PER_S_LEAST = 100,
    PARDON_FIRST = 64 << 10,
    UNASKED_LEAST = 16 << 10, /* that a gate need answer when nobody set a quantum */
};

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

uint64_t http_credit_least(const struct http_credit *c)
{
    uint64_t bytes = c->quantum_bytes;

    if (bytes == 0)
        bytes = c->window_bytes / QUANTA_IN_WINDOW;
    if (bytes > QUANTUM_MOST)
        bytes = QUANTUM_MOST;
    if (bytes > c->window_bytes / 2)
        bytes = c->window_bytes / 2;
    return bytes < QUANTUM_LEAST ? QUANTUM_LEAST : bytes;
}

uint64_t http_credit_quantum(uint64_t rate_bps, uint64_t reverse_bps)
{
    uint64_t bytes = rate_bps / 8 / GRANTS_PER_S;
    /* grants per second: reverse_bps / 8 / REVERSE_SHARE / GRANT_SIZE */
    double for_reverse =
        reverse_bps == 0 ? 0 : (double)rate_bps * REVERSE_SHARE * GRANT_SIZE / (double)reverse_bps;

    uint64_t most = rate_bps / 8 / GRANTS_PER_S_LEAST;

    if (for_reverse > (double)most)
        bytes = most;
    else if (bytes < (uint64_t)for_reverse)
        bytes = (uint64_t)for_reverse;
    if (bytes < QUANTUM_LEAST)
        return QUANTUM_LEAST;
    return bytes < QUANTUM_MOST ? bytes : QUANTUM_MOST;
}

void http_credit_init(struct http_credit *c, uint64_t window_bytes)
{
    *c = (struct http_credit){0};
    http_credit_set_window(c, window_bytes);
}

void http_credit_set_window(struct http_credit *c, uint64_t window_bytes)
{
    if (window_bytes == 0)
        window_bytes = HTTP_WINDOW_DEFAULT;
    c->window_bytes = window_bytes < HTTP_WINDOW_MAX ? window_bytes : HTTP_WINDOW_MAX;
}

void http_credit_announce(struct http_credit *c, uint64_t bytes)
{
    alb_assert(bytes <= UINT64_MAX - c->announced_bytes);
    c->announced_bytes += bytes;
}

void http_credit_settle(struct http_credit *c, uint64_t bytes)
{
    alb_assert(bytes <= c->announced_bytes);
    c->announced_bytes -= bytes;
}

uint64_t http_credit_due(const struct http_credit *c, uint64_t outstanding)
{
    uint64_t target = c->announced_bytes < c->window_bytes ? c->announced_bytes : c->window_bytes;
    uint64_t least = http_credit_least(c);

    if (target <= outstanding)
        return 0;
    if (target - outstanding < least && outstanding >= least)
        return 0; /* more will be due before the other side runs dry */
    return target - outstanding;
}

/* ---- the gate -------------------------------------------------------------------------------- */

static void on_gate_call(void *arg)
{
    struct http_session *s = arg;

    s->is_credit_awaited = false;
    s->let_go_ns = loop_now_ns(s->stream->loop);
    http_session_wake(s);
}

static void wait_for_gate(struct http_session *s, uint64_t retry_ns)
{
    s->is_credit_awaited = true;
    if (retry_ns == GATE_WILL_CALL)
        gate_await(s->credit_gate, on_gate_call, s);
    else
        timer_set(&s->credit_timer, retry_ns);
}

void http_credit_forget_gate(struct http_session *s)
{
    timer_stop(&s->credit_timer);
    s->is_credit_awaited = false;
    if (s->credit_gate != NULL)
        gate_forget(s->credit_gate, s);
}

void http_credit_open(struct http_session *s)
{
    timer_init(&s->credit_timer, s->stream->loop, on_gate_call, s);
    http_credit_init(&s->credit, s->options.window_bytes);
    s->is_by_stream = s->options.is_paced;
}

/* Of `due` bytes, those that the gate lets be granted now; they are spent.  It is asked for one
 * quantum after the other: a gate that lets any amount pass on account would let W pass at once. */
static uint64_t permitted(struct http_session *s, uint64_t due)
{
    uint64_t now_ns = loop_now_ns(s->stream->loop), least = http_credit_least(&s->credit);
    /* An eighth of a large W would be seconds of a thin line. */
    uint64_t most = s->credit.quantum_bytes != 0 ? UINT64_MAX : UNASKED_LEAST;
    uint64_t given = 0, retry_ns;

    if (s->credit_gate == NULL)
        return due;
    while (given < due && !s->is_credit_awaited) {
        uint64_t want = due - given < least ? due - given : least;

        s->credit_gate->least = (size_t)least_of(want, most);
        size_t allowed = gate_ask(s->credit_gate, (size_t)want, now_ns, &retry_ns);

        if (allowed == 0)
            wait_for_gate(s, retry_ns);
        else
            gate_spend(s->credit_gate, allowed, now_ns);
        given += allowed;
    }
    return given;
}

/* ---- by the connection ----------------------------------------------------------------------- */

static uint64_t connection_window(const struct http_session *s)
{
    int32_t window = nghttp2_session_get_local_window_size(s->h2);

    return window > 0 ? (uint64_t)window : 0;
}

static void widen(struct http_session *s, int32_t stream_id, uint64_t bytes)
{
    if (nghttp2_submit_window_update(s->h2, NGHTTP2_FLAG_NONE, stream_id, (int32_t)bytes) != 0)
        http_session_finish(s, alb_fail(ALB_FULL, "granting credit"));
}

static void grant_by_connection(struct http_session *s)
{
    uint64_t due = http_credit_due(&s->credit, connection_window(s));

    if (due == 0) {
        http_credit_forget_gate(s);
        return;
    }
    uint64_t bytes = permitted(s, due);
    s->granted_bytes += bytes;
    if (bytes > 0)
        widen(s, 0, bytes);
}

/* What was under way when a stream was reset still comes, and nobody is at fault. */
void http_credit_told_reset(struct http_session *s)
{
    s->pardoned_bytes += connection_window(s);
}

/* nghttp2 gives back what it passed over (bodies of streams that were reset, padding), without end
 * for who goes on sending them.  Beyond what there was a reason for that is not our credit. */
void http_credit_told(struct http_session *s, int32_t bytes)
{
    s->told_bytes += (uint64_t)bytes;
    if (s->told_bytes > s->granted_bytes + s->pardoned_bytes + s->received_bytes + PARDON_FIRST)
        http_session_finish(s, alb_fail(ALB_CORRUPT, "what was broken off is still being sent"));
}

/* ---- by the stream (net/http_pace.h says why) ------------------------------------------------ */

/* One message's stream: what it may send by itself, and what it may still have to send. */
struct share {
    int32_t stream_id;
    int64_t window; /* below 0: what it was told to take back */
    int64_t left;
};

/* What nghttp2 counts changes when the other side confirms our SETTINGS; it will act on them before
 * it sees anything that we say now. */
static int64_t window_of(const struct http_session *s, int32_t stream_id)
{
    int64_t told = nghttp2_session_get_stream_effective_local_window_size(s->h2, stream_id);
    int64_t confirmed =
        nghttp2_session_get_local_settings(s->h2, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE);

    return told + ((int64_t)s->stream_window - confirmed) -
           nghttp2_session_get_stream_effective_recv_data_length(s->h2, stream_id);
}

static bool share_of(const struct http_session *s, struct http_link *l, struct share *out)
{
    uint64_t left = 0;
    int32_t id = s->side->expects(l, &left);

    /* It has none before its first frame has left. */
    if (id <= 0 || nghttp2_session_get_stream_local_window_size(s->h2, id) < 0)
        return false;
    *out = (struct share){id, window_of(s, id), (int64_t)left};
    return true;
}

struct shares {
    uint64_t usable;  /* what may come */
    uint64_t lacking; /* what may be granted */
};

static struct shares add_up(const struct http_session *s)
{
    struct shares all = {0};
    struct share one;

    for (struct http_link *l = s->messages.next; l != &s->messages; l = l->next) {
        if (!share_of(s, l, &one))
            continue;
        int64_t window = one.window > 0 ? one.window : 0;
        all.usable += (uint64_t)(window < one.left ? window : one.left);
        all.lacking += (uint64_t)(window < one.left ? one.left - window : 0);
    }
    return all;
}

/* To the first that lack it: they are what was asked for first. */
static void share_out(struct http_session *s, uint64_t bytes)
{
    struct share one;

    for (struct http_link *l = s->messages.next; l != &s->messages && bytes > 0; l = l->next) {
        if (!share_of(s, l, &one))
            continue;
        int64_t window = one.window > 0 ? one.window : 0;
        uint64_t lack = one.left > window ? (uint64_t)(one.left - window) : 0;
        uint64_t n = lack < bytes ? lack : bytes;

        if (n > 0)
            widen(s, one.stream_id, n + (uint64_t)(window - one.window));
        bytes -= n;
    }
}

/* SETTINGS can take from a stream no more than they gave it, and that is gone since the first time.
 * Whoever hears of an end may start and cancel others. */
static void break_off(struct http_session *s)
{
    const struct alb_status st =
        alb_fail(ALB_REFUSED, "it was broken off here to take back the credit that it had");
    struct http_link *l = s->messages.next;
    struct share one;

    s->is_breaking_off = false;
    while (l != &s->messages && s->side->break_off != NULL) {
        const bool has_credit = share_of(s, l, &one) && one.window > 0 && one.left > 0;

        if (has_credit)
            s->side->break_off(l, st);
        l = has_credit ? s->messages.next : l->next;
    }
}

static void grant_by_stream(struct http_session *s)
{
    if (s->is_breaking_off)
        break_off(s);
    struct shares all = add_up(s);
    uint64_t connection = connection_window(s);

    if (connection <= all.usable) { /* the connection is the brake again */
        s->is_by_stream = false;
        http_frames_set_stream_window(s);
        return;
    }
    uint64_t due = http_credit_due(&s->credit, all.usable);

    due = least_of(due, least_of(all.lacking, connection - all.usable));
    if (due == 0)
        http_credit_forget_gate(s);
    else
        share_out(s, permitted(s, due));
}

/* What nghttp2 gave back for streams that were broken off was not granted: by the stream again,
 * where it is no credit. */
static void take_back_refund(struct http_session *s)
{
    const uint64_t refunded =
        s->told_bytes > s->granted_bytes ? s->told_bytes - s->granted_bytes : 0;

    if (refunded <= s->refunded_bytes)
        return;
    s->refunded_bytes = refunded;
    if (s->options.is_paced && !s->is_by_stream)
        http_session_revoke_credit(s);
}

void http_credit_grant(struct http_session *s)
{
    take_back_refund(s);
    if (s->is_by_stream)
        grant_by_stream(s);
    if (!s->is_by_stream)
        grant_by_connection(s);
}

uint64_t http_session_expected_bytes(const struct http_session *s)
{
    return s->credit.announced_bytes;
}

uint64_t http_session_outstanding_bytes(const struct http_session *s)
{
    if (s->h2 == NULL)
        return 0;
    return s->is_by_stream ? add_up(s).usable : connection_window(s);
}
