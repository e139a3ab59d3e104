/* SPDX-License-Identifier: Apache-2.0 */
/* crash/flip_state.c – a flipped bit in an endpoint's catalogue is found when read or believed.
 * LINKS: client config image net shaper transfer store wire chunk base support
 *
 * Its files have no check value of their own, because what stands in them is signed: what get()
 * gives out after a flip is what was put, or is refused by who opens it.
 */
#include "support/wire_fixture.h"

#include <string.h>

#include "base/alloc.h"
#include "client/file_catalogue.h"
#include "crash/flip.h"
#include "store/catalogue.h"
#include "support/tmpdir.h"

static const char name[] = "head/base";

static void make(struct catalogue *c, struct trust *trust)
{
    struct sign_secret secret = secret_of(HUB);
    struct head head = head_sample();
    struct buf bytes;

    *trust = (struct trust){.org = "acme", .version = 1, .hub_key = public_of(HUB)};
    buf_init(&bytes, SIGNED_MAX);
    assert_ok(head_encode(&head, &secret, &bytes));
    assert_ok(catalogue_swap(c, name, CATALOGUE_ABSENT, buf_peek(&bytes), buf_size(&bytes), NULL));
    buf_release(&bytes);
}

/* Refused by the catalogue or by the signature, which is in *st, or as it was. */
static bool is_found_or_right(struct catalogue *c, const struct trust *trust, struct alb_status *st)
{
    const struct head want = head_sample();
    struct head got = {.sequence = 0};
    struct buf bytes;
    uint64_t version;

    buf_init(&bytes, CATALOGUE_VALUE_MAX);
    *st = catalogue_get(c, name, &bytes, &version);
    if (!alb_failed(*st))
        *st = head_decode(buf_peek(&bytes), buf_size(&bytes), trust, &got);
    buf_release(&bytes);
    return alb_failed(*st) ||
           (got.sequence == want.sequence && strcmp(got.layer, want.layer) == 0 &&
            digest_equal(&got.record, &want.record));
}

static void a_flipped_bit_of_a_signed_record_is_found(void **state)
{
    struct tmpdir *tmp = tmpdir_open();
    AUTO_FREE char *dir = tmpdir_path(tmp, "catalogue");
    AUTO_FREE char *path = tmpdir_path(tmp, "catalogue/head%2Fbase");
    struct catalogue *c;
    struct trust trust;
    struct alb_status st;
    unsigned found = 0;

    (void)state;
    assert_ok(file_catalogue_open(dir, &c));
    make(c, &trust);
    assert_true(flip_size(path) > 0);
    for (size_t at = 0; at < flip_size(path); at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            flip(path, at, bit);
            assert_true(is_found_or_right(c, &trust, &st));
            found += alb_failed(st);
            flip(path, at, bit);
        }
    assert_true(is_found_or_right(c, &trust, &st));
    assert_ok(st);
    assert_true(found > flip_size(path));
    catalogue_close(c);
    tmpdir_close(tmp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flipped_bit_of_a_signed_record_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
