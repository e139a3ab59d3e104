/* SPDX-License-Identifier: Apache-2.0 */
/* hub/tokens.h – an enrolment token, made: the text to hand over, its hash to keep. */
#pragma once

#include "store/catalogue.h"
#include "wire/json.h"
#include "wire/token.h"

struct token_scope {
    const char *ca_certificate_pem;
    const struct digest *trust_pin; /* NULL: there is no trust file 1 yet */
    int64_t now_wall_s;
};

/* Blocking.  `ask` has been judged. */
ALB_MUST_USE struct alb_status token_create(struct catalogue *c, const struct token_scope *scope,
                                            const struct token_request *ask,
                                            char out[TOKEN_TEXT_SIZE]);

/* An ID as tokens have it?  INVALID. */
ALB_MUST_USE struct alb_status token_id_check(const char *id);
/* Nobody joins with it any more; `why` is what they are told.  NOT_FOUND; of one that was withdrawn
 * before, the first reason stays.  Blocking. */
ALB_MUST_USE struct alb_status token_withdraw(struct catalogue *c, const char *id, const char *why);

/* Rows of the tree port: token_list.c */
struct serve_request;
void hub_handle_tokens(void *hub, struct serve_request *rq);
void hub_handle_token_revoke(void *hub, struct serve_request *rq);
