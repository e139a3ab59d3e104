/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/serve_probe.c – POST /v1/probe: who is connected may measure the path by datagrams. */
#include "shaper/probe.h"
#include "transfer/serve_impl.h"

enum { INVITE_MOST = 256 };

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
    memcpy(i.id, probe_ticket_id(ticket), PROBE_ID_SIZE);
    return probe_invite_encode(&i, out);
}

void serve_handle_probe(void *arg, struct serve_request *rq)
{
    struct serve *s = arg;
    struct buf answer;

    buf_init(&answer, INVITE_MOST);
    struct alb_status st = invite(s->options.probes, rq->session, &answer);
    if (st.code == ALB_FULL)
        serve_refuse(rq, ALB_TIMEOUT, "too many paths are probed here: ask again later");
    else if (alb_failed(st))
        serve_refuse_status(rq, st);
    else
        serve_answer(rq, "application/json", buf_peek(&answer), buf_size(&answer));
    buf_release(&answer);
}
