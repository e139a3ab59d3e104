/* SPDX-License-Identifier: Apache-2.0 */
/* sim/scenario.h – a promise of the product as a text that anybody can read, change and play.
 *
 *    link hub--site1 rate 2Mbit delay 40ms          # from a parent to a site: NAME is PARENT--SITE
 *    reflector site1 parent hub cache 200MiB
 *    endpoints site1 40                             # on the site's LAN: 1 Gbit/s, 0.1 ms
 *    sites shop 500 rate 2Mbit delay 30ms cache 200MiB endpoints 40   # shop1 … shop500, at the hub
 *    at 0s   hub publishes os-patch 64MiB
 *    at 1s   every endpoint wants os-patch
 *    at 90s  link hub--site1 down for 30s
 *    at 91s  reflector site1 dies for 20s           # killed; its store stays
 *    at 92s  every link down for 30s
 *    at 93s  hub dies for 1s
 *    at 95s  hub revokes site1-7
 *    expect by 600s every endpoint has os-patch
 *    expect by 96s site1-7 is cut off               # hung up on
 *    expect by 97s site1-7 is out                   # refused when it came again
 *    expect crossing ratio hub--site1 <= 1.01
 *    expect crossing ratio of every site <= 1.02
 *    expect from 92s at most 100 sessions a second at the hub           # or: requests
 *
 * The statements are the rows of one table in scenario.c.  A `#` begins a comment.  The order of
 * lines does not matter except that a name must be known before it is used.
 *
 * What hubs, reflectors and endpoints are made of is the player's business (struct scenario_ops);
 * this part builds the world, keeps the time-table and judges the expectations.
 */
#pragma once

#include <stdio.h>

#include "net/loop.h"

enum { SCENARIO_WORD_SIZE = 64, SCENARIO_ERROR_SIZE = 512, SCENARIO_SITES_MAX = 1024 };

/* The hub (parent NULL) or a reflector, each with the endpoints of its LAN. */
struct scenario_site {
    char name[SCENARIO_WORD_SIZE];
    const struct scenario_site *parent;
    uint64_t cache_bytes; /* 0: not said */
    unsigned first_endpoint, endpoints;
};

struct scenario_link {
    struct scenario_link *next;
    char name[SCENARIO_WORD_SIZE];
    uint64_t rate_bps, delay_ns;
    uint32_t loss_per_million;
};

enum scenario_act {
    ACT_PUBLISH,
    ACT_WANT,
    ACT_REVOKE,
    ACT_LINK_DOWN,
    ACT_LINK_UP,
    ACT_DIE,
    ACT_REVIVE
};

struct scenario_event {
    struct scenario_event *next; /* in the order of lines */
    enum scenario_act act;
    uint64_t at_ns;
    char name[SCENARIO_WORD_SIZE];    /* a layer, a link ("": all) or an endpoint */
    const struct scenario_site *site; /* NULL: all endpoints */
    uint64_t size;
};

enum scenario_measure {
    MEASURE_HAS,
    MEASURE_CUT_OFF,
    MEASURE_OUT,
    MEASURE_CROSSING,
    MEASURE_CROSSINGS, /* of every site */
    MEASURE_WIRE,
    MEASURE_QUEUEING,
    MEASURE_SESSIONS, /* most in a second, from `by_ns` on */
    MEASURE_REQUESTS
};

struct scenario_expectation {
    struct scenario_expectation *next;
    enum scenario_measure measure;
    unsigned line;
    char name[SCENARIO_WORD_SIZE]; /* a layer, a link or an endpoint */
    double most;                   /* a ratio, nanoseconds or a count */
    uint64_t by_ns;
};

struct scenario {
    char file[SCENARIO_WORD_SIZE];
    uint64_t seed;
    struct scenario_site sites[SCENARIO_SITES_MAX]; /* the first is the hub */
    size_t site_count;
    unsigned endpoints;
    struct scenario_link *links;
    struct scenario_event *events;
    struct scenario_expectation *expectations;
};

/* INVALID with "file:line: what is wrong and what would be right" in `error`. */
ALB_MUST_USE struct alb_status scenario_read(const char *path, struct scenario **out,
                                             char error[SCENARIO_ERROR_SIZE]);
/* The same from text; `file` is for messages. */
ALB_MUST_USE struct alb_status scenario_parse(const char *file, const char *text,
                                              struct scenario **out,
                                              char error[SCENARIO_ERROR_SIZE]);
struct scenario *scenario_free(struct scenario *s);

/* Nodes are called "hub", by their site's name, and "SITE-1", "SITE-2", …; endpoints are counted
 * from 0 over all sites.  A site's own link is the one from its parent. */
struct scenario_ops {
    void (*start_hub)(void *arg, struct loop *loop);
    void (*start_reflector)(void *arg, const struct scenario_site *site, struct loop *loop);
    void (*start_endpoint)(void *arg, const struct scenario_site *site, unsigned endpoint,
                           struct loop *loop);
    void (*publish)(void *arg, const char *layer, uint64_t size);
    void (*want)(void *arg, unsigned endpoint, const char *layer);
    void (*revoke)(void *arg, const char *device);
    bool (*is_cut_off)(void *arg, const char *device);
    bool (*is_out)(void *arg, const char *device);
    bool (*has)(void *arg, unsigned endpoint, const char *layer);
    /* Of a site's own link: chunk body bytes that came over it, and the stored size of the distinct
     * chunks that were needed behind it. */
    uint64_t (*crossed_bytes)(void *arg, const struct scenario_site *site);
    uint64_t (*needed_bytes)(void *arg, const struct scenario_site *site);
    /* The hub or reflector is killed, and started again with what it had on its disk. */
    void (*die)(void *arg, const struct scenario_site *site);
    void (*revive)(void *arg, const struct scenario_site *site);
    /* What the hub has had so far, also before it died. */
    uint64_t (*hub_sessions)(void *arg);
    uint64_t (*hub_requests)(void *arg);
    /* Close everything; a virtual minute passes, then `released` frees what is left. */
    void (*stop)(void *arg);
    void (*released)(void *arg);
};

/* The serial of a node's certificate, told apart by its name. */
void scenario_serial(const char *device, char *out, size_t size);

/* Play it; one line for each expectation goes to `out`.  Returns how many were not met. */
unsigned scenario_play(const struct scenario *s, const struct scenario_ops *ops, void *arg,
                       FILE *out);
