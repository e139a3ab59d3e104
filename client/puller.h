/* SPDX-License-Identifier: Apache-2.0 */
/* client/puller.h – one pull's journey, from a layer's name to a sealed sink.
 *
 *     HEAD → RECORD → OPEN the root → PLAN → FETCH ⇄ PUT → SEAL → FINISHED
 *
 * "Latest" goes by the head, which must be signed by the hub's key and unexpired; LAYER@VERSION skips the
 * head and works with whatever is cached.  An older sequence than one seen before is refused unless
 * `allow_rollback`.  At most `max_in_flight` chunks are asked for and not yet put.
 */
#pragma once

#include "client/chunk_sink.h"

struct puller;

struct puller_options {
    struct loop *loop;
    struct authority *authority;
    struct record_book *records;
    struct root_book *roots;
    struct supply *supply;
    struct chunk_sink *sink;
    const char *layer;
    const char *version; /* NULL: the latest */
    bool allow_rollback;
    uint64_t least_sequence; /* of the record seen before; 0: none */
    size_t max_in_flight;    /* 0: 512 */
    /* From the loop, once; the puller may be freed inside. */
    void (*done)(void *arg, struct alb_status st);
    void *arg;
};

enum puller_state {
    PULL_HEAD,
    PULL_RECORD,
    PULL_OPEN,
    PULL_PLAN,
    PULL_FETCH,
    PULL_SEAL,
    PULL_FINISHED,
};

struct puller_progress {
    enum puller_state state;
    size_t needed, put;                       /* chunks                               */
    uint64_t needed_raw_bytes, put_raw_bytes; /* expanded                             */
    uint64_t put_bytes;                       /* as they travelled                    */
    int64_t head_expires_wall_s;              /* of the head that was used; 0: none   */
    bool head_is_stale;                       /* the parent could not be reached      */
};

struct puller *puller_start(const struct puller_options *options);
/* Gives up; done is not called.  Jobs under way go on using the sink: it must outlive the loop's jobs. */
struct puller *puller_free(struct puller *p);
void puller_progress(const struct puller *p, struct puller_progress *out);
/* What is being pulled, once known (PULL_PLAN and later); borrowed, else NULL. */
const struct root_view *puller_view(const struct puller *p);
/* The version record that was asked for (the view's may be an older version's with the same root). */
const struct version_record *puller_record(const struct puller *p);
const char *puller_state_name(enum puller_state state);
