/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/renewal.c – a timer, a question, and a look at what came. */
#include "transfer/renewal.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "net/x509.h"
#include "wire/json.h"

#define LOOK_EVERY_NS (3600 * NS_PER_S) /* the wall clock may be set meanwhile */
#define LOOK_FIRST_NS (5 * NS_PER_S)    /* once the line had time to come up   */
enum { ASK_MOST = 3 * JSON_PEM_MAX };

struct renewal {
    struct renewal_options options;
    char *certificate_pem, *csr_pem; /* owned */
    int64_t due_wall_s;
    struct timer look;
    struct upstream_request *asking;
};

static void look(void *arg);
static void came(void *arg, const struct upstream_answer *answer);

struct alb_status renewal_new(const struct renewal_options *options, struct renewal **out)
{
    int64_t due_wall_s = 0;
    struct alb_status st = x509_renew_at(options->certificate_pem, &due_wall_s);

    if (alb_failed(st))
        return st;
    struct renewal *r = xalloc(sizeof *r);
    r->options = *options;
    r->certificate_pem = xstrdup(options->certificate_pem);
    r->csr_pem = xstrdup(options->csr_pem);
    r->due_wall_s = due_wall_s;
    timer_init(&r->look, options->loop, look, r);
    timer_set_in(&r->look, LOOK_FIRST_NS);
    *out = r;
    return st;
}

int64_t renewal_holds_until_wall_s(const struct renewal *r)
{
    struct identity who = {.role = ROLE_NONE};

    alb_ignore(x509_identity(r->certificate_pem, &who), "it was read when it came");
    return who.expires_wall_s;
}

struct renewal *renewal_free(struct renewal *r)
{
    if (r == NULL)
        return NULL;
    timer_stop(&r->look);
    upstream_cancel(r->asking);
    free(r->certificate_pem);
    free(r->csr_pem);
    loop_bury(r->options.loop, free, r); /* renewed() may be what calls us */
    return NULL;
}

static void look(void *arg)
{
    struct renewal *r = arg;
    const struct renewal_options *o = &r->options;
    struct buf body;

    timer_set_in(&r->look, LOOK_EVERY_NS);
    if (r->asking != NULL || authority_now_s(o->authority, loop_wall_s(o->loop)) < r->due_wall_s)
        return;
    buf_init(&body, ASK_MOST);
    struct alb_status st = renewal_ask_write(r->csr_pem, &body);
    if (alb_failed(st)) {
        log_status(LOG_WARN, "certificate.not_renewed", st, "next=\"in an hour\"");
    } else {
        const struct upstream_ask ask = {.method = "POST",
                                         .path = RENEWAL_PATH,
                                         .body = buf_peek(&body),
                                         .body_size = buf_size(&body),
                                         .expect_bytes = ASK_MOST};
        r->asking = upstream_request(o->upstream, &ask, came, r);
    }
    buf_release(&body);
}

static void came(void *arg, const struct upstream_answer *answer)
{
    struct renewal *r = arg;
    struct alb_status st = answer->st;
    char *pem = NULL;

    r->asking = NULL;
    if (!alb_failed(st))
        st = renewal_answer_read(r->certificate_pem, answer->body, answer->size, &pem);
    if (!alb_failed(st))
        st = x509_renew_at(pem, &r->due_wall_s);
    if (alb_failed(st)) {
        log_status(LOG_WARN, "certificate.not_renewed", st, "said=\"%s\" next=\"in an hour\"",
                   answer->message);
        free(pem);
        return;
    }
    free(r->certificate_pem);
    r->certificate_pem = pem;
    log_event(LOG_INFO, "certificate.renewed", "next=\"new connections show it\"");
    r->options.renewed(r->options.arg, pem);
}

/* ---- question and answer --------------------------------------------------------------------- */

struct alb_status renewal_ask_write(const char *csr_pem, struct buf *out)
{
    AUTO_FREE struct renew_request *ask = xalloc(sizeof *ask);

    snprintf(ask->csr_pem, sizeof ask->csr_pem, "%s", csr_pem);
    return renew_request_encode(ask, out);
}

static struct alb_status judge(const char *held_pem, const char *pem)
{
    struct identity held = {.role = ROLE_NONE}, next = {.role = ROLE_NONE};
    struct digest held_key, next_key;
    struct alb_status st = x509_identity(held_pem, &held);

    if (!alb_failed(st))
        st = x509_pin(held_pem, &held_key);
    if (!alb_failed(st))
        st = x509_identity(pem, &next);
    if (!alb_failed(st))
        st = x509_pin(pem, &next_key);
    if (alb_failed(st))
        return (struct alb_status){ALB_CORRUPT, 0, st.what};
    if (held.role != next.role || strcmp(held.org, next.org) != 0 ||
        strcmp(held.device, next.device) != 0 || !digest_equal(&held_key, &next_key))
        return alb_fail(ALB_CORRUPT, "the renewed certificate is for somebody else");
    if (next.expires_wall_s <= held.expires_wall_s)
        return alb_fail(ALB_CORRUPT, "the renewed certificate ends no later than the one in use");
    return st;
}

struct alb_status renewal_answer_read(const char *held_pem, const void *body, size_t size,
                                      char **out_pem)
{
    AUTO_FREE struct renew_answer *answer = xalloc(sizeof *answer);
    struct alb_status st = renew_answer_decode(body, size, answer);

    if (!alb_failed(st))
        st = judge(held_pem, answer->certificate_pem);
    if (alb_failed(st))
        return (struct alb_status){ALB_CORRUPT, 0, st.what};
    *out_pem = xstrdup(answer->certificate_pem);
    return st;
}
