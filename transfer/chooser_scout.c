/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/chooser_scout.c – a candidate asked on its own connection: DIAL → JUDGE → ASK twice. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "transfer/chooser_impl.h"
#include "wire/routes.h"

#define PATIENCE_NS (5 * NS_PER_S) /* for all of it */
enum { WINDOW_BYTES = 64 << 10, ASKS = 2 };

static void opened(void *arg, struct http_session *session);
static void closed(void *arg, struct http_session *session, struct alb_status st);
static void ask(struct scout *s);
static void answer_head(void *arg, struct http_call *c, unsigned status);
static void answer_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size);
static void answer_end(void *arg, struct http_call *c, struct alb_status st);

static const struct http_client_ops session_ops = {.opened = opened, .closed = closed};
static const struct http_call_ops call_ops = {
    .head = answer_head, .data = answer_data, .end = answer_end};

/* Back, whatever it brought. */
static void come_home(struct scout *s)
{
    const size_t i = chooser_find(s->chooser, &s->place);

    timer_stop(&s->deadline);
    if (s->call != NULL)
        http_call_cancel(s->call);
    s->call = NULL;
    if (s->session != NULL) {
        http_session_set_user(s->session, NULL);
        http_session_close(s->session);
    }
    s->session = NULL;
    buf_release(&s->answer);
    if (i != CHOICE_NONE && s->chooser->more[i].is_being_asked) {
        s->chooser->more[i].is_being_asked = false;
        s->chooser->facts[i].failed_until_ns = 0;
    }
}

static void fail(struct scout *s, const char *words)
{
    const size_t i = chooser_find(s->chooser, &s->place);

    come_home(s);
    if (i != CHOICE_NONE)
        chooser_note_bad(s->chooser, i, words);
    else
        chooser_decide_soon(s->chooser); /* it is gone from the list; others may be asked */
}

static void too_late(void *arg)
{
    fail(arg, "no answer within 5 s");
}

void scout_init(struct scout *s, struct chooser *c)
{
    s->chooser = c;
    timer_init(&s->deadline, c->options.loop, too_late, s);
}

void scout_release(struct scout *s)
{
    come_home(s);
}

void scouts_recall(struct chooser *c)
{
    for (size_t i = 0; i < CHOOSER_SCOUTS; i++)
        come_home(&c->scouts[i]);
}

bool scout_send(struct chooser *c, size_t i)
{
    struct scout *s = NULL;

    for (size_t k = 0; k < CHOOSER_SCOUTS && s == NULL; k++)
        if (c->scouts[k].session == NULL)
            s = &c->scouts[k];
    if (s == NULL)
        return false;
    log_event(LOG_DEBUG, "chooser.asks", "place=%s", upstream_place_text(&c->facts[i].place).text);
    s->place = c->facts[i].place;
    s->asked = 0;
    s->best_us = 0;
    c->more[i].is_being_asked = true;
    c->facts[i].failed_until_ns = UINT64_MAX; /* not to be asked by another scout */
    const struct dial_options dial = {.host = s->place.host,
                                      .port = s->place.port,
                                      .tls = c->options.tls,
                                      .timeout_ns = PATIENCE_NS};
    const struct http_session_options options = {.window_bytes = WINDOW_BYTES};
    s->session = http_connect(loop_dial(c->options.loop, &dial), &options, &session_ops, s);
    http_session_set_user(s->session, s);
    timer_set_in(&s->deadline, PATIENCE_NS);
    return true;
}

static void opened(void *arg, struct http_session *session)
{
    struct scout *s = arg;

    if (http_session_user(session) != s)
        return;
    const size_t i = chooser_find(s->chooser, &s->place);
    if (i == CHOICE_NONE) {
        come_home(s);
        chooser_decide_soon(s->chooser);
        return;
    }
    chooser_judge(s->chooser, i, stream_peer(http_session_stream(session)));
    if (chooser_is_out(&s->chooser->facts[i])) {
        char words[CHOOSER_WORDS];
        snprintf(words, sizeof words, "%s", s->chooser->more[i].words);
        fail(s, words);
        return;
    }
    ask(s);
}

static void closed(void *arg, struct http_session *session, struct alb_status st)
{
    struct scout *s = arg;
    char words[CHOOSER_WORDS];

    if (http_session_user(session) != s)
        return;
    s->session = NULL;
    s->call = NULL;
    alb_status_text(st, words, sizeof words);
    fail(s, words);
}

static void ask(struct scout *s)
{
    const struct http_call_options call = {.method = "GET",
                                           .path = "/v1/here",
                                           .headers = &proto_header,
                                           .header_count = 1,
                                           .expect_bytes = HERE_BYTES_MAX};

    buf_release(&s->answer);
    buf_init(&s->answer, HERE_BYTES_MAX);
    s->status = 0;
    s->asked++;
    s->sent_ns = loop_now_ns(s->chooser->options.loop);
    s->call = http_call_start(s->session, &call, &call_ops, s);
}

static void answer_head(void *arg, struct http_call *c, unsigned status)
{
    struct scout *s = arg;
    const uint64_t us = (loop_now_ns(s->chooser->options.loop) - s->sent_ns) / 1000 + 1;

    (void)c;
    s->status = status;
    if (s->best_us == 0 || us < s->best_us)
        s->best_us = us;
}

static void answer_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct scout *s = arg;

    (void)c;
    alb_ignore(buf_append(&s->answer, bytes, size), "no more than was expected comes");
}

/* A parent of an older version does not know the question, and is as good as its session. */
static void answer_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct scout *s = arg;
    struct chooser *chooser = s->chooser;
    struct here here;

    (void)c;
    s->call = NULL;
    if (alb_failed(st))
        return; /* the session is closing and says so itself, or the deadline does */
    if (s->status < 500 && s->asked < ASKS) {
        ask(s);
        return;
    }
    const size_t i = chooser_find(chooser, &s->place);
    const bool is_here = s->status == 200 && !alb_failed(here_decode(buf_peek(&s->answer),
                                                                     buf_size(&s->answer), &here));
    if (s->status >= 500 || (s->status == 200 && !is_here)) {
        fail(s, "it answered, but not what a reflector or hub answers");
        return;
    }
    const uint64_t us = s->best_us;
    come_home(s);
    if (i != CHOICE_NONE)
        chooser_note_good(chooser, i, is_here ? &here : NULL, us);
    else
        chooser_decide_soon(chooser);
}
