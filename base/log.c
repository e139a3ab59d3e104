/* SPDX-License-Identifier: Apache-2.0 */
/* base/log.c – one event, one line, through the one sink of the program. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Written once by main() before threads exist, only read afterwards. */
static struct {
    log_sink sink;
    void *arg;
    enum log_level least;
} logger;

/* A line being put together; what does not fit is dropped and marked at the end. */
struct line {
    char text[LOG_LINE_SIZE];
    size_t size;
    bool cut;
};

static void ALB_PRINTF(2, 0) line_add(struct line *line, const char *format, va_list args)
{
    size_t room = sizeof line->text - line->size;
    int n = vsnprintf(line->text + line->size, room, format, args);

    if (n < 0)
        return;
    if ((size_t)n < room) {
        line->size += (size_t)n;
        return;
    }
    line->size = sizeof line->text - 1;
    line->cut = true;
}

static void ALB_PRINTF(2, 3) line_printf(struct line *line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    line_add(line, format, args);
    va_end(args);
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

/* Values that did not go through log_text() must not break the line or drive a terminal. */
static void line_send(struct line *line, enum log_level level)
{
    for (size_t i = 0; i < line->size; i++)
        if (is_control(line->text[i]))
            line->text[i] = '?';
    if (line->cut)
        memcpy(line->text + sizeof line->text - 4, "...", 4);
    logger.sink(logger.arg, level, line->text);
}

static void ALB_PRINTF(3, 0)
    line_begin(struct line *line, const char *event, const char *format, va_list args)
{
    line->size = 0;
    line->cut = false;
    line_printf(line, "event=%s", event);
    if (format == NULL || format[0] == '\0')
        return;
    line_printf(line, " ");
    line_add(line, format, args);
}

void log_install(log_sink sink, void *arg, enum log_level least)
{
    logger.sink = sink;
    logger.arg = arg;
    logger.least = least;
}

bool log_wants(enum log_level level)
{
    return logger.sink != NULL && level >= logger.least;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    struct line line;
    va_list args;

    if (!log_wants(level))
        return;
    va_start(args, format);
    line_begin(&line, event, format, args);
    va_end(args);
    line_send(&line, level);
}

void log_status(enum log_level level, const char *event, struct alb_status st, const char *format,
                ...)
{
    struct line line;
    char what[LOG_TEXT_SIZE];
    char text[LOG_TEXT_SIZE];
    va_list args;

    if (!log_wants(level))
        return;
    va_start(args, format);
    line_begin(&line, event, format, args);
    va_end(args);
    line_printf(
        &line, " what=%s",
        log_text(alb_status_text((struct alb_status){st.code, 0, st.what}, what, sizeof what),
                 text));
    line_printf(&line, " code=%s", log_text(alb_code_name(st.code), text));
    if (st.sys != 0)
        line_printf(&line, " errno=%s", log_text(strerror_r(st.sys, what, sizeof what), text));
    line_send(&line, level);
}

static bool is_bare(const char *text)
{
    if (text[0] == '\0' || strlen(text) >= LOG_TEXT_SIZE)
        return false;
    for (; *text != '\0'; text++)
        if (is_control(*text) || strchr(" \"\\=", *text) != NULL)
            return false;
    return true;
}

/* How one byte is spelled between quotes; returns the length, at most 4. */
static size_t spell(char c, char out[5])
{
    int n;

    if (c == '\n')
        n = snprintf(out, 5, "\\n");
    else if (is_control(c))
        n = snprintf(out, 5, "\\x%02x", (unsigned char)c);
    else if (c == '"' || c == '\\')
        n = snprintf(out, 5, "\\%c", c);
    else
        n = snprintf(out, 5, "%c", c);
    return (size_t)n;
}

const char *log_text(const char *text, char *out)
{
    char one[5];
    size_t at = 0;

    if (is_bare(text)) {
        memcpy(out, text, strlen(text) + 1);
        return out;
    }
    out[at++] = '"';
    for (; *text != '\0'; text++) {
        size_t n = spell(*text, one);

        if (at + n + 2 > LOG_TEXT_SIZE)
            break;
        memcpy(out + at, one, n);
        at += n;
    }
    out[at++] = '"';
    out[at] = '\0';
    return out;
}

const char *log_level_name(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG: return "debug";
    case LOG_INFO: return "info";
    case LOG_WARN: return "warn";
    case LOG_ERROR: return "error";
    }
    alb_unreachable();
}

struct alb_status log_level_parse(const char *word, enum log_level *out)
{
    static const enum log_level levels[] = {LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR};

    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (strcmp(word, log_level_name(levels[i])) == 0) {
            *out = levels[i];
            return ALB_STATUS_OK;
        }
    return alb_fail(ALB_INVALID, "unknown log level (use debug, info, warn or error)");
}
