/* SPDX-License-Identifier: Apache-2.0 */
/* crash/expect.c – the lines of what was acknowledged, and saying what is wrong. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "crash/drive.h"

enum { LINE_MOST = 512 };

void expect_say(const char *work, const char *format, ...)
{
    AUTO_FREE char *path = path_join(work, "expect");
    char line[LINE_MOST];
    va_list more;

    va_start(more, format);
    int size = vsnprintf(line, sizeof line - 1, format, more);
    va_end(more);
    line[size++] = '\n';
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    /* One write, so whole or not at all; the machine that keeps it does not lose power. */
    if (fd < 0 || write(fd, line, (size_t)size) != size)
        abort();
    close(fd);
}

void expect_read(const char *work, void (*fn)(void *arg, const char *line), void *arg)
{
    AUTO_FREE char *path = path_join(work, "expect");
    char line[LINE_MOST];
    FILE *file = fopen(path, "re");

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        fn(arg, line);
    }
    if (file != NULL)
        fclose(file);
}

bool crash_bug(const char *format, ...)
{
    va_list more;

    fputs("BUG: ", stderr);
    va_start(more, format);
    vfprintf(stderr, format, more);
    va_end(more);
    fputc('\n', stderr);
    return false;
}

bool crash_ok(struct alb_status st, const char *doing)
{
    char text[256];

    return !alb_failed(st) || crash_bug("%s: %s", doing, alb_status_text(st, text, sizeof text));
}
