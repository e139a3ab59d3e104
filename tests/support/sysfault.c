/* SPDX-License-Identifier: Apache-2.0 */
/* support/sysfault.c – the one armed fault, and the loop over all of a kind. */
#include "support/sysfault_impl.h"

#include <errno.h>
#include <stdatomic.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

enum { TRIES_MAX = 5000, NEVER = SYSFAULT_KINDS };

/* Armed by the test's thread, met by any. */
static struct {
    atomic_int kind; /* NEVER: disarmed */
    atomic_uint calls_left;
    atomic_bool fired;
} armed = {.kind = NEVER};

/* What the loop is at. */
static struct {
    enum sysfault kind;
    unsigned nth;
} turn;

static const struct {
    const char *name;
    bool is_harmless;
} KINDS[SYSFAULT_KINDS] = {
    [SYSFAULT_OPEN] = {"open", false},
    [SYSFAULT_READ] = {"read", false},
    [SYSFAULT_READ_SHORT] = {"short read", true},
    [SYSFAULT_WRITE] = {"write", false},
    [SYSFAULT_WRITE_SHORT] = {"short write", true},
    [SYSFAULT_FULL] = {"disk full", false},
    [SYSFAULT_SYNC] = {"sync", false},
    [SYSFAULT_NAME] = {"name", false},
    [SYSFAULT_EINTR] = {"EINTR", true},
    [SYSFAULT_SOCKET] = {"socket", false},
    [SYSFAULT_BIND] = {"bind", false},
    [SYSFAULT_CONNECT] = {"connect", false},
    [SYSFAULT_RECV] = {"recv", false},
    [SYSFAULT_RECV_SHORT] = {"short recv", true},
    [SYSFAULT_SEND] = {"send", false},
    [SYSFAULT_SEND_SHORT] = {"short send", true},
};

bool sysfault_is_harmless(enum sysfault kind)
{
    return KINDS[kind].is_harmless;
}

const char *sysfault_name(enum sysfault kind)
{
    return KINDS[kind].name;
}

void sysfault_arm(enum sysfault kind, unsigned nth)
{
    atomic_store(&armed.kind, NEVER);
    atomic_store(&armed.calls_left, nth);
    atomic_store(&armed.fired, false);
    atomic_store(&armed.kind, (int)kind);
}

bool sysfault_disarm(void)
{
    atomic_store(&armed.kind, NEVER);
    return atomic_load(&armed.fired);
}

/* Counts down to the n-th; a disk that is full stays full. */
static bool is_the_one(enum sysfault kind)
{
    if (atomic_load(&armed.kind) != (int)kind)
        return false;
    if (kind == SYSFAULT_FULL && atomic_load(&armed.fired))
        return true;
    if (atomic_fetch_sub(&armed.calls_left, 1) != 0)
        return false;
    atomic_store(&armed.fired, true);
    return true;
}

bool sysfault_hits(enum sysfault kind, int error)
{
    if (!is_the_one(kind))
        return false;
    errno = error;
    return true;
}

size_t sysfault_portion(enum sysfault kind, size_t size)
{
    bool of_socket = kind == SYSFAULT_RECV_SHORT || kind == SYSFAULT_SEND_SHORT;

    if (size < 2 || !is_the_one(kind)) /* a single byte cannot be halved */
        return size;
    return of_socket ? 1 : size / 2;
}

unsigned sysfault_loop(enum sysfault kind, unsigned least, void (*once)(void *arg), void *arg)
{
    unsigned n = 0;

    assert_true(sysfault_calls_are_ours());
    do {
        turn.kind = kind;
        turn.nth = n;
        once(arg);
    } while (sysfault_disarm() && ++n < TRIES_MAX);
    print_message("%s: survived at %u calls\n", sysfault_name(kind), n);
    assert_true(n < TRIES_MAX);
    if (n < least)
        fail_msg("%s: met only %u calls of at least %u", sysfault_name(kind), n, least);
    return n;
}

void sysfault_begin(void)
{
    sysfault_arm(turn.kind, turn.nth);
}
