/* SPDX-License-Identifier: Apache-2.0 */
/* store/catalogue.c – what every catalogue refuses, whatever it keeps its records in. */

#include "store/catalogue.h"

struct alb_status catalogue_check(const char *name, size_t value_size)
{
    size_t length = strlen(name);
    if (length == 0 || length > CATALOGUE_NAME_MAX)
        return alb_fail(ALB_INVALID, "catalogue: a record's name has 1 to 255 bytes");
    if (value_size > CATALOGUE_VALUE_MAX)
        return alb_fail(ALB_INVALID, "catalogue: a record's value has at most 1 MiB");
    return ALB_STATUS_OK;
}
