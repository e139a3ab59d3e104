/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/path_probe.c – invited by the parent, probing begins; without an invitation, by PING. */
#include "transfer/path_probe.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "base/units.h"
#include "net/http_pace.h"

enum { INVITE_MOST = 4 << 10 };
#define INVITE_TIMEOUT_NS (10 * NS_PER_S)

struct path_probe {
    struct path_probe_options options;
    struct upstream_listener on_line;
    struct upstream_request *asking;
    struct probe *probe; /* NULL while there is no line, or no answer yet */
    enum probe_pace pace;
    bool is_invited; /* the probe has a way by UDP */
    struct log_limit mode_lines;
};

static void invited(void *arg, const struct upstream_answer *answer);

/* ---- what the probe says, handed on ---------------------------------------------------------- */

static void on_sample(void *arg, const struct probe_sample *s)
{
    const struct path_probe_options *o = &((struct path_probe *)arg)->options;

    if (o->ops->sample != NULL)
        o->ops->sample(o->arg, s);
}

static void on_lost(void *arg, uint64_t sent_ns)
{
    const struct path_probe_options *o = &((struct path_probe *)arg)->options;

    if (o->ops->lost != NULL)
        o->ops->lost(o->arg, sent_ns);
}

static void on_forget(void *arg)
{
    const struct path_probe_options *o = &((struct path_probe *)arg)->options;

    if (o->ops->forget != NULL)
        o->ops->forget(o->arg);
}

static void on_mode(void *arg, enum probe_mode mode)
{
    struct path_probe *p = arg;
    const struct path_probe_options *o = &p->options;
    const bool is_blocked = mode == PROBE_PING && p->is_invited;

    if (log_limit_passes(&p->mode_lines, loop_now_ns(o->loop)))
        log_event(LOG_INFO, "probe.mode", "by=%s%s", probe_mode_name(mode),
                  is_blocked ? " why=\"UDP to the parent is not answered: is its port open?\""
                             : "");
    if (o->ops->mode != NULL)
        o->ops->mode(o->arg, mode);
}

static void on_pong(void *arg, uint64_t rtt_ns)
{
    struct path_probe *p = arg;

    if (p->probe != NULL)
        probe_take_ping(p->probe, rtt_ns);
}

static void send_ping(void *arg)
{
    struct path_probe *p = arg;
    struct http_session *control = upstream_control(p->options.upstream);

    if (control != NULL)
        (void)http_session_ping(control, on_pong, p); /* unsent: it will be called lost */
}

static const struct probe_ops handed_on = {
    .sample = on_sample, .lost = on_lost, .forget = on_forget, .mode = on_mode, .ping = send_ping};

/* ---- the line -------------------------------------------------------------------------------- */

static void line_up(struct upstream_listener *l)
{
    struct path_probe *p = ALB_CONTAINER(l, struct path_probe, on_line);
    const struct upstream_ask ask = {.method = "POST",
                                     .path = "/v1/probe",
                                     .expect_bytes = INVITE_MOST,
                                     .timeout_ns = INVITE_TIMEOUT_NS,
                                     .fail_when_down = true};

    if (p->asking == NULL)
        p->asking = upstream_request(p->options.upstream, &ask, invited, p);
}

static void line_down(struct upstream_listener *l)
{
    struct path_probe *p = ALB_CONTAINER(l, struct path_probe, on_line);

    p->probe = probe_free(p->probe);
    if (p->asking == NULL)
        return;
    upstream_cancel(p->asking);
    p->asking = NULL;
}

/* Where to and by what key; false: by PINGs alone. */
static bool accept_invite(const struct upstream_answer *answer, struct http_session *control,
                          struct probe_options *o, struct datagram_peer *to)
{
    struct stream *stream = http_session_stream(control);
    struct probe_invite invite;
    struct alb_status st = answer->st;

    if (!alb_failed(st))
        st = probe_invite_decode(answer->body, answer->size, &invite);
    if (!alb_failed(st))
        st = stream_export_key(stream, PROBE_KEY_LABEL, o->key);
    if (!alb_failed(st) && !datagram_peer_of(stream, invite.port, to))
        st = alb_fail(ALB_IO, "the parent's address");
    if (alb_failed(st)) {
        log_status(LOG_INFO, "probe.by_ping", st, "status=%u", answer->status);
        return false;
    }
    memcpy(o->id, invite.id, PROBE_ID_SIZE);
    o->to = to;
    return true;
}

static void invited(void *arg, const struct upstream_answer *answer)
{
    struct path_probe *p = arg;
    struct http_session *control = upstream_control(p->options.upstream);
    struct probe_options o = {.loop = p->options.loop, .ops = &handed_on, .arg = p};
    struct datagram_peer to;

    p->asking = NULL;
    if (control == NULL || p->probe != NULL)
        return;
    p->is_invited = accept_invite(answer, control, &o, &to);
    p->probe = probe_new(&o);
    probe_set_pace(p->probe, p->pace);
    on_forget(p); /* may free us: last */
}

void path_probe_set_pace(struct path_probe *p, enum probe_pace pace)
{
    p->pace = pace;
    if (p->probe != NULL)
        probe_set_pace(p->probe, pace);
}

bool path_probe_figures(const struct path_probe *p, struct probe_figures *out)
{
    if (p->probe != NULL)
        probe_figures(p->probe, out);
    return p->probe != NULL;
}

/* ---- birth and death ------------------------------------------------------------------------- */

struct path_probe *path_probe_new(const struct path_probe_options *options)
{
    struct path_probe *p = xalloc(sizeof *p);

    p->options = *options;
    log_limit_init(&p->mode_lines, "probe.mode");
    p->on_line = (struct upstream_listener){.up = line_up, .down = line_down};
    upstream_listen(options->upstream, &p->on_line);
    if (upstream_is_up(options->upstream))
        line_up(&p->on_line);
    return p;
}

struct path_probe *path_probe_free(struct path_probe *p)
{
    struct http_session *control;

    if (p == NULL)
        return NULL;
    control = upstream_control(p->options.upstream);
    if (control != NULL)
        http_session_cancel_pings(control, p);
    line_down(&p->on_line);
    upstream_unlisten(p->options.upstream, &p->on_line);
    loop_bury(p->options.loop, free, p);
    return NULL;
}
