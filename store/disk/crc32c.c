/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/crc32c.c – CRC-32C by the processor's own instruction or, without it, by slicing. */

#include "store/disk/crc32c.h"

#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

static uint64_t load_le64(const uint8_t *at);

/* Slicing by eight needs table[k][byte] = the CRC of that byte followed by k zero bytes.  A CRC is
 * linear, so an entry is the sum (exclusive or) of the entries of its bits, and those are one
 * sequence: the polynomial 0x1EDC6F41, bits reversed, moved on by a bit each time.  ROW(k) takes
 * the eight numbers for table k, bit 7 first. */
#define SUM(i, b7, b6, b5, b4, b3, b2, b1, b0)                                                     \
    (((i)&128 ? (b7) : 0) ^ ((i)&64 ? (b6) : 0) ^ ((i)&32 ? (b5) : 0) ^ ((i)&16 ? (b4) : 0) ^      \
     ((i)&8 ? (b3) : 0) ^ ((i)&4 ? (b2) : 0) ^ ((i)&2 ? (b1) : 0) ^ ((i)&1 ? (b0) : 0))
#define SUM4(i, ...)                                                                               \
    SUM((i), __VA_ARGS__), SUM((i) + 1, __VA_ARGS__), SUM((i) + 2, __VA_ARGS__),                   \
        SUM((i) + 3, __VA_ARGS__)
#define SUM16(i, ...)                                                                              \
    SUM4((i), __VA_ARGS__), SUM4((i) + 4, __VA_ARGS__), SUM4((i) + 8, __VA_ARGS__),                \
        SUM4((i) + 12, __VA_ARGS__)
#define SUM64(i, ...)                                                                              \
    SUM16((i), __VA_ARGS__), SUM16((i) + 16, __VA_ARGS__), SUM16((i) + 32, __VA_ARGS__),           \
        SUM16((i) + 48, __VA_ARGS__)
#define ROW(...)                                                                                   \
    {                                                                                              \
        SUM64(0, __VA_ARGS__), SUM64(64, __VA_ARGS__), SUM64(128, __VA_ARGS__),                    \
            SUM64(192, __VA_ARGS__)                                                                \
    }

static const uint32_t table[8][256] = {
    ROW(0x82f63b78, 0x417b1dbc, 0x20bd8ede, 0x105ec76f, 0x8ad958cf, 0xc79a971f, 0xe13b70f7,
        0xf26b8303),
    ROW(0xfbc3faf9, 0xff17c604, 0x7f8be302, 0x3fc5f181, 0x9d14c3b8, 0x4e8a61dc, 0x274530ee,
        0x13a29877),
    ROW(0x8b277743, 0xc76580d9, 0xe144fb14, 0x70a27d8a, 0x38513ec5, 0x9edea41a, 0x4f6f520d,
        0xa541927e),
    ROW(0x52a0c93f, 0xaba65fe7, 0xd725148b, 0xe964b13d, 0xf64463e6, 0x7b2231f3, 0xbf672381,
        0xdd45aab8),
    ROW(0x6ea2d55c, 0x37516aae, 0x1ba8b557, 0x8f2261d3, 0xc5670b91, 0xe045beb0, 0x7022df58,
        0x38116fac),
    ROW(0x1c08b7d6, 0x0e045beb, 0x85f4168d, 0xc00c303e, 0x6006181f, 0xb2f53777, 0xdb8ca0c3,
        0xef306b19),
    ROW(0xf56e0ef4, 0x7ab7077a, 0x3d5b83bd, 0x9c5bfaa6, 0x4e2dfd53, 0xa5e0c5d1, 0xd0065990,
        0x68032cc8),
    ROW(0x34019664, 0x1a00cb32, 0x0d006599, 0x847609b4, 0x423b04da, 0x211d826d, 0x9278fa4e,
        0x493c7d27),
};

uint32_t crc32c_extend_portable(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint32_t c = ~crc;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word = load_le64(at) ^ c;
        c = 0;
        for (unsigned k = 0; k < 8; k++)
            c ^= table[7 - k][(word >> (8 * k)) & 0xff];
    }
    for (; size > 0; size--, at++)
        c = (c >> 8) ^ table[0][(c ^ *at) & 0xff];
    return ~c;
}

#if defined(__x86_64__)

/* The instruction takes three cycles but can start each cycle, so three stretches are taken at the
 * same time and joined.  Joining needs what a CRC becomes when LANE zero bytes follow, which is
 * linear again: a table for each byte of it, made of the images of its 32 bits. */
enum { LANE = 1024, LANE_WORDS = LANE / 8 };

static const uint32_t lane_zeros[4][256] = {
    ROW(0xb3ffa0de, 0x59ffd06f, 0xae09d34f, 0xd5f2d2df, 0xe80f5217, 0xf6f19273, 0xf98ef241,
        0xfe314258),
    ROW(0xef3e6141, 0xf5690bd8, 0x7ab485ec, 0x3d5a42f6, 0x1ead217b, 0x8da0abc5, 0xc4266e9a,
        0x6213374d),
    ROW(0x361b37ac, 0x1b0d9bd6, 0x0d86cdeb, 0x84355d8d, 0xc0ec95be, 0x60764adf, 0xb2cd1e17,
        0xdb90b473),
    ROW(0xe4172b16, 0x720b958b, 0xbbf3f1bd, 0xdf0fc3a6, 0x6f87e1d3, 0xb535cb91, 0xd86cdeb0,
        0x6c366f58),
};

static uint32_t follow_by_lane(uint32_t crc)
{
    return lane_zeros[0][crc & 0xff] ^ lane_zeros[1][(crc >> 8) & 0xff] ^
           lane_zeros[2][(crc >> 16) & 0xff] ^ lane_zeros[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t extend_three_lanes(uint32_t crc,
                                                                     const uint8_t *at)
{
    uint64_t a = crc;
    uint64_t b = 0;
    uint64_t c = 0;
    for (size_t i = 0; i < LANE_WORDS; i++, at += 8) {
        a = _mm_crc32_u64(a, load_le64(at));
        b = _mm_crc32_u64(b, load_le64(at + LANE));
        c = _mm_crc32_u64(c, load_le64(at + 2 * LANE));
    }
    crc = follow_by_lane((uint32_t)a) ^ (uint32_t)b;
    return follow_by_lane(crc) ^ (uint32_t)c;
}

__attribute__((target("sse4.2"))) static uint32_t extend_sse42(uint32_t crc, const void *bytes,
                                                               size_t size)
{
    const uint8_t *at = bytes;
    uint32_t rest = ~crc;
    for (; size >= 3 * LANE; size -= 3 * LANE, at += 3 * LANE)
        rest = extend_three_lanes(rest, at);
    uint64_t c = rest;
    for (; size >= 8; size -= 8, at += 8)
        c = _mm_crc32_u64(c, load_le64(at));
    rest = (uint32_t)c;
    for (; size > 0; size--, at++)
        rest = _mm_crc32_u8(rest, *at);
    return ~rest;
}

uint32_t crc32c_extend(uint32_t crc, const void *bytes, size_t size)
{
    if (__builtin_cpu_supports("sse4.2"))
        return extend_sse42(crc, bytes, size);
    return crc32c_extend_portable(crc, bytes, size);
}

#else

uint32_t crc32c_extend(uint32_t crc, const void *bytes, size_t size)
{
    return crc32c_extend_portable(crc, bytes, size);
}

#endif

static uint64_t load_le64(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}
