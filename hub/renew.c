/* SPDX-License-Identifier: Apache-2.0 */
/* hub/renew.c – certificates: the first one for a name, and the next one for the same key.
 *
 *     REQUEST for the enrolled key? → device known, not revoked? → more than half of the last
 *     one's life over? ── no ──> the last one again
 *                      └─ yes ─> a new one; the old one stays on record until it expires
 *
 * Whoever hands the request over gains nothing by it: what comes back is of use only with the
 * device's key, and says what the old one said.  So a reflector may ask for a device behind it, and
 * a lost answer is given again.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/hub_impl.h"
#include "net/x509.h"
#include "wire/json.h"

enum { ENDPOINT_LIFETIME_S = 30 * 86400, OTHER_LIFETIME_S = 365 * 86400 };

struct renew_task {
    struct hub_task task; /* first */
    struct renew_request ask;
    struct device_record device;
    uint64_t swap_version;
};

struct alb_status hub_certify(const struct hub *h, const char *csr_pem, int64_t now_wall_s,
                              struct device_record *d)
{
    const struct hub_options *o = &h->options;
    struct identity who = {.role = ROLE_NONE};
    struct x509_issue ask = {.ca_key_pem = o->ca_key_pem,
                             .ca_certificate_pem = o->ca_certificate_pem,
                             .csr_pem = csr_pem,
                             .who = &who,
                             .now_wall_s = now_wall_s};
    AUTO_FREE char *pem = NULL;
    struct digest key;

    struct alb_status st = role_parse(d->role, &who.role);
    if (alb_failed(st))
        return st;
    snprintf(who.org, sizeof who.org, "%s", o->org);
    snprintf(who.device, sizeof who.device, "%.63s", d->device);
    ask.lifetime_s = who.role == ROLE_ENDPOINT ? ENDPOINT_LIFETIME_S : OTHER_LIFETIME_S;
    st = x509_issue(&ask, &pem, d->serial);
    if (!alb_failed(st))
        st = x509_pin(pem, &key);
    if (!alb_failed(st))
        st = x509_identity(pem, &who);
    if (alb_failed(st))
        return st;
    if (snprintf(d->certificate, sizeof d->certificate, "%s", pem) >= (int)sizeof d->certificate)
        return alb_fail(ALB_INVALID, "the certificate request's key is too large");
    digest_hex(&key, d->key);
    d->issued_wall_s = now_wall_s;
    d->expires_wall_s = who.expires_wall_s;
    return st;
}

/* ---- POST /v1/renew {"csr_pem": …} or {"device": X, "csr_pem": …} ---------------------------- */

static void find_device(struct renew_task *r)
{
    struct hub_task *t = &r->task;

    if (r->ask.device[0] == '\0')
        snprintf(r->ask.device, sizeof r->ask.device, "%s", t->who.device);
    if (strcmp(r->ask.device, t->who.device) != 0 && t->who.role != ROLE_REFLECTOR) {
        hub_task_refuse(t, ALB_REFUSED, "only a reflector may ask for another device");
        return;
    }
    t->st = id_check(r->ask.device);
    if (!alb_failed(t->st))
        t->st = device_read(t->hub->options.catalogue, r->ask.device, &r->device, &r->swap_version);
    if (t->st.code == ALB_NOT_FOUND || (!alb_failed(t->st) && r->device.is_revoked))
        hub_task_refuse(t, ALB_REFUSED, "no such device is enrolled here, or it was revoked");
}

static void judge_key(struct renew_task *r)
{
    struct hub_task *t = &r->task;
    struct digest key;
    char hex[KEY_HEX_SIZE];

    t->st = x509_request_pin(r->ask.csr_pem, &key);
    if (!alb_failed(t->st) && strcmp(digest_hex(&key, hex), r->device.key) != 0)
        hub_task_refuse(t, ALB_REFUSED,
                        "the request is for another key than the one that %s enrolled with; a new "
                        "key needs a new token",
                        r->device.device);
}

/* What is past its time is forgotten; what is not must be there when the device is revoked. */
static struct alb_status remember_last(struct device_record *d, int64_t now_wall_s)
{
    size_t kept = 0;

    for (size_t i = 0; i < d->older_count; i++)
        if (d->older[i].expires_wall_s >= now_wall_s)
            d->older[kept++] = d->older[i];
    d->older_count = kept;
    if (d->expires_wall_s < now_wall_s)
        return ALB_STATUS_OK;
    if (kept == OLDER_MAX)
        return alb_fail(ALB_FULL, "this device has too many certificates that have not expired");
    memcpy(d->older[kept].serial, d->serial, sizeof d->serial);
    d->older[kept].expires_wall_s = d->expires_wall_s;
    d->older_count++;
    return ALB_STATUS_OK;
}

static void issue_next(struct renew_task *r)
{
    struct hub_task *t = &r->task;
    struct device_record *d = &r->device;

    if (t->now_wall_s < d->issued_wall_s + (d->expires_wall_s - d->issued_wall_s) / 2)
        return; /* the last one again */
    t->st = remember_last(d, t->now_wall_s);
    if (!alb_failed(t->st))
        t->st = hub_certify(t->hub, r->ask.csr_pem, t->now_wall_s, d);
    if (!alb_failed(t->st))
        t->st = device_write(t->hub->options.catalogue, d, r->swap_version);
    if (!alb_failed(t->st))
        hub_audit(&t->who, "renew", "device=%s serial=%s older=%zu", d->device, d->serial,
                  d->older_count);
}

static void renew_run(struct hub_task *t)
{
    struct renew_task *r = (struct renew_task *)t;
    AUTO_FREE struct renew_answer *answer = xalloc(sizeof *answer);

    t->st = renew_request_decode(buf_peek(&t->body), buf_size(&t->body), &r->ask);
    if (!alb_failed(t->st))
        find_device(r);
    if (!alb_failed(t->st))
        judge_key(r);
    if (!alb_failed(t->st))
        issue_next(r);
    if (alb_failed(t->st))
        return;
    snprintf(answer->certificate_pem, sizeof answer->certificate_pem, "%s", r->device.certificate);
    t->st = renew_answer_encode(answer, &t->answer);
}

void hub_handle_renew(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct renew_task *r = hub_task_new(h, rq, sizeof *r);

    r->task.content_type = "application/json";
    r->task.run = renew_run;
    if (h->options.ca_key_pem == NULL) {
        hub_task_refuse(&r->task, ALB_REFUSED, "this hub has no CA: nothing can be renewed here");
        hub_task_end(&r->task);
        return;
    }
    hub_task_start(&r->task, JOB_ORDERED, 256 << 10);
}
