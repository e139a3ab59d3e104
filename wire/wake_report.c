/* SPDX-License-Identifier: Apache-2.0 */
/* wire/wake_report.c – what a guard says of an order: JSON, bounded. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "wire/json.h"
#include "wire/plain_text.h"
#include "wire/wake.h"

static const char *const WORDS[] = {
    [WAKE_WORD_QUEUED] = "queued",
    [WAKE_WORD_SENT] = "sent",
    [WAKE_WORD_SEEN] = "seen",
    [WAKE_WORD_REFUSED] = "refused",
};

const char *wake_word_text(enum wake_word word)
{
    return WORDS[word];
}

struct alb_status wake_report_encode(const struct wake_report *r, struct buf *out)
{
    struct json_writer *w = json_writer_new();
    char number[24];

    snprintf(number, sizeof number, "%016" PRIx64, r->number);
    json_object_begin(w, NULL);
    json_text(w, "guard", r->guard);
    json_text(w, "job", r->job);
    json_text(w, "order", number);
    json_array_begin(w, "targets");
    for (size_t i = 0; i < r->told_count; i++) {
        json_object_begin(w, NULL);
        json_text(w, "device", r->told[i].device);
        json_text(w, "word", WORDS[r->told[i].word]);
        if (r->told[i].why[0] != '\0')
            json_text(w, "why", r->told[i].why);
        json_end(w);
    }
    json_end(w);
    json_end(w);
    return json_writer_finish(w, out);
}

/* False: it is no text, or longer than `out`. */
static bool take_text(const json_t *object, const char *name, char *out, size_t size)
{
    const json_t *value = json_object_get(object, name);

    if (!json_is_string(value) || json_string_length(value) >= size)
        return false;
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static struct alb_status take_told(const json_t *object, struct wake_told *out)
{
    char word[16];
    size_t i = 0;

    if (!take_text(object, "device", out->device, sizeof out->device) ||
        alb_failed(id_check(out->device)))
        return alb_fail(ALB_INVALID, "targets: one names no device");
    if (!take_text(object, "word", word, sizeof word))
        return alb_fail(ALB_INVALID, "targets: one lacks its word");
    while (i < ALB_COUNT(WORDS) && strcmp(WORDS[i], word) != 0)
        i++;
    if (i == ALB_COUNT(WORDS))
        return alb_fail(ALB_INVALID, "targets: a word that this program does not know");
    out->word = (enum wake_word)i;
    out->why[0] = '\0';
    if (json_object_get(object, "why") != NULL &&
        (!take_text(object, "why", out->why, sizeof out->why) || !plain_text_is(out->why)))
        return alb_fail(ALB_INVALID, "targets: why is one line of at most 160 bytes");
    return ALB_STATUS_OK;
}

static struct alb_status take_all(const json_t *top, struct wake_report *r)
{
    const json_t *list = json_object_get(top, "targets");
    struct alb_status st = ALB_STATUS_OK;
    uint8_t number[8];
    char hex[20];

    if (!take_text(top, "guard", r->guard, sizeof r->guard) || alb_failed(id_check(r->guard)))
        return alb_fail(ALB_INVALID, "guard: it names no device");
    if (!take_text(top, "job", r->job, sizeof r->job) || alb_failed(id_check(r->job)))
        return alb_fail(ALB_INVALID, "job: it names no job");
    if (!take_text(top, "order", hex, sizeof hex) || strlen(hex) != 2 * sizeof number ||
        alb_failed(bytes_parse_hex(hex, number, sizeof number)))
        return alb_fail(ALB_INVALID, "order: 16 hexadecimal digits");
    for (size_t i = 0; i < sizeof number; i++)
        r->number = r->number << 8 | number[i];
    if (!json_is_array(list) || json_array_size(list) == 0 ||
        json_array_size(list) > WAKE_ORDER_TARGETS_MAX)
        return alb_fail(ALB_INVALID, "targets: 1 to 8 of them");
    for (size_t i = 0; i < json_array_size(list) && !alb_failed(st); i++)
        st = take_told(json_array_get(list, i), &r->told[r->told_count++]);
    return st;
}

struct alb_status wake_report_decode(const void *bytes, size_t size, struct wake_report *out)
{
    AUTO_FREE struct wake_report *r = xalloc(sizeof *r);
    json_t *top = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);

    if (top == NULL)
        return alb_fail(ALB_INVALID, "the report of a guard is no JSON");
    const struct alb_status st = take_all(top, r);
    json_decref(top);
    if (!alb_failed(st))
        *out = *r;
    return st;
}
