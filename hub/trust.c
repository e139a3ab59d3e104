/* SPDX-License-Identifier: Apache-2.0 */
/* hub/trust.c – taking the next trust file, and ceasing to believe a certificate.
 *
 * The authority is given no catalogue: it is the loop's, and at a hub what it believes is written by
 * jobs first ("trust/N", "revoked") and told to it afterwards.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/device.h"
#include "hub/hub_impl.h"
#include "wire/json.h"
#include "wire/signed.h"

/* ---- what is kept, at start ------------------------------------------------------------------ */

static struct alb_status load_one(struct hub *h, const char *name,
                                  struct alb_status (*take)(struct authority *, const void *,
                                                            size_t))
{
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    struct alb_status st = catalogue_get(h->options.catalogue, name, &bytes, NULL);
    if (!alb_failed(st))
        st = take(h->authority, buf_peek(&bytes), buf_size(&bytes));
    buf_release(&bytes);
    return st;
}

static struct alb_status judge_ours(const struct hub *h, const struct trust *trust)
{
    if (strcmp(trust->org, h->options.org) != 0)
        return alb_fail(ALB_REFUSED, "the trust file is another organisation's");
    if (!sign_public_equal(&trust->hub_key, &h->online_public))
        return alb_fail(ALB_REFUSED, "the trust file names another hub key than this hub's; see "
                                     "hub_key in 'albedo status --json'");
    return ALB_STATUS_OK;
}

struct alb_status hub_load_trust(struct hub *h)
{
    char name[32];
    struct alb_status st = ALB_STATUS_OK;

    for (uint64_t version = 1; !alb_failed(st); version++) {
        snprintf(name, sizeof name, "trust/%" PRIu64, version);
        st = load_one(h, name, authority_add_trust);
    }
    if (st.code == ALB_NOT_FOUND && authority_trust(h->authority) == NULL)
        return ALB_STATUS_OK;
    if (st.code == ALB_NOT_FOUND)
        st = judge_ours(h, authority_trust(h->authority));
    if (!alb_failed(st))
        st = load_one(h, "revoked", authority_add_revocations);
    return st.code == ALB_NOT_FOUND ? ALB_STATUS_OK : st;
}

/* ---- POST /v1/trust-put ---------------------------------------------------------------------- */

struct trust_task {
    struct hub_task task; /* first */
    uint64_t version;
    bool is_known; /* these very bytes were taken before */
};

static bool is_held(struct hub *h, uint64_t version, const struct buf *bytes)
{
    struct buf held;

    buf_init(&held, SIGNED_MAX);
    bool same = !alb_failed(authority_trust_bytes(h->authority, version, &held)) &&
                buf_size(&held) == buf_size(bytes) &&
                memcmp(buf_peek(&held), buf_peek(bytes), buf_size(bytes)) == 0;
    buf_release(&held);
    return same;
}

/* Is it the next one, properly signed, and ours? */
static struct alb_status judge_next(struct hub *h, const struct buf *bytes, uint64_t *version,
                                    bool *is_known)
{
    struct trust next;
    struct alb_status st = trust_decode_unchecked(buf_peek(bytes), buf_size(bytes), &next);

    if (alb_failed(st))
        return st;
    *version = next.version;
    *is_known = is_held(h, next.version, bytes);
    trust_release(&next);
    if (*is_known)
        return ALB_STATUS_OK;
    st = trust_decode(buf_peek(bytes), buf_size(bytes), authority_trust(h->authority), NULL, &next);
    if (alb_failed(st))
        return st;
    st = judge_ours(h, &next);
    trust_release(&next);
    return st;
}

static struct alb_status write_trust(struct catalogue *c, uint64_t version, const struct buf *bytes)
{
    char name[32];

    snprintf(name, sizeof name, "trust/%" PRIu64, version);
    return ledger_write(c, name, CATALOGUE_ABSENT, buf_peek(bytes), buf_size(bytes));
}

static void trust_run(struct hub_task *t)
{
    const struct trust_task *p = (struct trust_task *)t;

    t->st = write_trust(t->hub->options.catalogue, p->version, &t->body);
    if (t->st.code == ALB_CONFLICT)
        hub_task_refuse(t, ALB_CONFLICT,
                        "trust file %" PRIu64 " was put by somebody else just "
                        "now; fetch it and sign the next one",
                        p->version);
    if (!alb_failed(t->st))
        hub_audit(&t->who, "trust", "version=%" PRIu64, p->version);
}

static void trust_after(struct hub_task *t)
{
    if (!alb_failed(t->st))
        t->st = authority_add_trust(t->hub->authority, buf_peek(&t->body), buf_size(&t->body));
    if (!alb_failed(t->st))
        feed_say(t->hub->feed, "trust");
    hub_task_end(t);
}

void hub_handle_trust_put(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct trust_task *p = hub_task_new(h, rq, sizeof *p);
    struct hub_task *t = &p->task;

    t->st = judge_next(h, &t->body, &p->version, &p->is_known);
    if (alb_failed(t->st) || p->is_known) {
        hub_task_end(t);
        return;
    }
    t->run = trust_run;
    t->after = trust_after;
    hub_task_start(t, JOB_ORDERED, buf_size(&t->body));
}

struct alb_status hub_install_trust(struct hub *h, const void *bytes, size_t size)
{
    uint64_t version = 0;
    bool is_known = false;
    struct buf copy;

    buf_init(&copy, SIGNED_MAX);
    struct alb_status st = buf_append(&copy, bytes, size);
    if (!alb_failed(st))
        st = judge_next(h, &copy, &version, &is_known);
    if (!alb_failed(st) && !is_known) {
        st = write_trust(h->options.catalogue, version, &copy);
        if (!alb_failed(st))
            st = authority_add_trust(h->authority, bytes, size);
        if (!alb_failed(st))
            feed_say(h->feed, "trust");
    }
    buf_release(&copy);
    return st;
}

/* ---- POST /v1/revoke {"device": X} ----------------------------------------------------------- */

struct revoke_task {
    struct hub_task task; /* first */
    struct buf list;      /* the new revocation list, signed */
};

/* Ascending, each serial once. */
static void add_serial(struct revocations *r, const char *serial)
{
    size_t at = 0;

    while (at < r->count && strcmp(r->serials[at], serial) < 0)
        at++;
    if (at < r->count && strcmp(r->serials[at], serial) == 0)
        return;
    r->serials = xrealloc(r->serials, (r->count + 1) * sizeof *r->serials);
    memmove(r->serials + at + 1, r->serials + at, (r->count - at) * sizeof *r->serials);
    snprintf(r->serials[at], sizeof r->serials[at], "%s", serial);
    r->count++;
}

static struct alb_status read_list(const struct ledger *l, struct revocations *out,
                                   uint64_t *swap_version)
{
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    *swap_version = CATALOGUE_ABSENT;
    struct alb_status st = catalogue_get(l->catalogue, "revoked", &bytes, swap_version);
    if (!alb_failed(st))
        st = revocations_decode(buf_peek(&bytes), buf_size(&bytes), &l->self, out);
    else if (st.code == ALB_NOT_FOUND)
        st = ALB_STATUS_OK;
    buf_release(&bytes);
    return st;
}

static struct alb_status write_list(struct hub_task *t, const char *serial, struct buf *out)
{
    const struct ledger *l = &t->hub->ledger;
    struct revocations list = {.number = 0};
    uint64_t swap_version;
    struct alb_status st = read_list(l, &list, &swap_version);

    if (!alb_failed(st)) {
        snprintf(list.org, sizeof list.org, "%s", l->self.org);
        list.number++;
        list.issued_wall_s = t->now_wall_s;
        add_serial(&list, serial);
        st = revocations_encode(&list, &l->key, out);
    }
    if (!alb_failed(st))
        st = ledger_write(l->catalogue, "revoked", swap_version, buf_peek(out), buf_size(out));
    revocations_release(&list);
    return st;
}

/* The list first: a device that is only marked would still be believed. */
static void revoke_run(struct hub_task *t)
{
    struct revoke_task *p = (struct revoke_task *)t;
    struct named_request ask;
    struct device_record d;
    uint64_t swap_version;

    t->st = named_request_decode(buf_peek(&t->body), buf_size(&t->body), &ask);
    if (!alb_failed(t->st))
        t->st = id_check(ask.device);
    if (alb_failed(t->st))
        return;
    t->st = device_read(t->hub->options.catalogue, ask.device, &d, &swap_version);
    if (t->st.code == ALB_NOT_FOUND)
        hub_task_refuse(t, ALB_NOT_FOUND, "no device %s is enrolled; 'albedo devices' lists them",
                        ask.device);
    if (!alb_failed(t->st))
        t->st = write_list(t, d.serial, &p->list);
    if (alb_failed(t->st))
        return;
    d.is_revoked = true;
    t->st = device_write(t->hub->options.catalogue, &d, swap_version);
    hub_audit(&t->who, "revoke", "device=%s serial=%s", d.device, d.serial);
}

static void revoke_after(struct hub_task *t)
{
    struct revoke_task *p = (struct revoke_task *)t;
    struct hub *h = t->hub;
    struct alb_status st = ALB_STATUS_OK;

    if (buf_size(&p->list) > 0)
        st = authority_add_revocations(h->authority, buf_peek(&p->list), buf_size(&p->list));
    if (alb_failed(st))
        t->st = st;
    else if (buf_size(&p->list) > 0) {
        h->revoked++;
        feed_say(h->feed, "revoked");
        serve_recheck(h->serve);
    }
    hub_task_end(t);
}

static void revoke_release(struct hub_task *t)
{
    buf_release(&((struct revoke_task *)t)->list);
}

void hub_handle_revoke(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct revoke_task *p = hub_task_new(h, rq, sizeof *p);
    struct hub_task *t = &p->task;

    buf_init(&p->list, SIGNED_MAX);
    t->release = revoke_release;
    if (authority_trust(h->authority) == NULL) {
        hub_task_refuse(t, ALB_REFUSED,
                        "a revocation list is judged by the trust file, and there "
                        "is none yet: run 'albedo trust init' first");
        hub_task_end(t);
        return;
    }
    t->run = revoke_run;
    t->after = revoke_after;
    hub_task_start(t, JOB_ORDERED, 64 << 10);
}
