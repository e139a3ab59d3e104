/* SPDX-License-Identifier: Apache-2.0 */
/* client/output.c – standard output and standard error, and the bar at the end of the latter. */
#include "client/output.h"

#include <poll.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/alloc.h"

enum { DOCUMENT_MAX = 64 << 20 };

static const char *const exit_texts[] = {
    [EXIT_DONE] = "done",
    [EXIT_FAILED] = "failed",
    [EXIT_USAGE] = "wrong usage",
    [EXIT_REFUSED] = "refused",
    [EXIT_NOT_FOUND] = "not found",
    [EXIT_UNREACHABLE] = "unreachable or timed out",
    [EXIT_FULL] = "no space, or a limit reached",
    [EXIT_DAMAGED] = "damaged",
};

enum exit_code exit_code_of(enum alb_code code)
{
    switch (code) {
    case ALB_OK: return EXIT_DONE;
    case ALB_NOT_FOUND: return EXIT_NOT_FOUND;
    case ALB_FULL: return EXIT_FULL;
    case ALB_CORRUPT: return EXIT_DAMAGED;
    case ALB_REFUSED: return EXIT_REFUSED;
    case ALB_TIMEOUT:
    case ALB_CLOSED: return EXIT_UNREACHABLE;
    case ALB_INVALID: return EXIT_USAGE;
    case ALB_IO:
    case ALB_CONFLICT:
    case ALB_UNKNOWN:
    case ALB_BUG: return EXIT_FAILED;
    }
    alb_unreachable();
}

const char *exit_code_text(enum exit_code code)
{
    if (code == EXIT_INTERRUPTED)
        return "interrupted; run it again and it goes on";
    return exit_texts[code];
}

void output_init(struct output *o, FILE *out, FILE *err)
{
    *o = (struct output){.out = out, .err = err, .err_is_terminal = isatty(fileno(err)) == 1};
    alb_assert(pthread_mutex_init(&o->lock, NULL) == 0);
}

void output_release(struct output *o)
{
    pthread_mutex_destroy(&o->lock);
}

/* ---- standard error: lines, and the bar that stands below them ---- */

static void bar_erase(struct output *o)
{
    if (o->bar_width > 0)
        fputs("\r\033[K", o->err);
    o->bar_width = 0;
}

void output_bar(struct output *o, const char *text)
{
    pthread_mutex_lock(&o->lock);
    bar_erase(o);
    if (text != NULL) {
        fputs(text, o->err);
        o->bar_width = strlen(text);
    }
    fflush(o->err);
    pthread_mutex_unlock(&o->lock);
}

/* Lines of standard output go through here too, so that a bar never shares a line with one. */
static void print_line(struct output *o, FILE *to, const char *before, const char *text)
{
    pthread_mutex_lock(&o->lock);
    bar_erase(o);
    fprintf(to, "%s%s\n", before, text);
    fflush(to);
    pthread_mutex_unlock(&o->lock);
}

void output_log(void *arg, enum log_level level, const char *line)
{
    static const char lag[] = "event=loop.lag "; /* is for whoever runs a daemon */
    struct output *o = arg;

    if (!o->verbose && strncmp(line, lag, sizeof lag - 1) == 0)
        return;
    if (o->holds_warnings && !o->verbose && level < LOG_ERROR)
        return;
    print_line(o, o->err, "", line);
}

static void ALB_PRINTF(3, 0)
    print_format(struct output *o, FILE *to, const char *format, va_list args)
{
    char *text = NULL;

    alb_assert(vasprintf(&text, format, args) >= 0);
    print_line(o, to, "", text);
    free(text);
}

void output_say(struct output *o, const char *format, ...)
{
    va_list args;

    if (o->json)
        return;
    va_start(args, format);
    print_format(o, o->out, format, args);
    va_end(args);
}

void output_note(struct output *o, const char *format, ...)
{
    va_list args;

    if (o->json)
        return;
    va_start(args, format);
    print_format(o, o->err, format, args);
    va_end(args);
}

/* ---- JSON ---- */

void output_json_text(struct output *o, const void *text, size_t size)
{
    pthread_mutex_lock(&o->lock);
    bar_erase(o);
    fwrite(text, 1, size, o->out);
    fputc('\n', o->out);
    fflush(o->out);
    pthread_mutex_unlock(&o->lock);
}

void output_json(struct output *o, struct json_writer *w)
{
    struct buf text;

    buf_init(&text, DOCUMENT_MAX);
    struct alb_status st = json_writer_finish(w, &text);
    if (alb_failed(st))
        log_status(LOG_ERROR, "output.json", st, "document=dropped");
    else
        output_json_text(o, buf_peek(&text), buf_size(&text));
    buf_release(&text);
}

/* ---- errors ---- */

static enum exit_code fail(struct output *o, enum exit_code exit_code, const char *code,
                           const char *text)
{
    print_line(o, o->err, "albedo: ", text);
    snprintf(o->last_error, sizeof o->last_error, "%s", text);
    if (!o->json)
        return exit_code;
    struct json_writer *w = json_writer_new();
    json_object_begin(w, NULL);
    json_text(w, "event", "error");
    json_text(w, "code", code);
    json_number(w, "exit", exit_code);
    json_text(w, "message", text);
    json_end(w);
    output_json(o, w);
    return exit_code;
}

enum exit_code output_fail(struct output *o, enum alb_code code, const char *format, ...)
{
    AUTO_FREE char *text = NULL;
    va_list args;

    va_start(args, format);
    alb_assert(vasprintf(&text, format, args) >= 0);
    va_end(args);
    return fail(o, exit_code_of(code), alb_code_name(code), text);
}

enum exit_code output_interrupted(struct output *o, const char *format, ...)
{
    AUTO_FREE char *text = NULL;
    va_list args;

    va_start(args, format);
    alb_assert(vasprintf(&text, format, args) >= 0);
    va_end(args);
    return fail(o, EXIT_INTERRUPTED, "interrupted", text);
}

void output_quit(struct output *o)
{
    (void)output_interrupted(o, "stopped at once; the same command goes on from here");
    _exit(EXIT_INTERRUPTED);
}

enum exit_code output_fail_status(struct output *o, struct alb_status st, const char *format, ...)
{
    AUTO_FREE char *before = NULL;
    char why[256];
    va_list args;

    va_start(args, format);
    alb_assert(vasprintf(&before, format, args) >= 0);
    va_end(args);
    AUTO_FREE char *text = xasprintf("%s: %s", before, alb_status_text(st, why, sizeof why));
    return fail(o, exit_code_of(st.code), alb_code_name(st.code), text);
}

/* Whoever reads a pipe may stop when it has seen enough, as `head` does. */
static bool reader_left(const struct output *o)
{
    struct pollfd out = {.fd = fileno(o->out), .events = POLLOUT};

    return poll(&out, 1, 0) > 0 && (out.revents & POLLERR) != 0;
}

enum exit_code output_finish(struct output *o, enum exit_code code)
{
    output_bar(o, NULL);
    if ((fflush(o->out) == 0 && !ferror(o->out)) || reader_left(o))
        return code;
    print_line(o, o->err, "albedo: ", "standard output: what was printed could not all be written");
    return code == EXIT_DONE ? EXIT_FAILED : code;
}
