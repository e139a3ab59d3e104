/* SPDX-License-Identifier: Apache-2.0 */
/* hub/bearer.c – made once, kept hashed, compared in constant time. */
#include "hub/bearer.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "hub/hub_impl.h"
#include "wire/token.h"

enum { SECRET_SIZE = 32 };

void bearer_hash(const char *token, struct digest *out)
{
    static const char domain[] = "albedo admin bearer 1\n";
    struct hasher *h = hasher_new();

    hasher_add(h, domain, sizeof domain - 1);
    hasher_add(h, token, strlen(token));
    hasher_finish(h, out);
    hasher_free(h);
}

struct alb_status bearer_make(struct catalogue *c, char out[BEARER_TEXT_SIZE])
{
    static const char prefix[] = "albadm_";
    char name[CATALOGUE_NAME_MAX + 1], hex[DIGEST_HEX_SIZE], text[BEARER_TEXT_SIZE];
    uint8_t secret[SECRET_SIZE];
    struct digest hash;

    random_bytes(secret, sizeof secret);
    memcpy(text, prefix, sizeof prefix);
    base64url_encode(secret, sizeof secret, text + sizeof prefix - 1);
    wipe(secret, sizeof secret);
    bearer_hash(text, &hash);
    snprintf(name, sizeof name, "bearer/%s", digest_hex(&hash, hex));
    struct alb_status st = ledger_write(c, name, CATALOGUE_ANY, "1", 1);
    if (!alb_failed(st))
        memcpy(out, text, sizeof text);
    return st;
}

static bool note(void *arg, const char *name, const void *value, size_t size, uint64_t version)
{
    struct hub *h = arg;
    struct digest hash;

    (void)value;
    (void)size;
    (void)version;
    if (alb_failed(digest_parse(name + strlen("bearer/"), &hash))) {
        log_event(LOG_WARN, "bearer.ignored", "name=%s", name);
        return true;
    }
    h->bearers = xrealloc(h->bearers, (h->bearer_count + 1) * sizeof *h->bearers);
    h->bearers[h->bearer_count++] = hash;
    return true;
}

struct alb_status hub_load_bearers(struct hub *h)
{
    return catalogue_list(h->options.catalogue, "bearer/", note, h);
}

bool hub_bearer_is_right(void *hub, const char *token)
{
    const struct hub *h = hub;
    struct digest hash;
    bool is_right = false;

    bearer_hash(token, &hash);
    for (size_t i = 0; i < h->bearer_count; i++)
        is_right |= bytes_same_secret(&h->bearers[i], &hash, sizeof hash);
    return is_right;
}
