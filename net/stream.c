/* SPDX-License-Identifier: Apache-2.0 */
/* net/stream.c – the common part of a stream, and the one place where bytes ask to leave. */
#include "net/stream.h"

#include "base/fault.h"

/* What leaves as one record should not be cut: each piece is a packet of its own. */
enum { RECORD_SIZE = 16 << 10 };

static void nobody_listens(void *arg)
{
    (void)arg;
}

static void on_gate_timer(void *arg)
{
    struct stream *s = arg;

    s->ready(s->ready_arg);
}

/* The gate calls, from wherever it is; the owner hears of it from the loop. */
static void on_gate_call(void *arg)
{
    struct stream *s = arg;

    timer_set_in(&s->gate_timer, 0);
}

void stream_init(struct stream *s, struct loop *loop, const struct stream_ops *ops)
{
    *s = (struct stream){.ops = ops, .loop = loop, .status = ALB_STATUS_OK};
    s->peer.role = ROLE_NONE;
    gate_init_open(&s->open_gate);
    s->gate = &s->open_gate;
    timer_init(&s->gate_timer, loop, on_gate_timer, s);
    stream_on_ready(s, nobody_listens, NULL);
}

void stream_on_ready(struct stream *s, loop_fn ready, void *arg)
{
    s->ready = ready == NULL ? nobody_listens : ready;
    s->ready_arg = arg;
}

void stream_use_gate(struct stream *s, struct gate *gate)
{
    gate_forget(s->gate, s);
    s->gate = gate == NULL ? &s->open_gate : gate;
    if (s->is_held) /* by the one before */
        timer_set_in(&s->gate_timer, 0);
}

/* True when a test asked for the connection to break here. */
static bool breaks(struct stream *s, const char *site)
{
    if (!fault_hits(site))
        return false;
    s->is_open = false;
    s->status = alb_status_from_errno(ECONNRESET, "the connection to the other side");
    return true;
}

enum stream_result stream_read(struct stream *s, void *out, size_t size, size_t *moved)
{
    alb_assert(size > 0);
    if (breaks(s, "stream.read"))
        return STREAM_FAILED;
    return s->ops->read(s, out, size, moved);
}

static enum stream_result hold(struct stream *s, uint64_t retry_ns)
{
    s->is_held = true;
    if (retry_ns == GATE_WILL_CALL)
        gate_await(s->gate, on_gate_call, s);
    else
        timer_set(&s->gate_timer, retry_ns);
    return STREAM_BLOCKED;
}

enum stream_result stream_write(struct stream *s, const void *bytes, size_t size, size_t *moved)
{
    uint64_t now_ns = loop_now_ns(s->loop);
    uint64_t retry_ns = now_ns;

    alb_assert(size > 0);
    if (alb_failed(s->status) || breaks(s, "stream.write"))
        return STREAM_FAILED;
    s->gate->least = size < RECORD_SIZE ? size : RECORD_SIZE;
    size_t allowed = gate_ask(s->gate, size, now_ns, &retry_ns);
    if (allowed == 0)
        return hold(s, retry_ns);
    s->is_held = false;
    enum stream_result result = s->ops->write(s, bytes, allowed, moved);
    if (result == STREAM_MOVED)
        gate_spend(s->gate, *moved, now_ns);
    return result;
}

void stream_figures(struct stream *s, struct path_figures *out)
{
    *out = (struct path_figures){0};
    s->ops->figures(s, out);
}

void stream_mark_bulk(struct stream *s)
{
    if (s->ops->mark_bulk != NULL)
        s->ops->mark_bulk(s);
}

void stream_set_pacing(struct stream *s, uint64_t rate_bps)
{
    s->pacing_bps = rate_bps;
    if (s->ops->set_pacing != NULL)
        s->ops->set_pacing(s);
}

struct alb_status stream_export_key(struct stream *s, const char *label,
                                    uint8_t out[STREAM_EXPORTED_SIZE])
{
    if (!s->is_open || s->ops->export_key == NULL)
        return alb_fail(ALB_REFUSED, "this connection has no secret to derive a key from");
    return s->ops->export_key(s, label, out);
}

struct stream *stream_free(struct stream *s)
{
    if (s != NULL) {
        gate_forget(s->gate, s);
        timer_stop(&s->gate_timer);
        s->ops->free(s);
    }
    return NULL;
}
