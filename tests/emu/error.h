/* SPDX-License-Identifier: Apache-2.0 */
/* emu/error.h – the one message a failed step of the emulator leaves for the person at the screen.
 *
 * The emulator is a test tool that links nothing of the product, so it has its own, smaller
 * outcome type: functions that can fail return bool and fill `err` only when they return false.
 * A message says what failed, where, and what to do about it.
 */
#pragma once

#include <stdbool.h>

struct emu_error {
    char text[512];
};

/* Format the message and return false, so that a caller writes `return emu_fail(err, …)`. */
bool emu_fail(struct emu_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
