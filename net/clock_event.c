/* SPDX-License-Identifier: Apache-2.0 */
/* net/clock_event.c – being told that the wall clock was set.
 *
 * The kernel cancels a timer on that clock when it is set and when the machine wakes, if it was
 * asked to: so one is set for a day that never comes.
 */
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/log.h"
#include "net/loop_event.h"

enum { FAR_S = INT32_MAX }; /* 2038; from then on the look once a minute must do */

static bool arm(int fd)
{
    const struct itimerspec at = {.it_value = {.tv_sec = FAR_S}};

    return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, NULL) == 0;
}

static void on_clock_set(evutil_socket_t fd, short what, void *arg)
{
    struct loop_event *l = arg;
    uint64_t times;

    (void)what;
    loop_event_enter(l);
    const bool was_set = read(fd, &times, sizeof times) < 0 && errno == ECANCELED;
    if (!was_set || !arm(fd))
        event_del(l->clock_set);
    if (was_set)
        loop_clock_was_set(&l->base);
}

/* Without it a clock that is set is noticed by whoever looks at it again. */
void clock_event_watch(struct loop *loop)
{
    struct loop_event *l = loop_event_of(loop);
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);

    if (fd >= 0 && arm(fd))
        l->clock_set = event_new(l->events, fd, EV_READ | EV_PERSIST, on_clock_set, l);
    if (l->clock_set != NULL) {
        event_add(l->clock_set, NULL);
        return;
    }
    log_status(LOG_WARN, "clock.not_watched", alb_fail_sys("a timer on the wall clock"), "fd=%d",
               fd);
    if (fd >= 0)
        close(fd);
}

void clock_event_stop(struct loop_event *l)
{
    if (l->clock_set == NULL)
        return;
    int fd = event_get_fd(l->clock_set);
    event_free(l->clock_set);
    l->clock_set = NULL;
    close(fd);
}
