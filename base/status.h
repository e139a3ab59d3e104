/* SPDX-License-Identifier: Apache-2.0 */
/* base/status.h – how a function says that it failed, and who can do something about it.
 *
 * Two kinds of failure are never mixed.  The world (a disk, a network, a hostile byte) fails with
 * an `alb_status`; our own bug, or no memory for a small thing, ends the program in alb_assert() or
 * xalloc() and the service manager starts it again.
 *
 * A status owns nothing and can be copied, stored or dropped at no cost.  The callee says what it
 * was doing (`what`, a literal); the level that knows the context (which chunk, which file, which
 * session) logs once.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>

#define ALB_MUST_USE __attribute__((warn_unused_result))
#define ALB_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

enum alb_code {
    ALB_OK = 0,
    ALB_NOT_FOUND, /* the thing asked for does not exist; often no fault     */
    ALB_FULL,      /* a configured limit or the disk is full; try later      */
    ALB_CORRUPT,   /* bytes fail a digest, signature, length or format check */
    ALB_REFUSED,   /* the other side or a policy said no                     */
    ALB_TIMEOUT,   /* a deadline passed                                      */
    ALB_CLOSED,    /* the other side went away                               */
    ALB_IO,        /* the system or a library failed; see .sys               */
    ALB_INVALID,   /* what a person typed or configured makes no sense       */
    ALB_CONFLICT,  /* somebody else changed it first; read again             */
    ALB_UNKNOWN,   /* sent, but whether it took effect cannot be said        */
    ALB_BUG,       /* an invariant of ours does not hold                     */
};

struct alb_status {
    enum alb_code code; /* what the caller may branch on               */
    int sys;            /* errno at the point of failure, or 0         */
    const char *what;   /* string literal: what we were trying to do   */
};

#define ALB_STATUS_OK ((struct alb_status){ALB_OK, 0, ""})
#define alb_fail(code, what) ((struct alb_status){(code), 0, "" what ""})
#define alb_fail_sys(what) alb_status_from_errno(errno, "" what "")

/* The status of a failed system call: ENOENT → NOT_FOUND, ENOSPC/EDQUOT → FULL, ETIMEDOUT →
 * TIMEOUT, EPIPE/ECONNRESET → CLOSED, everything else → IO.  `what` must be a literal. */
struct alb_status alb_status_from_errno(int sys, const char *what);

static inline bool alb_failed(struct alb_status st)
{
    return st.code != ALB_OK;
}

/* "not found", "full", …: the stable word for a code, used in logs and JSON. */
const char *alb_code_name(enum alb_code code);

/* Write "reading the segment: No space left on device" (or without the system's part) to `out`,
 * always terminated, cut to `size`.  Returns `out`. */
const char *alb_status_text(struct alb_status st, char *out, unsigned long size);

/* Ignore a status on purpose; `why` must be a literal that tells the reader. */
#define alb_ignore(st, why)                                                                        \
    do {                                                                                           \
        struct alb_status alb_ignored_ = (st);                                                     \
        (void)alb_ignored_;                                                                        \
        (void)("" why "");                                                                         \
    } while (0)

_Noreturn void alb_abort(const char *file, int line, const char *text);
#define alb_assert(cond) ((cond) ? (void)0 : alb_abort(__FILE__, __LINE__, #cond))
#define alb_unreachable() alb_abort(__FILE__, __LINE__, "unreachable")
