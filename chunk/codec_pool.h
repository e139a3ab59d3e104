/* SPDX-License-Identifier: Apache-2.0 */
/* chunk/codec_pool.h – codecs lent to whichever worker needs one just now, and kept in between.
 *
 * Take one where the work is done, not where it is asked for: then there are as many as workers,
 * however many pieces of work are queued.  A codec is some 170 KiB, and its scratch what it
 * expanded last.  All calls are safe from any thread; the pool lives until the last reference to
 * it is given up.
 */
#pragma once

#include "chunk/codec.h"

enum { CODEC_POOL_KEEPS = 16 }; /* those given back beyond are freed */

struct codec_pool;
struct codec_pool *codec_pool_new(void); /* one reference */
struct codec_pool *codec_pool_ref(struct codec_pool *p);
struct codec_pool *codec_pool_unref(struct codec_pool *p); /* returns NULL; NULL is fine */

struct codec *codec_pool_take(struct codec_pool *p); /* a kept one, or a new one; never NULL */
void codec_pool_give(struct codec_pool *p, struct codec *codec);
