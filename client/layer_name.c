/* SPDX-License-Identifier: Apache-2.0 */
/* client/layer_name.c – split at the '@', each half held to its rule. */
#include "client/layer_name.h"

#include <string.h>

struct alb_status layer_name_parse(const char *text, struct layer_name *out)
{
    struct layer_name name = {.version = ""};
    size_t size = strcspn(text, "@");
    const char *version = text[size] == '@' ? text + size + 1 : NULL;

    if (size >= sizeof name.layer)
        return alb_fail(ALB_INVALID, "a layer's name is longer than 100 bytes");
    memcpy(name.layer, text, size);
    name.layer[size] = '\0';
    struct alb_status st = layer_name_check(name.layer);
    if (!alb_failed(st) && version != NULL)
        st = version_name_check(version);
    if (alb_failed(st))
        return st;
    if (version != NULL)
        memcpy(name.version, version, strlen(version) + 1);
    *out = name;
    return ALB_STATUS_OK;
}
