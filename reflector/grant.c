/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/grant.c – a device behind this box asks what it may read.
 *
 *     said a moment ago? ──> said again
 *     ASK the parent ──> a grant: judged, kept, answered
 *            │ ──────> refused: what was kept is forgotten, the parent's words are passed on
 *            └───────> nobody there: LOOK for the kept one (worker) ──> still valid: answered
 *
 * A grant is of use only to whoever holds that device's certificate; passing it on gives nothing
 * away.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "reflector/reflector_impl.h"
#include "transfer/record_keep.h"
#include "wire/signed.h"

/* Questions under way for one asker: an endpoint's two lines and a command; a branch. */
enum { ASKS_MOST = 4, ASKS_MOST_BRANCH = 64 };
enum { GRANT_MEMO_LEFT_S = 600 /* one that ends sooner is asked for anew each time */ };
#define ASK_TIMEOUT_NS (10 * NS_PER_S) /* the asker's own patience is 15 s and more */

struct grant_ask {
    struct reflector *reflector;
    struct serve_request *rq; /* NULL once nobody waits for the answer */
    char device[NAME_MAX_SIZE];
    struct upstream_request *asking; /* while ASK  */
    struct job job;                  /* while LOOK */
    bool is_looking;
    struct catalogue *catalogue;
    struct buf kept;
    struct alb_status st;
    TAILQ_ENTRY(grant_ask) link;
};

static void asked(void *arg, const struct upstream_answer *answer);
static void look(struct grant_ask *a, struct alb_status why);
static void look_run(struct job *job);
static void look_done(struct job *job);

static void kept_name(const char *device, char out[CATALOGUE_NAME_MAX + 1])
{
    (void)snprintf(out, CATALOGUE_NAME_MAX + 1, "grant/of/%s", device);
}

void reflector_open_grants(struct reflector *r)
{
    TAILQ_INIT(&r->grant_asks);
    grant_memos_init(&r->grant_memos);
    log_limit_init(&r->grant_lines, "grant.without_parent");
}

/* The asker has its answer or is gone.  A job under way frees what is left. */
static void finish(struct grant_ask *a)
{
    TAILQ_REMOVE(&a->reflector->grant_asks, a, link);
    a->rq = NULL;
    if (a->asking != NULL)
        upstream_cancel(a->asking);
    a->asking = NULL;
    if (a->is_looking)
        return;
    buf_release(&a->kept);
    free(a);
}

static void refuse(struct grant_ask *a, enum alb_code code, const char *message)
{
    struct serve_request *rq = a->rq;

    finish(a);
    serve_refuse(rq, code, message);
}

void reflector_close_grants(struct reflector *r)
{
    while (!TAILQ_EMPTY(&r->grant_asks))
        refuse(TAILQ_FIRST(&r->grant_asks), ALB_CLOSED, "this reflector is stopping");
    grant_memos_forget(&r->grant_memos);
}

void reflector_forget_grants(struct reflector *r)
{
    grant_memos_forget(&r->grant_memos);
}

/* Is it that device's, ours, signed by the hub and still valid? */
static struct alb_status judge(const struct grant_ask *a, const uint8_t *bytes, size_t size,
                               int64_t *left_s)
{
    struct reflector *r = a->reflector;
    const struct trust *trust = authority_trust(r->authority);
    AUTO_FREE struct grant *grant = xalloc(sizeof *grant);

    if (trust == NULL)
        return alb_fail(ALB_INVALID, "a grant cannot be judged before there is a trust file");
    struct alb_status st = grant_decode(bytes, size, trust, grant);
    if (alb_failed(st))
        return st;
    if (strcmp(grant->device, a->device) != 0 || strcmp(grant->org, trust->org) != 0)
        return alb_fail(ALB_REFUSED, "the grant is another device's");
    if (grant->expires_wall_s < authority_now_s(r->authority, loop_wall_s(r->options.loop)))
        return alb_fail(ALB_REFUSED, "the grant has expired");
    *left_s = grant->expires_wall_s - authority_now_s(r->authority, loop_wall_s(r->options.loop));
    return ALB_STATUS_OK;
}

static void answer(struct grant_ask *a, const uint8_t *bytes, size_t size)
{
    serve_answer(a->rq, "application/octet-stream", bytes, size);
    finish(a);
}

/* ---- a request comes in ---- */

/* Only a reflector asks for somebody else: the one that somebody speaks to. */
static struct alb_status whose(const struct serve_request *rq, char out[NAME_MAX_SIZE])
{
    const struct identity *who = &rq->session->who;
    struct named_request ask = {.device = ""};
    size_t size = 0;
    const uint8_t *body = serve_body(rq, &size);
    struct alb_status st = ALB_STATUS_OK;

    if (size > 0)
        st = named_request_decode(body, size, &ask);
    if (!alb_failed(st) && ask.device[0] == '\0')
        (void)snprintf(ask.device, sizeof ask.device, "%s", who->device);
    if (!alb_failed(st))
        st = id_check(ask.device);
    if (alb_failed(st))
        return st;
    if (who->role != ROLE_REFLECTOR && strcmp(ask.device, who->device) != 0)
        return alb_fail(ALB_REFUSED, "only a reflector may ask for another device's grant");
    memcpy(out, ask.device, sizeof ask.device);
    return ALB_STATUS_OK;
}

static void gone(struct serve_request *rq)
{
    finish(rq->work);
}

static void ask_parent(struct grant_ask *a)
{
    struct named_request named = {.layer = ""};
    struct buf text;

    (void)snprintf(named.device, sizeof named.device, "%s", a->device);
    buf_init(&text, 4096);
    struct alb_status st = named_request_encode(&named, &text);
    alb_assert(!alb_failed(st)); /* a checked id in a body of three short members */
    const struct upstream_ask ask = {.method = "POST",
                                     .path = "/v1/grant",
                                     .body = buf_peek(&text),
                                     .body_size = buf_size(&text),
                                     .expect_bytes = SIGNED_MAX,
                                     .timeout_ns = ASK_TIMEOUT_NS,
                                     .fail_when_down = true};
    a->asking = upstream_request(a->reflector->upstream, &ask, asked, a);
    buf_release(&text);
}

static bool asks_too_much(const struct reflector *r, const struct serve_request *rq)
{
    const struct identity *who = &rq->session->who;
    const size_t most = who->role == ROLE_REFLECTOR ? ASKS_MOST_BRANCH : ASKS_MOST;
    const struct grant_ask *a;
    size_t n = 0;

    TAILQ_FOREACH(a, &r->grant_asks, link)
    n += a->rq != NULL && strcmp(a->rq->session->who.device, who->device) == 0;
    return n >= most;
}

static bool is_said_already(struct reflector *r, struct serve_request *rq, const char *device)
{
    const struct grant_memo *memo =
        grant_memos_find(&r->grant_memos, device, loop_now_ns(r->options.loop));

    if (memo == NULL)
        return false;
    if (alb_failed(memo->st))
        serve_refuse(rq, memo->st.code, memo->message);
    else
        serve_answer(rq, "application/octet-stream", memo->bytes, memo->size);
    return true;
}

void reflector_handle_grant(void *reflector, struct serve_request *rq)
{
    struct reflector *r = reflector;
    char device[NAME_MAX_SIZE];
    struct alb_status st = whose(rq, device);

    if (alb_failed(st)) {
        serve_refuse_status(rq, st);
        return;
    }
    if (is_said_already(r, rq, device))
        return;
    if (asks_too_much(r, rq)) {
        serve_refuse(rq, ALB_TIMEOUT, "wait for the grants you asked for, then ask again");
        return;
    }
    struct grant_ask *a = xalloc(sizeof *a);
    a->reflector = r;
    a->rq = rq;
    a->catalogue = r->options.catalogue;
    memcpy(a->device, device, sizeof device);
    buf_init(&a->kept, SIGNED_MAX);
    TAILQ_INSERT_TAIL(&r->grant_asks, a, link);
    rq->work = a;
    rq->gone = gone;
    ask_parent(a);
}

/* ---- the parent answers, or does not ---- */

static void granted(struct grant_ask *a, const struct upstream_answer *answer_in)
{
    char name[CATALOGUE_NAME_MAX + 1];
    int64_t left_s = 0;
    struct alb_status st = judge(a, answer_in->body, answer_in->size, &left_s);

    if (alb_failed(st)) {
        log_status(LOG_WARN, "grant.not_passed_on", st, "device=%s", a->device);
        refuse(a, ALB_CORRUPT, "the parent's answer is no grant for this device");
        return;
    }
    kept_name(a->device, name);
    record_keep(a->reflector->options.loop, a->reflector->options.catalogue, name, answer_in->body,
                answer_in->size, reflector_record_kept);
    if (left_s > GRANT_MEMO_LEFT_S)
        grant_memos_grant(&a->reflector->grant_memos, a->device, answer_in->body, answer_in->size,
                          loop_now_ns(a->reflector->options.loop));
    answer(a, answer_in->body, answer_in->size);
}

static void asked(void *arg, const struct upstream_answer *answer_in)
{
    struct grant_ask *a = arg;
    char name[CATALOGUE_NAME_MAX + 1];

    a->asking = NULL;
    if (!alb_failed(answer_in->st)) {
        granted(a, answer_in);
    } else if (answer_in->st.code == ALB_REFUSED || answer_in->st.code == ALB_NOT_FOUND) {
        kept_name(a->device, name);
        record_keep(a->reflector->options.loop, a->reflector->options.catalogue, name, NULL, 0,
                    reflector_record_kept);
        const char *words = answer_in->message[0] != '\0' ? answer_in->message : answer_in->st.what;
        grant_memos_refuse(&a->reflector->grant_memos, a->device, answer_in->st, words,
                           loop_now_ns(a->reflector->options.loop));
        refuse(a, answer_in->st.code, words);
    } else {
        look(a, answer_in->st);
    }
}

static void look(struct grant_ask *a, struct alb_status why)
{
    log_status(LOG_DEBUG, "grant.parent_silent", why, "device=%s", a->device);
    a->is_looking = true;
    a->job = (struct job){.run = look_run, .done = look_done, .work_bytes = 4096};
    loop_submit(a->reflector->options.loop, &a->job);
}

static void look_run(struct job *job)
{
    struct grant_ask *a = ALB_CONTAINER(job, struct grant_ask, job);
    char name[CATALOGUE_NAME_MAX + 1];

    kept_name(a->device, name);
    a->st = catalogue_get(a->catalogue, name, &a->kept, NULL);
}

/* With the reason, which nobody in the branch could see otherwise. */
static void refuse_cut_off(struct grant_ask *a)
{
    struct upstream_figures up;
    char message[512];

    upstream_figures(a->reflector->upstream, &up);
    snprintf(message, sizeof message,
             "the hub cannot be reached from this reflector%s%s%s, and no valid grant of this "
             "device is kept here; it will be asked for when the line is back",
             up.is_up ? "" : " (", up.is_up ? "" : up.why_down, up.is_up ? "" : ")");
    refuse(a, ALB_CLOSED, message);
}

static void look_done(struct job *job)
{
    struct grant_ask *a = ALB_CONTAINER(job, struct grant_ask, job);
    struct reflector *r = a->reflector;
    int64_t left_s = 0;

    a->is_looking = false;
    if (a->rq == NULL) { /* nobody waits any more, and the reflector may be gone */
        buf_release(&a->kept);
        free(a);
        return;
    }
    if (!alb_failed(a->st))
        a->st = judge(a, buf_peek(&a->kept), buf_size(&a->kept), &left_s);
    const bool is_told = log_limit_passes(&r->grant_lines, loop_now_ns(r->options.loop));
    if (alb_failed(a->st)) {
        if (is_told)
            log_status(LOG_INFO, "grant.none", a->st, "device=%s", a->device);
        refuse_cut_off(a);
        return;
    }
    if (is_told)
        log_event(LOG_INFO, "grant.kept_one_used", "device=%s", a->device);
    answer(a, buf_peek(&a->kept), buf_size(&a->kept));
}
