/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/test_agent_lock.c – one agent for each state, whoever died before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "client/agent_lock.h"
#include "support/tmpdir.h"

static struct tmpdir *opened;

static int make_dir(void **state)
{
    opened = tmpdir_open();
    *state = tmpdir_path(opened, "state");
    return alb_failed(file_make_dir(*state, 0700));
}

static int remove_dir(void **state)
{
    free(*state);
    tmpdir_close(opened);
    return 0;
}

static void the_second_is_told_who_is_the_first(void **state)
{
    struct agent_lock first, second;
    long pid = 0;

    assert_int_equal(agent_lock_take(*state, &first).code, ALB_OK);
    assert_int_equal(agent_lock_take(*state, &second).code, ALB_CONFLICT);
    assert_int_equal(second.pid, getpid());
    assert_int_equal(second.fd, -1);
    assert_true(agent_lock_is_held(*state, &pid));
    assert_int_equal(pid, getpid());
    agent_lock_release(&first);
    assert_false(agent_lock_is_held(*state, &pid));
    assert_int_equal(agent_lock_take(*state, &second).code, ALB_OK);
    agent_lock_release(&second);
}

static void looking_takes_nothing(void **state)
{
    struct agent_lock lock;
    long pid = 0;

    assert_false(agent_lock_is_held(*state, &pid));
    assert_int_equal(agent_lock_take(*state, &lock).code, ALB_OK);
    for (int i = 0; i < 3; i++)
        assert_true(agent_lock_is_held(*state, &pid));
    agent_lock_release(&lock);
    agent_lock_release(&lock); /* twice is once */
    assert_false(agent_lock_is_held(*state, &pid));
}

static void a_process_that_died_holds_nothing(void **state)
{
    struct agent_lock lock;
    long pid = 0;
    int how = 0;

    const pid_t child = fork();
    if (child == 0)
        _exit(agent_lock_take(*state, &lock).code == ALB_OK ? 0 : 1);
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
    assert_false(agent_lock_is_held(*state, &pid));
    assert_int_equal(agent_lock_take(*state, &lock).code, ALB_OK);
    agent_lock_release(&lock);
}

static void a_damaged_number_is_no_number(void **state)
{
    struct agent_lock lock;
    long pid = 7;

    assert_int_equal(agent_lock_take(*state, &lock).code, ALB_OK);
    const int fd = lock.fd;
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_true(agent_lock_is_held(*state, &pid));
    assert_int_equal(pid, 0);
    agent_lock_release(&lock);
}

static void a_directory_that_is_not_there_is_said(void **state)
{
    struct agent_lock lock;

    (void)state;
    assert_int_equal(agent_lock_take("/no/such/dir", &lock).code, ALB_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_second_is_told_who_is_the_first, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(looking_takes_nothing, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_process_that_died_holds_nothing, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(a_damaged_number_is_no_number, make_dir, remove_dir),
        cmocka_unit_test(a_directory_that_is_not_there_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
