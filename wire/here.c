/* SPDX-License-Identifier: Apache-2.0 */
/* wire/here.c – a parent's word about itself, to and from JSON. */
#include "wire/here.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "wire/json.h"

bool here_leads_to(const struct here *h, const char *device)
{
    if (strcmp(h->device, device) == 0)
        return true;
    for (size_t i = 0; i < h->above_count; i++)
        if (strcmp(h->above[i], device) == 0)
            return true;
    return false;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_refusal(const struct here *h, struct json_writer *w)
{
    if (h->takes_new)
        return;
    json_signed(w, "until", h->until_wall_s);
    json_number(w, "retry_s", h->retry_s);
    json_text(w, "why", h->why);
}

static void put_line(const struct here *h, struct json_writer *w)
{
    if (h->is_hub)
        return;
    json_object_begin(w, "line");
    json_text(w, "state", h->line_state);
    json_number(w, "down_bps", h->down_bps);
    json_end(w);
    if (h->cut_off_since_wall_s != 0)
        json_signed(w, "cut_off_since", h->cut_off_since_wall_s);
    json_array_begin(w, "above");
    for (size_t i = 0; i < h->above_count; i++)
        json_text(w, NULL, h->above[i]);
    json_end(w);
}

struct alb_status here_encode(const struct here *h, struct buf *out)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "device", h->device);
    json_text(w, "role", h->is_hub ? "hub" : "reflector");
    json_text(w, "state", reflector_state_word(h->state));
    json_bool(w, "takes_new", h->takes_new);
    json_number(w, "sessions", h->sessions);
    if (h->max_sessions != 0)
        json_number(w, "max_sessions", h->max_sessions);
    json_number(w, "load_percent", h->load_percent);
    put_refusal(h, w);
    put_line(h, w);
    json_end(w);
    return json_writer_finish(w, out);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void take_text(const json_t *object, const char *name, char *out, size_t size)
{
    const json_t *value = json_object_get(object, name);

    if (json_is_string(value) && json_string_length(value) < size)
        memcpy(out, json_string_value(value), json_string_length(value) + 1);
}

/* What is negative, or more than `most`, is not said. */
static uint64_t number_of(const json_t *object, const char *name, uint64_t most)
{
    const json_int_t number = json_integer_value(json_object_get(object, name));

    return number < 0 || (uint64_t)number > most ? 0 : (uint64_t)number;
}

static struct alb_status take_above(const json_t *top, struct here *h)
{
    const json_t *list = json_object_get(top, "above");

    if (json_array_size(list) > HERE_ABOVE_MAX)
        return alb_fail(ALB_INVALID, "a parent says that more than 16 are above it");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *device = json_string_value(json_array_get(list, i));

        if (device == NULL || strlen(device) >= NAME_MAX_SIZE || alb_failed(id_check(device)))
            return alb_fail(ALB_INVALID, "what a parent says is above it is no device");
        memcpy(h->above[h->above_count++], device, strlen(device) + 1);
    }
    return ALB_STATUS_OK;
}

/* An unknown state is one of a newer program: it takes nobody, then, or says so itself. */
static void take_state(const json_t *top, struct here *h)
{
    char word[16] = "";

    take_text(top, "state", word, sizeof word);
    if (word[0] != '\0' && alb_failed(reflector_state_parse(word, &h->state)))
        h->state = REFLECTOR_DRAIN;
    const json_t *takes = json_object_get(top, "takes_new");
    h->takes_new = takes != NULL ? json_is_true(takes)
                                 : h->state == REFLECTOR_ACCEPT || h->state == REFLECTOR_SUSPEND;
}

static void take_figures(const json_t *top, struct here *h)
{
    const json_t *line = json_object_get(top, "line");

    h->sessions = (uint32_t)number_of(top, "sessions", UINT32_MAX);
    h->max_sessions = (uint32_t)number_of(top, "max_sessions", UINT32_MAX);
    h->load_percent = (uint32_t)number_of(top, "load_percent", 100);
    take_text(line, "state", h->line_state, sizeof h->line_state);
    h->down_bps = number_of(line, "down_bps", INT64_MAX);
    h->cut_off_since_wall_s = (int64_t)number_of(top, "cut_off_since", INT64_MAX);
    h->until_wall_s = (int64_t)number_of(top, "until", INT64_MAX);
    h->retry_s = (uint32_t)number_of(top, "retry_s", UINT32_MAX);
    take_text(top, "why", h->why, sizeof h->why);
}

static struct alb_status take_top(const json_t *top, struct here *h)
{
    char role[16] = "";

    take_text(top, "device", h->device, sizeof h->device);
    if (alb_failed(id_check(h->device)))
        return alb_fail(ALB_INVALID, "a parent does not say who it is");
    take_text(top, "role", role, sizeof role);
    h->is_hub = strcmp(role, "hub") == 0;
    take_state(top, h);
    take_figures(top, h);
    return take_above(top, h);
}

struct alb_status here_decode(const void *bytes, size_t size, struct here *out)
{
    AUTO_FREE struct here *h = xalloc(sizeof *h);

    if (size > HERE_BYTES_MAX)
        return alb_fail(ALB_INVALID, "what a parent says of itself is over 8 KiB");
    json_t *top = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(top)) {
        json_decref(top);
        return alb_fail(ALB_INVALID, "what a parent says of itself is no JSON object");
    }
    struct alb_status st = take_top(top, h);
    json_decref(top);
    if (!alb_failed(st))
        *out = *h;
    return st;
}
