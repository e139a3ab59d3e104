/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/target.h – what a fuzz target is: one function, and what an input may make it hold.
 *
 * bound.c is the entry that libFuzzer and replay_main.c call. It counts what is allocated while
 * the target has an input, and more at once than the bound is a failure, as a crash is.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct fuzz_bound {
    size_t fixed;    /* bytes, whatever the input                 */
    size_t per_byte; /* and for each byte of the input            */
};

extern const struct fuzz_bound fuzz_bound;

void fuzz_one(const uint8_t *bytes, size_t size);

/* For replay_main.c: the most that was held so far, in bytes; 0 where nothing counts. */
size_t fuzz_held_most(void);
