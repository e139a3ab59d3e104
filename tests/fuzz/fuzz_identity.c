/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_identity.c – a URI from a certificate: refused, or the same again when written. */
/* LINKS: net base */
#include "fuzz/target.h"
#include "net/identity.h"

#include <stdlib.h>
#include <string.h>

const struct fuzz_bound fuzz_bound = {.fixed = 4 << 10, .per_byte = 4};

void fuzz_one(const uint8_t *bytes, size_t size)
{
    char *uri = malloc(size + 1);
    char again[256];
    struct identity id;

    if (uri == NULL)
        abort();
    if (size > 0)
        memcpy(uri, bytes, size);
    uri[size] = '\0';
    if (!alb_failed(identity_parse_uri(uri, &id))) {
        identity_format_uri(&id, again, sizeof(again));
        if (strcmp(uri, again) != 0)
            abort();
    }
    free(uri);
}
