/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/roster_say.c – the roster's two mouths: what children tell it, what is told one of them.
 */
#include <stdio.h>

#include "base/log.h"
#include "base/units.h"
#include "transfer/roster.h"
#include "transfer/serve.h"

bool roster_speaks_for(const struct roster *r, const struct identity *who, const char *device)
{
    const struct roster_entry *e = roster_find(r, device);

    return strcmp(who->device, device) == 0 ||
           (who->role == ROLE_REFLECTOR && e != NULL && strcmp(e->via, who->device) == 0);
}

/* ---- POST /v1/announce ---- */

static bool asks(const struct serve_request *rq, const char *name)
{
    char value[8];

    return serve_query(rq, name, value, sizeof value) && strcmp(value, "1") == 0;
}

/* ?count=N and nothing else: do we know of as many? */
static void answer_count(const struct roster *r, struct serve_request *rq, const char *text)
{
    const char *via = rq->session->who.device;
    uint64_t count = 0;
    struct alb_status st = parse_u64(text, UINT32_MAX, &count);

    if (alb_failed(st))
        serve_refuse_status(rq, st);
    else if (count != roster_count_via(r, via))
        serve_refuse(rq, ALB_CONFLICT, "another number of devices is known here: announce all");
    else
        serve_answer(rq, "application/json", "", 0);
}

static void handle(void *roster, struct serve_request *rq)
{
    struct roster *r = roster;
    const struct identity *who = &rq->session->who;
    enum roster_scope scope = ROSTER_SOME;
    char count[16];
    size_t size = 0;
    const uint8_t *body = serve_body(rq, &size);

    if (!serve_may_announce(rq)) {
        serve_refuse(rq, ALB_TIMEOUT,
                     "this device announces all the time; once a second is enough");
        return;
    }
    if (who->role != ROLE_REFLECTOR && size > ANNOUNCE_ONE_MAX) {
        serve_refuse(rq, ALB_INVALID, "an endpoint's announcement has at most 24 KiB");
        return;
    }
    if (serve_query(rq, "count", count, sizeof count)) {
        answer_count(r, rq, count);
        return;
    }
    if (asks(rq, "all"))
        scope = asks(rq, "more") ? ROSTER_ALL_BEGIN : ROSTER_ALL;
    struct alb_status st = roster_take(r, who->device, who->role, scope, body, size);
    if (st.code == ALB_REFUSED || st.code == ALB_INVALID)
        log_status(LOG_WARN, "roster.refused", st, "device=%s", who->device);
    if (alb_failed(st))
        serve_refuse_status(rq, st);
    else
        serve_answer(rq, "application/json", "", 0);
}

static void left(void *roster, const char *device)
{
    roster_lost(roster, device);
}

void roster_serve(struct roster *r, struct serve *s)
{
    serve_set(s, ROUTE_ANNOUNCE, handle, r);
    serve_when_left(s, left, r);
}

/* ---- "for DEVICE REST" ---- */

struct alb_status roster_say(const struct roster *r, struct feed *f, const char *device,
                             const char *rest)
{
    const struct roster_entry *e = roster_find(r, device);
    char line[FEED_LINE_MAX];

    if (e == NULL)
        return alb_fail(ALB_NOT_FOUND, "that device is not here now");
    if (strlen(rest) > ROSTER_REST_MAX ||
        snprintf(line, sizeof line, "for %s %s", device, rest) >= (int)sizeof line)
        return alb_fail(ALB_INVALID, "too long to be said as an event");
    if (feed_say_to(f, e->via, line) == 0)
        return alb_fail(ALB_CLOSED, "the device's way down does not listen now");
    return ALB_STATUS_OK;
}

enum roster_line roster_hear(const struct roster *r, struct feed *f, const char *self,
                             const char *line, const char **rest)
{
    char device[64];

    if (strncmp(line, "for ", 4) != 0)
        return ROSTER_OTHER_LINE;
    const size_t size = strcspn(line + 4, " ");
    if (size >= sizeof device || line[4 + size] != ' ')
        return ROSTER_PASSED; /* of a newer parent: nothing that could be said on */
    memcpy(device, line + 4, size);
    device[size] = '\0';
    if (strcmp(device, self) == 0) {
        *rest = line + 4 + size + 1;
        return ROSTER_FOR_ME;
    }
    struct alb_status st = r == NULL ? alb_fail(ALB_NOT_FOUND, "nobody is behind here")
                                     : roster_say(r, f, device, line + 4 + size + 1);
    if (alb_failed(st))
        log_status(LOG_DEBUG, "roster.not_said", st, "device=%s", device);
    return ROSTER_PASSED;
}
