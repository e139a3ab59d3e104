/* SPDX-License-Identifier: Apache-2.0 */
/* emu/error.c – formats the message of a failed step. */
#include "emu/error.h"

#include <stdarg.h>
#include <stdio.h>

bool emu_fail(struct emu_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (vsnprintf(err->text, sizeof err->text, format, args) < 0)
        err->text[0] = '\0';
    va_end(args);
    return false;
}
