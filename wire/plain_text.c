/* SPDX-License-Identifier: Apache-2.0 */
/* wire/plain_text.c – is a text one line that harms no terminal? */
#include "wire/plain_text.h"

bool plain_text_is(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
    return true;
}
