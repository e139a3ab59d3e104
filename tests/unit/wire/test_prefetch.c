/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_prefetch.c – orders and reports of prefetching: there, back, and wrong. */
#include "wire/prefetch.h"

#include "base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void an_order_is_read_as_it_was_written(void **state)
{
    struct prefetch_order o = {.layer = "base/os"}, back;
    struct buf line;

    (void)state;
    prefetch_id_make(o.id);
    memset(&o.root, 0x5a, sizeof o.root);
    buf_init(&line, 1024);
    for (unsigned end = 0; end < 2; end++) {
        o.is_end = end == 1;
        buf_clear(&line);
        assert_int_equal(prefetch_order_write(&o, &line).code, ALB_OK);
        assert_int_equal(prefetch_order_read(buf_text(&line), &back).code, ALB_OK);
        assert_string_equal(back.id, o.id);
        assert_int_equal(back.is_end, o.is_end);
        if (!o.is_end) {
            assert_string_equal(back.layer, o.layer);
            assert_true(digest_equal(&back.root, &o.root));
        }
    }
    buf_release(&line);
}

static void what_is_no_order_is_refused_or_left_to_others(void **state)
{
    static const struct {
        const char *line;
        enum alb_code code;
    } LINES[] = {
        {"wake AAAA", ALB_NOT_FOUND},
        {"prefetch", ALB_NOT_FOUND},
        {"prefetch ", ALB_INVALID},
        {"prefetch f0123456789abcdef " HEX, ALB_INVALID},
        {"prefetch f0123456789abcdef " HEX " ", ALB_INVALID},
        {"prefetch f0123456789abcdef " HEX " ../etc", ALB_INVALID},
        {"prefetch f0123456789abcdef " HEX " base/os more", ALB_INVALID},
        {"prefetch f0123456789abcdef " HEX "0 base/os", ALB_INVALID},
        {"prefetch g0123456789abcdef " HEX " base/os", ALB_INVALID},
        {"prefetch f0123456789abcdef base/os", ALB_INVALID},
        {"prefetch-end ", ALB_INVALID},
        {"prefetch-end f0123456789abcdef more", ALB_INVALID},
        {"prefetch-end f0123456789abcde", ALB_INVALID},
        {"prefetch f0123456789abcdef " HEX " base/os", ALB_OK},
        {"prefetch-end f0123456789abcdef", ALB_OK},
    };
    struct prefetch_order o;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(LINES); i++)
        assert_int_equal(prefetch_order_read(LINES[i].line, &o).code, LINES[i].code);
}

static void a_report_is_read_as_it_was_written(void **state)
{
    const struct prefetch_report r = {.device = "box",
                                      .order = "f0123456789abcdef",
                                      .state = PREFETCH_FETCHING,
                                      .chunks = 10,
                                      .chunks_here = 4,
                                      .bytes = 1000,
                                      .bytes_here = 400,
                                      .fetched_bytes = 123,
                                      .line = "paused",
                                      .why = "to be tried again"};
    struct prefetch_report back;
    struct buf body;

    (void)state;
    buf_init(&body, PREFETCH_BODY_MAX);
    assert_int_equal(prefetch_report_encode(&r, &body).code, ALB_OK);
    assert_int_equal(prefetch_report_decode(buf_peek(&body), buf_size(&body), &back).code, ALB_OK);
    assert_string_equal(back.device, r.device);
    assert_string_equal(back.order, r.order);
    assert_int_equal(back.state, r.state);
    assert_int_equal(back.chunks_here, 4);
    assert_int_equal(back.bytes_here, 400);
    assert_int_equal(back.fetched_bytes, 123);
    assert_string_equal(back.line, "paused");
    assert_string_equal(back.why, r.why);
    buf_release(&body);
}

static void refuse(const char *text, const char *member)
{
    struct prefetch_report r;
    const struct alb_status st = prefetch_report_decode(text, strlen(text), &r);

    assert_int_equal(st.code, ALB_INVALID);
    assert_non_null(strstr(st.what, member));
}

static void a_report_that_breaks_a_rule_is_refused_by_the_member(void **state)
{
#define REPORT(device, order, word, more)                                                          \
    "{\"device\":\"" device "\",\"order\":\"" order "\",\"state\":\"" word "\"" more "}"

    (void)state;
    refuse("", "no JSON");
    refuse("[]", "device");
    refuse(REPORT("", "f0123456789abcdef", "held", ""), "device");
    refuse(REPORT("Box!", "f0123456789abcdef", "held", ""), "device");
    refuse(REPORT("box", "w0123456789abcdef", "held", ""), "order");
    refuse(REPORT("box", "f0123456789abcdef", "done", ""), "state");
    refuse(REPORT("box", "f0123456789abcdef", "held", ",\"line\":\"much too long a word\""),
           "line");
    refuse(REPORT("box", "f0123456789abcdef", "held", ",\"why\":\"two\\nlines\""), "why");
    refuse(REPORT("box", "f0123456789abcdef", "held", ",\"chunks_here\":2,\"chunks\":1"),
           "more than there are");
    refuse(REPORT("box", "f0123456789abcdef", "held", ",\"bytes_here\":2,\"bytes\":1"),
           "more than there are");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_is_read_as_it_was_written),
        cmocka_unit_test(what_is_no_order_is_refused_or_left_to_others),
        cmocka_unit_test(a_report_is_read_as_it_was_written),
        cmocka_unit_test(a_report_that_breaks_a_rule_is_refused_by_the_member),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
