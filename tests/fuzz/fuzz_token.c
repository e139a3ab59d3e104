/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_token.c – any text is no token, or one that is written again alike. */
/* LINKS: wire base */
#include "base/alloc.h"
#include "fuzz/target.h"
#include "wire/routes.h"
#include "wire/token.h"

const struct fuzz_bound fuzz_bound = {.fixed = 16 << 10, .per_byte = 16};

void fuzz_one(const uint8_t *bytes, size_t size)
{
    AUTO_FREE char *text = xstrndup((const char *)bytes, size);
    AUTO_FREE uint8_t *raw = xalloc(size);
    AUTO_FREE char *again = xalloc(2 * size + 8);
    char written[TOKEN_TEXT_SIZE];
    const char *rest;
    struct token t;
    size_t raw_size;

    if (!alb_failed(token_parse(text, &t))) {
        token_format(&t, written);
        alb_assert(strcmp(written, text) == 0);
    }
    if (!alb_failed(base64url_decode(text, raw, size, &raw_size))) {
        base64url_encode(raw, raw_size, again);
        alb_assert(strcmp(again, text) == 0);
    }
    if (route_find(PORT_TREE | PORT_ADMIN, "GET", text, &rest) != NULL)
        alb_assert(rest[0] == '\0' || (rest > text && rest < text + strlen(text)));
}
