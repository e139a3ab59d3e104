/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_codec.c – a stored form from anywhere: refused, or exactly the bytes it declares. */
/* LINKS: chunk base */
#include "fuzz/target.h"
#include "chunk/codec.h"

#include <stdlib.h>

const struct fuzz_bound fuzz_bound = {.fixed = 6 << 20, .per_byte = 4};

void fuzz_one(const uint8_t *bytes, size_t size)
{
    enum { MAX = 1 << 20 };
    struct codec *codec = codec_new();
    struct chunk_key key = {.kind = KEY_PLAIN};
    struct buf raw;
    size_t declared = 0;
    buf_init(&raw, MAX);
    bool has_size = !alb_failed(codec_raw_size(bytes, size, MAX, &declared));
    bool expands = !alb_failed(codec_expand(codec, bytes, size, MAX, &raw));
    if (expands && (!has_size || buf_size(&raw) != declared))
        abort();
    if (!expands && buf_size(&raw) != 0)
        abort();
    /* Nothing hashes to zeros. */
    if (!alb_failed(codec_verify(codec, &key, bytes, size, NULL)))
        abort();
    buf_release(&raw);
    codec_free(codec);
}
