/* SPDX-License-Identifier: Apache-2.0 */
/* client/publish_impl.h – a publication under way; for publish*.c only. */
#pragma once

#include <stdatomic.h>

#include "client/crew.h"
#include "client/hold.h"
#include "client/publish.h"
#include "client/uploader.h"

struct publication {
    struct link *link;
    const struct publish_options *options;
    struct sign_secret key;
    struct publish_past past;
    struct scan scan;
    struct build *build;
    struct build_worker *workers[CREW_MOST];
    struct build_result built;
    bool is_built;
    size_t left_out;
    struct buf record_bytes;
    struct version_record record;
    struct uploader *uploader;
    struct uploader_progress sent; /* of uploaders that are no more */
    _Atomic(const char *) changed; /* a file that is not what it was when it was read first */
    struct progress progress;
    struct hold hold; /* what the policy stops it by */
    struct timer tick;
    uint64_t down_since_ns; /* of the hub; 0: it is in reach */
    bool has_given_up;      /* it was out of reach for too long, or refuses us */
    bool is_over;
    struct alb_status st;
    char message[512];
};

/* Sign the record, send what the hub lacks, commit; again when another publisher was faster. */
enum exit_code publish_send(struct publication *p);
enum exit_code publish_interrupted(struct publication *p);
