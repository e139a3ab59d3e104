/* SPDX-License-Identifier: Apache-2.0 */
/* net/identity.c – roles, and the URI that names a holder of a certificate. */
#include "net/identity.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/units.h"

#define SCHEME "albedo://"

static const struct {
    enum role role;
    const char *name;
} roles[] = {
    {ROLE_HUB, "hub"},           {ROLE_REFLECTOR, "reflector"},
    {ROLE_ENDPOINT, "endpoint"}, {ROLE_PUBLISHER, "publisher"},
    {ROLE_ADMIN, "admin"},
};

const char *role_name(enum role role)
{
    for (size_t i = 0; i < ALB_COUNT(roles); i++)
        if (roles[i].role == role)
            return roles[i].name;
    return "none";
}

struct alb_status role_parse(const char *word, enum role *out)
{
    for (size_t i = 0; i < ALB_COUNT(roles); i++) {
        if (strcmp(roles[i].name, word) == 0) {
            *out = roles[i].role;
            return ALB_STATUS_OK;
        }
    }
    return alb_fail(ALB_INVALID,
                    "the role: it is one of hub, reflector, endpoint, publisher, admin");
}

/* Copies the text before the next '/' (or the end when it is the last part) and returns what
 * follows; NULL when there is no such part or it does not fit. */
static const char *take_part(const char *at, bool is_last, char out[ID_SIZE])
{
    size_t length = strcspn(at, "/");

    if (length >= ID_SIZE || (at[length] == '\0') != is_last)
        return NULL;
    memcpy(out, at, length);
    out[length] = '\0';
    return is_last ? at + length : at + length + 1;
}

struct alb_status identity_parse_uri(const char *uri, struct identity *out)
{
    char org[ID_SIZE];
    char role_word[ID_SIZE];
    char device[ID_SIZE];
    enum role role = ROLE_NONE;

    if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0)
        return alb_fail(ALB_INVALID, "the identity: it does not begin with albedo://");
    const char *at = take_part(uri + strlen(SCHEME), false, org);
    if (at != NULL)
        at = take_part(at, false, role_word);
    if (at == NULL || take_part(at, true, device) == NULL)
        return alb_fail(ALB_INVALID, "the identity: it is not albedo://ORG/ROLE/DEVICE");
    if (alb_failed(id_check(org)))
        return alb_fail(ALB_INVALID, "the identity: its organisation is no valid name");
    if (alb_failed(id_check(device)))
        return alb_fail(ALB_INVALID, "the identity: its device is no valid name");
    if (alb_failed(role_parse(role_word, &role)))
        return alb_fail(ALB_INVALID, "the identity: its role is unknown");

    out->role = role;
    memcpy(out->org, org, sizeof(org));
    memcpy(out->device, device, sizeof(device));
    return ALB_STATUS_OK;
}

void identity_format_uri(const struct identity *id, char *out, unsigned long size)
{
    int length = snprintf(out, size, SCHEME "%s/%s/%s", id->org, role_name(id->role), id->device);

    alb_assert(length > 0 && (unsigned long)length < size);
}
