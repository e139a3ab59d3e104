/* SPDX-License-Identifier: Apache-2.0 */
/* config/url.c – https://HOST:PORT and ADDR:PORT, and nothing looser. */
#include "config/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

static const char SCHEME[] = "https://";
static const char V6_CHARACTERS[] = "0123456789abcdefABCDEF:.";
static const char NAME_CHARACTERS[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                      "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-_";

static bool is_v6(const char *host)
{
    return strchr(host, ':') != NULL;
}

/* HOST or [V6]; *text is left behind it. */
static struct alb_status take_host(const char **text, char *out)
{
    const char *from = *text;
    const bool bracketed = *from == '[';
    const size_t size = bracketed ? strcspn(++from, "]") : strcspn(from, ":/");

    if (bracketed && from[size] != ']')
        return alb_fail(ALB_INVALID, "an IPv6 address ends with ']', as in [fd00::1]:7443");
    if (size == 0)
        return alb_fail(ALB_INVALID, "there is no host before the port");
    if (size >= URL_HOST_SIZE)
        return alb_fail(ALB_INVALID, "the host is longer than a host name can be");
    if (strspn(from, bracketed ? V6_CHARACTERS : NAME_CHARACTERS) < size)
        return alb_fail(ALB_INVALID, "the host holds a character that no host name has");
    memcpy(out, from, size);
    out[size] = '\0';
    if (bracketed && inet_pton(AF_INET6, out, &(struct in6_addr){0}) != 1)
        return alb_fail(ALB_INVALID, "what stands in [ ] is no IPv6 address");
    *text = from + size + (bracketed ? 1 : 0);
    return ALB_STATUS_OK;
}

static struct alb_status take_port(const char *text, uint16_t *out)
{
    uint64_t port = 0;

    if (alb_failed(parse_u64(text, UINT16_MAX, &port)))
        return alb_fail(ALB_INVALID, "the port is no number up to 65535");
    *out = (uint16_t)port;
    return ALB_STATUS_OK;
}

struct alb_status url_parse(const char *text, struct url *out)
{
    const char *at = text + sizeof SCHEME - 1;
    char digits[8] = "";
    struct url url;

    if (strncmp(text, SCHEME, sizeof SCHEME - 1) != 0)
        return alb_fail(ALB_INVALID, "it must begin with https:// (use https://HOST:PORT)");
    struct alb_status st = take_host(&at, url.host);
    if (alb_failed(st))
        return st;
    if (*at != ':')
        return alb_fail(ALB_INVALID, "there is no port (use https://HOST:PORT)");
    const size_t size = strcspn(++at, "/");
    if (strcmp(at + size, "") != 0 && strcmp(at + size, "/") != 0)
        return alb_fail(ALB_INVALID, "nothing may follow the port (use https://HOST:PORT)");
    if (size < sizeof digits)
        memcpy(digits, at, size);
    st = take_port(digits, &url.port);
    if (!alb_failed(st) && url.port == 0)
        st = alb_fail(ALB_INVALID, "the port is no number from 1 to 65535");
    if (!alb_failed(st))
        *out = url;
    return st;
}

const char *url_format(const struct url *u, char *out)
{
    char place[URL_TEXT_SIZE];

    (void)snprintf(out, URL_TEXT_SIZE, "%s%.*s", SCHEME, (int)(URL_TEXT_SIZE - sizeof SCHEME),
                   listen_format(u, place));
    return out;
}

static bool is_address(const char *host)
{
    return inet_pton(AF_INET, host, &(struct in_addr){0}) == 1 ||
           inet_pton(AF_INET6, host, &(struct in6_addr){0}) == 1;
}

struct alb_status listen_parse(const char *text, struct url *out)
{
    const char *at = text;
    struct url url;

    if (text[0] != '[' && strchr(text, ':') != strrchr(text, ':'))
        return alb_fail(ALB_INVALID, "an IPv6 address stands in [ ], as in [::]:7443");
    struct alb_status st = take_host(&at, url.host);
    if (alb_failed(st))
        return st;
    if (*at != ':')
        return alb_fail(ALB_INVALID, "there is no port (use ADDR:PORT, as in 0.0.0.0:7443)");
    if (!is_address(url.host))
        return alb_fail(ALB_INVALID,
                        "the host is no IPv4 or IPv6 address (use ADDR:PORT, as in 0.0.0.0:7443)");
    st = take_port(at + 1, &url.port);
    if (!alb_failed(st))
        *out = url;
    return st;
}

const char *listen_format(const struct url *u, char *out)
{
    const bool v6 = is_v6(u->host);

    (void)snprintf(out, URL_TEXT_SIZE, "%s%s%s:%u", v6 ? "[" : "", u->host, v6 ? "]" : "",
                   (unsigned)u->port);
    return out;
}
