/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_body.c – below the signature: any bytes as the body of each kind of signed object.
 *
 * The input's first byte chooses the kind and the rest is sealed by whoever may sign that.  What is
 * accepted is spelled again and read alike.
 */
/* LINKS: wire base */
#include "base/alloc.h"
#include "fuzz/target.h"
#include "fuzz/trusted.h"
#include "wire/record.h"
#include "wire/signed.h"

enum { SPARE = 4096 };

const struct fuzz_bound fuzz_bound = {.fixed = 256 << 10, .per_byte = 64};

static void as_trust(const struct buf *b, const struct trust *t)
{
    struct trust next;

    if (!alb_failed(trust_decode(buf_peek(b), buf_size(b), NULL, NULL, &next)))
        trust_release(&next);
    if (alb_failed(trust_decode(buf_peek(b), buf_size(b), t, NULL, &next)))
        return;
    alb_assert(next.version > t->version && next.threshold >= 1);
    alb_assert(next.threshold <= next.root_count);
    trust_release(&next);
}

static void as_version(const struct buf *b, const struct trust *t)
{
    struct version_record r, same;
    struct buf again;

    if (alb_failed(record_decode(buf_peek(b), buf_size(b), t, &r)))
        return;
    buf_init(&again, SIGNED_MAX);
    alb_assert(!alb_failed(record_encode(&r, &PUBLISHER, &again)));
    alb_assert(!alb_failed(record_decode(buf_peek(&again), buf_size(&again), t, &same)));
    alb_assert(strcmp(r.layer, same.layer) == 0 && digest_equal(&r.root, &same.root));
    buf_release(&again);
}

static void as_head(const struct buf *b, const struct trust *t)
{
    struct head h, same;
    struct buf again;

    if (alb_failed(head_decode(buf_peek(b), buf_size(b), t, &h)))
        return;
    buf_init(&again, SIGNED_MAX);
    alb_assert(!alb_failed(head_encode(&h, &HUB, &again)));
    alb_assert(!alb_failed(head_decode(buf_peek(&again), buf_size(&again), t, &same)));
    alb_assert(h.sequence == same.sequence && digest_equal(&h.record, &same.record));
    buf_release(&again);
}

static void as_grant(const struct buf *b, const struct trust *t)
{
    AUTO_FREE struct grant *g = xalloc(sizeof *g);

    if (!alb_failed(grant_decode(buf_peek(b), buf_size(b), t, g)))
        alb_assert(!grant_covers(g, "app") || g->prefix_count > 0);
}

static void as_revocations(const struct buf *b, const struct trust *t)
{
    struct revocations r;

    if (alb_failed(revocations_decode(buf_peek(b), buf_size(b), t, &r)))
        return;
    for (size_t i = 0; i < r.count; i++)
        alb_assert(revocations_has(&r, r.serials[i]));
    revocations_release(&r);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    static const struct {
        const char *kind;
        const struct sign_secret *secret;
        void (*read)(const struct buf *sealed, const struct trust *t);
    } KINDS[] = {{"trust", &ROOT_KEY, as_trust},
                 {"version", &PUBLISHER, as_version},
                 {"head", &HUB, as_head},
                 {"grant", &HUB, as_grant},
                 {"revocations", &HUB, as_revocations}};
    struct trust_delegation d;
    struct buf body, sealed;
    struct trust t;

    if (size == 0 || size > SIGNED_MAX - SPARE)
        return;
    make_trust(&t, &d);
    buf_init(&body, SIGNED_MAX);
    buf_init(&sealed, SIGNED_MAX);
    size_t kind = bytes[0] % ALB_COUNT(KINDS);
    alb_assert(!alb_failed(buf_append(&body, bytes + 1, size - 1)));
    if (!alb_failed(signed_seal(KINDS[kind].kind, 1, &body, KINDS[kind].secret, 1, &sealed)))
        KINDS[kind].read(&sealed, &t);
    buf_release(&body);
    buf_release(&sealed);
}
