/* SPDX-License-Identifier: Apache-2.0 */
/* config/comments.c – comments blanked before parsing.
 *
 * libconfuse 3.3 counts the line of each '#' or '//' comment three times, and the files we write
 * are mostly comments: a message with the wrong line number is worse than one without.
 */
#include "config/schema.h"

#include <string.h>

/* Behind the text in quotes that begins at `at`. */
static char *skip_quoted(char *at)
{
    const char quote = *at++;

    while (*at != '\0' && *at != quote)
        at += at[0] == '\\' && at[1] != '\0' ? 2 : 1;
    return *at == '\0' ? at : at + 1;
}

/* Blank up to `end` (which may be NULL: the text's end), line breaks excepted. */
static char *blank_until(char *at, const char *end)
{
    for (; *at != '\0' && at != end; at++)
        if (*at != '\n')
            *at = ' ';
    return at;
}

const char *comments_blank(char *text)
{
    const char *stray = NULL;
    bool in_word = false; /* https://… is no comment */

    for (char *at = text; *at != '\0';) {
        if (*at == '"' || *at == '\'') {
            at = skip_quoted(at);
            in_word = false;
        } else if (*at == '#' || (!in_word && strncmp(at, "//", 2) == 0)) {
            at = blank_until(at, strchr(at, '\n'));
        } else if (!in_word && strncmp(at, "/*", 2) == 0) {
            const char *end = strstr(at + 2, "*/");
            at = blank_until(at, end != NULL ? end + 2 : NULL);
        } else {
            in_word = strchr(" \t\r\n={},+()", *at) == NULL;
            if (*at == '\\' && stray == NULL)
                stray = at;
            at++;
        }
    }
    return stray;
}
