/* SPDX-License-Identifier: Apache-2.0 */
/* crash/drive.c – chooses deaths, lets lives run into them, and has the disk forget. */
#include "crash/drive.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "crash/powerloss.h"
#include "crash/rebuild.h"
#include "support/tmpdir.h"

enum {
    CYCLES = 50,
    LIVES_PER_DIR = 8, /* about; then from nothing: making a store is worth dying in, too */
    LIFE_MOST_MS = 60000,
    SITES_GUESS = 60,
};

enum death {
    AT_A_MOMENT,
    AT_AN_EVENT,
    AT_A_SITE,
    POWER_STRICT,
    POWER_ORDERED,
    POWER_LYING,
    DEATHS
};

static const char *const death_names[DEATHS] = {
    "kill -9 at a moment", "kill -9 at a call",       "kill -9 at a fault site",
    "power loss, strict",  "power loss, as journals", "power loss, lying disk",
};

struct drive {
    const struct crash_actor *actor;
    struct gen gen;
    struct tmpdir *tmp;
    char *work, *dir, *shadow; /* owned */
    uint64_t events;           /* of a life that nothing ends: about so many */
    uint64_t life_ns;
    unsigned lives[DEATHS], died[DEATHS];
    struct powerloss_losses losses;
};

/* One life's death, as its environment says it. */
struct doom {
    enum death death;
    uint64_t at, fate, moment_ns;
    bool is_spared;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- one life -------------------------------------------------------------------------------- */

static void set_number(const char *name, uint64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRIu64, value);
    setenv(name, text, 1);
}

_Noreturn static void become_life(const struct drive *d, const struct doom *doom, uint64_t seed)
{
    char text[32];
    const char *asan = getenv("ASAN_OPTIONS");
    AUTO_FREE char *options =
        xasprintf("%s:verify_asan_link_order=0:detect_leaks=0", asan != NULL ? asan : "");

    snprintf(text, sizeof text, "%" PRIu64, seed);
    setenv("ASAN_OPTIONS", options, 1);
    setenv("LD_PRELOAD", ALB_POWERLOSS_SO, 1);
    setenv(POWERLOSS_DIR, d->dir, 1);
    setenv(POWERLOSS_SHADOW, d->shadow, 1);
    set_number(POWERLOSS_FATE, doom->fate);
    if (doom->death == AT_A_SITE && !doom->is_spared)
        set_number("ALB_DIE_AT", doom->at);
    else if (doom->death != AT_A_MOMENT && !doom->is_spared)
        set_number(POWERLOSS_AT, doom->at);
    execl("/proc/self/exe", d->actor->name, "live", d->work, text, (char *)NULL);
    perror("exec");
    _exit(98);
}

/* The child's end; kills it at its moment, or when it hangs. */
static int wait_for(pid_t child, const struct doom *doom)
{
    int fd = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd ends = {.fd = fd, .events = POLLIN};
    struct timespec moment = {.tv_sec = (time_t)(doom->moment_ns / 1000000000u),
                              .tv_nsec = (long)(doom->moment_ns % 1000000000u)};
    bool timed = doom->death == AT_A_MOMENT && !doom->is_spared;
    int how = 0;

    if (timed && ppoll(&ends, 1, &moment, NULL) == 0)
        kill(child, SIGKILL);
    else if (!timed && poll(&ends, 1, LIFE_MOST_MS) == 0)
        kill(child, SIGABRT); /* hangs: a bug */
    close(fd);
    while (waitpid(child, &how, 0) < 0)
        if (errno != EINTR)
            abort();
    return how;
}

static struct doom choose_doom(struct drive *d)
{
    struct doom doom = {.fate = gen_u64(&d->gen) >> 8};

    do
        doom.death = (enum death)gen_below(&d->gen, DEATHS);
    while (doom.death == POWER_LYING && !d->actor->may_lie);
#ifndef ALB_FAULT
    if (doom.death == AT_A_SITE)
        doom.death = AT_AN_EVENT;
#endif
    doom.at = 1 + gen_below(&d->gen, doom.death == AT_A_SITE ? SITES_GUESS : d->events + 1);
    doom.moment_ns = gen_below(&d->gen, d->life_ns + 1);
    return doom;
}

static void forget(struct drive *d, struct powerloss *p, const struct doom *doom)
{
    const struct powerloss_options options = {.is_ordered = doom->death == POWER_ORDERED,
                                              .is_lying = doom->death == POWER_LYING,
                                              .gen = &d->gen};

    if (doom->death == POWER_LYING) /* whoever checks may not expect anything to be there */
        expect_say(d->work, "lied");
    powerloss_rebuild(p, &options, &d->losses);
}

/* False when the life found a bug. */
static bool live_once(struct drive *d, const struct doom *doom)
{
    struct powerloss *p = powerloss_begin(d->dir, d->shadow);
    uint64_t seed = gen_u64(&d->gen) >> 1;
    uint64_t start = now_ns();
    pid_t child = fork();

    if (child == 0)
        become_life(d, doom, seed);
    int how = wait_for(child, doom);
    bool died = WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL;
    bool ended = WIFEXITED(how) && WEXITSTATUS(how) == 0;
    d->lives[doom->death] += !doom->is_spared;
    d->died[doom->death] += died;
    if (ended) {
        d->events = powerloss_events(p);
        d->life_ns = now_ns() - start;
    }
    if (died && doom->death >= POWER_STRICT)
        forget(d, p, doom);
    powerloss_end(p);
    if (!died && !ended)
        fprintf(stderr, "%s: a life ended with status %#x\n", d->actor->name, (unsigned)how);
    return died || ended;
}

/* ---- all lives ------------------------------------------------------------------------------- */

static void start_anew(struct drive *d)
{
    AUTO_FREE char *command =
        xasprintf("chmod -R u+rwx '%s'; rm -rf '%s'/* && mkdir '%s'", d->work, d->work, d->dir);

    if (system(command) != 0)
        abort();
    if (d->actor->prepare != NULL)
        d->actor->prepare(d->work);
}

/* The last life of a directory ends by itself: whatever happened before, that must be possible. */
static bool begin_anew(struct drive *d, unsigned n)
{
    static const struct doom spared = {.is_spared = true};

    if (n == 0) {
        start_anew(d); /* and see how long a life is */
        if (!live_once(d, &spared))
            return false;
    } else if (!gen_chance(&d->gen, 1, LIVES_PER_DIR)) {
        return true;
    } else if (!live_once(d, &spared)) {
        return false;
    }
    start_anew(d);
    return true;
}

static bool cycle(struct drive *d, unsigned n)
{
    if (!begin_anew(d, n))
        return false;
    struct doom doom = choose_doom(d);
    if (live_once(d, &doom) && (d->actor->between == NULL || d->actor->between(d->work, &d->gen)))
        return true;
    fprintf(stderr, "%s: cycle %u, %s, event or site %" PRIu64 ", fate %" PRIu64 "\n",
            d->actor->name, n, death_names[doom.death], doom.at, doom.fate);
    return false;
}

static void say_what_was_done(const struct drive *d)
{
    for (unsigned i = 0; i < DEATHS; i++)
        if (d->lives[i] > 0)
            printf("%-12s %-26s %4u lives, %4u deaths\n", d->actor->name, death_names[i],
                   d->lives[i], d->died[i]);
    printf("%-12s lost: %" PRIu64 " names, %" PRIu64 " blocks, %" PRIu64 " of them torn\n",
           d->actor->name, d->losses.names, d->losses.blocks, d->losses.torn);
}

static int drive(const struct crash_actor *actor, unsigned cycles)
{
    struct drive d = {.actor = actor, .tmp = tmpdir_open(), .life_ns = 500000000, .events = 100};
    uint64_t seed = gen_init_from_env(&d.gen);
    bool good = true;

    d.work = tmpdir_path(d.tmp, "work");
    d.dir = tmpdir_path(d.tmp, "work/dir");
    d.shadow = tmpdir_path(d.tmp, "shadow");
    tmpdir_mkdir(d.tmp, "work");
    for (unsigned n = 0; n < cycles && good; n++)
        good = cycle(&d, n);
    say_what_was_done(&d);
    if (!good) {
        fprintf(stderr, "%s: FAILED with ALB_SEED=%" PRIu64 "; what it left is in %s\n",
                actor->name, seed, d.work);
        _exit(1);
    }
    tmpdir_close(d.tmp);
    free(d.work);
    free(d.dir);
    free(d.shadow);
    return 0;
}

int crash_main(const struct crash_actor *actor, int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 4 && strcmp(argv[1], "live") == 0)
        return actor->live(argv[2], strtoull(argv[3], NULL, 10)) ? 0 : 1;
    return drive(actor, argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : CYCLES);
}
