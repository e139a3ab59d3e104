/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/policy_book_impl.h – what the policy book's own files share. */
#pragma once

#include "base/log_limit.h"
#include "transfer/policy_book.h"

TAILQ_HEAD(policy_watches, policy_watch);
LIST_HEAD(policy_readings, policy_reading);

/* One of the documents. */
struct policy_copy {
    struct policy_book *book;
    enum policy_part part;
    struct buf bytes; /* signed; empty: none */
    uint64_t number;
    int64_t issued_wall_s;
    uint64_t since_ns;      /* held since */
    bool is_damaged;        /* what was kept is not believed, and nothing came since */
    struct sign_public key; /* that signed it */
    struct upstream_request *asking;
    struct buf parts;  /* that have come of a newer one */
    struct timer next; /* … the next is asked for       */
    size_t part_size;  /* 0: none was asked for yet     */
    uint64_t asked_ns;
    uint64_t said_below; /* the highest number that a reflector below says it has, bounded */
    bool was_torn;       /* parts did not fit: once */
    bool ask_again;      /* told of a change while asking: the answer may be from before */
};

struct policy_book {
    struct policy_book_options options;
    struct policy_copy copies[POLICY_PARTS];
    struct policy *policy; /* rules and overrides, ready to be asked; never NULL */
    struct states states;
    struct policy_watches watches;   /* a ring: those not looked at in this round come first */
    struct policy_readings readings; /* rules being read on a worker */
    struct timer look;
    int64_t looked_s;              /* when watches were last looked at              */
    uint64_t round, changed_round; /* of looks; the last that had to ask everything */
    int64_t next_s;                /* the earliest change that this round found     */
    bool is_looking;               /* … which is not over                           */
    bool is_changed;               /* a document is another since it began          */
    bool is_over;
    int64_t over_s;    /* when the next override is over by the hub's clock; POLICY_NEVER */
    uint64_t zones_ns; /* when zone files are to be looked at again       */
    struct zones_check *checking; /* … which a worker does now; NULL: none does */
    struct upstream *upstream;
    struct upstream_listener listener;
    struct timer ask_again;
    struct log_limit refused_lines; /* of what a parent sent and is not taken */
};

/* Signed bytes that were judged, and may be put in force. */
struct policy_candidate {
    struct policy_seal seal; /* within `bytes` */
    struct sign_public key;
    const void *bytes;
    size_t size;
};
struct alb_status policy_book_judge_number(const struct policy_book *b, enum policy_part part,
                                           uint64_t number);
void policy_book_put_in_force(struct policy_book *b, enum policy_part part,
                              const struct policy_candidate *c);

/* policy_book_watch.c: before anything else, and last. */
void policy_book_init_watches(struct policy_book *b);
void policy_book_stop_watches(struct policy_book *b); /* there is none any more */
void policy_book_look_soon(struct policy_book *b);    /* a document is another */
/* Tells the policy what the hub's clock says at least. */
int64_t policy_book_least_s(const struct policy_book *b);
void policy_book_note_least(const struct policy_book *b);

/* policy_book_zones.c: zone files that were replaced are read anew, on a worker. */
void policy_book_check_zones(struct policy_book *b);
void policy_book_stop_checking(struct policy_book *b);

/* policy_book_read.c: rules as they are in the seal, ready to be asked but for overrides; says what
 * is wrong. */
ALB_MUST_USE struct alb_status policy_rules_read(const struct policy_seal *seal,
                                                 struct policy **out);
/* The same on a worker, and then in force. */
void policy_book_read_later(struct policy_book *b, const struct policy_candidate *c);
void policy_book_use_rules(struct policy_book *b, struct policy *next);
void policy_book_stop_reading(struct policy_book *b);

void policy_book_init_travel(struct policy_book *b);
void policy_book_stop_travel(struct policy_book *b);
