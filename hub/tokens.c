/* SPDX-License-Identifier: Apache-2.0 */
/* hub/tokens.c – making the tokens that people carry to new machines. */
#include "hub/tokens.h"

#include <stdio.h>

#include "base/alloc.h"
#include "hub/device.h"
#include "hub/hub_impl.h"
#include "hub/sites.h"
#include "net/x509.h"
#include "wire/signed.h"

enum { LIFETIME_DEFAULT_S = 7 * 86400, LIFETIME_MAX_S = 366 * 86400, USES_MAX = 100000 };

struct token_task {
    struct hub_task task; /* first */
    bool has_trust;
    struct digest trust_pin;
};

static struct alb_status judge_scope(const struct token_request *ask, enum role role)
{
    AUTO_FREE void *prefixes = xcalloc(GRANT_PREFIXES_MAX, NAME_MAX_SIZE);
    size_t count = 0;

    if (role == ROLE_HUB || role == ROLE_NONE)
        return alb_fail(ALB_INVALID, "role: reflector, endpoint, publisher or admin");
    if (ask->site[0] != '\0') {
        struct alb_status st = id_check(ask->site);
        if (alb_failed(st))
            return st;
    }
    if (ask->layers[0] != '\0' && role == ROLE_ADMIN)
        return alb_fail(ALB_INVALID, "layers: an admin's token cannot be limited to some");
    return layers_split(ask->layers, GRANT_PREFIXES_MAX, prefixes, &count);
}

static struct alb_status judge(const struct token_request *ask, enum role *role)
{
    struct alb_status st = role_parse(ask->role, role);

    if (!alb_failed(st))
        st = judge_scope(ask, *role);
    if (!alb_failed(st) && ask->name[0] != '\0')
        st = id_check(ask->name);
    if (alb_failed(st))
        return st;
    if (ask->name[0] != '\0' && ask->uses > 1)
        return alb_fail(ALB_INVALID, "a token that fixes the device's name has one use");
    if (ask->uses > USES_MAX)
        return alb_fail(ALB_INVALID, "uses: at most 100,000");
    if (ask->lifetime_s > LIFETIME_MAX_S)
        return alb_fail(ALB_INVALID, "lifetime: at most 366 days");
    return ALB_STATUS_OK;
}

struct alb_status token_create(struct catalogue *c, const struct token_scope *scope,
                               const struct token_request *ask, char out[TOKEN_TEXT_SIZE])
{
    AUTO_FREE struct token_record *record = xalloc(sizeof *record);
    struct token token = {.id = ""};
    struct digest hash;
    struct alb_status st = x509_pin(scope->ca_certificate_pem, &token.ca_pin);

    if (alb_failed(st))
        return st;
    struct digest ca_pin = token.ca_pin;
    token_make(&token);
    token.ca_pin = ca_pin;
    token.has_trust_pin = scope->trust_pin != NULL;
    if (token.has_trust_pin)
        token.trust_pin = *scope->trust_pin;
    token_hash(&token, &hash);
    memcpy(record->id, token.id, sizeof token.id);
    digest_hex(&hash, record->hash);
    snprintf(record->role, sizeof record->role, "%.15s", ask->role);
    memcpy(record->site, ask->site, sizeof record->site);
    memcpy(record->name, ask->name, sizeof record->name);
    memcpy(record->layers, ask->layers, sizeof record->layers);
    record->uses = ask->uses != 0 ? ask->uses : 1;
    record->expires_wall_s =
        scope->now_wall_s +
        (int64_t)(ask->lifetime_s != 0 ? ask->lifetime_s : (uint64_t)LIFETIME_DEFAULT_S);
    st = token_record_write(c, record, CATALOGUE_ABSENT);
    if (!alb_failed(st))
        token_format(&token, out);
    wipe(&token, sizeof token);
    return st;
}

struct alb_status token_id_check(const char *id)
{
    size_t length = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

    if (length == 0 || length >= sizeof((struct token_record *)NULL)->id || id[length] != '\0')
        return alb_fail(ALB_INVALID, "that is no ID of a token");
    return ALB_STATUS_OK;
}

static void token_run(struct hub_task *t)
{
    struct token_task *p = (struct token_task *)t;
    AUTO_FREE struct token_request *ask = xalloc(sizeof *ask);
    const struct token_scope scope = {.ca_certificate_pem = t->hub->options.ca_certificate_pem,
                                      .trust_pin = p->has_trust ? &p->trust_pin : NULL,
                                      .now_wall_s = t->now_wall_s};
    struct token_answer answer;
    enum role role = ROLE_NONE;

    t->st = token_request_decode(buf_peek(&t->body), buf_size(&t->body), ask);
    if (!alb_failed(t->st))
        t->st = judge(ask, &role);
    if (!alb_failed(t->st) && !p->has_trust && role != ROLE_ADMIN)
        hub_task_refuse(t, ALB_REFUSED,
                        "there is no trust file yet, so a new %s could not know what "
                        "to believe: run 'albedo trust init' first",
                        ask->role);
    if (!alb_failed(t->st))
        t->st = token_create(t->hub->options.catalogue, &scope, ask, answer.token);
    if (!alb_failed(t->st))
        t->st = token_answer_encode(&answer, &t->answer);
    if (!alb_failed(t->st))
        hub_audit(&t->who, "token", "id=%.10s for=%s site=%s uses=%llu", answer.token + 5,
                  ask->role, ask->site[0] != '\0' ? ask->site : "-",
                  (unsigned long long)(ask->uses != 0 ? ask->uses : 1));
    wipe(&answer, sizeof answer);
}

/* A slip of the hand in a site's name would make a branch that nothing is known about.  This is on
 * the loop, whose the directory is; a body that cannot be read is the task's to refuse. */
static void judge_site(struct hub_task *t)
{
    AUTO_FREE struct token_request *ask = xalloc(sizeof *ask);

    if (!alb_failed(token_request_decode(buf_peek(&t->body), buf_size(&t->body), ask)) &&
        !hub_site_is_known(t->hub, ask->site))
        hub_task_refuse(t, ALB_NOT_FOUND,
                        "there is no site %s: 'albedo site list' shows those there are, 'albedo "
                        "site add %s' makes it one",
                        ask->site, ask->site);
}

/* POST /v1/token */
void hub_handle_token(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct token_task *p = hub_task_new(h, rq, sizeof *p);
    struct buf first;

    buf_init(&first, SIGNED_MAX);
    p->has_trust = !alb_failed(authority_trust_bytes(h->authority, 1, &first));
    sha256(buf_peek(&first), buf_size(&first), &p->trust_pin);
    buf_release(&first);
    p->task.content_type = "application/json";
    p->task.run = token_run;
    if (h->options.ca_certificate_pem == NULL)
        hub_task_refuse(&p->task, ALB_REFUSED, "this hub has no CA: nobody can be enrolled here");
    else
        judge_site(&p->task);
    if (alb_failed(p->task.st)) {
        hub_task_end(&p->task);
        return;
    }
    hub_task_start(&p->task, JOB_ORDERED, 64 << 10);
}
