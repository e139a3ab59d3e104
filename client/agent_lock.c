/* SPDX-License-Identifier: Apache-2.0 */
/* client/agent_lock.c – a lock of the open file, so that looking at it takes nothing. */
#include "client/agent_lock.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/units.h"

static const char NAME[] = "agent.lock";
enum { PID_SIZE = 24 };

static struct flock whole_file(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

static long pid_in(int fd)
{
    char text[PID_SIZE] = "";
    uint64_t pid = 0;
    const ssize_t size = pread(fd, text, sizeof text - 1, 0);

    text[size > 0 ? strcspn(text, "\n") : 0] = '\0';
    return alb_failed(parse_u64(text, INT32_MAX, &pid)) ? 0 : (long)pid;
}

static struct alb_status write_pid(int fd)
{
    char text[PID_SIZE];
    const int size = snprintf(text, sizeof text, "%ld\n", (long)getpid());

    if (ftruncate(fd, 0) != 0)
        return alb_fail_sys("writing agent.lock");
    return file_write_all(fd, text, (size_t)size);
}

struct alb_status agent_lock_take(const char *dir, struct agent_lock *out)
{
    AUTO_FREE char *path = path_join(dir, NAME);
    struct flock lock = whole_file();
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct alb_status st = ALB_STATUS_OK;

    *out = (struct agent_lock){.fd = -1};
    if (fd < 0)
        return alb_fail_sys("opening agent.lock");
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        const bool is_held = errno == EAGAIN || errno == EACCES;
        st = is_held ? alb_fail(ALB_CONFLICT, "another agent runs on this state")
                     : alb_fail_sys("locking agent.lock");
        out->pid = pid_in(fd);
    } else {
        st = write_pid(fd);
    }
    if (alb_failed(st)) {
        close(fd);
        return st;
    }
    *out = (struct agent_lock){.fd = fd, .pid = (long)getpid()};
    return ALB_STATUS_OK;
}

void agent_lock_release(struct agent_lock *lock)
{
    if (lock->fd >= 0)
        close(lock->fd);
    *lock = (struct agent_lock){.fd = -1};
}

bool agent_lock_is_held(const char *dir, long *pid)
{
    AUTO_FREE char *path = path_join(dir, NAME);
    struct flock lock = whole_file();
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    lock.l_type = F_RDLCK; /* what a file opened for reading may ask about */
    const bool is_held = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (is_held)
        *pid = pid_in(fd);
    close(fd);
    return is_held;
}
