/* SPDX-License-Identifier: Apache-2.0 */
/* unit/chunk/test_chunk.c – a chunk in memory: its bound, its copy, its references. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "chunk/chunk.h"
#include "chunk/codec.h"

static const struct chunk_key key = {.kind = KEY_PLAIN, .digest = {{1, 2, 3}}};

static void a_copy_holds_key_size_and_bytes(void **state)
{
    (void)state;
    struct chunk *c = chunk_copy(&key, "seven b", 7);
    assert_non_null(c);
    assert_int_equal(c->size, 7);
    assert_true(chunk_key_equal(&c->key, &key));
    assert_memory_equal(c->bytes, "seven b", 7);
    assert_null(chunk_unref(c));
}

static void the_last_reference_frees(void **state)
{
    (void)state;
    struct chunk *c = chunk_copy(&key, NULL, 0);
    assert_ptr_equal(chunk_ref(c), c);
    chunk_unref(c);
    assert_int_equal(c->size, 0); /* the sanitizer would tell if it were gone */
    chunk_unref(c);
    chunk_unref(NULL);
}

static void more_than_a_stored_form_may_have_is_refused(void **state)
{
    (void)state;
    assert_null(chunk_new(&key, (size_t)CHUNK_STORED_MAX + 1));
    chunk_unref(chunk_new(&key, CHUNK_STORED_MAX));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_holds_key_size_and_bytes),
        cmocka_unit_test(the_last_reference_frees),
        cmocka_unit_test(more_than_a_stored_form_may_have_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
