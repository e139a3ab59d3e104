/* SPDX-License-Identifier: Apache-2.0 */
/* emu/dice.h – random numbers that a seed repeats, the same on every machine. */
#pragma once

#include <stdint.h>

struct dice {
    uint64_t state; /* the seed, at first */
};

uint64_t dice_bits(struct dice *dice);

/* 0 or more and below 1. */
double dice_unit(struct dice *dice);

/* Mean 0, deviation 1. */
double dice_normal(struct dice *dice);

/* Mean 1: the time between events that know nothing of one another. */
double dice_exponential(struct dice *dice);
