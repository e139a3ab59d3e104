/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/crc32c.h – the check value of a record: CRC-32C (Castagnoli), RFC 3720 §12.1.
 *
 * It finds what disks and memory do to bytes, at memory speed; it is no defence against people,
 * that is what a chunk's digest is for.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The CRC of what `crc` already covers followed by `bytes`; start with 0. */
uint32_t crc32c_extend(uint32_t crc, const void *bytes, size_t size);
/* The same without the processor's instruction, so that both can be tested on one machine. */
uint32_t crc32c_extend_portable(uint32_t crc, const void *bytes, size_t size);
