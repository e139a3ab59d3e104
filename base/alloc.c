/* SPDX-License-Identifier: Apache-2.0 */
/* base/alloc.c – allocation that aborts, and allocation that may answer NULL. */
#include "base/alloc.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/status.h"

static void *sure(void *p)
{
    if (p == NULL)
        alb_abort(__FILE__, __LINE__, "out of memory");
    return p;
}

void *xalloc(size_t size)
{
    return sure(calloc(1, size == 0 ? 1 : size));
}

void *xcalloc(size_t count, size_t size)
{
    if (count == 0 || size == 0)
        return xalloc(1);
    return sure(calloc(count, size)); /* calloc() itself refuses a product that overflows */
}

void *xrealloc(void *old, size_t size)
{
    return sure(realloc(old, size == 0 ? 1 : size));
}

char *xstrdup(const char *s)
{
    return sure(strdup(s));
}

char *xstrndup(const char *s, size_t n)
{
    return sure(strndup(s, n));
}

char *xasprintf(const char *format, ...)
{
    va_list args;
    char *out = NULL;
    int n;

    va_start(args, format);
    n = vasprintf(&out, format, args);
    va_end(args);
    return sure(n < 0 ? NULL : out);
}

/* What grows with content and with what others send, and so may fail without ending the program;
 * tests tell it from the small things, whose owners may insist on them. */
enum { LARGE = 4096 };

void *try_alloc(size_t size)
{
    return try_realloc(NULL, size);
}

void *try_realloc(void *old, size_t size)
{
    /* Beyond PTRDIFF_MAX malloc() fails anyway; sanitizers would end the program instead. */
    if (size > PTRDIFF_MAX || fault_hits("alloc"))
        return NULL;
    if (size >= LARGE && fault_hits("alloc.large"))
        return NULL;
    return realloc(old, size == 0 ? 1 : size);
}

void alloc_keep_freed(void)
{
#ifdef M_MMAP_THRESHOLD /* glibc; elsewhere the allocator has ideas of its own */
    /* NOLINTBEGIN(concurrency-mt-unsafe): main() calls this before there are threads */
    (void)mallopt(M_MMAP_THRESHOLD, 32 << 20); /* the most it takes */
    (void)mallopt(M_TRIM_THRESHOLD, 64 << 20);
    /* NOLINTEND(concurrency-mt-unsafe) */
#endif
}
