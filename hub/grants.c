/* SPDX-License-Identifier: Apache-2.0 */
/* hub/grants.c – read grants: what a device may read, signed for a cut-off reflector to check.
 *
 * One asks for oneself, or a reflector for a device that speaks to it.  A grant is of use only to
 * whoever holds that device's certificate, so a reflector learns the prefixes and nothing else.  It
 * may ask for devices of other sites, since reflectors stand behind reflectors and the hub does not
 * know which: that is written into the audit file.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "hub/device.h"
#include "hub/hub_impl.h"
#include "hub/nearby.h"
#include "wire/json.h"
#include "wire/signed.h"

static const char not_enrolled[] = "no such device is enrolled here, or it was revoked";

/* POST /v1/grant: nothing, or {"device": X} */
static struct alb_status whose(struct hub_task *t, char out[JSON_NAME])
{
    struct named_request ask = {.device = ""};
    struct alb_status st = ALB_STATUS_OK;

    if (buf_size(&t->body) > 0)
        st = named_request_decode(buf_peek(&t->body), buf_size(&t->body), &ask);
    if (alb_failed(st))
        return st;
    if (ask.device[0] == '\0' || strcmp(ask.device, t->who.device) == 0)
        snprintf(ask.device, sizeof ask.device, "%s", t->who.device);
    else if (t->who.role != ROLE_REFLECTOR)
        return alb_fail(ALB_REFUSED, "only a reflector may ask for another device's grant");
    st = id_check(ask.device);
    if (!alb_failed(st))
        memcpy(out, ask.device, JSON_NAME);
    return st;
}

static struct alb_status fill(struct hub_task *t, const struct device_record *d, struct grant *g)
{
    snprintf(g->org, sizeof g->org, "%s", t->hub->ledger.self.org);
    snprintf(g->device, sizeof g->device, "%s", d->device);
    snprintf(g->site, sizeof g->site, "%s", d->site);
    g->issued_wall_s = t->now_wall_s;
    g->expires_wall_s = t->now_wall_s + GRANT_LIFETIME_S;
    return layers_split(d->layers, GRANT_PREFIXES_MAX, g->prefixes, &g->prefix_count);
}

/* Harmless, but who looks for a stolen box will want to know. */
static void note_other_site(struct hub_task *t, const struct device_record *d)
{
    struct device_record asker = {.is_revoked = false};

    if (strcmp(d->device, t->who.device) == 0)
        return;
    struct alb_status st = device_read(t->hub->options.catalogue, t->who.device, &asker, NULL);
    if (alb_failed(st) || strcmp(asker.site, d->site) != 0)
        hub_audit(&t->who, "grant.other_site", "device=%s site=%s asker_site=%s", d->device,
                  d->site[0] != '\0' ? d->site : "-", asker.site[0] != '\0' ? asker.site : "-");
}

static void grant_run(struct hub_task *t)
{
    AUTO_FREE struct grant *grant = xalloc(sizeof *grant);
    struct device_record d = {.is_revoked = false};
    char device[JSON_NAME];

    t->st = whose(t, device);
    if (!alb_failed(t->st))
        t->st = device_read(t->hub->options.catalogue, device, &d, NULL);
    if (t->st.code == ALB_NOT_FOUND || (!alb_failed(t->st) && d.is_revoked))
        hub_task_refuse(t, ALB_REFUSED, "%s", not_enrolled);
    if (!alb_failed(t->st))
        t->st = fill(t, &d, grant);
    if (!alb_failed(t->st))
        t->st = grant_encode(grant, &t->hub->ledger.key, &t->answer);
    if (!alb_failed(t->st))
        KILL_POINT("hub.granted");
    if (!alb_failed(t->st))
        note_other_site(t, &d);
}

void hub_handle_grant(void *hub, struct serve_request *rq)
{
    struct hub_task *t = hub_task_new(hub, rq, sizeof *t);

    t->run = grant_run;
    hub_task_start(t, JOB_SHARED, 64 << 10);
}

struct alb_status hub_admit(struct hub *h, const struct identity *who, const char *site,
                            const char *layers)
{
    struct device_record d = {.expires_wall_s = who->expires_wall_s,
                              .issued_wall_s = loop_wall_s(h->options.loop)};

    snprintf(d.device, sizeof d.device, "%s", who->device);
    snprintf(d.role, sizeof d.role, "%s", role_name(who->role));
    snprintf(d.site, sizeof d.site, "%s", site);
    snprintf(d.serial, sizeof d.serial, "%s", who->serial);
    snprintf(d.layers, sizeof d.layers, "%s", layers);
    const struct alb_status st = device_write(h->options.catalogue, &d, CATALOGUE_ANY);
    if (!alb_failed(st))
        hub_nearby_joined(h, d.device, d.role, d.site);
    return st;
}
