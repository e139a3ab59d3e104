/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/codec.c – one zstd frame in, one zstd frame out,
 * and nothing believed before it is bounded. */

#include "chunk/codec.h"

#include <zstd.h>

#include "base/alloc.h"
#include "base/crypto.h"

struct codec {
    ZSTD_CCtx *for_small, *for_large; /* one each, for changing parameters costs the tables */
    ZSTD_DCtx *expander;
    struct buf scratch; /* raw bytes for which the caller has no place of its own */
};

static struct alb_status check_frame_header(const uint8_t *frame, size_t size);

static void set(ZSTD_CCtx *c, ZSTD_cParameter parameter, int value)
{
    size_t code = ZSTD_CCtx_setParameter(c, parameter, value);
    alb_assert(!ZSTD_isError(code));
}

static void set_large(ZSTD_CCtx *c)
{
    set(c, ZSTD_c_compressionLevel, 2);
    set(c, ZSTD_c_strategy, ZSTD_fast);
    set(c, ZSTD_c_windowLog, 20);
    set(c, ZSTD_c_hashLog, 16);
    set(c, ZSTD_c_minMatch, 5);
}

struct codec *codec_new(void)
{
    struct codec *c = xalloc(sizeof(*c));
    c->for_small = ZSTD_createCCtx(); /* takes its tables when it is used first */
    c->for_large = ZSTD_createCCtx();
    c->expander = ZSTD_createDCtx();
    alb_assert(c->for_small != NULL && c->for_large != NULL && c->expander != NULL);
    buf_init(&c->scratch, CHUNK_RAW_MAX);
    set(c->for_small, ZSTD_c_compressionLevel, 3);
    set_large(c->for_large);
    return c;
}

struct codec *codec_free(struct codec *c)
{
    if (c == NULL)
        return NULL;
    ZSTD_freeCCtx(c->for_small);
    ZSTD_freeCCtx(c->for_large);
    ZSTD_freeDCtx(c->expander);
    buf_release(&c->scratch);
    free(c);
    return NULL;
}

struct alb_status codec_compress(struct codec *c, const void *raw, size_t size, struct buf *out)
{
    if (size > CHUNK_RAW_MAX)
        return alb_fail(ALB_INVALID, "compressing: larger than a chunk may be");
    size_t bound = ZSTD_compressBound(size);
    uint8_t *to;
    struct alb_status st = buf_reserve(out, bound, &to);
    if (alb_failed(st))
        return st;
    ZSTD_CCtx *compressor = size < CODEC_LARGE ? c->for_small : c->for_large;
    size_t made = ZSTD_compress2(compressor, to, bound, raw, size);
    if (ZSTD_isError(made)) /* the room is enough, so only its own memory can be missing */
        return alb_fail(ALB_FULL, "compressing a chunk");
    buf_commit(out, made);
    return ALB_STATUS_OK;
}

struct alb_status codec_raw_size(const void *stored, size_t size, size_t max, size_t *out)
{
    struct alb_status st = check_frame_header(stored, size);
    if (alb_failed(st))
        return st;
    unsigned long long declared = ZSTD_getFrameContentSize(stored, size);
    if (declared == ZSTD_CONTENTSIZE_ERROR)
        return alb_fail(ALB_CORRUPT, "chunk: its frame's header is cut short");
    if (declared == ZSTD_CONTENTSIZE_UNKNOWN)
        return alb_fail(ALB_CORRUPT, "chunk: its frame does not say its size");
    if (declared > max || declared > CHUNK_RAW_MAX)
        return alb_fail(ALB_CORRUPT, "chunk: its frame declares more bytes than allowed");
    *out = (size_t)declared;
    return ALB_STATUS_OK;
}

struct alb_status codec_expand(struct codec *c, const void *stored, size_t size, size_t max,
                               struct buf *out)
{
    size_t raw_size;
    struct alb_status st = codec_raw_size(stored, size, max, &raw_size);
    if (alb_failed(st))
        return st;
    /* Walks the block headers only; an error code is larger than any size. */
    if (ZSTD_findFrameCompressedSize(stored, size) != size)
        return alb_fail(ALB_CORRUPT, "chunk: not exactly one whole frame");
    uint8_t *to;
    st = buf_reserve(out, raw_size, &to);
    if (alb_failed(st))
        return st;
    size_t made = ZSTD_decompressDCtx(c->expander, to, raw_size, stored, size);
    if (ZSTD_isError(made))
        return alb_fail(ALB_CORRUPT, "chunk: its frame cannot be expanded");
    if (made != raw_size)
        return alb_fail(ALB_CORRUPT, "chunk: its frame holds another size than it declares");
    buf_commit(out, made);
    return ALB_STATUS_OK;
}

struct alb_status codec_expand_here(struct codec *c, const void *stored, size_t size,
                                    const uint8_t **raw, size_t *raw_size)
{
    buf_clear(&c->scratch);
    struct alb_status st = codec_expand(c, stored, size, CHUNK_RAW_MAX, &c->scratch);
    if (alb_failed(st))
        return st;
    *raw = buf_peek(&c->scratch);
    *raw_size = buf_size(&c->scratch);
    return ALB_STATUS_OK;
}

struct alb_status codec_verify(struct codec *c, const struct chunk_key *key, const void *stored,
                               size_t size, struct buf *raw)
{
    if (key->kind != KEY_PLAIN)
        return alb_fail(ALB_INVALID, "chunk: of a kind this program cannot verify yet");
    struct buf *to = raw != NULL ? raw : &c->scratch;
    buf_clear(to);
    struct alb_status st = codec_expand(c, stored, size, CHUNK_RAW_MAX, to);
    if (alb_failed(st))
        return st;
    struct digest found;
    sha256(buf_peek(to), buf_size(to), &found);
    if (!digest_equal(&found, &key->digest)) {
        buf_clear(to); /* nobody shall use bytes that are not what they were asked for */
        return alb_fail(ALB_CORRUPT, "chunk: its bytes do not hash to its name");
    }
    return ALB_STATUS_OK;
}

/* RFC 8878 §3.1.1.1: what zstd's stable interface does not tell,
 * and a hostile frame could abuse. */
static struct alb_status check_frame_header(const uint8_t *frame, size_t size)
{
    static const uint8_t magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
    enum { DICTIONARY = 3, CHECKSUM = 1 << 2, RESERVED = 1 << 3, SINGLE_SEGMENT = 1 << 5 };

    if (size > CHUNK_STORED_MAX)
        return alb_fail(ALB_CORRUPT, "chunk: larger than a stored form may be");
    if (size < sizeof(magic) + 2 || memcmp(frame, magic, sizeof(magic)) != 0)
        return alb_fail(ALB_CORRUPT, "chunk: not a zstd frame");
    unsigned descriptor = frame[4];
    if ((descriptor & (DICTIONARY | CHECKSUM | RESERVED)) != 0)
        return alb_fail(ALB_CORRUPT, "chunk: its frame wants a dictionary or carries a checksum");
    if ((descriptor & SINGLE_SEGMENT) != 0)
        return ALB_STATUS_OK; /* the window is the content, and that is bounded */
    uint64_t base = UINT64_C(1) << (10 + (frame[5] >> 3));
    if (base + base / 8 * (frame[5] & 7) > CHUNK_RAW_MAX)
        return alb_fail(ALB_CORRUPT, "chunk: its frame wants a window larger than a chunk");
    return ALB_STATUS_OK;
}
