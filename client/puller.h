/* SPDX-License-Identifier: Apache-2.0 */
/* client/puller.h – one pull's journey, from a layer's name to a sealed sink.
 *
 *     HEAD → RECORD → OPEN the root → PREPARE the sink → PLAN → FETCH ⇄ PUT → SEAL → FINISHED
 *
 * "Latest" goes by the head, which must be signed by the hub's key and unexpired; LAYER@VERSION
 * skips the head and works with whatever is cached.  An older sequence than one seen before is
 * refused unless `allow_rollback`.  Without a trust file nothing is believed.
 *
 * Chunks asked for and not yet put are bounded by number and by expanded size.  When something
 * fails, what is under way on workers ends first: after done() nothing touches the sink or the view
 * any more.
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
    bool is_patient; /* an upstream out of reach is asked again, every second; the owner ends it */
    uint64_t least_sequence;      /* of the record seen before; 0: none */
    size_t max_in_flight;         /* 0: 512 chunks */
    uint64_t max_in_flight_bytes; /* 0: 64 MiB, expanded; one chunk is always let through */
    unsigned units_at_once;       /* of a round of preparation; 0: 4 */
    /* From the loop, once; the puller may be freed inside. */
    void (*done)(void *arg, struct alb_status st);
    void *arg;
};

enum puller_state {
    PULL_HEAD,
    PULL_RECORD,
    PULL_OPEN,
    PULL_PREPARE,
    PULL_PLAN,
    PULL_FETCH,
    PULL_SEAL,
    PULL_FINISHED,
};

/* Refusals that their owner can say more about than a status does. */
enum puller_refusal {
    PULL_NOT_REFUSED,
    PULL_NO_TRUST,
    PULL_HEAD_EXPIRED, /* at head_expires_wall_s */
    PULL_ROLLBACK,     /* puller_record() is the one that was refused */
};

struct puller_progress {
    enum puller_state state;
    enum puller_state ended_in; /* where it failed, or PULL_FINISHED                       */
    enum puller_refusal refusal;
    unsigned round; /* of preparation, from 0 */
    size_t units, units_done;
    size_t needed, put;                       /* chunks                               */
    uint64_t needed_raw_bytes, put_raw_bytes; /* expanded                             */
    uint64_t put_bytes;                       /* as they travelled                    */
    int64_t head_expires_wall_s;              /* of the head that was used; 0: none   */
    struct digest head_record;                /* … which selects that version record  */
    bool waits_for_upstream;                  /* nothing but it can bring this further */
    struct alb_status asked_again;            /* why it was asked again just now; OK: it was not */
};

struct puller *puller_start(const struct puller_options *options);
/* End as soon as nothing is under way; done() tells CLOSED, unless it was about to tell something
 * else. */
void puller_give_up(struct puller *p);
/* At once; done is not called.  Jobs under way go on using sink and view: both must outlive the
 * loop's jobs, so whoever cannot promise that gives up first and waits for done(). */
struct puller *puller_free(struct puller *p);
void puller_progress(const struct puller *p, struct puller_progress *out);
/* The version record that was asked for (the view's may be an older version's with the same
 * root). */
const struct version_record *puller_record(const struct puller *p);
