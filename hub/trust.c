/* SPDX-License-Identifier: Apache-2.0 */
/* hub/trust.c – taking the next trust file.
 *
 * The authority is given no catalogue: it is the loop's, and at a hub what it believes is written
 * by jobs first ("trust/N", "revoked") and told to it afterwards.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/hub_impl.h"
#include "hub/rotate.h"
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
    if (!sign_public_equal(&trust->hub_key, &h->online_public) &&
        (h->options.is_next_key == NULL ||
         !h->options.is_next_key(h->options.key_arg, &trust->hub_key)))
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
    if (st.code == ALB_NOT_FOUND) {
        st = judge_ours(h, authority_trust(h->authority));
        if (alb_failed(st))
            st.what = "the trust file names another hub key or organisation than online.key and "
                      "hub.conf in the data directory: one of them is damaged or not this hub's; "
                      "restore it from a backup";
    }
    if (!alb_failed(st))
        st = rotate_sign_anew(&h->ledger, h->authority, loop_wall_s(h->options.loop));
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
    const struct trust *trust = authority_trust(t->hub->authority);
    const struct hub_options options = t->hub->options;
    const bool is_another =
        !alb_failed(t->st) && !sign_public_equal(&trust->hub_key, &t->hub->online_public);
    hub_task_end(t);
    if (is_another && options.key_named != NULL)
        options.key_named(options.key_arg);
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
