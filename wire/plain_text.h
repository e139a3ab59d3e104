/* SPDX-License-Identifier: Apache-2.0 */
/* wire/plain_text.h – texts of others that are shown to people: a line of its own, or refused. */
#pragma once

#include <stdbool.h>

/* Without control characters, a line's end among them; "" is plain. */
bool plain_text_is(const char *text);
