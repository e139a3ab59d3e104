/* SPDX-License-Identifier: Apache-2.0 */
/* base/fault.c – the one armed fault of a test program, and the point where a program is to die;
 * empty in builds without ALB_FAULT.
 */
#include "base/fault.h"

#ifdef ALB_FAULT

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Armed and read by the test's thread; hit by any thread, so the counters are atomic.  `site` is
 * published by the store to `armed`. */
static struct {
    atomic_bool armed;
    atomic_bool fired;
    atomic_bool paused;
    atomic_uint hits_left;
    const char *site; /* borrowed literal; NULL = any */
} fault;

bool fault_hits(const char *site)
{
    if (!atomic_load(&fault.armed) || atomic_load(&fault.paused))
        return false;
    if (fault.site != NULL && strcmp(fault.site, site) != 0)
        return false;
    if (atomic_fetch_sub(&fault.hits_left, 1) != 0)
        return false;
    atomic_store(&fault.armed, false);
    atomic_store(&fault.fired, true);
    return true;
}

void fault_arm(const char *site, unsigned nth)
{
    atomic_store(&fault.armed, false);
    fault.site = site;
    atomic_store(&fault.hits_left, nth);
    atomic_store(&fault.fired, false);
    atomic_store(&fault.armed, true);
}

void fault_disarm(void)
{
    atomic_store(&fault.armed, false);
}

void fault_pause(bool is_paused)
{
    atomic_store(&fault.paused, is_paused);
}

bool fault_fired(void)
{
    return atomic_load(&fault.fired);
}

/* ---- kill points ---- */

/* The linker's names for the section's two ends; weak, since a program may have no point. */
/* NOLINTBEGIN(cert-dcl51-cpp): the linker chose them */
extern const char *const __start_alb_kill_points[] __attribute__((weak));
extern const char *const __stop_alb_kill_points[] __attribute__((weak));
/* NOLINTEND(cert-dcl51-cpp) */

/* Set before main() and never again, so any thread may look. */
static struct {
    char name[64]; /* "" = nowhere */
    unsigned long nth;
    atomic_ulong reached;
} death;

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* One name may stand at several places. */
static void list_points(void)
{
    size_t count = (size_t)(__stop_alb_kill_points - __start_alb_kill_points);
    const char **names = calloc(count + 1, sizeof *names);

    for (size_t i = 0; names != NULL && i < count; i++)
        names[i] = __start_alb_kill_points[i];
    if (names != NULL)
        qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; names != NULL && i < count; i++)
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
            puts(names[i]);
    free(names);
}

static bool is_point(const char *name)
{
    for (const char *const *p = __start_alb_kill_points; p < __stop_alb_kill_points; p++)
        if (strcmp(*p, name) == 0)
            return true;
    return false;
}

/* A point that does not exist would never be reached, and a test would pass for nothing. */
__attribute__((constructor)) static void choose_death(void)
{
    const char *at = getenv("ALB_DIE_AT");
    char name[sizeof death.name];
    unsigned long nth;

    if (at == NULL)
        return;
    if (strcmp(at, "list") == 0) {
        list_points();
        exit(0); /* NOLINT(concurrency-mt-unsafe): before main() there are no threads */
    }
    /* NOLINTNEXTLINE(cert-err34-c): a number out of range is a time that never comes */
    if (sscanf(at, "%63[^:]:%lu", name, &nth) != 2 || nth == 0 || !is_point(name)) {
        fprintf(stderr, "ALB_DIE_AT=%s: not POINT:N; ALB_DIE_AT=list prints the points\n", at);
        exit(2); /* NOLINT(concurrency-mt-unsafe): the same */
    }
    memcpy(death.name, name, sizeof death.name);
    death.nth = nth;
}

void kill_point_reached(const char *name)
{
    if (death.name[0] == '\0' || strcmp(name, death.name) != 0 ||
        atomic_fetch_add(&death.reached, 1) + 1 != death.nth)
        return;
    fprintf(stderr, "event=killed.at point=%s nth=%lu\n", name, death.nth);
    kill(getpid(), SIGKILL);
    for (;;) /* the signal may take another thread first: go no step further */
        pause();
}

#endif
