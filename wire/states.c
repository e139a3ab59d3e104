/* SPDX-License-Identifier: Apache-2.0 */
/* wire/states.c – reflectors that do not simply accept: their list, in order, read and written. */
#include "wire/states.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "wire/plain_text.h"

static const char *const WORDS[REFLECTOR_STATES] = {[REFLECTOR_ACCEPT] = "accept",
                                                    [REFLECTOR_DRAIN] = "drain",
                                                    [REFLECTOR_SUSPEND] = "suspend",
                                                    [REFLECTOR_DISABLE] = "disable"};

const char *reflector_state_word(enum reflector_state state)
{
    return WORDS[state];
}

struct alb_status reflector_state_parse(const char *word, enum reflector_state *out)
{
    for (int i = 0; i < REFLECTOR_STATES; i++) {
        if (strcmp(word, WORDS[i]) == 0) {
            *out = (enum reflector_state)i;
            return ALB_STATUS_OK;
        }
    }
    return alb_fail(ALB_INVALID, "a state is accept, drain, suspend or disable");
}

struct alb_status state_why_check(const char *why)
{
    if (strlen(why) >= STATE_WHY_MAX)
        return alb_fail(ALB_INVALID, "why: at most 120 bytes");
    return plain_text_is(why)
               ? ALB_STATUS_OK
               : alb_fail(ALB_INVALID, "why: one line of text, without control characters");
}

/* ---- the list -------------------------------------------------------------------------------- */

void states_init(struct states *s)
{
    *s = (struct states){.list = NULL};
}

void states_release(struct states *s)
{
    free(s->list);
    states_init(s);
}

/* Where `device` is, or would be. */
static size_t place_of(const struct states *s, const char *device)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (strcmp(s->list[middle].device, device) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct states *s, size_t at, const char *device)
{
    return at < s->count && strcmp(s->list[at].device, device) == 0;
}

const struct state_entry *states_find(const struct states *s, const char *device)
{
    const size_t at = place_of(s, device);

    return is_at(s, at, device) ? &s->list[at] : NULL;
}

static void take_out(struct states *s, size_t at)
{
    memmove(&s->list[at], &s->list[at + 1], (s->count - at - 1) * sizeof s->list[0]);
    s->count--;
}

static void put_in(struct states *s, size_t at, const struct state_entry *e)
{
    if ((s->count & (s->count - 1)) == 0) /* room doubles at each power of two */
        s->list = xrealloc(s->list, (s->count == 0 ? 1 : 2 * s->count) * sizeof s->list[0]);
    memmove(&s->list[at + 1], &s->list[at], (s->count - at) * sizeof s->list[0]);
    s->list[at] = *e;
    s->count++;
}

struct alb_status states_set(struct states *s, const struct state_entry *e, bool *has_changed)
{
    const size_t at = place_of(s, e->device);
    const bool is_there = is_at(s, at, e->device);

    if (e->state == REFLECTOR_ACCEPT && is_there)
        take_out(s, at);
    else if (e->state != REFLECTOR_ACCEPT && !is_there && s->count == STATES_MAX)
        return alb_fail(ALB_FULL, "4,096 reflectors do not accept already, the most there can be");
    else if (e->state != REFLECTOR_ACCEPT && !is_there)
        put_in(s, at, e);
    *has_changed = (e->state == REFLECTOR_ACCEPT) == is_there;
    if (e->state == REFLECTOR_ACCEPT || !is_there)
        return ALB_STATUS_OK;
    struct state_entry *now = &s->list[at];
    *has_changed = now->state != e->state || now->wipe != e->wipe || strcmp(now->why, e->why) != 0;
    if (*has_changed)
        *now = *e;
    return ALB_STATUS_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static json_t *entry_object(const struct state_entry *e)
{
    json_t *object = json_object();

    (void)json_object_set_new(object, "device", json_string(e->device));
    (void)json_object_set_new(object, "state", json_string(WORDS[e->state]));
    if (e->wipe)
        (void)json_object_set_new(object, "wipe", json_true());
    (void)json_object_set_new(object, "since", json_integer(e->since_wall_s));
    (void)json_object_set_new(object, "by", json_string(e->by));
    if (e->why[0] != '\0')
        (void)json_object_set_new(object, "why", json_string(e->why));
    return object;
}

static int append_part(const char *text, size_t size, void *arg)
{
    return alb_failed(buf_append(arg, text, size)) ? -1 : 0;
}

struct alb_status states_encode(const struct states *s, struct buf *out)
{
    json_t *top = json_object(), *list = json_array();

    for (size_t i = 0; i < s->count; i++)
        (void)json_array_append_new(list, entry_object(&s->list[i]));
    (void)json_object_set_new(top, "format", json_integer(STATES_FORMAT));
    (void)json_object_set_new(top, "states", list);
    const int rc = json_dump_callback(top, append_part, out, JSON_COMPACT);
    json_decref(top);
    if (rc != 0)
        return alb_fail(ALB_FULL, "the list of states is over 1 MiB: shorten the reasons");
    return ALB_STATUS_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool take_text(const json_t *object, const char *name, char *out, size_t size)
{
    const json_t *value = json_object_get(object, name);

    if (value == NULL)
        return true;
    if (!json_is_string(value) || json_string_length(value) >= size)
        return false;
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static struct alb_status take_entry(const json_t *object, struct state_entry *e)
{
    char word[16] = "";

    *e = (struct state_entry){.since_wall_s = json_integer_value(json_object_get(object, "since")),
                              .wipe = json_is_true(json_object_get(object, "wipe"))};
    if (!take_text(object, "device", e->device, sizeof e->device) ||
        alb_failed(id_check(e->device)))
        return alb_fail(ALB_INVALID, "a state names no device");
    if (!take_text(object, "state", word, sizeof word) ||
        alb_failed(reflector_state_parse(word, &e->state)) || e->state == REFLECTOR_ACCEPT)
        return alb_fail(ALB_INVALID, "a device's state is none that this program knows: update it");
    if (!take_text(object, "by", e->by, sizeof e->by) ||
        !take_text(object, "why", e->why, sizeof e->why))
        return alb_fail(ALB_INVALID, "who set a state, or why, is no text or too long");
    if (e->wipe && e->state != REFLECTOR_DISABLE)
        return alb_fail(ALB_INVALID, "only a disabled reflector is wiped");
    return state_why_check(e->why);
}

static struct alb_status take_list(const json_t *top, struct states *s)
{
    const json_t *list = json_object_get(top, "states");
    struct alb_status st = ALB_STATUS_OK;

    if (json_integer_value(json_object_get(top, "format")) != STATES_FORMAT)
        return alb_fail(ALB_INVALID, "the list of states is of a format that this program does not "
                                     "know");
    if (!json_is_array(list) || json_array_size(list) > STATES_MAX)
        return alb_fail(ALB_INVALID, "\"states\" is no list of at most 4,096");
    for (size_t i = 0; i < json_array_size(list) && !alb_failed(st); i++) {
        struct state_entry e;
        bool has_changed;

        st = take_entry(json_array_get(list, i), &e);
        if (!alb_failed(st) && s->count > 0 && strcmp(s->list[s->count - 1].device, e.device) >= 0)
            st = alb_fail(ALB_INVALID, "states are in order of their devices, each once");
        if (!alb_failed(st))
            st = states_set(s, &e, &has_changed);
    }
    return st;
}

struct alb_status states_decode(const void *bytes, size_t size, struct states *out)
{
    json_t *top = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
    struct states s;

    states_init(&s);
    if (top == NULL)
        return alb_fail(ALB_INVALID, "the list of states is no JSON");
    struct alb_status st = take_list(top, &s);
    json_decref(top);
    if (alb_failed(st))
        states_release(&s);
    else
        *out = s;
    return st;
}
