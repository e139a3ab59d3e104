/* SPDX-License-Identifier: Apache-2.0 */
/* client/renewing.c – is it due? ask; is it ours? write it. */
#include "client/renewing.h"

#include <time.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/units.h"
#include "client/link.h"
#include "net/x509.h"
#include "transfer/renewal.h"

enum { PEM_MOST = 64 << 10 };
#define ASK_TIMEOUT_NS (5 * NS_PER_S)

static const char CERTIFICATE[] = "certificate.pem";

static struct alb_status ask_body(const struct state *s, struct buf *out)
{
    struct buf key;
    AUTO_FREE char *csr = NULL;

    buf_init(&key, PEM_MOST);
    struct alb_status st = state_read(s, "key.pem", &key);
    if (!alb_failed(st))
        st = x509_make_request(buf_text(&key), &csr);
    if (!alb_failed(st))
        st = renewal_ask_write(csr, out);
    if (key.bytes != NULL)
        wipe(key.bytes, key.capacity);
    buf_release(&key);
    return st;
}

static struct alb_status keep(const struct state *s, const char *held, const struct buf *answer)
{
    AUTO_FREE char *pem = NULL;
    struct alb_status st = renewal_answer_read(held, buf_peek(answer), buf_size(answer), &pem);

    if (!alb_failed(st))
        st = state_write(s, CERTIFICATE, pem, strlen(pem), 0644);
    return st;
}

static struct alb_status renew(struct link *l, const char *held)
{
    struct link_answer answer = {.st = ALB_STATUS_OK};
    struct buf body;

    buf_init(&body, PEM_MOST);
    struct alb_status st = ask_body(l->state, &body);
    if (!alb_failed(st)) {
        link_ask(l,
                 &(struct upstream_ask){.method = "POST",
                                        .path = RENEWAL_PATH,
                                        .body = buf_peek(&body),
                                        .body_size = buf_size(&body),
                                        .timeout_ns = ASK_TIMEOUT_NS},
                 &answer);
        st = answer.st;
    }
    if (!alb_failed(st))
        st = keep(l->state, held, &answer.body);
    link_answer_release(&answer);
    buf_release(&body);
    return st;
}

static void renew_with(const struct cli *c, struct state *s, const char *held)
{
    struct link link;

    if (link_open(c->output, s, &(struct link_options){.at_hub = false}, &link) != EXIT_DONE)
        return;
    struct alb_status st = renew(&link, held);
    if (alb_failed(st))
        log_status(LOG_INFO, "certificate.not_renewed", st,
                   "state=%s next=\"with another command\"", s->dir);
    else
        log_event(LOG_INFO, "certificate.renewed", "state=%s", s->dir);
    link_close(&link);
}

/* One that has expired is for nobody to renew: it takes a new token. */
static bool is_due(const char *pem)
{
    struct identity who = {.role = ROLE_NONE};
    const int64_t now_s = (int64_t)time(NULL);
    int64_t due_s = 0;

    return !alb_failed(x509_renew_at(pem, &due_s)) && !alb_failed(x509_identity(pem, &who)) &&
           now_s >= due_s && now_s < who.expires_wall_s;
}

void renewing_look(const struct cli *c)
{
    const char *typed = cli_text(c, "state");
    AUTO_FREE char *dir = typed != NULL ? xstrdup(typed) : state_default_dir();
    AUTO_FREE char *path = dir == NULL ? NULL : path_join(dir, CERTIFICATE);
    struct state s = {.dir = NULL};
    struct buf pem;

    if (path == NULL)
        return;
    buf_init(&pem, PEM_MOST);
    if (!alb_failed(file_read(path, &pem)) && is_due(buf_text(&pem)) &&
        !alb_failed(state_open(dir, &s))) {
        renew_with(c, &s, buf_text(&pem));
        state_close(&s);
    }
    buf_release(&pem);
}
