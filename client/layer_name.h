/* SPDX-License-Identifier: Apache-2.0 */
/* client/layer_name.h – LAYER and LAYER@VERSION as people type them. */
#pragma once

#include "base/units.h"

struct layer_name {
    char layer[NAME_MAX_SIZE];
    char version[NAME_MAX_SIZE]; /* "" when there was no '@' */
};

/* INVALID with the rule that is broken. */
ALB_MUST_USE struct alb_status layer_name_parse(const char *text, struct layer_name *out);
