/* SPDX-License-Identifier: Apache-2.0 */
/* client/agent_impl.h – what an agent is made of; for agent*.c only. */
#pragma once

#include "client/agent.h"
#include "client/agent_lock.h"
#include "client/helper.h"
#include "client/follow_retry.h"
#include "client/pull.h"
#include "transfer/announcer.h"
#include "transfer/renewal.h"
#include "transfer/told_book.h"
#include "transfer/waker.h"
#include "wire/vigil.h"

struct agent;

enum follow_state {
    FOLLOW_DUE,     /* to be pulled as soon as nothing else is             */
    FOLLOW_PULLING, /* … now                                               */
    FOLLOW_ASKING,  /* which version is current?                           */
    FOLLOW_CURRENT, /* the target holds it, as far as is known             */
    FOLLOW_WAITING, /* the pull failed, and is tried again at retry_wall_s */
};

struct follow {
    struct agent *agent;
    const char *layer, *target; /* borrowed */
    enum follow_state state;
    struct timer timer;      /* to ask again, or to try again */
    struct timer hint;       /* while WAITING: to ask whether there is something new */
    struct record_wait wait; /* while ASKING, or is_wondering */
    bool is_wondering;       /* while WAITING: it is being asked */
    bool asks_again;         /* something was said while it was busy */
    bool was_pulled;
    struct digest head; /* the record that was applied last, once was_pulled */
    uint64_t sequence;
    char version[NAME_MAX_SIZE];
    int64_t pulled_wall_s, retry_wall_s;
    uint64_t retry_ns;
    int64_t head_expires_wall_s; /* of the one that is current; 0: not known */
    struct follow_retry retry;
    enum exit_code code;
    char why[256];      /* of the last failure; "" */
    char told_why[256]; /* … that was reported */
};

struct agent_cards {
    struct announce_card list[ANNOUNCE_CARDS_MAX];
    size_t count;
};

/* What became of pulls (client/agent_told.c). */
struct agent_reports {
    struct told_book *book;
    char epoch[TOLD_EPOCH_SIZE];
    uint64_t number; /* of the last one */
};

enum { VIGIL_REMEMBERED = 32 };

/* Sleeping again, staying awake (client/agent_vigil.c). */
struct agent_vigil {
    struct timer timer;
    bool owes_sleep, is_looking; /* … whether somebody is here: a job is under way */
    struct vigil_order order;    /* the last one to sleep */
    char why[64];                /* it does not; "" */
    bool is_asleep;              /* it was said so, and the command given */
    uint64_t slept_at_ns;
    uint64_t slept_ns, woke_ns; /* net/uptime.h; woke_ns 0: it did not sleep since the agent runs */
    uint64_t stay_until_ns;     /* 0: it need not */
    struct helper helper;
    uint64_t helper_again_ns;
    unsigned jobs; /* under way */
    uint64_t numbers[VIGIL_REMEMBERED];
    size_t next_number;
};

struct agent {
    struct agent_options options;
    struct agent_lock lock;
    struct loop *loop;
    struct tls_context *tls;
    struct endpoint *endpoint;
    struct renewal *renewal;
    char *certificate_pem, *csr_pem;
    struct upstream_listener listener;
    int64_t begun_wall_s, cut_off_since_wall_s;
    struct follow *follows;
    size_t follow_count;
    struct announcer *announcer;
    struct agent_cards cards; /* as announced */
    bool is_looking;          /* … at them: a job is under way */
    bool asks_cards;          /* … they are to be asked (again) what wakes them */
    uint64_t asked_cards_ns;
    struct waker *waker;
    struct agent_reports reports;
    struct agent_vigil vigil;
    struct pull *pulling;
    bool is_terminated;
    struct timer show; /* when what is known is written down next */
    bool is_writing, show_again;
    uint64_t shown_ns, show_ns; /* last; next */
};

/* ---- client/agent_follow.c */
void follow_init(struct follow *f, struct agent *a, const struct agent_follow *typed);
/* Ask which version is current, within `within_ns`; now or after what is under way. */
void follow_look(struct follow *f, uint64_t within_ns);
/* The line is back: the same, and what failed is tried again soon. */
void follow_line_up(struct follow *f, uint64_t within_ns);
/* Blocks in the loop until the pull is over. */
void follow_pull(struct follow *f);
void follow_stop(struct follow *f);
const char *follow_state_name(enum follow_state state);

/* ---- client/agent_announce.c */
void agent_announce_start(struct agent *a);
/* Say anew what is other than it was. */
void agent_announce(struct agent *a);
/* If that was long ago: what wakes its cards is asked again. */
void agent_ask_cards(struct agent *a);
/* Blocks, two seconds at most: the parent is told that this was meant. */
void agent_announce_stop(struct agent *a);

/* ---- client/agent_told.c */
void agent_told_start(struct agent *a); /* blocking: start-up */
void agent_told_stop(struct agent *a);
void agent_tell_applied(struct follow *f, const struct pull *p);
void agent_tell_failed(struct follow *f, const struct pull *p);
bool agent_told_waits(const struct agent *a); /* is there a report that nobody took yet? */
void agent_told_show(const struct agent *a, struct json_writer *w);

/* ---- client/agent_vigil.c */
void agent_vigil_start(struct agent *a);
void agent_vigil_stop(struct agent *a); /* blocks: its jobs, a second at most its helper */
/* What follows "for US " in an event line.  False: it is not about this. */
bool agent_vigil_hear(struct agent *a, const char *rest);
void agent_vigil_show(const struct agent *a, struct json_writer *w);

/* ---- client/agent_show.c */
void agent_show_init(struct agent *a);
/* Something is other than it was: it is written down within a second or so, and not oftener. */
void agent_changed(struct agent *a);
/* Blocks: what is being written is waited for, and the file removed. */
void agent_show_stop(struct agent *a);
