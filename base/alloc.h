/* SPDX-License-Identifier: Apache-2.0 */
/* base/alloc.h – memory: small things that may not fail, large things that may.
 *
 * xalloc() and its sisters abort when there is no memory: use them for objects whose number our
 * own configuration bounds.  try_alloc() returns NULL: use it for every size that comes from the
 * network or scales with content; the caller answers ALB_FULL.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>

#define AUTO_FREE __attribute__((cleanup(alb_auto_free)))
#define ALB_AUTO(release) __attribute__((cleanup(release)))

void *xalloc(size_t size);                /* zeroed */
void *xcalloc(size_t count, size_t size); /* zeroed; aborts on overflow */
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Not zeroed.  NULL when there is no memory or a test injected a fault (base/fault.h). */
void *try_alloc(size_t size);
void *try_realloc(void *old, size_t size);

/* Once, first in main(): blocks of megabytes that are freed stay for whoever comes next, up to
 * 64 MiB a thread.  Given back to the kernel each time, they cost a page fault for every 4 KiB. */
void alloc_keep_freed(void);

static inline void alb_auto_free(void *p)
{
    free(*(void **)p);
}

/* Move ownership out of *p. */
#define take_ptr(p)                                                                                \
    __extension__({                                                                                \
        __auto_type alb_taken_ = *(p);                                                             \
        *(p) = NULL;                                                                               \
        alb_taken_;                                                                                \
    })

#define ALB_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ALB_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
