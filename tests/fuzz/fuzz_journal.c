/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_journal.c – any bytes are no journal, or one that is written again alike.
 *
 * A record's CRC would stop a fuzzer at the door, so the input is also given with each put right.
 */
/* LINKS: image chunk wire base */
#include "base/alloc.h"
#include "fuzz/target.h"
#include "image/journal.h"

enum { HEAD_SIZE = 12, OVERHEAD = 8 }; /* magic and version; size and CRC of a record */

const struct fuzz_bound fuzz_bound = {.fixed = 16 << 10, .per_byte = 64};

static uint32_t crc32c(const uint8_t *bytes, size_t size)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static uint32_t u32_at(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* Records as their sizes say, as far as they do. */
static void put_right(uint8_t *bytes, size_t size)
{
    size_t at = HEAD_SIZE;

    while (at + OVERHEAD < size && u32_at(bytes + at) <= size - at - OVERHEAD) {
        uint32_t length = u32_at(bytes + at);
        uint32_t crc = crc32c(bytes + at + OVERHEAD, length);

        for (unsigned i = 0; i < 4; i++)
            bytes[at + 4 + i] = (uint8_t)(crc >> (8 * i));
        at += OVERHEAD + length;
    }
}

static void read_journal(const uint8_t *bytes, size_t size)
{
    struct journal j;
    struct buf again;

    if (alb_failed(journal_decode(bytes, size, &j)))
        return;
    buf_init(&again, 2 * size + 4096);
    alb_assert(!alb_failed(journal_encode(&j, &again)));
    buf_release(&again);
    journal_release(&j);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    AUTO_FREE uint8_t *copy = xalloc(size);

    read_journal(bytes, size);
    if (size > 0)
        memcpy(copy, bytes, size);
    put_right(copy, size);
    read_journal(copy, size);
}
