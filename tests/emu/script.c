/* SPDX-License-Identifier: Apache-2.0 */
/* emu/script.c – text lines into a sorted list of options to set. */
#include "emu/script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emu/units.h"

#define LINE_MAX_BYTES 512
#define ROOM_FIRST 64u

/* Reads one line of a file into events; `dir` is the direction that a trace is for. */
typedef bool line_reader(struct script *script, char *line, int dir, struct emu_error *err);

static line_reader script_line_read, trace_line_read;
static bool file_read(struct script *script, const char *path, line_reader *read, int dir,
                      struct emu_error *err);
static int event_compare(const void *a, const void *b);

bool script_read(const struct emu_options *options, struct emu_error *err, struct script *script)
{
    struct script made = {0};
    bool ok = options->script_path == NULL ||
              file_read(&made, options->script_path, script_line_read, DIR_AB, err);
    for (int dir = 0; ok && dir < DIRS; dir++)
        if (options->rate_trace[dir] != NULL)
            ok = file_read(&made, options->rate_trace[dir], trace_line_read, dir, err);
    if (!ok) {
        script_release(&made);
        return false;
    }
    if (made.count > 0)
        qsort(made.events, made.count, sizeof made.events[0], event_compare);
    *script = made;
    return true;
}

void script_release(struct script *script)
{
    free(script->events);
    *script = (struct script){0};
}

uint64_t script_next_ns(const struct script *script)
{
    return script->next < script->count ? script->events[script->next].at_ns : UINT64_MAX;
}

bool script_run(struct script *script, uint64_t elapsed_ns, struct emu_options *options)
{
    size_t first = script->next;
    struct emu_error never; /* every value was tried when it was read */
    for (; script_next_ns(script) <= elapsed_ns && script->next < script->count; script->next++) {
        const struct script_event *event = &script->events[script->next];
        (void)option_set(&event->option, event->value, options, &never);
    }
    return script->next != first;
}

static int event_compare(const void *a, const void *b)
{
    const struct script_event *one = a;
    const struct script_event *two = b;
    if (one->at_ns != two->at_ns)
        return one->at_ns < two->at_ns ? -1 : 1;
    return one->order < two->order ? -1 : one->order > two->order;
}

static bool file_read(struct script *script, const char *path, line_reader *read, int dir,
                      struct emu_error *err)
{
    char line[LINE_MAX_BYTES];
    struct emu_error inner;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return emu_fail(err, "cannot read %.200s (%s); check --script and --rate-trace", path,
                        strerrordesc_np(errno));
    bool ok = true;
    for (unsigned number = 1; ok && fgets(line, sizeof line, file) != NULL; number++) {
        line[strcspn(line, "#\r\n")] = '\0';
        if (line[strspn(line, " \t")] == '\0')
            continue;
        ok = read(script, line, dir, &inner);
        if (!ok)
            (void)emu_fail(err, "%.120s:%u: %.300s", path, number, inner.text);
    }
    (void)fclose(file); /* opened for reading: nothing can be lost */
    return ok;
}

static bool grow(struct script *script, struct emu_error *err)
{
    if (script->count < script->room)
        return true;
    size_t room = script->room == 0 ? ROOM_FIRST : 2 * script->room;
    struct script_event *events =
        script->count < SCRIPT_EVENTS_MAX ? realloc(script->events, room * sizeof events[0]) : NULL;
    if (events == NULL) {
        (void)emu_fail(err, "too many events, or no memory; %u are the most", SCRIPT_EVENTS_MAX);
        return false;
    }
    script->events = events;
    script->room = room;
    return true;
}

/* Append an event after its value was tried on options that are thrown away. */
static bool add(struct script *script, uint64_t at_ns, const char *key, const char *value,
                struct emu_error *err)
{
    struct emu_options tried = {0};
    struct script_event event = {.at_ns = at_ns, .order = (uint32_t)script->count};
    if (!option_find(key, &event.option) || option_place(&event.option) == OPTION_ARGS)
        return emu_fail(err,
                        "unknown key '%.60s'; what describes the link may stand here, pause "
                        "and outage (--help)",
                        key);
    if (strlen(value) >= sizeof event.value)
        return emu_fail(err, "%.60s: the value is too long", key);
    if (!option_set(&event.option, value, &tried, err) || !grow(script, err))
        return false;
    memcpy(event.value, value, strlen(value) + 1);
    script->events[script->count++] = event;
    return true;
}

static bool outage_add(struct script *script, uint64_t at_ns, const char *value,
                       struct emu_error *err)
{
    uint64_t time_ns;
    return units_time_parse(value, err, &time_ns) && add(script, at_ns, "down", "yes", err) &&
           add(script, at_ns + time_ns, "down", "no", err);
}

static bool script_line_read(struct script *script, char *line, int dir, struct emu_error *err)
{
    (void)dir;
    uint64_t at_ns;
    char *save = NULL;
    const char *at = strtok_r(line, " \t", &save);
    const char *moment = strtok_r(NULL, " \t", &save);
    char *word = strtok_r(NULL, " \t", &save);
    if (strcmp(at, "at") != 0 || word == NULL)
        return emu_fail(err, "expected `at TIME key=value …`, such as `at 20s rate=4mbit`");
    if (!units_moment_parse(moment, err, &at_ns))
        return false;
    for (; word != NULL; word = strtok_r(NULL, " \t", &save)) {
        char *equals = strchr(word, '=');
        if (equals == NULL)
            return emu_fail(err, "'%.60s' is not key=value", word);
        *equals = '\0';
        bool ok = strcmp(word, "outage") == 0 ? outage_add(script, at_ns, equals + 1, err)
                                              : add(script, at_ns, word, equals + 1, err);
        if (!ok)
            return false;
    }
    return true;
}

static bool trace_line_read(struct script *script, char *line, int dir, struct emu_error *err)
{
    uint64_t at_ns;
    char *save = NULL;
    const char *moment = strtok_r(line, ", \t", &save);
    const char *rate = strtok_r(NULL, ", \t", &save);
    if (moment == NULL || rate == NULL || strtok_r(NULL, ", \t", &save) != NULL)
        return emu_fail(err, "expected time,rate, such as `12.5,4mbit`");
    if (!units_moment_parse(moment, err, &at_ns))
        return false;
    bool is_zero = rate[0] == '0' && strtod(rate, NULL) <= 0;
    return add(script, at_ns, dir == DIR_AB ? "rate-ab" : "rate-ba", is_zero ? "1kbit" : rate, err);
}
