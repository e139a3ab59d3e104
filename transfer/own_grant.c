/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/own_grant.c – judged the same whether it comes from the parent or from the disk. */
#include "transfer/own_grant.h"

#include "base/fault.h"
#include "base/log.h"

static const char name[] = "grant/self";

static struct alb_status judge(struct own_grant *g, const uint8_t *bytes, size_t size,
                               int64_t *renew_wall_s)
{
    const struct trust *trust = authority_trust(g->authority);
    struct grant grant;

    if (trust == NULL)
        return alb_fail(ALB_INVALID, "a grant cannot be judged before there is a trust file");
    struct alb_status st = grant_decode(bytes, size, trust, &grant);
    if (alb_failed(st))
        return st;
    if (strcmp(grant.device, g->device) != 0 ||
        strcmp(grant.org, g->org != NULL ? g->org : trust->org) != 0)
        return alb_fail(ALB_REFUSED, "the grant is another device's");
    if (grant.expires_wall_s < authority_now_s(g->authority, loop_wall_s(g->loop)))
        return alb_fail(ALB_REFUSED, "the grant has expired");
    *renew_wall_s = grant.issued_wall_s + (grant.expires_wall_s - grant.issued_wall_s) / 2;
    return ALB_STATUS_OK;
}

void own_grant_init(struct own_grant *g)
{
    buf_init(&g->bytes, SIGNED_MAX);
    g->renew_wall_s = 0;
    if (g->catalogue == NULL)
        return;
    struct alb_status st = catalogue_get(g->catalogue, name, &g->bytes, NULL);
    if (!alb_failed(st))
        st = judge(g, buf_peek(&g->bytes), buf_size(&g->bytes), &g->renew_wall_s);
    if (alb_failed(st)) {
        if (st.code != ALB_NOT_FOUND)
            log_status(LOG_INFO, "grant.not_usable", st, "next=\"a new one is asked for\"");
        buf_clear(&g->bytes);
    }
}

void own_grant_release(struct own_grant *g)
{
    buf_release(&g->bytes);
}

struct alb_status own_grant_judge(void *own_grant, const uint8_t *bytes, size_t size,
                                  int64_t *renew_wall_s)
{
    struct own_grant *g = own_grant;
    struct alb_status st = judge(g, bytes, size, renew_wall_s);

    if (alb_failed(st))
        return st;
    buf_clear(&g->bytes);
    st = buf_append(&g->bytes, bytes, size);
    if (alb_failed(st))
        return st;
    g->renew_wall_s = *renew_wall_s;
    if (g->catalogue != NULL)
        st = catalogue_swap(g->catalogue, name, CATALOGUE_ANY, bytes, size, NULL);
    if (!alb_failed(st))
        KILL_POINT("grant.kept");
    if (alb_failed(st)) /* good for as long as this program runs */
        log_status(LOG_WARN, "grant.not_kept", st, "next=\"asked for again after a restart\"");
    return ALB_STATUS_OK;
}
