/* SPDX-License-Identifier: Apache-2.0 */
/* support/gen.h – seeded random input for tests, the same on every machine for the same seed.
 *
 * gen_init_from_env() takes the seed from the environment and prints it, so that a failure can be
 * played again: `ALB_SEED=1234 ctest -R prop`.  Without ALB_SEED the seed is 1, so that a run
 * says the same twice; `ALB_SEED=fresh` asks the kernel for one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* xoshiro256** (Blackman and Vigna), filled by splitmix64. */
struct gen {
    uint64_t s[4];
};

void gen_init(struct gen *g, uint64_t seed);
/* Seed from ALB_SEED, print it, return it.  A value that is no number ends the test. */
uint64_t gen_init_from_env(struct gen *g);
/* A generator of its own, so that adding draws in one place does not change another. */
struct gen gen_fork(struct gen *g);

uint64_t gen_u64(struct gen *g);
/* Evenly in [0, n); n must not be 0. */
uint64_t gen_below(struct gen *g, uint64_t n);
/* Evenly in [low, high], both included. */
uint64_t gen_range(struct gen *g, uint64_t low, uint64_t high);
/* Small values as often as large ones: each bit length up to that of `max` is equally likely. */
uint64_t gen_skewed(struct gen *g, uint64_t max);
/* True `num` times out of `den`. */
bool gen_chance(struct gen *g, unsigned num, unsigned den);

/* Incompressible bytes. */
void gen_bytes(struct gen *g, void *out, size_t size);
/* Bytes that compress about as well as program text: words of a small vocabulary. */
void gen_text(struct gen *g, void *out, size_t size);
/* A file name of 1..max letters, digits, dots and dashes, never "." or ".."; `out` has max + 1. */
void gen_name(struct gen *g, char *out, size_t max);
