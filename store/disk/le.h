/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/le.h – whole numbers as little-endian bytes, where a layout is fixed.
 *
 * What has no fixed layout goes through base/pack.h.
 */
#pragma once

#include <stdint.h>

/* The low `bytes` bytes of `value`. */
static inline void le_put(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t le_get(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}
