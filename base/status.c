/* SPDX-License-Identifier: Apache-2.0 */
/* base/status.c – words for status codes, and the end of a program that found its own bug. */
#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct alb_status alb_status_from_errno(int sys, const char *what)
{
    enum alb_code code = ALB_IO;

    switch (sys) {
    case ENOENT: code = ALB_NOT_FOUND; break;
    case ENOSPC:
    case EDQUOT: code = ALB_FULL; break;
    case ETIMEDOUT: code = ALB_TIMEOUT; break;
    case EPIPE:
    case ECONNRESET: code = ALB_CLOSED; break;
    default: break;
    }
    return (struct alb_status){code, sys, what};
}

const char *alb_code_name(enum alb_code code)
{
    switch (code) {
    case ALB_OK: return "ok";
    case ALB_NOT_FOUND: return "not found";
    case ALB_FULL: return "full";
    case ALB_CORRUPT: return "corrupt";
    case ALB_REFUSED: return "refused";
    case ALB_TIMEOUT: return "timeout";
    case ALB_CLOSED: return "closed";
    case ALB_IO: return "io error";
    case ALB_INVALID: return "invalid";
    case ALB_CONFLICT: return "conflict";
    case ALB_UNKNOWN: return "unknown";
    case ALB_BUG: return "bug";
    }
    alb_unreachable();
}

const char *alb_status_text(struct alb_status st, char *out, unsigned long size)
{
    char scratch[128];
    /* A status that somebody zeroed is an OK without words. */
    const char *what = st.what != NULL && st.what[0] != '\0' ? st.what : alb_code_name(st.code);
    int n;

    if (size == 0)
        return out;
    if (st.sys == 0)
        n = snprintf(out, size, "%s", what);
    else
        n = snprintf(out, size, "%s: %s", what, strerror_r(st.sys, scratch, sizeof scratch));
    if (n < 0)
        out[0] = '\0';
    return out;
}

void alb_abort(const char *file, int line, const char *text)
{
    (void)fprintf(stderr, "%s:%d: internal error: %s\n", file, line, text);
    abort();
}
