/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/test_helper.c – commands of the agent, and whether somebody is logged in. */
#include "client/helper.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <utmp.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "support/tmpdir.h"

static void a_command_says_how_it_ended(void **state)
{
    int code = -1;

    (void)state;
    assert_int_equal(helper_run("exit 0", &code).code, ALB_OK);
    assert_int_equal(code, 0);
    assert_int_equal(helper_run("exit 7", &code).code, ALB_REFUSED);
    assert_int_equal(code, 7);
    assert_int_equal(helper_run("no-such-command-anywhere 2>/dev/null", &code).code, ALB_REFUSED);
    assert_int_equal(code, 127);
    assert_int_equal(helper_run("kill -9 $$", &code).code, ALB_REFUSED);
    assert_int_equal(code, 137);
}

static void a_helper_runs_until_its_input_ends(void **state)
{
    struct helper h = {.pid = 0};
    int code = -1;

    (void)state;
    assert_false(helper_runs(&h, &code));
    assert_int_equal(helper_start(&h, "cat; exit 3").code, ALB_OK);
    assert_true(helper_runs(&h, &code));
    helper_end(&h);
    while (helper_runs(&h, &code))
        (void)sched_yield();
    assert_int_equal(code, 3);
    assert_int_equal(h.pid, 0);
    assert_int_equal(helper_start(&h, "exec cat").code, ALB_OK);
    helper_stop(&h);
    helper_stop(&h);
    assert_int_equal(h.pid, 0);
}

static void a_helper_that_does_not_mind_is_killed(void **state)
{
    struct helper h = {.pid = 0};

    (void)state;
    assert_int_equal(helper_start(&h, "sleep 1000").code, ALB_OK);
    helper_stop(&h);
    assert_int_equal(h.pid, 0);
}

static void write_session(const struct tmpdir *dir, const char *name, const char *text)
{
    tmpdir_write(dir, name, text, strlen(text));
}

static void who_has_a_session_of_his_own_uses_it(void **state)
{
    struct tmpdir *dir = tmpdir_open();

    (void)state;
    assert_false(helper_is_used(dir->path, "/nonexistent"));
    write_session(dir, "c1", "UID=0\nCLASS=greeter\nSTATE=active\n");
    write_session(dir, "c2", "CLASS=user\nSTATE=closing\n");
    write_session(dir, "c3", "CLASS=manager\nSTATE=active\n");
    write_session(dir, "c4", "OTHERCLASS=user\n");
    write_session(dir, "5.ref", "CLASS=user\n");
    assert_false(helper_is_used(dir->path, "/nonexistent"));
    write_session(dir, "7", "UID=1000\nSTATE=online\nCLASS=user\nTTY=pts/0\n");
    assert_true(helper_is_used(dir->path, "/nonexistent"));
    tmpdir_close(dir);
}

static void without_logind_the_logins_count(void **state)
{
    struct tmpdir *dir = tmpdir_open();
    AUTO_FREE char *path = tmpdir_path(dir, "utmp");
    struct utmp entries[2] = {{.ut_type = BOOT_TIME}, {.ut_type = USER_PROCESS}};

    (void)state;
    assert_false(helper_is_used("/nonexistent", path));
    tmpdir_write(dir, "utmp", entries, sizeof entries[0]);
    assert_false(helper_is_used("/nonexistent", path));
    entries[1].ut_pid = getpid();
    tmpdir_write(dir, "utmp", entries, sizeof entries);
    assert_true(helper_is_used("/nonexistent", path));
    tmpdir_close(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_says_how_it_ended),
        cmocka_unit_test(a_helper_runs_until_its_input_ends),
        cmocka_unit_test(a_helper_that_does_not_mind_is_killed),
        cmocka_unit_test(who_has_a_session_of_his_own_uses_it),
        cmocka_unit_test(without_logind_the_logins_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
