/* SPDX-License-Identifier: Apache-2.0 */
/* config/schema.c – the tables that schema.def spells, their defaults,
 * and finding a key in them. */
#include "config/schema.h"

#include <string.h>

#include "base/alloc.h"

/* The member's name for a key of each type, as config.h declares it. */
#define MEMBER_PATH(key) key
#define MEMBER_ID(key) key
#define MEMBER_SITE(key) key
#define MEMBER_LISTEN(key) key
#define MEMBER_URLS(key) key
#define MEMBER_PLACES(key) key
#define MEMBER_DIGEST(key) key
#define MEMBER_SIZE(key) key##_bytes
#define MEMBER_QUOTA(key) key##_bytes
#define MEMBER_RATE(key) key##_bps
#define MEMBER_LINE(key) key
#define MEMBER_EVICTION(key) key
#define MEMBER_PINS(key) key
#define MEMBER_SWITCH(key) key
#define MEMBER_OVERHEAD(key) key
#define MEMBER_BACK(key) key
#define MEMBER_NUMBER(key) key
#define MEMBER_LEVEL(key) key

#define NO_ROW(key, type, need, text, help)
#define ROW(key, type, need, text, help)                                                           \
    {#key, CONFIG_TYPE_##type, need, text, help, offsetof(struct CONFIG, MEMBER_##type(key))},

#define CONFIG hub_config
#define HUB ROW
#define REFLECTOR NO_ROW
#define BOTH ROW
static const struct config_option hub_options[] = {
#include "config/schema.def"
};
#undef HUB
#undef REFLECTOR
#undef CONFIG

#define CONFIG reflector_config
#define HUB NO_ROW
#define REFLECTOR ROW
static const struct config_option reflector_options[] = {
#include "config/schema.def"
};

const struct config_schema hub_schema = {"albedo-hub", hub_options, ALB_COUNT(hub_options),
                                         sizeof(struct hub_config)};
const struct config_schema reflector_schema = {"albedo-reflector", reflector_options,
                                               ALB_COUNT(reflector_options),
                                               sizeof(struct reflector_config)};

void schema_fill(const struct config_schema *s, bool examples, void *config)
{
    memset(config, 0, s->size);
    for (size_t i = 0; i < s->count; i++) {
        const struct config_option *option = &s->options[i];

        if (option->need == REQUIRED && !examples)
            continue;
        struct alb_status st =
            config_types[option->type].read(&option->text, 1, (char *)config + option->offset);
        alb_assert(!alb_failed(st)); /* a row of schema.def contradicts its own type */
    }
}

const struct config_option *schema_find(const struct config_schema *s, const char *key)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->options[i].key, key) == 0)
            return &s->options[i];
    return NULL;
}

/* ---- the nearest key ---- */

enum { KEY_MOST = 32 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters must be added, dropped or changed to make one of the other (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    const size_t width = strlen(b);
    size_t row[KEY_MOST + 1];

    for (size_t j = 0; j <= width; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= width; j++) {
            size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = least(changed, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[width];
}

const char *schema_nearest(const struct config_schema *s, const char *key)
{
    const char *nearest = NULL;
    size_t best = strlen(key) / 2 + 1; /* farther than half its letters is another word */

    if (strlen(key) > KEY_MOST)
        return NULL;
    for (size_t i = 0; i < s->count; i++) {
        alb_assert(strlen(s->options[i].key) <= KEY_MOST);
        size_t d = distance(key, s->options[i].key);
        if (d < best) {
            best = d;
            nearest = s->options[i].key;
        }
    }
    return nearest;
}
