/* SPDX-License-Identifier: Apache-2.0 */
/* config/url.h – the addresses people type: https://HOST:PORT to go to, ADDR:PORT to listen on.
 *
 * An IPv6 address stands in [ ].  A URL has no path (one '/' at its end is forgiven), an address to
 * listen on is numeric.  Neither guesses a port: a wrong guess is an outage somebody has to find.
 */
#pragma once

#include <stdint.h>

#include "base/status.h"

enum { URL_HOST_SIZE = 256, URL_TEXT_SIZE = URL_HOST_SIZE + 24 };

struct url {
    char host[URL_HOST_SIZE]; /* without [ ] */
    uint16_t port;
};

/* INVALID with what is wrong: another scheme, no host, no port, a path behind it … */
ALB_MUST_USE struct alb_status url_parse(const char *text, struct url *out);
/* "https://HOST:PORT"; returns `out`. */
const char *url_format(const struct url *u, char *out /* URL_TEXT_SIZE */);

/* "0.0.0.0:7443", "[::]:7443"; port 0 lets the kernel choose. */
ALB_MUST_USE struct alb_status listen_parse(const char *text, struct url *out);
const char *listen_format(const struct url *u, char *out /* URL_TEXT_SIZE */);
