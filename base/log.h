/* SPDX-License-Identifier: Apache-2.0 */
/* base/log.h – one line per event: `event=want.done chunk=… ms=12`.
 *
 * The sink is given once by `main` (or a test) before anything logs; without one, lines go nowhere.
 * The sink is the only shared object in base/ and serialises itself.  INFO must be readable by an
 * operator who never saw the code; DEBUG traces states.  Values with blanks, quotes or control
 * bytes are quoted by log_event(), so one event is always one line.
 *
 *     log_event(LOG_INFO, "upstream.lost", "host=%s retry_ms=%u", host, delay);
 *
 * The format is key=value pairs; quote a text value that may hold anything with LOG_TEXT / %s:
 *
 *     char text[LOG_TEXT_SIZE];
 *     log_event(LOG_WARN, "config.bad", "why=%s", log_text(why, text));
 */
#pragma once

#include "base/status.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum { LOG_LINE_SIZE = 1024, LOG_TEXT_SIZE = 512 };

/* Writes one finished line (no newline) somewhere; must be safe from any thread. */
typedef void (*log_sink)(void *arg, enum log_level level, const char *line);

void log_install(log_sink sink, void *arg, enum log_level least);
bool log_wants(enum log_level level);
void log_event(enum log_level level, const char *event, const char *format, ...) ALB_PRINTF(3, 4);
/* `text` quoted when it needs to be, cut to LOG_TEXT_SIZE.  Returns `out`. */
const char *log_text(const char *text, char *out);
/* event=… what="…" code=… and errno text: the one way a status is logged. */
void log_status(enum log_level level, const char *event, struct alb_status st, const char *format,
                ...) ALB_PRINTF(4, 5);
ALB_MUST_USE struct alb_status log_level_parse(const char *word, enum log_level *out);
const char *log_level_name(enum log_level level);
