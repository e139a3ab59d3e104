/* SPDX-License-Identifier: Apache-2.0 */
/* config/config.h – the daemons' options: read from a file, checked, typed; and the file written.
 *
 * Options live in schema.def, one row each; the structs below are made of its rows.  A row `window`
 * of type SIZE becomes the member `window_bytes`, `trust_pin` of type DIGEST becomes `trust_pin`. A
 * value is a plain word or stands in quotes (where ${NAME} is taken from the environment); lists
 * stand in { }:
 *
 *     listen  = "0.0.0.0:7443"                                # a comment
 *     parents = { "https://hub.example.com:7443", "https://10.0.0.2:7443" }
 *
 * Whatever is wrong is told with file and line, what it is, and what would be allowed:
 *
 *     hub.conf:12: listen: "1.2.3.4": there is no port (use ADDR:PORT, as in 0.0.0.0:7443)
 *     hub.conf:3: there is no option "lisen"; did you mean "listen"?
 */
#pragma once

#include "base/buf.h"
#include "base/key.h"
#include "base/log.h"
#include "base/units.h"
#include "config/url.h"

enum { CONFIG_ERROR_SIZE = 2048, CONFIG_PATH_SIZE = 1024, CONFIG_URLS_MAX = 8 };

enum { CONFIG_PINS_MAX = 16, CONFIG_PIN_SIZE = 168 };
#define QUOTA_AUTO UINT64_MAX
enum config_line { LINE_AUTO, LINE_WAN, LINE_LAN };
enum config_eviction { EVICT_S3_FIFO, EVICT_LRU, EVICT_TINY_LFU, EVICT_FIFO };

struct config_urls {
    struct url at[CONFIG_URLS_MAX];
    size_t count;
};

struct config_pins { /* LAYER@VERSION each */
    char at[CONFIG_PINS_MAX][CONFIG_PIN_SIZE];
    size_t count;
};

/* What a value of each type is in C, and the unit behind its name. */
#define CONFIG_PATH(key) char key[CONFIG_PATH_SIZE]
#define CONFIG_ID(key) char key[NAME_MAX_SIZE]
#define CONFIG_SITE(key) char key[NAME_MAX_SIZE]
#define CONFIG_LISTEN(key) struct url key
#define CONFIG_URLS(key) struct config_urls key
#define CONFIG_PLACES(key) struct config_urls key /* none: count 0 */
#define CONFIG_DIGEST(key) struct digest key
#define CONFIG_SIZE(key) uint64_t key##_bytes
#define CONFIG_QUOTA(key) uint64_t key##_bytes /* 0: none; QUOTA_AUTO */
#define CONFIG_RATE(key) uint64_t key##_bps    /* 0: no limit */
#define CONFIG_LINE(key) enum config_line key
#define CONFIG_EVICTION(key) enum config_eviction key
#define CONFIG_PINS(key) struct config_pins key /* none: count 0 */
#define CONFIG_SWITCH(key) bool key
#define CONFIG_OVERHEAD(key) uint64_t key
#define CONFIG_BACK(key) uint64_t key
#define CONFIG_NUMBER(key) uint64_t key
#define CONFIG_LEVEL(key) enum log_level key

#define NO_OPTION(key, type, need, text, help)
#define OPTION(key, type, need, text, help) CONFIG_##type(key);

/* data, org, listen, places, link_rate_bps, delta_versions, admin_listen, packet_overhead,
 * memory_cache_bytes, max_sessions, workers, log_level */
#define HUB OPTION
#define REFLECTOR NO_OPTION
#define BOTH OPTION
struct hub_config {
#include "config/schema.def"
};
#undef HUB
#undef REFLECTOR

/* data, device, site, trust_pin, parents, listen, cache_quota_bytes, cache_pins, cache_floor_bytes,
 * cache_policy, window_bytes,
 * parent_line, wan_down_bps, wan_up_bps, lan_rate_bps, beacon, and as above */
#define HUB NO_OPTION
#define REFLECTOR OPTION
struct reflector_config {
#include "config/schema.def"
};
#undef HUB
#undef REFLECTOR
#undef BOTH
#undef OPTION
#undef NO_OPTION

/* NOT_FOUND (no such file), INVALID (`error` has every word), IO, FULL (over 1 MiB).  `error` holds
 * CONFIG_ERROR_SIZE bytes and is "" after success. */
ALB_MUST_USE struct alb_status hub_config_load(const char *path, struct hub_config *out,
                                               char *error);
ALB_MUST_USE struct alb_status reflector_config_load(const char *path, struct reflector_config *out,
                                                     char *error);

/* Every optional option at its default, every required one empty: what `init` starts from. */
void hub_config_defaults(struct hub_config *out);
void reflector_config_defaults(struct reflector_config *out);

/* Append a file that explains every option and sets those which are not at their default. */
ALB_MUST_USE struct alb_status hub_config_write(const struct hub_config *c, struct buf *out);
ALB_MUST_USE struct alb_status reflector_config_write(const struct reflector_config *c,
                                                      struct buf *out);
/* The same with the examples of schema.def: config/NAME.conf.example. */
ALB_MUST_USE struct alb_status hub_config_example(struct buf *out);
ALB_MUST_USE struct alb_status reflector_config_example(struct buf *out);

/* As it stands in the file. */
const char *config_eviction_name(enum config_eviction e);
