/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/would_lose.c – `albedo-reflector would-lose`: what a start with this configuration
 * would drop, without dropping it.
 *
 * For whoever edits quota or pins: stop the reflector, edit, ask, start.  The store is opened
 * without limits, so nothing of it goes.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/units.h"
#include "reflector/command.h"
#include "reflector/doors.h"
#include "store/disk/segment_store.h"

struct asking {
    const struct reflector_config *config;
    char names[PINS_MAX][PIN_NAME_MAX + 1];
    uint64_t bytes[PINS_MAX];
    size_t count;
};

static void note_pin(void *arg, const char *name, uint64_t chunks, uint64_t bytes)
{
    struct asking *a = arg;

    (void)chunks;
    if (a->count == PINS_MAX)
        return;
    (void)snprintf(a->names[a->count], sizeof a->names[0], "%s", name);
    a->bytes[a->count++] = bytes;
}

/* The pins that go, and *left: what those that stay can take. */
static int tell_pins(const struct asking *a, struct chunk_store *store, uint64_t *left)
{
    char text[2][UNITS_TEXT_SIZE];
    struct cache_loss loss;

    *left = 0;
    for (size_t i = 0; i < a->count; i++) {
        if (reflector_pins_name(&a->config->cache_pins, a->names[i])) {
            *left += a->bytes[i];
            printf("pinned   %s: stays (%s at most)\n", a->names[i],
                   format_size(a->bytes[i], text[0]));
            continue;
        }
        struct alb_status st = store->ops->cache->would_lose(store, a->names[i], 0, &loss);
        if (alb_failed(st))
            return reflector_fail_status(st, "looking at the pin %s", a->names[i]);
        printf("unpinned %s: %llu chunks of %s that no other pin protects may go\n", a->names[i],
               (unsigned long long)loss.chunks, format_size(loss.bytes, text[1]));
    }
    return 0;
}

static int tell_quota(const struct reflector_config *c, struct chunk_store *store, uint64_t left)
{
    struct cache_stats s;
    char text[3][UNITS_TEXT_SIZE];
    const uint64_t quota = reflector_cache_quota(c);

    store->ops->cache->stats(store, &s);
    if (quota == 0) {
        printf("quota    none: nothing goes (%s are used)\n", format_size(s.used_bytes, text[0]));
        return 0;
    }
    if (left > quota / 100 * PINS_SHARE_PERCENT)
        return reflector_fail(ALB_INVALID,
                              "cache_quota = %s is too little for the pins: they can take %s, and "
                              "have at most %d %% of it; serve would not start",
                              format_size(quota, text[0]), format_size(left, text[1]),
                              (int)PINS_SHARE_PERCENT);
    printf("quota    %s, %s are used: %s of what is asked for least would go\n",
           format_size(quota, text[0]), format_size(s.used_bytes, text[1]),
           format_size(s.used_bytes > quota ? s.used_bytes - quota : 0, text[2]));
    return 0;
}

int reflector_would_lose_run(const struct reflector_command *c)
{
    AUTO_FREE struct reflector_config *config = xalloc(sizeof *config);
    AUTO_FREE struct asking *a = xalloc(sizeof *a);
    struct chunk_store *store = NULL;
    char error[CONFIG_ERROR_SIZE];
    uint64_t left;
    struct alb_status st = reflector_config_load(c->config, config, error);

    if (alb_failed(st))
        return reflector_fail(st.code, "%s", error);
    const struct segment_store_options options = {.dir = config->data};
    if (!file_exists(config->data))
        return reflector_fail(ALB_NOT_FOUND, "%s: data %s is not there; is its disk mounted?",
                              c->config, config->data);
    st = segment_store_open(&options, &store);
    if (st.code == ALB_CONFLICT)
        return reflector_fail(
            st.code, "%s: a reflector is running on this directory; stop it first", config->data);
    if (alb_failed(st))
        return reflector_fail_status(st, "%s: opening the chunk store", config->data);
    a->config = config;
    store->ops->cache->list_pins(store, note_pin, a);
    int code = tell_pins(a, store, &left);
    if (code == 0)
        code = tell_quota(config, store, left);
    chunk_store_close(store);
    return code;
}
