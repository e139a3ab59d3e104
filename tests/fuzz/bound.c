/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/bound.c – gives inputs to the target and holds it to its bound. */
#include "fuzz/target.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* The sanitizers' (sanitizer/allocator_interface.h); absent in builds without them, where nothing
 * is counted. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *))
    __attribute__((weak));
size_t __sanitizer_get_allocated_size(const volatile void *p) __attribute__((weak));

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct {
    bool is_installed, is_on;
    long long now, most, limit; /* what was there before may be freed, so below 0, too */
    size_t most_ever;
} held;

static void on_malloc(const volatile void *p, size_t size)
{
    (void)p;
    if (!held.is_on)
        return;
    held.now += (long long)size;
    if (held.now > held.most)
        held.most = held.now;
    if (held.now <= held.limit)
        return;
    held.is_on = false;
    fprintf(stderr, "fuzz: %lld bytes are held, %zu of them just asked for; the bound is %lld\n",
            held.now, size, held.limit);
    abort();
}

static void on_free(const volatile void *p)
{
    if (held.is_on && p != NULL)
        held.now -= (long long)__sanitizer_get_allocated_size(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (!held.is_installed && __sanitizer_install_malloc_and_free_hooks != NULL)
        (void)__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
    held.is_installed = true;
    held.now = 0;
    held.most = 0;
    held.limit = (long long)(fuzz_bound.fixed + fuzz_bound.per_byte * size);
    held.is_on = true;
    fuzz_one(bytes, size);
    held.is_on = false;
    if (held.most > (long long)held.most_ever)
        held.most_ever = (size_t)held.most;
    return 0;
}

size_t fuzz_held_most(void)
{
    return held.most_ever;
}
