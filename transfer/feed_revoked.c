/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/feed_revoked.c – a signed list in a line of text, and back. */
#include "transfer/feed_revoked.h"

#include <stdio.h>
#include <string.h>

#include "wire/token.h"

static const char word[] = "revoked";

void feed_say_revoked(struct feed *f, const struct authority *a)
{
    char line[FEED_LINE_MAX];
    struct buf list;

    buf_init(&list, SIGNED_MAX);
    snprintf(line, sizeof line, "%s", word);
    if (!alb_failed(authority_revocation_bytes(a, &list)) && buf_size(&list) <= FEED_REVOKED_MAX) {
        line[sizeof word - 1] = ' ';
        base64url_encode(buf_peek(&list), buf_size(&list), line + sizeof word);
    }
    buf_release(&list);
    feed_say(f, line);
}

bool feed_hear_revoked(struct authority *a, const char *line)
{
    uint8_t list[FEED_REVOKED_MAX];
    size_t size = 0;

    if (strncmp(line, word, sizeof word - 1) != 0)
        return false;
    if (line[sizeof word - 1] != '\0' && line[sizeof word - 1] != ' ')
        return false;
    if (line[sizeof word - 1] == '\0' ||
        alb_failed(base64url_decode(line + sizeof word, list, sizeof list, &size)))
        authority_refresh(a);
    else
        authority_offer_revocations(a, list, size);
    return true;
}
