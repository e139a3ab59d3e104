/* SPDX-License-Identifier: Apache-2.0 */
/* base/key.c – comparing, hashing and spelling digests and chunk keys. */
#include "base/key.h"

static const char HEX[] = "0123456789abcdef";

int chunk_key_compare(const struct chunk_key *a, const struct chunk_key *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return memcmp(a->digest.bytes, b->digest.bytes, DIGEST_SIZE);
}

uint64_t chunk_key_hash(const struct chunk_key *k)
{
    uint64_t h = 0;

    for (unsigned i = 0; i < 8; i++)
        h |= (uint64_t)k->digest.bytes[i] << (8 * i);
    h ^= (uint64_t)k->kind << 56;
    /* The finaliser of MurmurHash3 (public domain): a key somebody made up is spread as well. */
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 33;
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ (h >> 33);
}

void bytes_hex(const uint8_t *bytes, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = HEX[bytes[i] >> 4];
        out[2 * i + 1] = HEX[bytes[i] & 15];
    }
    out[2 * size] = '\0';
}

const char *digest_hex(const struct digest *d, char *out)
{
    bytes_hex(d->bytes, DIGEST_SIZE, out);
    return out;
}

/* The value of a digit, or 16 when it is none. */
static unsigned hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 16;
}

struct alb_status bytes_parse_hex(const char *hex, uint8_t *out, size_t size)
{
    if (strlen(hex) != 2 * size)
        return alb_fail(ALB_INVALID, "hexadecimal text of the wrong length");
    for (size_t i = 0; i < 2 * size; i++)
        if (hex_value(hex[i]) > 15)
            return alb_fail(ALB_INVALID, "not a hexadecimal digit (0-9, a-f)");
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
    return ALB_STATUS_OK;
}

struct alb_status digest_parse(const char *hex, struct digest *out)
{
    return bytes_parse_hex(hex, out->bytes, DIGEST_SIZE);
}
