/* SPDX-License-Identifier: Apache-2.0 */
/* wire/arrivals.c – a line of text, and a batch request behind it. */
#include "wire/arrivals.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

enum { LINE_MOST = 64 };
static const char WORD[] = "arrivals ";
#define NO_LINE "an answer does not begin with \"arrivals NEXT LOST\""

struct alb_status arrivals_encode(const struct arrivals_answer *a, struct buf *out)
{
    char line[LINE_MOST];
    const int size = snprintf(line, sizeof line, "%s%" PRIu64 " %d\n", WORD, a->next, a->has_lost);
    struct alb_status st = buf_append(out, line, (size_t)size);

    if (!alb_failed(st) && a->has_some)
        st = batch_request_encode(&a->came, out);
    return st;
}

struct alb_status arrivals_decode(const void *bytes, size_t size, struct arrivals_answer *out)
{
    const char *end =
        size > 0 ? memchr(bytes, '\n', size < LINE_MOST ? size : LINE_MOST - 1) : NULL;
    char line[LINE_MOST];
    uint64_t next;

    if (end == NULL)
        return alb_fail(ALB_INVALID, NO_LINE);
    const size_t used = (size_t)(end - (const char *)bytes);
    memcpy(line, bytes, used);
    line[used] = '\0';
    char *lost = strrchr(line, ' ');
    if (used < sizeof WORD || memcmp(line, WORD, sizeof WORD - 1) != 0 || lost == NULL)
        return alb_fail(ALB_INVALID, NO_LINE);
    *lost++ = '\0';
    if ((strcmp(lost, "0") != 0 && strcmp(lost, "1") != 0) || strlen(line) < sizeof WORD ||
        alb_failed(parse_u64(line + sizeof WORD - 1, UINT64_MAX, &next)))
        return alb_fail(ALB_INVALID, "the numbers of an answer with arrivals are none");
    const bool has_some = used + 1 < size;
    if (has_some) {
        struct alb_status st =
            batch_request_decode((const uint8_t *)bytes + used + 1, size - used - 1, &out->came);
        if (alb_failed(st))
            return st;
    }
    out->next = next;
    out->has_lost = lost[0] == '1';
    out->has_some = has_some;
    return ALB_STATUS_OK;
}
