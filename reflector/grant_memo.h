/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/grant_memo.h – what the parent said of a device's grant a moment ago.
 *
 * A device that asks again and again would otherwise cost a question on the WAN each time.  A grant
 * is good for 30 s here, a refusal for 5 s: whoever was just enrolled waits no longer.  At most
 * GRANT_MEMOS_MAX devices, the oldest goes first; trust or revocations that change end them all.
 */
#pragma once

#include <sys/queue.h>

#include "base/map.h"
#include "base/status.h"

enum { GRANT_MEMOS_MAX = 4096, GRANT_MEMO_WORDS = 256 };

struct grant_memo {
    struct chunk_key key;
    struct alb_status st; /* OK: `bytes` are a grant that was judged */
    char message[GRANT_MEMO_WORDS];
    uint8_t *bytes; /* owned */
    size_t size;
    uint64_t until_ns;
    TAILQ_ENTRY(grant_memo) link;
};

struct grant_memos {
    struct map by_device;
    TAILQ_HEAD(, grant_memo) all; /* oldest first */
};

void grant_memos_init(struct grant_memos *m);
void grant_memos_release(struct grant_memos *m);
/* Borrowed; NULL: the parent is to be asked. */
const struct grant_memo *grant_memos_find(struct grant_memos *m, const char *device,
                                          uint64_t now_ns);
/* `bytes` of a grant, or `st` and `message` of a refusal; copied. */
void grant_memos_grant(struct grant_memos *m, const char *device, const void *bytes, size_t size,
                       uint64_t now_ns);
void grant_memos_refuse(struct grant_memos *m, const char *device, struct alb_status st,
                        const char *message, uint64_t now_ns);
void grant_memos_forget(struct grant_memos *m);
