/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/serve_probe.c – POST /v1/probe: who is connected may measure the path by datagrams. */
#include "base/log.h"
#include "transfer/branches.h"
#include "transfer/serve_impl.h"
#include "wire/json.h"

enum { INVITE_MOST = 256 };

/* Each probe, and its answer, is as much of the branch's line as what its gate lets pass. */
static void on_answered(void *arg)
{
    const struct serve_session *session = arg;

    branch_charge(session->member, BRANCH_UP, PROBE_WIRE_SIZE);
    branch_charge(session->member, BRANCH_DOWN, PROBE_WIRE_SIZE);
}

static struct alb_status invite(struct probe_responder *responder, struct serve_session *session,
                                struct buf *out)
{
    struct stream *stream = http_session_stream(session->http);
    struct probe_invite i = {.port = probe_responder_port(responder)};
    struct probe_ticket *ticket = NULL;
    uint8_t key[PROBE_KEY_SIZE];
    struct alb_status st = stream_export_key(stream, PROBE_KEY_LABEL, key);

    if (!alb_failed(st))
        st = probe_ticket_new(responder, key, &ticket);
    if (alb_failed(st))
        return st;
    probe_ticket_free(session->ticket);
    session->ticket = ticket;
    probe_ticket_on_answered(ticket, on_answered, session);
    memcpy(i.id, probe_ticket_id(ticket), PROBE_ID_SIZE);
    return probe_invite_encode(&i, out);
}

void serve_handle_probe(void *arg, struct serve_request *rq)
{
    struct serve *s = arg;
    struct buf answer;

    buf_init(&answer, INVITE_MOST);
    struct alb_status st = invite(s->probes, rq->session, &answer);
    if (st.code == ALB_FULL)
        serve_refuse(rq, ALB_TIMEOUT, "too many paths are probed here: ask again later");
    else if (alb_failed(st))
        serve_refuse_status(rq, st);
    else
        serve_answer(rq, "application/json", buf_peek(&answer), buf_size(&answer));
    buf_release(&answer);
}

void serve_open_probes(struct serve *s, const char *address, uint16_t port)
{
    const struct probe_responder_options options = {.loop = s->options.loop,
                                                    .address = address,
                                                    .port = port,
                                                    .max_tickets = s->options.max_sessions};
    struct alb_status st = probe_responder_open(&options, &s->probes);

    if (alb_failed(st)) {
        log_status(LOG_WARN, "probe.no_udp", st,
                   "address=%s udp_port=%u next=\"children measure their paths by PING, less "
                   "exactly; free that UDP port and start again\"",
                   address, (unsigned)port);
        return;
    }
    serve_set(s, ROUTE_PROBE, serve_handle_probe, s);
}

struct probe_responder *serve_probes(struct serve *s)
{
    return s->probes;
}

void serve_show_probes(const struct serve_stats *stats, struct json_writer *w)
{
    const struct probe_responder_figures *f = &stats->probes;

    json_object_begin(w, "probes");
    json_number(w, "paths", f->tickets);
    json_number(w, "answered", f->answered);
    json_number(w, "strangers", f->strangers);
    json_number(w, "repeated", f->repeated);
    json_number(w, "too_many", f->too_many);
    json_number(w, "unsent", f->unsent);
    json_end(w);
}
