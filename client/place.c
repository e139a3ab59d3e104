/* SPDX-License-Identifier: Apache-2.0 */
/* client/place.c – config/url.h's addresses as places of an upstream. */
#include "client/place.h"

#include "config/url.h"

_Static_assert((int)URL_HOST_SIZE == (int)UPSTREAM_HOST_SIZE &&
                   (int)URL_TEXT_SIZE <= (int)PLACE_TEXT_SIZE,
               "a host fits both");

struct alb_status place_parse(const char *url, struct upstream_place *out)
{
    struct url parsed;

    struct alb_status st = url_parse(url, &parsed);
    if (alb_failed(st))
        return st;
    memcpy(out->host, parsed.host, sizeof out->host);
    out->port = parsed.port;
    return ALB_STATUS_OK;
}

const char *place_format(const struct upstream_place *p, char *out)
{
    struct url url = {.port = p->port};

    memcpy(url.host, p->host, sizeof url.host);
    return url_format(&url, out);
}
