/* SPDX-License-Identifier: Apache-2.0 */
/* client/place.c – https://HOST:PORT and https://[V6]:PORT, and nothing looser. */
#include "client/place.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/units.h"

static const char SCHEME[] = "https://";

static struct alb_status take_host(const char **text, char *out)
{
    const char *from = *text;
    bool is_v6 = *from == '[';
    size_t size = is_v6 ? strcspn(++from, "]") : strcspn(from, ":/");

    if (is_v6 && from[size] != ']')
        return alb_fail(ALB_INVALID, "an IPv6 address ends with ']', as in https://[fd00::1]:7443");
    if (size == 0)
        return alb_fail(ALB_INVALID, "it has no host; https://HOST:PORT is expected");
    if (size >= UPSTREAM_HOST_SIZE)
        return alb_fail(ALB_INVALID, "its host is longer than a host name can be");
    const char *allowed = is_v6 ? "0123456789abcdefABCDEF:.%"
                                : "0123456789abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-_";
    if (strspn(from, allowed) < size)
        return alb_fail(ALB_INVALID, "its host holds a character that no host name has");
    memcpy(out, from, size);
    out[size] = '\0';
    *text = from + size + (is_v6 ? 1 : 0);
    return ALB_STATUS_OK;
}

static struct alb_status take_port(const char *text, uint16_t *out)
{
    uint64_t port = 0;
    size_t size = strlen(text);

    if (*text != ':')
        return alb_fail(ALB_INVALID, "it has no port; https://HOST:PORT is expected");
    text++;
    size = strcspn(text, "/");
    if (text[size] == '/' && text[size + 1] != '\0')
        return alb_fail(ALB_INVALID, "nothing may follow the port; https://HOST:PORT is expected");
    AUTO_FREE char *digits = xstrndup(text, size);
    if (alb_failed(parse_u64(digits, UINT16_MAX, &port)) || port == 0)
        return alb_fail(ALB_INVALID, "its port is no number from 1 to 65535");
    *out = (uint16_t)port;
    return ALB_STATUS_OK;
}

struct alb_status place_parse(const char *url, struct upstream_place *out)
{
    struct upstream_place place = {.port = 0};
    const char *rest = url + sizeof SCHEME - 1;

    if (strncmp(url, SCHEME, sizeof SCHEME - 1) != 0)
        return alb_fail(ALB_INVALID, "it must begin with https://, as in https://HOST:PORT");
    struct alb_status st = take_host(&rest, place.host);
    if (!alb_failed(st))
        st = take_port(rest, &place.port);
    if (!alb_failed(st))
        *out = place;
    return st;
}

const char *place_format(const struct upstream_place *p, char *out)
{
    bool is_v6 = strchr(p->host, ':') != NULL;

    snprintf(out, PLACE_TEXT_SIZE, "%s%s%s%s:%u", SCHEME, is_v6 ? "[" : "", p->host,
             is_v6 ? "]" : "", (unsigned)p->port);
    return out;
}
