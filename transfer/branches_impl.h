/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/branches_impl.h – what the branches' files share: who is where, and what is to be looked
 * at. */
#pragma once

#include "base/map.h"
#include "transfer/branches.h"

struct branch_client;

struct branch_sum; /* of a link, or of everything */

struct branch { /* never freed before the end: its debts stay its own */
    struct branches *all;
    char site[NAME_MAX_SIZE];
    bool is_lan;
    struct branch_sum *sum; /* it is under this one; NULL: under the port alone */
    bool is_placed;         /* … since the last policy and override            */
    struct tree_node *nodes[BRANCH_WAYS];
    uint64_t before_bytes[BRANCH_WAYS];       /* under sums that it was under before */
    struct policy_watch watches[BRANCH_WAYS]; /* unless there is no policy */
    TAILQ_HEAD(, branch_client) clients;      /* a ring: not looked at yet come first */
    uint64_t round;                           /* of looks at the clients          */
    bool is_queued;                           /* … which is not over              */
    size_t members, devices;
    struct branch_bulk bulk; /* of one look */
    uint64_t bulk_look;
    TAILQ_ENTRY(branch) link, queue;
};

/* A device: all its connections are in one branch and share its own limits. */
struct branch_client {
    struct branch *branch;
    char device[NAME_MAX_SIZE];
    char named_site[NAME_MAX_SIZE]; /* by its grant */
    uint8_t address[1][16];         /* the first, while a connection comes from there */
    size_t address_count;           /* 0: not known */
    struct tree_node *nodes[BRANCH_WAYS];
    uint64_t limits_bps[BRANCH_WAYS]; /* as last set */
    uint64_t round;
    TAILQ_HEAD(, branch_member) members;
    TAILQ_ENTRY(branch_client) link;
};

struct branch_member {
    struct branches *all;
    struct branch *branch;        /* at first the one without a name: not known yet */
    struct branch_client *client; /* NULL: as long as nobody knows whose it is      */
    struct http_session *session;
    void *owner;
    bool takes_bulk; /* chunks are sent to it */
    bool is_off;     /* for this layer, as the policy said then */
    uint64_t asked_ns;
    char asked_layer[NAME_MAX_SIZE];
    struct shaper_leaf leaves[BRANCH_WAYS];
    TAILQ_ENTRY(branch_member) link; /* in its client */
};

struct branches {
    struct branches_options options;
    struct shaper *shapers[BRANCH_WAYS];
    struct map by_name, by_device, by_sum;
    TAILQ_HEAD(, branch_sum) sums;
    TAILQ_HEAD(, branch) list, queue;
    size_t members;
    struct policy_watch documents; /* unless there is no policy */
    bool asks_clients;             /* the policy may say something of single ones */
    struct timer turns, again;
};

/* branches.c */
struct branch *branch_of(struct branches *b, const char *site);
/* All of its connections are under `branch` from now on. */
void branch_client_move(struct branch_client *c, struct branch *branch);
struct node_terms branch_terms(uint64_t ceiling_bps); /* 0: none */
/* What is shown of one: its limit, what passed it and those before it, whether it waits. */
void branch_put_node(struct json_writer *w, const struct tree_node *node, uint64_t before_bytes);
/* It is under the sums that the policy has it in now, unless it was looked at since the last. */
void branch_settle(struct branch *branch);

/* branches_sums.c */
/* The sum that it belongs under; NULL: none. */
struct branch_sum *branch_sum_place(struct branch *branch);
struct tree_node *branch_sum_node(const struct branch_sum *s, enum branch_way way);
/* There is another policy: branches are placed anew, and limits stay until they are. */
void branch_sums_forget(struct branches *b);
void branch_sums_free(struct branches *b);
void branch_sums_show(const struct branches *b, struct json_writer *w);

/* branches_policy.c */
void branch_policy_init(struct branches *b);
void branch_policy_release(struct branches *b);
void branch_policy_entered(struct branches *b);
void branch_policy_watch(struct branch *branch);
void branch_policy_unwatch(struct branch *branch);
/* Where it belongs, and what it and its connections may, now. */
void branch_policy_look(struct branch_client *c);
void branch_policy_size_frames(struct branch_member *m);
struct policy_place branch_policy_place(const struct branch_client *c, enum branch_way way);
/* What the policy says of the branch's own sum, or 0. */
uint64_t branch_policy_limit(const struct branch *branch, enum branch_way way);
uint8_t branch_direction(enum branch_way way);
