/* SPDX-License-Identifier: Apache-2.0 */
/* hub/revoke.c – ceasing to believe a device: every certificate it has that is not past its time.
 *
 *     "revoked-until"   a line for each serial on the list, "SERIAL EXPIRES": written first
 *     "revoked"         the list, signed: what others judge by
 *     "device/NAME"     marked, so that it gets no grant and no further certificate
 *
 * A serial leaves the list with the first revocation after its certificate has expired, and its
 * line with the one after that; a serial without a line never leaves.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/log.h"
#include "hub/hub_impl.h"
#include "hub/nearby.h"
#include "hub/tokens.h"
#include "wire/json.h"
#include "wire/signed.h"

enum { SLACK_S = 86400 /* a clock somewhere may be that much behind */ };
static const char terms_name[] = "revoked-until";

struct revoke_task {
    struct hub_task task; /* first */
    struct buf list;      /* the new revocation list, signed */
    char device[ID_SIZE];
};

struct terms {
    struct older_certificate *at; /* owned */
    size_t count;
};

/* ---- the list -------------------------------------------------------------------------------- */

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

static void drop_serial(struct revocations *r, const char *serial)
{
    size_t at = 0;

    while (at < r->count && strcmp(r->serials[at], serial) != 0)
        at++;
    if (at == r->count)
        return;
    memmove(r->serials + at, r->serials + at + 1, (r->count - at - 1) * sizeof *r->serials);
    r->count--;
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

/* ---- how long each of them would have been good ---------------------------------------------- */

static void add_term(struct terms *t, const char *serial, int64_t expires_wall_s)
{
    struct older_certificate one = {.expires_wall_s = expires_wall_s};

    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->at[i].serial, serial) == 0)
            return;
    snprintf(one.serial, sizeof one.serial, "%s", serial);
    t->at = xrealloc(t->at, (t->count + 1) * sizeof *t->at);
    t->at[t->count++] = one;
}

static struct alb_status read_terms(struct catalogue *c, struct terms *out)
{
    struct buf text;
    char serial[SERIAL_HEX_SIZE];
    int64_t expires = 0;
    int used = 0;

    buf_init(&text, CATALOGUE_VALUE_MAX + 1);
    struct alb_status st = catalogue_get(c, terms_name, &text, NULL);
    if (!alb_failed(st)) {
        const char *at = buf_text(&text);
        /* NOLINTNEXTLINE(cert-err34-c): the lines are write_terms()'s, and its numbers fit */
        for (; sscanf(at, "%40s %" SCNd64 "%n", serial, &expires, &used) == 2; at += used)
            add_term(out, serial, expires);
    }
    buf_release(&text);
    return st.code == ALB_NOT_FOUND ? ALB_STATUS_OK : st;
}

static bool is_over(const struct older_certificate *t, int64_t now_wall_s)
{
    return t->expires_wall_s > 0 && t->expires_wall_s < now_wall_s - SLACK_S; /* 0: unknown */
}

/* Without the lines of what is off the list and past its time. */
static struct alb_status write_terms(struct catalogue *c, const struct terms *t,
                                     const struct revocations *list, int64_t now_wall_s)
{
    struct buf text;
    struct alb_status st = ALB_STATUS_OK;

    buf_init(&text, CATALOGUE_VALUE_MAX);
    for (size_t i = 0; i < t->count && !alb_failed(st); i++)
        if (!is_over(&t->at[i], now_wall_s) || revocations_has(list, t->at[i].serial))
            st = buf_printf(&text, "%s %" PRId64 "\n", t->at[i].serial, t->at[i].expires_wall_s);
    if (!alb_failed(st))
        st = ledger_write(c, terms_name, CATALOGUE_ANY, buf_peek(&text), buf_size(&text));
    buf_release(&text);
    return st;
}

static void add_device(const struct device_record *d, struct terms *t)
{
    add_term(t, d->serial, d->expires_wall_s);
    for (size_t i = 0; i < d->older_count; i++)
        add_term(t, d->older[i].serial, d->older[i].expires_wall_s);
}

/* Everything known goes on, what is past its time comes off. */
static void renew_list(struct revocations *list, const struct terms *t, int64_t now_wall_s)
{
    for (size_t i = 0; i < t->count; i++)
        if (is_over(&t->at[i], now_wall_s))
            drop_serial(list, t->at[i].serial);
        else
            add_serial(list, t->at[i].serial);
    list->number++;
    list->issued_wall_s = now_wall_s;
}

/* ---- POST /v1/revoke {"device": X} ----------------------------------------------------------- */

static struct alb_status write_list(const struct ledger *l, const struct device_record *d,
                                    int64_t now_wall_s, struct buf *out)
{
    struct revocations list = {.number = 0};
    struct terms terms = {.count = 0};
    uint64_t swap_version;
    struct alb_status st = read_list(l, &list, &swap_version);

    if (!alb_failed(st))
        st = read_terms(l->catalogue, &terms);
    if (!alb_failed(st)) {
        add_device(d, &terms);
        st = write_terms(l->catalogue, &terms, &list, now_wall_s);
    }
    if (!alb_failed(st)) {
        snprintf(list.org, sizeof list.org, "%s", l->self.org);
        renew_list(&list, &terms, now_wall_s);
        st = revocations_encode(&list, &l->key, out);
    }
    if (!alb_failed(st))
        st = ledger_write(l->catalogue, "revoked", swap_version, buf_peek(out), buf_size(out));
    free(terms.at);
    revocations_release(&list);
    return st;
}

/* Whoever has the machine may have the token, and could join under another name. */
static struct alb_status withdraw_its_token(struct catalogue *c, const struct device_record *d)
{
    char why[WITHDRAWN_SIZE];

    if (d->token[0] == '\0')
        return ALB_STATUS_OK;
    snprintf(why, sizeof why, "%.100s, which joined with it, was revoked", d->device);
    struct alb_status st = token_withdraw(c, d->token, why);
    return st.code == ALB_NOT_FOUND ? ALB_STATUS_OK : st;
}

/* The list first: a device that is only marked would still be believed. */
static struct alb_status revoke(const struct hub *h, const char *device, int64_t now_wall_s,
                                struct device_record *d, struct buf *list)
{
    uint64_t swap_version;
    struct alb_status st = id_check(device);

    if (!alb_failed(st))
        st = device_read(h->options.catalogue, device, d, &swap_version);
    if (!alb_failed(st))
        st = write_list(&h->ledger, d, now_wall_s, list);
    if (alb_failed(st))
        return st;
    KILL_POINT("hub.list_revoked");
    d->is_revoked = true;
    st = device_write(h->options.catalogue, d, swap_version);
    return alb_failed(st) ? st : withdraw_its_token(h->options.catalogue, d);
}

static struct alb_status put_in_force(struct hub *h, const struct buf *list, const char *device)
{
    struct alb_status st = authority_add_revocations(h->authority, buf_peek(list), buf_size(list));

    if (alb_failed(st))
        return st;
    h->revoked++;
    hub_nearby_left(h, device);
    feed_say_revoked(h->feed, h->authority);
    serve_recheck(h->serve);
    return st;
}

static void revoke_run(struct hub_task *t)
{
    struct revoke_task *p = (struct revoke_task *)t;
    struct named_request ask;
    struct device_record d = {.is_revoked = false};

    t->st = named_request_decode(buf_peek(&t->body), buf_size(&t->body), &ask);
    if (alb_failed(t->st))
        return;
    t->st = revoke(t->hub, ask.device, t->now_wall_s, &d, &p->list);
    snprintf(p->device, sizeof p->device, "%.63s", ask.device);
    if (t->st.code == ALB_NOT_FOUND)
        hub_task_refuse(t, ALB_NOT_FOUND, "no device %s is enrolled; 'albedo devices' lists them",
                        ask.device);
    if (buf_size(&p->list) > 0)
        hub_audit(&t->who, "revoke", "device=%s serial=%s older=%zu", d.device, d.serial,
                  d.older_count);
}

static void revoke_after(struct hub_task *t)
{
    const struct revoke_task *p = (struct revoke_task *)t;
    const struct buf *list = &p->list;
    struct alb_status st =
        buf_size(list) == 0 ? ALB_STATUS_OK : put_in_force(t->hub, list, p->device);

    if (alb_failed(st))
        t->st = st;
    hub_task_end(t);
}

struct alb_status hub_revoke_local(struct hub *h, const char *device)
{
    struct device_record d;
    struct buf list;

    buf_init(&list, SIGNED_MAX);
    struct alb_status st = revoke(h, device, loop_wall_s(h->options.loop), &d, &list);
    if (!alb_failed(st))
        st = put_in_force(h, &list, device);
    buf_release(&list);
    return st;
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
