/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_signed.c – any bytes as each kind of signed object, believed by a fixed trust.
 *
 * A fuzzer cannot forge signatures, so the bodies are also given to it signed: the input behind a
 * kind's line is sealed anew with the key that may.
 */
/* LINKS: wire base */
#include "base/alloc.h"
#include "fuzz/target.h"
#include "fuzz/trusted.h"
#include "wire/policy_seal.h"
#include "wire/record.h"
#include "wire/signed.h"

const struct fuzz_bound fuzz_bound = {.fixed = 512 << 10, .per_byte = 64};

static void read_all(const uint8_t *bytes, size_t size, const struct trust *t)
{
    AUTO_FREE struct grant *g = xalloc(sizeof *g);
    struct version_record record;
    struct revocations revoked;
    struct policy_seal seal;
    struct trust next;
    struct head head;

    if (!alb_failed(trust_decode(bytes, size, NULL, NULL, &next)))
        trust_release(&next);
    if (!alb_failed(trust_decode(bytes, size, t, NULL, &next)))
        trust_release(&next);
    if (!alb_failed(trust_decode_unchecked(bytes, size, &next)))
        trust_release(&next);
    alb_ignore(record_decode(bytes, size, t, &record), "only a crash counts");
    alb_ignore(head_decode(bytes, size, t, &head), "only a crash counts");
    if (!alb_failed(grant_decode(bytes, size, t, g)))
        alb_assert(!grant_covers(g, "app") || g->prefix_count > 0);
    if (!alb_failed(revocations_decode(bytes, size, t, &revoked))) {
        for (size_t i = 0; i < revoked.count; i++)
            alb_assert(revocations_has(&revoked, revoked.serials[i]));
        revocations_release(&revoked);
    }
    for (int part = 0; part < POLICY_PARTS; part++)
        if (!alb_failed(policy_seal_decode((enum policy_part)part, bytes, size, t, &seal)))
            alb_assert(seal.number > 0 && seal.text_size > 0 && seal.text_size <= size);
}

/* The body of `bytes` in an envelope of `kind`, signed by who may. */
static void read_resealed(const uint8_t *bytes, size_t size, const char *kind,
                          const struct sign_secret *secret, const struct trust *t)
{
    struct buf body, sealed;

    buf_init(&body, SIGNED_MAX);
    buf_init(&sealed, SIGNED_MAX);
    alb_assert(!alb_failed(buf_append(&body, bytes, size)));
    alb_assert(!alb_failed(signed_seal(kind, 1, &body, secret, 1, &sealed)));
    read_all(buf_peek(&sealed), buf_size(&sealed), t);
    buf_release(&body);
    buf_release(&sealed);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    static const struct {
        const char *kind;
        const struct sign_secret *secret;
    } KINDS[] = {{"trust", &ROOT_KEY}, {"version", &PUBLISHER}, {"head", &HUB},
                 {"grant", &HUB},      {"revocations", &HUB},   {"policy", &HUB},
                 {"overrides", &HUB}};
    struct trust_delegation d;
    struct signed_view v;
    struct trust t;

    if (size > SIGNED_MAX / 2)
        return;
    make_trust(&t, &d);
    read_all(bytes, size, &t);
    for (size_t i = 0; i < ALB_COUNT(KINDS); i++)
        if (!alb_failed(signed_open(bytes, size, KINDS[i].kind, 1, &v)))
            read_resealed(v.body, v.body_size, KINDS[i].kind, KINDS[i].secret, &t);
}
