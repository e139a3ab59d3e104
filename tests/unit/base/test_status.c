/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/base/test_status.c – codes, texts, and the end of a program with a bug. */
#include "base/status.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void errno_becomes_the_code_a_caller_can_act_on(void **state)
{
    static const struct {
        int sys;
        enum alb_code code;
    } rows[] = {
        {ENOENT, ALB_NOT_FOUND}, {ENOSPC, ALB_FULL},
        {EDQUOT, ALB_FULL},      {ETIMEDOUT, ALB_TIMEOUT},
        {EPIPE, ALB_CLOSED},     {ECONNRESET, ALB_CLOSED},
        {EIO, ALB_IO},           {EACCES, ALB_IO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct alb_status st = alb_status_from_errno(rows[i].sys, "testing");

        assert_int_equal(st.code, rows[i].code);
        assert_int_equal(st.sys, rows[i].sys);
        assert_string_equal(st.what, "testing");
    }
    errno = ENOSPC;
    assert_int_equal(alb_fail_sys("x").code, ALB_FULL);
}

static void a_text_says_what_failed_and_why(void **state)
{
    char text[128];

    (void)state;
    alb_status_text(alb_status_from_errno(ENOSPC, "reading the segment"), text, sizeof text);
    assert_string_equal(text, "reading the segment: No space left on device");
    alb_status_text(alb_fail(ALB_REFUSED, "no right"), text, sizeof text);
    assert_string_equal(text, "no right");
    assert_string_equal(alb_status_text(ALB_STATUS_OK, text, sizeof text), "ok");
    assert_string_equal(alb_status_text((struct alb_status){0}, text, sizeof text), "ok");
}

static void a_text_is_cut_and_terminated(void **state)
{
    char text[8] = "1234567";

    (void)state;
    alb_status_text(alb_fail(ALB_FULL, "a long story"), text, 5);
    assert_string_equal(text, "a lo");
    assert_int_equal(text[5], '6');
    assert_ptr_equal(alb_status_text(ALB_STATUS_OK, text, 0), text);
}

static void every_code_has_a_word_of_its_own(void **state)
{
    (void)state;
    for (int a = ALB_OK; a <= ALB_BUG; a++)
        for (int b = a + 1; b <= ALB_BUG; b++)
            assert_string_not_equal(alb_code_name((enum alb_code)a),
                                    alb_code_name((enum alb_code)b));
    assert_string_equal(alb_code_name(ALB_NOT_FOUND), "not found");
}

static void a_broken_assertion_says_where_and_aborts(void **state)
{
    char text[256] = "";
    int ends[2];
    int status;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        alb_assert(ends[0] < 0);
        _exit(0);
    }
    close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "test_status.c:"));
    assert_non_null(strstr(text, "ends[0] < 0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errno_becomes_the_code_a_caller_can_act_on),
        cmocka_unit_test(a_text_says_what_failed_and_why),
        cmocka_unit_test(a_text_is_cut_and_terminated),
        cmocka_unit_test(every_code_has_a_word_of_its_own),
        cmocka_unit_test(a_broken_assertion_says_where_and_aborts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
