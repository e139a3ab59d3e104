/* SPDX-License-Identifier: Apache-2.0 */
/* unit/chunk/test_codec_pool.c – codecs lent: never to two, kept for the next, freed in the end. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "chunk/codec_pool.h"

static void one_after_the_other_a_thousand_pieces_of_work_use_one_codec(void **state)
{
    (void)state;
    struct codec_pool *pool = codec_pool_new();
    struct codec *first = codec_pool_take(pool);

    codec_pool_give(pool, first);
    for (int i = 0; i < 1000; i++) {
        struct codec *codec = codec_pool_take(pool);
        assert_ptr_equal(codec, first);
        codec_pool_give(pool, codec);
    }
    assert_null(codec_pool_unref(pool));
}

static void two_at_a_time_have_two(void **state)
{
    (void)state;
    struct codec_pool *pool = codec_pool_new();
    struct codec *one = codec_pool_take(pool);
    struct codec *two = codec_pool_take(pool);

    assert_ptr_not_equal(one, two);
    codec_pool_give(pool, one);
    codec_pool_give(pool, two);
    codec_pool_unref(pool);
}

/* The sanitizer would tell of one that is not freed, or freed twice. */
static void more_than_are_kept_may_be_out(void **state)
{
    (void)state;
    struct codec_pool *pool = codec_pool_new();
    struct codec *out[CODEC_POOL_KEEPS + 3];

    for (size_t i = 0; i < ALB_COUNT(out); i++)
        out[i] = codec_pool_take(pool);
    for (size_t i = 0; i < ALB_COUNT(out); i++)
        codec_pool_give(pool, out[i]);
    codec_pool_unref(pool);
}

static void a_pool_stays_while_anyone_refers_to_it(void **state)
{
    (void)state;
    struct codec_pool *pool = codec_pool_new();

    assert_ptr_equal(codec_pool_ref(pool), pool);
    assert_null(codec_pool_unref(pool));
    codec_pool_give(pool, codec_pool_take(pool));
    assert_null(codec_pool_unref(pool));
    assert_null(codec_pool_unref(NULL));
}

struct round_trip {
    struct codec_pool *pool;
    bool is_whole;
};

/* Two who had one codec would spoil each other's bytes. */
static void *work(void *arg)
{
    static const char raw[] = "what a worker compresses and expands again, and again";
    struct round_trip *r = arg;
    struct buf stored, back;

    buf_init(&stored, CHUNK_STORED_MAX);
    buf_init(&back, CHUNK_RAW_MAX);
    r->is_whole = true;
    for (int i = 0; i < 300 && r->is_whole; i++) {
        struct codec *codec = codec_pool_take(r->pool);
        buf_clear(&stored);
        buf_clear(&back);
        r->is_whole = !alb_failed(codec_compress(codec, raw, sizeof raw, &stored)) &&
                      !alb_failed(codec_expand(codec, buf_peek(&stored), buf_size(&stored),
                                               sizeof raw, &back)) &&
                      memcmp(buf_peek(&back), raw, sizeof raw) == 0;
        codec_pool_give(r->pool, codec);
    }
    buf_release(&stored);
    buf_release(&back);
    return NULL;
}

static void no_two_threads_have_the_same(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    struct round_trip trips[THREADS];
    pthread_t threads[THREADS];
    struct codec_pool *pool = codec_pool_new();

    for (size_t i = 0; i < THREADS; i++) {
        trips[i] = (struct round_trip){.pool = pool};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &trips[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(trips[i].is_whole);
    }
    codec_pool_unref(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_after_the_other_a_thousand_pieces_of_work_use_one_codec),
        cmocka_unit_test(two_at_a_time_have_two),
        cmocka_unit_test(more_than_are_kept_may_be_out),
        cmocka_unit_test(a_pool_stays_while_anyone_refers_to_it),
        cmocka_unit_test(no_two_threads_have_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
