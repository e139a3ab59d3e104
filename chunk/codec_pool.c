/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/codec_pool.c – a row of places; whoever swaps a codec out of one, or into one, has done. */
#include "chunk/codec_pool.h"

#include <stdatomic.h>

#include "base/alloc.h"

struct codec_pool {
    atomic_uint refs;
    _Atomic(struct codec *) kept[CODEC_POOL_KEEPS];
};

struct codec_pool *codec_pool_new(void)
{
    struct codec_pool *p = xalloc(sizeof *p);

    atomic_init(&p->refs, 1);
    return p;
}

struct codec_pool *codec_pool_ref(struct codec_pool *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

struct codec_pool *codec_pool_unref(struct codec_pool *p)
{
    if (p == NULL || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    for (size_t i = 0; i < CODEC_POOL_KEEPS; i++)
        codec_free(atomic_load(&p->kept[i]));
    free(p);
    return NULL;
}

struct codec *codec_pool_take(struct codec_pool *p)
{
    for (size_t i = 0; i < CODEC_POOL_KEEPS; i++) {
        struct codec *codec = atomic_exchange(&p->kept[i], NULL);
        if (codec != NULL)
            return codec;
    }
    return codec_new();
}

void codec_pool_give(struct codec_pool *p, struct codec *codec)
{
    for (size_t i = 0; i < CODEC_POOL_KEEPS; i++) {
        struct codec *none = NULL;
        if (atomic_compare_exchange_strong(&p->kept[i], &none, codec))
            return;
    }
    codec_free(codec);
}
