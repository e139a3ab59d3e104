/* SPDX-License-Identifier: Apache-2.0 */
/* wire/told.c – reports of pulls, read and written as JSON, and counted once. */
#include "wire/told.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const WORDS[] = {[TOLD_APPLIED] = "applied", [TOLD_FAILED] = "failed"};

const char *told_outcome_word(enum told_outcome outcome)
{
    return WORDS[outcome];
}

void told_set_why(struct told *t, const char *words)
{
    size_t n = 0;

    for (; words[n] != '\0' && n < sizeof t->why - 1; n++)
        t->why[n] = (unsigned char)words[n] < ' ' || words[n] == 0x7f ? ' ' : words[n];
    /* Not in the middle of a character, nor of what only looked like one. */
    while (n > 0 && words[n] != '\0' && ((unsigned char)words[n] & 0xc0) == 0x80)
        n--;
    t->why[n] = '\0';
}

/* ---- writing --------------------------------------------------------------------------------- */

void told_write(const struct told *t, struct json_writer *w)
{
    json_text(w, "device", t->device);
    json_text(w, "epoch", t->epoch);
    json_number(w, "number", t->number);
    json_text(w, "layer", t->layer);
    json_text(w, "version", t->version);
    json_text(w, "outcome", told_outcome_word(t->outcome));
    if (t->why[0] != '\0')
        json_text(w, "why", t->why);
    json_number(w, "bytes", t->bytes);
    json_number(w, "milliseconds", t->duration_ms);
    json_signed(w, "ended", t->ended_wall_s);
}

static struct alb_status finish(struct json_writer *w, struct buf *out)
{
    struct buf text;

    buf_init(&text, TOLD_BODY_MAX);
    struct alb_status st = json_writer_finish(w, &text);
    if (!alb_failed(st))
        st = buf_append(out, buf_peek(&text), buf_size(&text));
    buf_release(&text);
    return st;
}

struct alb_status told_encode(const struct told *list, size_t count, struct buf *out)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_array_begin(w, "told");
    for (size_t i = 0; i < count; i++) {
        json_object_begin(w, NULL);
        told_write(&list[i], w);
        json_end(w);
    }
    json_end(w);
    json_end(w);
    return finish(w, out);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The text at PATH.MEMBER; false: it is too long to be one of ours. */
static bool take_text(const struct json_doc *d, const char *path, const char *member, char *out,
                      size_t size)
{
    char name[64];

    snprintf(name, sizeof name, "%s.%s", path, member);
    const char *text = json_doc_text(d, name);
    if (strlen(text) >= size)
        return false;
    snprintf(out, size, "%s", text);
    return true;
}

static uint64_t number_at(const struct json_doc *d, const char *path, const char *member)
{
    char name[64];

    snprintf(name, sizeof name, "%s.%s", path, member);
    return json_doc_number(d, name);
}

static bool is_epoch(const char *text)
{
    return strlen(text) == TOLD_EPOCH_SIZE - 1 && strspn(text, "0123456789abcdef") == strlen(text);
}

static struct alb_status judge_outcome(const char *word, struct told *t)
{
    if (strcmp(word, WORDS[TOLD_APPLIED]) == 0)
        t->outcome = TOLD_APPLIED;
    else if (strcmp(word, WORDS[TOLD_FAILED]) == 0)
        t->outcome = TOLD_FAILED;
    else
        return alb_fail(ALB_INVALID, "a report's outcome is applied or failed");
    if (t->version[0] == '\0')
        return t->outcome == TOLD_FAILED
                   ? ALB_STATUS_OK
                   : alb_fail(ALB_INVALID, "a report of what was applied needs its version");
    return version_name_check(t->version);
}

static struct alb_status read_one(const struct json_doc *d, const char *path, struct told *out)
{
    struct told t = {.number = number_at(d, path, "number"),
                     .bytes = number_at(d, path, "bytes"),
                     .duration_ms = number_at(d, path, "milliseconds"),
                     .ended_wall_s = (int64_t)number_at(d, path, "ended")};
    char outcome[16], name[64];

    if (!take_text(d, path, "device", t.device, sizeof t.device) ||
        !take_text(d, path, "epoch", t.epoch, sizeof t.epoch) ||
        !take_text(d, path, "layer", t.layer, sizeof t.layer) ||
        !take_text(d, path, "version", t.version, sizeof t.version) ||
        !take_text(d, path, "outcome", outcome, sizeof outcome))
        return alb_fail(ALB_INVALID, "a report with a name that is too long");
    if (!is_epoch(t.epoch) || t.number == 0)
        return alb_fail(ALB_INVALID, "a report needs an epoch of 16 hex digits and a number");
    snprintf(name, sizeof name, "%s.why", path);
    told_set_why(&t, json_doc_text(d, name));
    struct alb_status st = id_check(t.device);
    if (!alb_failed(st))
        st = layer_name_check(t.layer);
    if (!alb_failed(st))
        st = judge_outcome(outcome, &t);
    if (!alb_failed(st))
        *out = t;
    return st;
}

static struct alb_status read_all(const struct json_doc *d, struct told *list, size_t *count)
{
    const size_t n = json_doc_count(d, "told");
    char path[32];

    if (n == 0)
        return alb_fail(ALB_INVALID, "told: reports are missing");
    if (n > TOLD_MOST)
        return alb_fail(ALB_INVALID, "told: more than 64 reports in one body");
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "told.%zu", i);
        struct alb_status st = read_one(d, path, &list[i]);
        if (alb_failed(st))
            return st;
    }
    *count = n;
    return ALB_STATUS_OK;
}

struct alb_status told_decode(const void *bytes, size_t size, struct told *list, size_t *count)
{
    struct json_doc *d = NULL;

    if (size > TOLD_BODY_MAX)
        return alb_fail(ALB_INVALID, "told: the body is larger than 64 KiB");
    struct alb_status st = json_doc_parse(bytes, size, &d);
    if (!alb_failed(st))
        st = read_all(d, list, count);
    json_doc_free(d);
    return st;
}

/* ---- counting -------------------------------------------------------------------------------- */

static struct told_epoch *epoch_of(struct told_seen *seen, const char *name)
{
    for (size_t i = 0; i < seen->epoch_count; i++)
        if (strcmp(seen->epochs[i].name, name) == 0)
            return &seen->epochs[i];
    if (seen->epoch_count < TOLD_EPOCHS)
        seen->epoch_count++;
    memmove(&seen->epochs[1], &seen->epochs[0], (seen->epoch_count - 1) * sizeof seen->epochs[0]);
    seen->epochs[0] = (struct told_epoch){.highest = 0};
    snprintf(seen->epochs[0].name, sizeof seen->epochs[0].name, "%s", name);
    return &seen->epochs[0];
}

/* As anti-replay windows do: the highest, and which of the 64 before it. */
static bool is_new(struct told_epoch *e, uint64_t number)
{
    if (number > e->highest) {
        const uint64_t step = number - e->highest;
        e->before = step > 64 ? 0 : step == 64 ? UINT64_C(1) << 63 : (e->before << step);
        if (step < 64 && e->highest != 0)
            e->before |= UINT64_C(1) << (step - 1);
        else if (e->highest == 0)
            e->before = 0;
        e->highest = number;
        return true;
    }
    if (number == e->highest || e->highest - number > 64)
        return false;
    const uint64_t bit = UINT64_C(1) << (e->highest - number - 1);
    if ((e->before & bit) != 0)
        return false;
    e->before |= bit;
    return true;
}

bool told_count(struct told_seen *seen, const struct told *t)
{
    if (!is_new(epoch_of(seen, t->epoch), t->number))
        return false;
    seen->applied += t->outcome == TOLD_APPLIED;
    seen->failed += t->outcome == TOLD_FAILED;
    if (seen->last.device[0] == '\0' || t->ended_wall_s >= seen->last.ended_wall_s)
        seen->last = *t;
    return true;
}

struct alb_status told_seen_encode(const struct told_seen *seen, struct buf *out)
{
    struct json_writer *w = json_writer_new();
    char bits[TOLD_EPOCH_SIZE];

    json_object_begin(w, NULL);
    json_number(w, "applied", seen->applied);
    json_number(w, "failed", seen->failed);
    json_array_begin(w, "epochs");
    for (size_t i = 0; i < seen->epoch_count; i++) {
        snprintf(bits, sizeof bits, "%016llx", (unsigned long long)seen->epochs[i].before);
        json_object_begin(w, NULL);
        json_text(w, "epoch", seen->epochs[i].name);
        json_number(w, "highest", seen->epochs[i].highest);
        json_text(w, "before", bits);
        json_end(w);
    }
    json_end(w);
    json_object_begin(w, "last");
    told_write(&seen->last, w);
    json_end(w);
    json_end(w);
    return finish(w, out);
}

static bool read_epoch(const struct json_doc *d, size_t i, struct told_epoch *out)
{
    struct told_epoch e;
    char path[32], bits[TOLD_EPOCH_SIZE];

    snprintf(path, sizeof path, "epochs.%zu", i);
    e.highest = number_at(d, path, "highest");
    if (!take_text(d, path, "epoch", e.name, sizeof e.name) || !is_epoch(e.name) ||
        !take_text(d, path, "before", bits, sizeof bits) || !is_epoch(bits))
        return false;
    e.before = strtoull(bits, NULL, 16);
    *out = e;
    return true;
}

struct alb_status told_seen_decode(const void *bytes, size_t size, struct told_seen *out)
{
    struct told_seen seen = {.applied = 0};
    struct json_doc *d = NULL;
    struct alb_status st = json_doc_parse(bytes, size, &d);

    if (alb_failed(st))
        return alb_fail(ALB_CORRUPT, "what is kept of a device's reports is no JSON document");
    seen.applied = json_doc_number(d, "applied");
    seen.failed = json_doc_number(d, "failed");
    seen.epoch_count = json_doc_count(d, "epochs");
    bool is_whole = seen.epoch_count > 0 && seen.epoch_count <= TOLD_EPOCHS;
    for (size_t i = 0; is_whole && i < seen.epoch_count; i++)
        is_whole = read_epoch(d, i, &seen.epochs[i]);
    if (is_whole)
        is_whole = !alb_failed(read_one(d, "last", &seen.last));
    json_doc_free(d);
    if (!is_whole)
        return alb_fail(ALB_CORRUPT, "what is kept of a device's reports is damaged");
    *out = seen;
    return ALB_STATUS_OK;
}
