/* SPDX-License-Identifier: Apache-2.0 */
/* sim/cast_holder.h – the least that can be a parent: transfer/'s parts over RAM stores, no hub
 * around.
 *
 * Serves one published version on a simulated node, signs grants for whoever asks, and knows how to
 * lie a little.  For tests of transfer/ and of those who talk to it.
 */
#pragma once

#include "sim/cast_version.h"
#include "sim/world.h"
#include "store/ram.h"
#include "transfer/feed.h"
#include "transfer/serve.h"

struct cast_holder {
    struct loop *loop;
    struct chunk_store *store;
    struct catalogue *catalogue;
    struct sign_secret root_key, hub_key, publisher_key;
    struct authority *authority;
    struct keeper *keeper;
    struct supply *supply;
    struct record_book *records;
    struct root_book *roots;
    struct feed *feed;
    struct serve *serve;
    struct listener *listener;
    struct digest trust_pin; /* of trust file 1 */
    struct buf trust_bytes;
    const char *grant_prefix; /* what it lets others read; "" all */
};

enum { CAST_PORT = 7443 };

void cast_holder_start(struct cast_holder *h, struct loop *loop);
void cast_holder_publish(struct cast_holder *h, const struct cast_version *v,
                         uint64_t head_sequence);
/* The order for a version signed by this holder's publisher. */
struct cast_order cast_holder_order(struct cast_holder *h, const char *layer, uint64_t sequence,
                                    uint64_t size);
/* Frees everything but the stores, which cast_holder_release() does after the world is gone. */
void cast_holder_stop(struct cast_holder *h);
void cast_holder_release(struct cast_holder *h);
