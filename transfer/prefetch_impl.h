/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/prefetch_impl.h – what the two halves of prefetch.h share: the orders, and the one that
 * is carried out. */
#pragma once

#include "transfer/prefetch.h"

struct prefetch_slot;
struct prefetch_look;

struct prefetch { /* one order */
    struct prefetch_order order;
    struct prefetch_report report; /* as it would be told now */
    bool is_news;
    uint64_t told_ns;
    TAILQ_ENTRY(prefetch) link;
};

struct prefetch_pass { /* once over everything */
    uint32_t next;     /* to be looked for */
    uint32_t here;     /* found, or come */
    uint64_t bytes_here;
    uint32_t asked, came;
    struct alb_status st; /* of the last one that did not come */
    uint64_t not_kept;    /* of the supply when it began */
};

struct prefetcher {
    struct prefetcher_options options;
    TAILQ_HEAD(, prefetch) orders; /* as they came */
    size_t count;
    struct prefetch *running; /* NULL: none */
    struct root_wait root_wait;
    bool waits_root;
    const struct root_view *view; /* once it is open */
    struct prefetch_pass pass;
    unsigned passes, tries;
    struct prefetch_look *look;  /* under way */
    struct prefetch_slot *slots; /* PREFETCH_SLOTS */
    size_t busy;
    struct timer rest, tell;
    struct upstream_request *telling;
    struct prefetch *told; /* what it tells of; NULL: it is gone */
    struct upstream_listener listener;
    struct prefetcher_figures figures;
};

/* prefetch.c */
void prefetcher_tell_soon(struct prefetcher *p);                    /* more of it came    */
void prefetcher_set_news(struct prefetcher *p, struct prefetch *f); /* to be told at once */
/* The running one is over; the next one begins. */
void prefetcher_end(struct prefetcher *p, enum prefetch_state state, const char *why);

/* prefetch_pass.c */
void prefetcher_run(struct prefetcher *p, struct prefetch *f); /* none runs */
void prefetcher_pass(void *prefetcher); /* for its timer: another pass over what runs */
/* Nobody asks for anything of the running one any more, and none runs. */
void prefetcher_let_go(struct prefetcher *p);
