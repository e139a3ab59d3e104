/* SPDX-License-Identifier: Apache-2.0 */
/* client/output.h – everything `albedo` prints: answers, notes, errors, log lines, JSON events.
 *
 * Answers go to standard output, everything else to standard error, so that `$(albedo token create
 * …)` holds the token and nothing more.  With --json, standard output carries one JSON document per
 * line and no prose; an error is then both: a line on standard error and an event on standard
 * output.
 *
 * Every error says what failed, where, and what to do; output_fail() turns its code into the
 * program's exit code, so a command ends with `return output_fail(…)`.
 */
#pragma once

#include <pthread.h>
#include <stdio.h>

#include "base/log.h"
#include "base/status.h"
#include "wire/json.h"

/* Documented in `albedo --help`; scripts rely on them. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,        /* none of the others                              */
    EXIT_USAGE = 2,         /* what was typed makes no sense                   */
    EXIT_REFUSED = 3,       /* a policy, a signature or the other side said no */
    EXIT_NOT_FOUND = 4,     /* no such layer, version, device, state           */
    EXIT_UNREACHABLE = 5,   /* the hub or reflector cannot be reached in time  */
    EXIT_FULL = 6,          /* no space here, or a limit there                 */
    EXIT_DAMAGED = 7,       /* bytes are not what they should be               */
    EXIT_INTERRUPTED = 130, /* Ctrl-C or SIGTERM; the same command goes on     */
};

enum exit_code exit_code_of(enum alb_code code);
/* "unreachable", …: for help and JSON. */
const char *exit_code_text(enum exit_code code);

struct output {
    FILE *out, *err;      /* borrowed */
    bool json;            /* --json */
    bool verbose;         /* --verbose: the log in full                                */
    bool holds_warnings;  /* an error in words follows: warnings would say it twice    */
    bool err_is_terminal; /* progress may move the cursor                              */
    size_t bar_width;     /* columns of the progress bar that now ends standard error  */
    pthread_mutex_t lock; /* log lines come from workers too                           */
    char last_error[256]; /* what output_fail() and the like said last, cut to this     */
};

void output_init(struct output *o, FILE *out, FILE *err);
void output_release(struct output *o);

/* A log_sink (base/log.h); `arg` is the output. */
void output_log(void *arg, enum log_level level, const char *line);

/* A line of the answer; nothing with --json. */
void output_say(struct output *o, const char *format, ...) ALB_PRINTF(2, 3);
/* A line of explanation on standard error; nothing with --json. */
void output_note(struct output *o, const char *format, ...) ALB_PRINTF(2, 3);
/* Finish the document and print it as one line on standard output. */
void output_json(struct output *o, struct json_writer *w);
/* The same for a document that is text already. */
void output_json_text(struct output *o, const void *text, size_t size);
/* Redraw the bar: `text` replaces what ends standard error; NULL takes it away. */
void output_bar(struct output *o, const char *text);

/* "albedo: TEXT" and the exit code for `code`. */
enum exit_code output_fail(struct output *o, enum alb_code code, const char *format, ...)
    ALB_PRINTF(3, 4);
/* "albedo: TEXT: what the status says". */
enum exit_code output_fail_status(struct output *o, struct alb_status st, const char *format, ...)
    ALB_PRINTF(3, 4);
/* The same for EXIT_INTERRUPTED. */
enum exit_code output_interrupted(struct output *o, const char *format, ...) ALB_PRINTF(2, 3);
/* Whoever interrupts twice does not want to wait: ends the process here.  Only for moments at which
 * a power cut would do no harm either. */
_Noreturn void output_quit(struct output *o);
/* Flush; a full disk or a closed pipe behind standard output is an error too. */
enum exit_code output_finish(struct output *o, enum exit_code code);
