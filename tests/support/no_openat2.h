/* SPDX-License-Identifier: Apache-2.0 */
/* support/no_openat2.h – a kernel without openat2(2), for tests of what is done then. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"

/* From here on, and in what is executed from here, it fails as it does in a container whose filter
 * does not know it.  False: this process may set no filters. */
static inline bool openat2_forbid(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ALB_COUNT(code), .filter = code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static inline bool openat2_is_forbidden(void)
{
    struct open_how how = {.flags = O_PATH};

    return syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof how) < 0 && errno == EPERM;
}
