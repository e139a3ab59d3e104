/* SPDX-License-Identifier: Apache-2.0 */
/* albtest/clock_shift.c – preloaded: the program's wall clock is ALB_CLOCK_SHIFT_S seconds
 * ahead. */
#include <stdlib.h>
#include <time.h>

time_t time(time_t *out)
{
    const char *shift = getenv("ALB_CLOCK_SHIFT_S");
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += shift == NULL ? 0 : (time_t)strtoll(shift, NULL, 10);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}
