/* SPDX-License-Identifier: Apache-2.0 */
/* client/helper.c – children of the agent, and whose sessions are open. */
#include "client/helper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"

extern char **environ;

enum { SESSION_MOST = 64 << 10, WAIT_TURNS = 100, WAIT_MS = 10 };

/* ---- children -------------------------------------------------------------------------------- */

/* With no signal blocked or ignored, in a group of its own, `input` as its standard input. */
static struct alb_status spawn(const char *command, int input, pid_t *out)
{
    char sh[] = "sh", minus_c[] = "-c";
    AUTO_FREE char *text = xstrdup(command);
    char *const argv[] = {sh, minus_c, text, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;

    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETPGROUP);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    if (input >= 0)
        (void)posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    else
        (void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    const int failed = posix_spawn(out, "/bin/sh", &actions, &attributes, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    errno = failed;
    return failed == 0 ? ALB_STATUS_OK : alb_fail_sys("starting /bin/sh");
}

static int code_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct alb_status helper_run(const char *command, int *exit_code)
{
    int status = 0;
    pid_t pid;
    struct alb_status st = spawn(command, -1, &pid);

    if (alb_failed(st))
        return st;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return alb_fail_sys("waiting for a command");
    *exit_code = code_of(status);
    return *exit_code == 0 ? ALB_STATUS_OK : alb_fail(ALB_REFUSED, "the command failed");
}

struct alb_status helper_start(struct helper *h, const char *command)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return alb_fail_sys("a pipe to a command");
    const struct alb_status st = spawn(command, ends[0], &h->pid);
    (void)close(ends[0]);
    h->input = ends[1];
    if (alb_failed(st)) {
        (void)close(ends[1]);
        h->pid = 0;
    }
    return st;
}

bool helper_runs(struct helper *h, int *exit_code)
{
    int status = 0;

    if (h->pid == 0)
        return false;
    const pid_t ended = waitpid(h->pid, &status, WNOHANG);
    if (ended == 0 || (ended < 0 && errno == EINTR))
        return true;
    *exit_code = ended < 0 ? 0 : code_of(status);
    helper_end(h);
    h->pid = 0;
    return false;
}

void helper_end(struct helper *h)
{
    if (h->pid != 0 && h->input >= 0)
        (void)close(h->input);
    h->input = -1;
}

void helper_stop(struct helper *h)
{
    int status, ignored = 0;

    if (!helper_runs(h, &ignored))
        return;
    helper_end(h);
    for (unsigned i = 0; i < WAIT_TURNS; i++) {
        if (waitpid(h->pid, &status, WNOHANG) != 0) {
            h->pid = 0;
            return;
        }
        (void)poll(NULL, 0, WAIT_MS);
    }
    (void)kill(-h->pid, SIGKILL);
    (void)waitpid(h->pid, &status, 0);
    h->pid = 0;
}

/* ---- who uses it ----------------------------------------------------------------------------- */

static bool has_line(const char *text, const char *line)
{
    const size_t size = strlen(line);

    for (const char *at = text; (at = strstr(at, line)) != NULL; at += size)
        if ((at == text || at[-1] == '\n') && (at[size] == '\n' || at[size] == '\0'))
            return true;
    return false;
}

/* Somebody's session, and not one that is over but for what it left running. */
static bool is_session_of_somebody(const char *dir, const char *name)
{
    AUTO_FREE char *path = path_join(dir, name);
    struct buf text;

    buf_init(&text, SESSION_MOST);
    const bool is_read = !alb_failed(file_read(path, &text));
    const bool is_his = is_read && has_line(buf_text(&text), "CLASS=user") &&
                        !has_line(buf_text(&text), "STATE=closing");
    buf_release(&text);
    return is_his;
}

static bool has_login(const char *utmp)
{
    FILE *f = fopen(utmp, "rbe");
    struct utmp entry;
    bool is_there = false;

    if (f == NULL)
        return false;
    while (!is_there && fread(&entry, sizeof entry, 1, f) == 1)
        is_there = entry.ut_type == USER_PROCESS &&
                   (entry.ut_pid <= 0 || kill(entry.ut_pid, 0) == 0 || errno == EPERM);
    (void)fclose(f);
    return is_there;
}

bool helper_is_used(const char *sessions, const char *utmp)
{
    DIR *dir = opendir(sessions);
    const struct dirent *d;
    bool is_used = false;

    if (dir == NULL)
        return has_login(utmp);
    while (!is_used && (d = readdir(dir)) != NULL)
        is_used = d->d_name[0] != '.' && strchr(d->d_name, '.') == NULL &&
                  is_session_of_somebody(sessions, d->d_name);
    (void)closedir(dir);
    return is_used;
}
