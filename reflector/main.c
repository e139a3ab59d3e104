/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/main.c – `albedo-reflector`: one of three commands, and where log lines go. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/units.h"
#include "reflector/command.h"

/* One write per line, so that lines of several threads never mix. */
static void log_to_stderr(void *arg, enum log_level level, const char *line)
{
    char time_text[UNITS_TEXT_SIZE], text[LOG_LINE_SIZE + 64];
    int size = snprintf(text, sizeof text, "time=%s level=%s %s\n",
                        format_time(time(NULL), time_text), log_level_name(level), line);

    (void)arg;
    if (size > 0 && write(STDERR_FILENO, text, (size_t)size) < 0)
        return; /* nobody reads the log: nobody to tell */
}

static int run(const struct reflector_command *c)
{
    switch (c->verb) {
    case REFLECTOR_HELP: reflector_help(); return 0;
    case REFLECTOR_VERSION: puts("albedo-reflector " ALB_VERSION); return 0;
    case REFLECTOR_INIT: return reflector_init_run(c);
    case REFLECTOR_WOULD_LOSE: return reflector_would_lose_run(c);
    case REFLECTOR_SERVE: return reflector_serve_run(c, log_to_stderr);
    }
    alb_unreachable();
}

int main(int argc, char **argv)
{
    struct reflector_command command = {.verb = REFLECTOR_HELP};

    signal(SIGPIPE, SIG_IGN);
    log_install(log_to_stderr, NULL, LOG_ERROR);
    int code = reflector_command_parse(argc, argv, &command);
    if (code == 0)
        code = run(&command);
    if (code == 0 && fflush(stdout) != 0 && errno != EPIPE) /* else nobody wants more of it */
        code = reflector_fail(ALB_IO, "standard output cannot be written");
    return code;
}
