/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/reflector_impl.h – what the reflector's own files share. */
#pragma once

#include "reflector/reflector.h"
#include "transfer/feed.h"
#include "wire/signed.h"

struct reflector {
    struct reflector_options options;
    uint64_t started_ns;
    struct gate wan_gate, lan_gate;
    struct authority *authority;
    struct upstream *upstream;
    struct keeper *keeper;
    struct supply *supply;
    struct record_book *records;
    struct root_book *roots;
    struct serve *serve;
    struct feed *feed;
    struct listener *listener;
    struct buf grant; /* own, as kept */
    int64_t grant_renew_wall_s;
    struct timer stop_timer;
    loop_fn stopped;
    void *stopped_arg;
};

void reflector_stopped(void *reflector);

/* grant.c: the box's own read grant, and those it passes down */
void reflector_load_grant(struct reflector *r);
ALB_MUST_USE struct alb_status reflector_judge_grant(struct reflector *r, const uint8_t *bytes,
                                                     size_t size, int64_t *renew_wall_s);
void reflector_handle_grant(void *reflector, struct serve_request *rq);

/* report.c: what it tells people */
void reflector_handle_layers(void *reflector, struct serve_request *rq);
void reflector_handle_status(void *reflector, struct serve_request *rq);
