/* SPDX-License-Identifier: Apache-2.0 */
/* image/scan_array.h – room for one more in a heap array that grows with the tree. */
#pragma once

#include <stdint.h>

#include "base/alloc.h"

/* The array, moved or not, with room for at least `count` + 1 elements of `size` bytes; NULL (and
 * the old one untouched) when there is no memory. */
static inline void *array_room(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return array;
    size_t more = *capacity == 0 ? 16 : 2 * *capacity;
    if (more > SIZE_MAX / size)
        return NULL;
    void *grown = try_realloc(array, more * size);
    if (grown != NULL)
        *capacity = more;
    return grown;
}
