/* SPDX-License-Identifier: Apache-2.0 */
/* net/identity.h – who is on the other side: albedo://ORG/ROLE/DEVICE from a verified certificate.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { ID_SIZE = 64, SERIAL_HEX_SIZE = 41 };

/* One bit each: a route's row is a mask of them. */
enum role {
    ROLE_NONE = 1 << 0, /* no certificate: may only enrol */
    ROLE_HUB = 1 << 1,
    ROLE_REFLECTOR = 1 << 2,
    ROLE_ENDPOINT = 1 << 3,
    ROLE_PUBLISHER = 1 << 4,
    ROLE_ADMIN = 1 << 5,
};

struct identity {
    enum role role;
    char org[ID_SIZE];
    char device[ID_SIZE];
    char serial[SERIAL_HEX_SIZE]; /* certificate serial, lower-case hex */
    int64_t expires_wall_s;
};

const char *role_name(enum role role);
ALB_MUST_USE struct alb_status role_parse(const char *word, enum role *out);
/* "albedo://ORG/ROLE/DEVICE"; INVALID with what is wrong.  serial and expiry are left alone. */
ALB_MUST_USE struct alb_status identity_parse_uri(const char *uri, struct identity *out);
void identity_format_uri(const struct identity *id, char *out, unsigned long size);
