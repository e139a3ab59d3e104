/* SPDX-License-Identifier: Apache-2.0 */
/* hub/enrol.c – joining: a token and a certificate request become a device and its certificate.
 *
 *    TOKEN right? in time? → NAME free? → uses left? → one use less → device recorded → CERTIFICATE
 *
 * The same key with the same token is given the same certificate again, so an answer that got lost
 * costs no use.  Names in the request are ignored: who it is, the hub decides.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/log.h"
#include "hub/device.h"
#include "hub/hub_impl.h"
#include "hub/nearby.h"
#include "hub/tokens.h"
#include "wire/json.h"
#include "wire/token.h"

enum { NAMES_TRIED = 99 };

struct enrol_task {
    struct hub_task task; /* first */
    uint64_t trust_version;
    struct enrol_request ask;
    struct token_record token;
    uint64_t token_swap, device_swap;
    enum role role;
    struct device_record device; /* being made, or found again */
    bool is_again;
};

static void enrol_run(struct hub_task *t);
static void enrol_after(struct hub_task *t);

/* POST /v1/enrol */
void hub_handle_enrol(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct enrol_task *e = hub_task_new(h, rq, sizeof *e);
    const struct trust *trust = authority_trust(h->authority);

    e->trust_version = trust == NULL ? 0 : trust->version;
    e->task.content_type = "application/json";
    e->task.run = enrol_run;
    e->task.after = enrol_after;
    if (h->options.ca_key_pem == NULL) {
        hub_task_refuse(&e->task, ALB_REFUSED, "this hub has no CA: nobody can be enrolled here");
        hub_task_end(&e->task);
        return;
    }
    hub_task_start(&e->task, JOB_ORDERED, 256 << 10);
}

/* ---- the token ------------------------------------------------------------------------------- */

/* A wrong secret is answered like an unknown token: who guesses learns nothing. */
static void refuse_token(struct enrol_task *e)
{
    struct hub *h = e->task.hub;

    if (log_limit_passes(&h->wrong_token_lines, (uint64_t)e->task.now_wall_s * NS_PER_S))
        log_event(LOG_WARN, "enrol.wrong_token", "id=%.10s",
                  alb_failed(id_check(e->ask.token_id)) ? "?" : e->ask.token_id);
    hub_task_refuse(&e->task, ALB_REFUSED,
                    "this token is not known here; check that it was copied "
                    "whole, or ask for a new one ('albedo token create')");
}

static bool secret_is_right(const struct enrol_task *e)
{
    struct token token = {.id = ""};
    struct digest hash, kept;

    if (strlen(e->ask.token_id) >= sizeof token.id ||
        strlen(e->ask.secret_hex) != 2 * TOKEN_SECRET_SIZE)
        return false;
    snprintf(token.id, sizeof token.id, "%.10s", e->ask.token_id);
    if (alb_failed(bytes_parse_hex(e->ask.secret_hex, token.secret, sizeof token.secret)) ||
        alb_failed(digest_parse(e->token.hash, &kept)))
        return false;
    token_hash(&token, &hash);
    wipe(&token, sizeof token);
    return bytes_same_secret(&hash, &kept, sizeof hash);
}

static void judge_token(struct enrol_task *e)
{
    struct hub_task *t = &e->task;

    if (alb_failed(token_id_check(e->ask.token_id))) {
        refuse_token(e);
        return;
    }
    t->st =
        token_record_read(t->hub->options.catalogue, e->ask.token_id, &e->token, &e->token_swap);
    if (alb_failed(t->st) && t->st.code != ALB_NOT_FOUND)
        return;
    if (alb_failed(t->st) || !secret_is_right(e)) {
        refuse_token(e);
        return;
    }
    t->st = role_parse(e->token.role, &e->role);
    if (alb_failed(t->st))
        return;
    if (e->token.withdrawn[0] != '\0')
        hub_task_refuse(t, ALB_REFUSED, "this token cannot be used any more: %s; ask for a new one",
                        e->token.withdrawn);
    else if (e->token.expires_wall_s <= t->now_wall_s)
        hub_task_refuse(t, ALB_REFUSED,
                        "this token has expired; ask for a new one ('albedo token "
                        "create')");
    else if (e->trust_version == 0 && e->role != ROLE_ADMIN)
        hub_task_refuse(t, ALB_REFUSED,
                        "there is no trust file yet, so a new %s could not know what "
                        "to believe: run 'albedo trust init' first",
                        e->token.role);
}

/* ---- name and certificate -------------------------------------------------------------------- */

static struct alb_status issue(struct enrol_task *e, const char *name)
{
    struct device_record *d = &e->device;

    snprintf(d->device, sizeof d->device, "%s", name);
    snprintf(d->role, sizeof d->role, "%s", e->token.role);
    return hub_certify(e->task.hub, e->ask.csr_pem, e->task.now_wall_s, d);
}

/* OK: the name can be had, or is this very device's; CONFLICT: it is another's. */
static struct alb_status try_name(struct enrol_task *e, const char *name)
{
    struct catalogue *c = e->task.hub->options.catalogue;
    AUTO_FREE struct device_record *there = xalloc(sizeof *there);

    struct alb_status st = issue(e, name);
    if (alb_failed(st))
        return st;
    e->device_swap = CATALOGUE_ABSENT;
    st = device_read(c, name, there, &e->device_swap);
    if (st.code == ALB_NOT_FOUND)
        return ALB_STATUS_OK;
    if (alb_failed(st) || there->is_revoked)
        return st;
    if (strcmp(there->key, e->device.key) == 0 && strcmp(there->token, e->token.id) == 0) {
        e->device = *there;
        e->is_again = true;
        return ALB_STATUS_OK;
    }
    return alb_fail(ALB_CONFLICT, "the name is another device's");
}

/* Without a wish, one that the same key finds again. */
static struct alb_status wished_name(struct enrol_task *e, char out[ID_SIZE])
{
    snprintf(out, ID_SIZE, "%.60s", e->ask.name);
    if (!alb_failed(id_check(out)) && strlen(e->ask.name) <= 57)
        return ALB_STATUS_OK; /* room for "-99" */
    struct alb_status st = issue(e, role_name(e->role));
    if (!alb_failed(st))
        snprintf(out, ID_SIZE, "%s-%.8s", role_name(e->role), e->device.key);
    return st;
}

static void find_name(struct enrol_task *e)
{
    struct hub_task *t = &e->task;
    char wish[ID_SIZE], name[ID_SIZE + 16];

    if (e->token.name[0] != '\0') {
        t->st = try_name(e, e->token.name);
        if (t->st.code == ALB_CONFLICT)
            hub_task_refuse(t, ALB_REFUSED,
                            "this token is for device %s, which is enrolled with "
                            "another key: revoke it first ('albedo revoke %s'), or ask for another "
                            "token",
                            e->token.name, e->token.name);
        return;
    }
    t->st = wished_name(e, wish);
    if (!alb_failed(t->st))
        t->st = try_name(e, wish);
    for (unsigned n = 2; t->st.code == ALB_CONFLICT && n <= NAMES_TRIED; n++) {
        snprintf(name, sizeof name, "%s-%u", wish, n);
        t->st = try_name(e, name);
    }
    if (t->st.code == ALB_CONFLICT)
        hub_task_refuse(t, ALB_REFUSED, "%s and %s-2 to %s-99 are taken; join with --name", wish,
                        wish, wish);
}

/* ---- recorded -------------------------------------------------------------------------------- */

/* A use was spent for this very device, and then the hub died before it recorded it. */
static bool is_spent_already(const struct enrol_task *e)
{
    return e->device_swap == CATALOGUE_ABSENT && strcmp(e->token.last_key, e->device.key) == 0 &&
           strcmp(e->token.last_device, e->device.device) == 0;
}

static void spend(struct enrol_task *e)
{
    struct hub_task *t = &e->task;
    struct token_record *token = &e->token;

    if (is_spent_already(e))
        return;
    if (token->uses == 0) {
        hub_task_refuse(t, ALB_REFUSED,
                        "this token was used as often as it may be; ask for a new "
                        "one ('albedo token create')");
        return;
    }
    token->uses--;
    snprintf(token->last_key, sizeof token->last_key, "%s", e->device.key);
    snprintf(token->last_device, sizeof token->last_device, "%s", e->device.device);
    t->st = token_record_write(t->hub->options.catalogue, token, e->token_swap);
    if (!alb_failed(t->st))
        KILL_POINT("hub.token_spent");
}

/* The use first: if the second write fails it is lost to all but this device, never given twice. */
static void record(struct enrol_task *e)
{
    struct hub_task *t = &e->task;
    struct catalogue *c = t->hub->options.catalogue;
    struct device_record *d = &e->device;

    spend(e);
    if (alb_failed(t->st))
        return;
    memcpy(d->site, e->token.site, sizeof d->site);
    memcpy(d->layers, e->token.layers, sizeof d->layers);
    snprintf(d->token, sizeof d->token, "%s", e->token.id);
    t->st = device_write(c, d, e->device_swap);
    if (!alb_failed(t->st))
        KILL_POINT("hub.device_recorded");
}

static void put_answer(struct enrol_task *e)
{
    struct hub_task *t = &e->task;
    AUTO_FREE struct enrol_answer *a = xalloc(sizeof *a);

    snprintf(a->org, sizeof a->org, "%s", t->hub->options.org);
    snprintf(a->role, sizeof a->role, "%s", e->device.role);
    snprintf(a->device, sizeof a->device, "%s", e->device.device);
    snprintf(a->site, sizeof a->site, "%s", e->device.site);
    snprintf(a->certificate_pem, sizeof a->certificate_pem, "%s", e->device.certificate);
    snprintf(a->ca_pem, sizeof a->ca_pem, "%s", t->hub->options.ca_certificate_pem);
    a->trust_version = e->trust_version;
    t->st = enrol_answer_encode(a, &t->answer);
}

static void enrol_run(struct hub_task *t)
{
    struct enrol_task *e = (struct enrol_task *)t;

    t->st = enrol_request_decode(buf_peek(&t->body), buf_size(&t->body), &e->ask);
    if (!alb_failed(t->st))
        judge_token(e);
    if (!alb_failed(t->st))
        find_name(e);
    if (!alb_failed(t->st) && !e->is_again)
        record(e);
    wipe(e->ask.secret_hex, sizeof e->ask.secret_hex);
    if (alb_failed(t->st))
        return;
    snprintf(t->who.device, sizeof t->who.device, "%.63s", e->device.device);
    t->who.role = e->role;
    hub_audit(&t->who, "enrol", "site=%s serial=%s token=%s again=%d",
              e->device.site[0] != '\0' ? e->device.site : "-", e->device.serial, e->token.id,
              e->is_again);
    put_answer(e);
}

static void enrol_after(struct hub_task *t)
{
    const struct device_record *d = &((struct enrol_task *)t)->device;

    if (!alb_failed(t->st)) {
        t->hub->enrolled++;
        hub_nearby_joined(t->hub, d->device, d->role, d->site);
    }
    hub_task_end(t);
}
