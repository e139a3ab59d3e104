/* SPDX-License-Identifier: Apache-2.0 */
/* support/sysfault.h – makes the n-th system call of a kind fail, in our code and in libraries.
 *
 * A test program that uses it gets its own open(), write(), recv() … (sysfault_calls.c), which
 * stand before libc's for RocksDB, OpenSSL and libevent as well.  Calls on files meet the faults
 * of files, calls on sockets those of sockets; pipes, eventfds and /proc meet none, and neither
 * does what libc calls within itself (stdio, opendir).  One fault is armed at a time.
 */
#pragma once

#include <stdbool.h>

enum sysfault {
    SYSFAULT_OPEN,        /* EMFILE                                                          */
    SYSFAULT_READ,        /* EIO                                                             */
    SYSFAULT_READ_SHORT,  /* half of what was asked for, at least a byte; no failure at all   */
    SYSFAULT_WRITE,       /* EIO                                                             */
    SYSFAULT_WRITE_SHORT, /* as above                                                        */
    SYSFAULT_FULL,        /* ENOSPC from the n-th on, until disarmed: whatever takes room     */
    SYSFAULT_SYNC,        /* EIO                                                             */
    SYSFAULT_NAME,        /* EIO: rename, link, mkdir                                        */
    SYSFAULT_EINTR,       /* bytes, flock, accept; nothing has happened, no failure at all      */
    SYSFAULT_SOCKET,      /* EMFILE: socket, accept                                          */
    SYSFAULT_BIND,        /* EADDRINUSE: bind, listen                                        */
    SYSFAULT_CONNECT,     /* ENETUNREACH                                                     */
    SYSFAULT_RECV,        /* ECONNRESET                                                      */
    SYSFAULT_RECV_SHORT,  /* a single byte; no failure at all                                 */
    SYSFAULT_SEND,        /* EPIPE                                                           */
    SYSFAULT_SEND_SHORT,  /* a single byte; no failure at all                                 */
    SYSFAULT_KINDS,
};

/* Must a program that meets it go on as if nothing had happened? */
bool sysfault_is_harmless(enum sysfault kind);
const char *sysfault_name(enum sysfault kind);

/* Fail the `nth` call from now (0 = the next). */
void sysfault_arm(enum sysfault kind, unsigned nth);
/* Did it fire? */
bool sysfault_disarm(void);

/* Plays once() with the 1st, 2nd, 3rd … call failing until a play in which none was left to fail,
 * and says how many there were, which must be at least `least`.  once() prepares, begins, does what
 * may fail, disarms (and learns whether it did), and checks. */
unsigned sysfault_loop(enum sysfault kind, unsigned least, void (*once)(void *arg), void *arg);
/* Arm the loop's fault. */
void sysfault_begin(void);
