/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/renewal.h – one's own certificate, renewed when two thirds of its life are over.
 *
 *  look (hourly) → due? → POST /v1/renew {the key's request} → the same holder, key, and not older?
 *                                                            → renewed(arg, certificate)
 *
 * Nobody waits for it and nobody is told when it fails but the log: there is a third of a life left
 * to try again in.  A device behind a reflector is renewed through it.
 */
#pragma once

#include "transfer/authority.h"

struct renewal;

struct renewal_options {
    struct loop *loop;
    struct upstream *upstream;   /* borrowed */
    struct authority *authority; /* borrowed: what time it is */
    const char *certificate_pem; /* in use now; copied, as is the request */
    const char *csr_pem;         /* for the same key */
    void (*renewed)(void *arg, const char *certificate_pem);
    void *arg;
};
/* INVALID: the certificate is none. */
ALB_MUST_USE struct alb_status renewal_new(const struct renewal_options *options,
                                           struct renewal **out);
struct renewal *renewal_free(struct renewal *r);
/* Until when the certificate that is looked after holds. */
int64_t renewal_holds_until_wall_s(const struct renewal *r);

/* ---- for who asks by other means ---- */

#define RENEWAL_PATH "/v1/renew"
/* The question's body. */
ALB_MUST_USE struct alb_status renewal_ask_write(const char *csr_pem, struct buf *out);
/* The certificate in an answer, heap; CORRUPT when it is no successor of `held_pem`. */
ALB_MUST_USE struct alb_status renewal_answer_read(const char *held_pem, const void *body,
                                                   size_t size, char **out_pem);
