/* SPDX-License-Identifier: Apache-2.0 */
/* hub/device.h – the catalogue's records of tokens and devices: "token/ID" and "device/NAME", JSON.
 *
 * Calls block.
 */
#pragma once

#include "net/identity.h"
#include "store/catalogue.h"
#include "wire/json.h"

enum {
    LAYERS_TEXT_SIZE = 1024,
    CERTIFICATE_SIZE = 4 << 10,
    ROLE_TEXT_SIZE = 16,
    KEY_HEX_SIZE = 65,
    WITHDRAWN_SIZE = 192,
    OLDER_MAX = 4, /* one is usual, two on the day of a renewal */
};

/* A certificate that was renewed and is believed until it expires. */
struct older_certificate {
    char serial[SERIAL_HEX_SIZE];
    int64_t expires_wall_s;
};

struct device_record {
    char device[JSON_NAME], role[ROLE_TEXT_SIZE], site[JSON_NAME];
    char serial[SERIAL_HEX_SIZE];
    char key[KEY_HEX_SIZE]; /* SHA-256 of the certificate's public key; "" when admitted by hand */
    char token[16];         /* ID of the token it joined with */
    char layers[LAYERS_TEXT_SIZE]; /* prefixes its grant covers, comma-separated; "": all */
    int64_t issued_wall_s, expires_wall_s;
    struct older_certificate older[OLDER_MAX];
    size_t older_count;
    bool is_revoked;
    char certificate[CERTIFICATE_SIZE]; /* PEM, so that a lost answer can be given again */
};

/* `swap_version` may be NULL.  NOT_FOUND; CORRUPT. */
ALB_MUST_USE struct alb_status device_read(struct catalogue *c, const char *device,
                                           struct device_record *out, uint64_t *swap_version);
ALB_MUST_USE struct alb_status device_write(struct catalogue *c, const struct device_record *d,
                                            uint64_t expected);
ALB_MUST_USE struct alb_status device_decode(const void *value, size_t size,
                                             struct device_record *out);
/* As members of an open object. */
void device_show(const struct device_record *d, struct json_writer *w);

struct token_record {
    char id[16];
    char hash[KEY_HEX_SIZE]; /* of the secret: wire/token.h */
    char role[ROLE_TEXT_SIZE], site[JSON_NAME], name[JSON_NAME];
    char layers[LAYERS_TEXT_SIZE];
    uint64_t uses; /* left */
    /* Whose the last use was, so that a hub that died right then asks no second one of them. */
    char last_key[KEY_HEX_SIZE], last_device[JSON_NAME];
    char withdrawn[WITHDRAWN_SIZE]; /* why nobody joins with it any more; "": it is good */
    int64_t expires_wall_s;
};

ALB_MUST_USE struct alb_status token_record_read(struct catalogue *c, const char *id,
                                                 struct token_record *out, uint64_t *swap_version);
/* Of a value as the catalogue lists them; `id` is left empty.  CORRUPT. */
ALB_MUST_USE struct alb_status token_record_decode(const void *value, size_t size,
                                                   struct token_record *out);
ALB_MUST_USE struct alb_status token_record_write(struct catalogue *c, const struct token_record *t,
                                                  uint64_t expected);

/* "base,app/editor" → each prefix once, blanks around it dropped.  INVALID: one is no layer prefix,
 * or more than `max`.  "" is one empty prefix: everything. */
ALB_MUST_USE struct alb_status layers_split(const char *text, size_t max,
                                            char (*out)[NAME_MAX_SIZE], size_t *count);
