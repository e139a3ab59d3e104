/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/base/test_buf.c – a buffer holds what was put in, and never more than its limit. */
#include "base/buf.h"

#include <stdlib.h>

#include "support/gen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void must_append(struct buf *b, const char *text)
{
    assert_false(alb_failed(buf_append(b, text, strlen(text))));
}

static void bytes_come_out_in_the_order_they_went_in(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    must_append(&b, "abc");
    must_append(&b, "def");
    buf_consume(&b, 2);
    assert_int_equal(buf_size(&b), 4);
    assert_string_equal(buf_text(&b), "cdef");
    buf_consume(&b, 4);
    assert_int_equal(buf_size(&b), 0);
    assert_string_equal(buf_text(&b), "");
    buf_release(&b);
}

static void the_limit_is_reached_exactly_and_not_passed(void **state)
{
    struct buf b;
    uint8_t *room;

    (void)state;
    buf_init(&b, 5);
    must_append(&b, "12345");
    assert_int_equal(buf_room(&b), 0);
    assert_int_equal(buf_append(&b, "6", 1).code, ALB_FULL);
    assert_int_equal(buf_reserve(&b, SIZE_MAX, &room).code, ALB_FULL);
    assert_int_equal(buf_printf(&b, "%d", 6).code, ALB_FULL);
    assert_string_equal(buf_text(&b), "12345");
    assert_true(b.capacity <= 6);
    buf_consume(&b, 1);
    must_append(&b, "6");
    assert_string_equal(buf_text(&b), "23456");
    buf_release(&b);
}

static void a_buffer_without_a_limit_refuses_only_the_impossible(void **state)
{
    struct buf b;
    uint8_t *room;

    (void)state;
    buf_init(&b, SIZE_MAX);
    must_append(&b, "x");
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 1, &room).code, ALB_FULL);
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 8, &room).code, ALB_FULL);
    assert_string_equal(buf_text(&b), "x");
    buf_release(&b);
}

static void an_empty_buffer_can_be_read(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    assert_string_equal(buf_text(&b), "");
    assert_non_null(buf_peek(&b));
    assert_false(alb_failed(buf_append(&b, NULL, 0)));
    assert_int_equal(buf_append(&b, "x", 1).code, ALB_FULL);
    buf_release(&b);
}

static void text_is_formatted_at_the_end(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    must_append(&b, "rate=");
    assert_false(alb_failed(buf_printf(&b, "%s/%d", "x", 7)));
    assert_false(alb_failed(buf_printf(&b, "%s", "")));
    assert_false(alb_failed(buf_printf(&b, "%0200d", 0)));
    assert_int_equal(buf_size(&b), 208);
    assert_memory_equal(buf_peek(&b), "rate=x/70", 9);
    buf_release(&b);
}

/* What goes in is the sequence 0, 1, 2, … mod 251, so what comes out can be checked by position. */
static void a_long_life_of_small_steps_loses_no_byte(void **state)
{
    struct gen g;
    struct buf b;
    size_t in = 0;
    size_t out = 0;

    (void)state;
    gen_init_from_env(&g);
    buf_init(&b, 777);
    for (unsigned step = 0; step < 20000; step++) {
        size_t more = gen_below(&g, 200);
        size_t less = gen_below(&g, buf_size(&b) + 1);
        uint8_t *room;
        struct alb_status st = buf_reserve(&b, more, &room);

        assert_int_equal(alb_failed(st), more > buf_room(&b));
        for (size_t i = 0; i < more && !alb_failed(st); i++)
            room[i] = (uint8_t)(in++ % 251);
        if (!alb_failed(st))
            buf_commit(&b, more);
        for (size_t i = 0; i < less; i++)
            assert_int_equal(buf_peek(&b)[i], out++ % 251);
        buf_consume(&b, less);
        assert_int_equal(buf_size(&b), in - out);
        assert_true(b.capacity <= 778);
    }
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_out_in_the_order_they_went_in),
        cmocka_unit_test(the_limit_is_reached_exactly_and_not_passed),
        cmocka_unit_test(a_buffer_without_a_limit_refuses_only_the_impossible),
        cmocka_unit_test(an_empty_buffer_can_be_read),
        cmocka_unit_test(text_is_formatted_at_the_end),
        cmocka_unit_test(a_long_life_of_small_steps_loses_no_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
