/* SPDX-License-Identifier: Apache-2.0 */
/* wire/upload_answer.c – format byte, the upload's id as a string, the lacking runs. */
#include <stdlib.h>

#include "base/pack.h"
#include "wire/batch.h"

enum { ANSWER_FORMAT = 1 };

struct alb_status upload_answer_encode(const struct upload_answer *a, struct buf *out)
{
    struct pack p;

    pack_init(&p, out);
    pack_u8(&p, ANSWER_FORMAT);
    pack_string(&p, a->id);
    struct alb_status st = pack_finish(&p);
    return alb_failed(st) ? st : runs_encode(a->runs, a->run_count, out);
}

struct alb_status upload_answer_decode(const void *bytes, size_t size, uint32_t limit,
                                       struct upload_answer *out)
{
    struct upload_answer a = {.run_count = 0};
    struct unpack u;

    unpack_init(&u, bytes, size);
    if (unpack_u8(&u) != ANSWER_FORMAT)
        unpack_fail(&u, "upload answer format is not known to this program");
    unpack_string(&u, a.id, sizeof a.id);
    struct alb_status st = unpack_check(&u);
    if (!alb_failed(st))
        st = runs_decode(u.at, unpack_left(&u), limit, &a.runs, &a.run_count);
    if (!alb_failed(st))
        *out = a;
    return st;
}

void upload_answer_release(struct upload_answer *a)
{
    free(a->runs);
    a->runs = NULL;
}
